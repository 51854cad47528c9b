"""``sevlab validate`` against libvirt's own virt-qemu-sev-validate, both run as processes on the same options."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.peers import ROOT, Run, our_validate, ovmf_images, real_validate, why_no_ovmf, why_no_real_tool
from tests.soak import many

pytestmark = pytest.mark.peer

GOOD = "OK: Looks good to me"
BAD = "ERROR: Measurement does not match, VM is not trustworthy"
MANUAL = ROOT / "docs" / "validate.md"
NEEDED = many(200, 70)

# Every way to spell an option in both programs: letter, word, and the word cut short.
SPELLINGS = {
    "measurement": ("-m", "--measurement", "--meas"),
    "api_major": ("--api-major", "--api-ma"),
    "api_minor": ("--api-minor", "--api-mi"),
    "build_id": ("--build-id", "--build"),
    "policy": ("--policy", "--p"),
    "firmware": ("-f", "--firmware", "--firm"),
    "tik": ("--tik",),
    "tek": ("--tek",),
    "tk": ("--tk",),
}


@dataclass(frozen=True)
class Launch:
    """What goes into a measurement. The defaults are a launch over a file that is no firmware."""

    api_major: int = 0
    api_minor: int = 22
    build_id: int = 13
    policy: int = 1
    firmware: Path = Path("fw.fd")
    tek: bytes = bytes(range(0x20, 0x30))
    tik: bytes = bytes(range(0x30, 0x40))
    mnonce: bytes = bytes(range(0x40, 0x50))

    def measurement(self, image: bytes | None = None) -> bytes:
        """The 48 bytes that a firmware reports for this launch, by the standard library alone."""
        digest = hashlib.sha256(self.firmware.read_bytes() if image is None else image).digest()
        versions = (self.api_major, self.api_minor, self.build_id)
        message = struct.pack("<4BI", 4, *versions, self.policy) + digest + self.mnonce
        return hmac.digest(self.tik, message, "sha256") + self.mnonce


def flipped(raw: bytes, bit: int) -> bytes:
    return raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]


# ---------------------------------------------------------------- generated cases: the two must agree

COUNTS = {
    "valid": many(104, 30),
    "valid, other TEK": many(8, 3),  # no measure depends on the TEK
    **dict.fromkeys(
        (
            *("api_major", "api_minor", "build_id", "policy", "firmware, another image", "firmware, one bit"),
            *("tik, one bit", "mnonce, one bit", "measure, one bit", "keys swapped"),
        ),
        many(12, 4),
    ),
}


class Case(NamedTuple):
    kind: str
    options: list[str]
    quiet: bool
    valid: bool


class Outcome(NamedTuple):
    case: Case
    real: Run
    ours: Run


def random_launch(chance: random.Random) -> Launch:
    def byte() -> int:
        return chance.choice((0, 1, 127, 128, 255, chance.randrange(256), chance.randrange(256)))

    policy = chance.getrandbits(6) | byte() << 16 | byte() << 24
    if chance.random() < 0.2:
        policy |= chance.getrandbits(10) << 6  # reserved bits
    keys = chance.randbytes(16), chance.choice((chance.randbytes(16), chance.randbytes(16), bytes(16)))
    nonce = chance.randbytes(16)
    return Launch(byte(), byte(), byte(), policy & ~4, chance.choice(ovmf_images()), *keys, nonce)


def told(kind: str, launch: Launch, chance: random.Random, folder: Path) -> tuple[Launch, bytes]:
    """The launch as the validators are told it, wrong in one input or none, and the measurement they are given."""
    measurement = launch.measurement()
    what = kind.split(",")[0]
    if what in ("api_major", "api_minor", "build_id"):
        return replace(launch, **{what: (getattr(launch, what) + chance.randrange(1, 256)) % 256}), measurement
    if kind == "policy":
        return replace(launch, policy=launch.policy ^ 1 << chance.choice([b for b in range(32) if b != 2])), measurement
    if kind == "firmware, another image":
        others = [image for image in ovmf_images() if image != launch.firmware]
        return replace(launch, firmware=chance.choice(others)), measurement
    if kind == "firmware, one bit":
        image = launch.firmware.read_bytes()
        copy = folder / f"{chance.getrandbits(64):016x}.fd"
        copy.write_bytes(flipped(image, chance.randrange(8 * len(image))))
        return replace(launch, firmware=copy), measurement
    changes = {
        "tik, one bit": {"tik": flipped(launch.tik, chance.randrange(128))},
        "valid, other TEK": {"tek": flipped(launch.tek, chance.randrange(128))},
        "keys swapped": {"tik": launch.tek, "tek": launch.tik},
    }
    if kind in ("measure, one bit", "mnonce, one bit"):
        first = 0 if what == "measure" else 256
        measurement = flipped(measurement, first + chance.randrange(256 if what == "measure" else 128))
    return replace(launch, **changes.get(kind, {})), measurement


def spelled(launch: Launch, measurement: bytes, chance: random.Random, folder: Path) -> list[str]:
    """The options that tell a launch, in one of their many spellings and in any order."""
    text = base64.b64encode(measurement).decode()
    if chance.random() < 0.3:  # as it looks when copied from a terminal or a file
        cut = chance.randrange(1, len(text))
        text = text[:cut] + chance.choice("\n \t") + text[cut:] + "\n"
    values = {name: str(getattr(launch, name)) for name in ("api_major", "api_minor", "build_id", "policy", "firmware")}
    values["measurement"] = text
    own = f"{chance.getrandbits(64):016x}"
    keys = {"tk": launch.tek + launch.tik} if chance.random() < 0.5 else {"tik": launch.tik, "tek": launch.tek}
    for name, key in keys.items():
        (folder / f"{own}.{name}").write_bytes(key)
        values[name] = str(folder / f"{own}.{name}")
    options: list[str] = []
    for name in chance.sample(list(values), len(values)):
        spelling = chance.choice(SPELLINGS[name])
        if chance.random() < 0.3:  # -mVALUE, --measurement=VALUE
            options.append(f"{spelling}{'=' if spelling.startswith('--') else ''}{values[name]}")
        else:
            options += [spelling, values[name]]
    return options


def cases(folder: Path) -> Iterator[Case]:
    chance = random.Random("sevlab against virt-qemu-sev-validate")
    for kind, count in COUNTS.items():
        for _ in range(count):
            options = spelled(*told(kind, random_launch(chance), chance, folder), chance, folder)
            quiet = chance.random() < 0.25
            if quiet:
                options.insert(0, chance.choice(("--quiet", "-q")))
            yield Case(kind, options, quiet, kind.startswith("valid"))


def both(options: list[str], folder: Path = ROOT, stdin: bytes = b"") -> tuple[Run, Run]:
    return real_validate(*options, folder=folder, stdin=stdin), our_validate(*options, folder=folder, stdin=stdin)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Every generated case, run by both programs, two cases at a time."""
    if reason := why_no_real_tool() or why_no_ovmf():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("launches")
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda case: Outcome(case, *both(case.options)), cases(folder)))


def test_enough_cases_are_compared(outcomes: list[Outcome]) -> None:
    assert len({tuple(outcome.case.options) for outcome in outcomes}) == len(outcomes) >= NEEDED


@pytest.mark.parametrize("kind", COUNTS)
def test_verdict_status_and_first_line_agree(outcomes: list[Outcome], kind: str) -> None:
    mine = [outcome for outcome in outcomes if outcome.case.kind == kind]
    assert len(mine) == COUNTS[kind]
    for case, real, ours in mine:
        # What must come out is known beforehand, so that the two cannot agree on a wrong answer.
        line = "" if case.quiet else GOOD if case.valid else BAD
        assert (real.status, real.first_line) == (0 if case.valid else 1, line), case
        assert (ours.status, ours.first_line) == (real.status, real.first_line), case
        assert ours.out == real.out, case
        if case.valid:  # sevlab may add warnings, about a weak policy for example; libvirt's tool has none
            assert all(warning.startswith("WARNING: ") for warning in ours.err.splitlines()), case
        if case.quiet:
            assert ours.err == "", case


# ---------------------------------------------------------------- one launch, bent in every way

IMAGE = b"This stands for a firmware image.\n" * 100
PLAIN = Launch()
TEXT = base64.b64encode(PLAIN.measurement(IMAGE)).decode()
BIG = (64 << 20) + 1
FILES = {
    "fw.fd": IMAGE,
    "empty": b"",
    "tk.bin": PLAIN.tek + PLAIN.tik,
    "tk33.bin": PLAIN.tek + PLAIN.tik + b"\n",
    "tek.bin": PLAIN.tek,
    "tik.bin": PLAIN.tik,
    "key17.bin": PLAIN.tik + b"\n",
    "key.hex": PLAIN.tik.hex().encode(),
    "key.b64": base64.b64encode(PLAIN.tik),
}
BOTH_KEYS = {"tk": None, "tik": "tik.bin", "tek": "tek.bin"}


def options_with(changes: dict[str, str | None], more: tuple[str, ...] = ()) -> list[str]:
    """The options of the plain launch with some replaced, or left out where the value is None."""
    numbers = {"api_major": "0", "api_minor": "22", "build_id": "13", "policy": "1"}
    values = {"measurement": TEXT, **numbers, "firmware": "fw.fd", "tk": "tk.bin", **changes}
    spelled = {"--" + name.replace("_", "-"): value for name, value in values.items()}
    return [f"{option}={value}" for option, value in spelled.items() if value is not None] + list(more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good files and bad ones."""
    if reason := why_no_real_tool():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("bent")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    with (folder / "big").open("wb") as stream:
        stream.truncate(BIG)  # a sparse file
    (folder / "folder").mkdir()
    return folder


def test_the_plain_launch_is_good(folder: Path) -> None:
    real, ours = both(options_with({}), folder)
    assert (real.status, real.first_line) == (ours.status, ours.first_line) == (0, GOOD)


# What each misuse is about, in our message.
MISUSES: dict[str, tuple[str, dict[str, str | None], tuple[str, ...]]] = {
    **{
        f"no {name}": ("--" + name.replace("_", "-"), {name: None}, ())
        for name in ("measurement", "api_major", "api_minor", "build_id", "policy", "firmware")
    },
    "no keys": ("--tk", {"tk": None}, ()),
    "tik alone": ("--tek", {"tk": None, "tik": "tik.bin"}, ()),
    "tek alone": ("--tik", {"tk": None, "tek": "tek.bin"}, ()),
    "tk with tik": ("--tk", {"tik": "tik.bin"}, ()),
    "tk with tek": ("--tk", {"tek": "tek.bin"}, ()),
    "tk with both": ("--tk", {"tik": "tik.bin", "tek": "tek.bin"}, ()),
    "nothing at all": ("--tk", dict.fromkeys([*SPELLINGS], None), ()),
    **{f"{name} without a value": (name, {}, (name,)) for name in ("-m", "--api-major", "--policy", "-f", "--tik")},
    **{
        f"{name} no number": ("--" + name.replace("_", "-"), {name: "one"}, ())
        for name in ("api_major", "api_minor", "build_id", "policy")
    },
    "an empty number": ("--policy", {"policy": ""}, ()),
    "a number with a point": ("--build-id", {"build_id": "13.0"}, ()),
    "an unknown option": ("--frobnicate", {}, ("--frobnicate",)),
    "an ambiguous option": ("--api-m", {}, ("--api-m", "1")),
    "a stray word": ("stray", {}, ("stray",)),
    "a value where none goes": ("--quiet", {}, ("--quiet=1",)),
    "quiet does not make it good": ("--policy", {"policy": None}, ("--quiet",)),
    "the SEV-ES bit without what SEV-ES needs": ("--num-cpus", {"policy": "5"}, ()),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_ends_with_2_in_both(folder: Path, misuse: str) -> None:
    about, changes, more = MISUSES[misuse]
    real, ours = both(options_with(changes, more), folder)
    assert (real.status, ours.status) == (2, 2)
    assert ours.out == ""
    assert ours.err.startswith("ERROR: ")
    assert about in ours.err
    assert ours.err.count("\n") == 1


# ---------------------------------------------------------------- bad input, where the two differ on purpose


@dataclass(frozen=True)
class Difference:
    """Options on which the two differ, and what each does with them: its exit status and something it says.

    ``input`` stands in docs/validate.md in a table row that begins ``| input | real status | our status |``.
    ``alternatives`` are changes to the plain launch, each of which is such an input.
    """

    input: str
    real: tuple[int, str]
    ours: tuple[int, str]
    alternatives: tuple[dict[str, str | None], ...] = ({},)
    more: tuple[str, ...] = ()
    stdin: bytes = b""


def differ(text: str, real: tuple[int, str], ours: tuple[int, str], *alternatives: dict[str, str | None]) -> Difference:
    return Difference(text, real, ours, alternatives)


def measurement(text: str, given: str | bytes, real: tuple[int, str], we_say: str) -> Difference:
    value = given if isinstance(given, str) else base64.b64encode(given).decode()
    return differ(f"measurement: {text}", real, (2, f"--measurement: received {we_say}"), {"measurement": value})


AS_GOOD, AS_BAD = (0, GOOD), (1, BAD)
TOO_BIG, NEGATIVE = (6, "int too big to convert"), (6, "can't convert negative int to unsigned")
BYTE, WORD = (2, "a whole number from 0 to 255 "), (2, "a whole number from 0 to 4294967295 ")
REPORTED = PLAIN.measurement(IMAGE)
HALF = len(TEXT) // 2
BIG_AND_GOOD = base64.b64encode(PLAIN.measurement(bytes(BIG))).decode()
EMPTY_AND_GOOD = base64.b64encode(PLAIN.measurement(b"")).decode()
NO_NONCE, SHORT_NONCE = replace(PLAIN, mnonce=b""), replace(PLAIN, mnonce=PLAIN.mnonce[:15])
URL_SAFE = base64.urlsafe_b64encode(replace(PLAIN, mnonce=b"\xff" * 16).measurement(IMAGE)).decode()

DIFFERENCES = [
    measurement("a stray character in it", TEXT[:HALF] + "*" + TEXT[HALF:], AS_GOOD, f"'{TEXT[:HALF]}*"),
    measurement("quotation marks around it", f'"{TEXT}"', AS_GOOD, "'\""),
    differ(
        "measurement: `=` or `==` after its 64 characters",
        AS_GOOD,
        (2, "--measurement: received "),
        *({"measurement": TEXT + padding} for padding in ("=", "==")),
    ),
    measurement("more text after `==`", TEXT + "==more", AS_GOOD, ""),
    measurement("51 bytes, the first 48 good", REPORTED + b"abc", AS_GOOD, "51 bytes"),
    measurement("47 bytes, the last one lost", REPORTED[:47], AS_BAD, "47 bytes"),
    measurement("47 bytes, made with a nonce of 15", SHORT_NONCE.measurement(IMAGE), AS_GOOD, "47 bytes"),
    measurement("32 bytes, made without a nonce", NO_NONCE.measurement(IMAGE), AS_GOOD, "32 bytes"),
    measurement("96 hex digits", REPORTED.hex(), AS_BAD, "96 hex digits"),
    measurement("empty", "", AS_BAD, "nothing"),
    measurement("a lost character", TEXT[:-1], (6, "Incorrect padding"), "63 characters that do not decode"),
    measurement("URL-safe base64 (`-` and `_`)", URL_SAFE, (6, "Incorrect padding"), "'"),
    measurement("a character that is not ASCII", TEXT + "é", (6, "only ASCII characters"), "'"),
    differ(
        "API number or build: over 255", TOO_BIG, BYTE, {"api_major": "256"}, {"api_minor": "256"}, {"build_id": "256"}
    ),
    differ(
        "API number or build: negative", NEGATIVE, BYTE, {"api_major": "-1"}, {"api_minor": "-1"}, {"build_id": "-1"}
    ),
    differ("policy: 33 bits", TOO_BIG, WORD, {"policy": "4294967297"}),
    differ("policy: -1", (2, "Number of virtual CPUs must be specified"), WORD, {"policy": "-1"}),
    differ("policy: negative with bit 2 clear, such as -5", NEGATIVE, WORD, {"policy": "-5"}),
    differ(
        "number: a sign, an underscore, a space or digits of another script (`+22`, `2_2`)",
        AS_GOOD,
        BYTE,
        *({"api_minor": text} for text in ("+22", "2_2", " 22", "\u0662\u0662")),
    ),
    differ("number: `0x` hex", (2, "invalid int value: '0x"), AS_GOOD, {"api_minor": "0x16"}, {"policy": "0x1"}),
    differ(
        "firmware: an empty file", AS_GOOD, (2, "an empty file"), {"firmware": "empty", "measurement": EMPTY_AND_GOOD}
    ),
    differ("firmware: over 64 MiB", AS_GOOD, (2, "more than 64 MiB"), {"firmware": "big", "measurement": BIG_AND_GOOD}),
    differ(
        "file: missing",
        (6, "No such file or directory: 'none'"),
        (2, "'none': no such file"),
        *({"firmware": "none"}, {"tk": "none"}, {**BOTH_KEYS, "tik": "none"}, {**BOTH_KEYS, "tek": "none"}),
    ),
    differ(
        "file: a folder", (6, "Is a directory"), (2, "'folder', a folder"), {"firmware": "folder"}, {"tk": "folder"}
    ),
    Difference("file: `-`", (6, "directory: '-'"), AS_GOOD, ({"firmware": "-"},), stdin=IMAGE),
    differ(
        "key file: 17 bytes",
        (2, "Expected 16 bytes in"),
        (2, "17 bytes that end in a line break"),
        *({**BOTH_KEYS, name: "key17.bin"} for name in ("tik", "tek")),
    ),
    differ("key file: 33 bytes", (2, "but got 33"), (2, "33 bytes that end in a line break"), {"tk": "tk33.bin"}),
    differ("key file: hex text", (2, "but got 32"), (2, "look like hex text"), {**BOTH_KEYS, "tik": "key.hex"}),
    differ("key file: base64 text", (2, "but got 24"), (2, "look like base64 text"), {**BOTH_KEYS, "tik": "key.b64"}),
    differ(
        "key file: both keys given as one", (2, "but got 32"), (2, "TEK and TIK in"), {**BOTH_KEYS, "tik": "tk.bin"}
    ),
    differ("key file: one key given as both", (2, "but got 16"), (2, "a single key"), {"tk": "tik.bin"}),
    differ("key file: empty", (2, "but got 0"), (2, "an empty file"), {"tk": "empty"}, {**BOTH_KEYS, "tek": "empty"}),
    Difference("`--quiet` and an input that cannot be used", (6, ""), (2, "'none'"), ({"firmware": "none"},), ("-q",)),
    Difference("`--debug`", (0, f"TIK(hex): {PLAIN.tik.hex()}"), (0, "TIK: <16 bytes, hidden>"), more=("--debug",)),
]
INPUTS = [difference.input for difference in DIFFERENCES]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=INPUTS)
def test_difference_is_as_told(folder: Path, difference: Difference) -> None:
    (real_status, real_says), (our_status, we_say) = difference.real, difference.ours
    for changes in difference.alternatives:
        real, ours = both(options_with(changes, difference.more), folder, difference.stdin)
        assert (real.status, ours.status) == (real_status, our_status), changes
        assert real_says in real.out + real.err, changes
        assert we_say in ours.out + ours.err, changes
        assert PLAIN.tik.hex() not in ours.out + ours.err
        if our_status == 2:
            assert (ours.out, ours.err[:7], ours.err.count("\n")) == ("", "ERROR: ", 1), changes


def test_quiet_silences_the_real_tool_even_on_an_error(folder: Path) -> None:
    real, ours = both(options_with({"firmware": "none"}, ("-q",)), folder)
    assert real.out + real.err == ""
    assert ours.err != ""


@pytest.mark.parametrize("difference", DIFFERENCES, ids=INPUTS)
def test_difference_stands_in_the_manual(difference: Difference) -> None:
    row = f"| {difference.input} | {difference.real[0]} | {difference.ours[0]} |"
    assert any(line.startswith(row) for line in MANUAL.read_text(encoding="utf-8").splitlines()), row
