"""A key in the wrong place: no verb shows it, in any form, on any stream, nor in a file that was not asked for."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab import SecretBytes
from sevlab.attestation.session import make_private, make_session, seeded
from sevlab.cases.bundle import pack_case
from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import write_case
from sevlab.cases.domain_xml import parse_domain
from sevlab.cases.qemu_cmdline import parse_command_line
from sevlab.cases.recognize import parse_anything
from sevlab.cases.sources import parse_dmesg, parse_domlaunchsecinfo, parse_qmp
from sevlab.cli import main
from sevlab.cli.options import Parser
from sevlab.diagnosis.case import diagnose_case
from sevlab.errors import InputError, SevlabError
from tests.attestation.test_id_block import curve_key, pem
from tests.key_forms import TEK, TIK, forms, shown
from tests.paths import SAMPLES
from tests.soak import SOAK, many, some

VERSION = ["--api-major", "0", "--api-minor", "22", "--build-id", "13", "--policy", "1"]
NONCE = bytes(range(0xA0, 0xB0))
PRIVATE = make_private(seeded(b"a private number of the tests"))
COMMAND_LINE = "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s,policy=1 -bios f.fd"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an input of every kind, and keys of the tests."""
    folder = tmp_path_factory.mktemp("place")
    before = os.getcwd()
    os.chdir(folder)
    for name in (
        "firmware.fd",
        "firmware-kernel.fd",
        "firmware-snp.fd",
        "launch.txt",
        "report-snp.bin",
        "vcek-snp.der",
    ):
        Path(name).write_bytes((SAMPLES / name).read_bytes())
    for name, raw in (("tek.bin", TEK), ("tik.bin", TIK), ("tk.bin", TEK + TIK), ("secret.bin", b"disk key")):
        Path(name).write_bytes(raw)
    for key, name in ((TIK, "tik"), (TEK + TIK, "tk")):
        Path(f"{name}.hex").write_text(key.hex() + "\n")
        Path(f"{name}.b64").write_text(base64.b64encode(key).decode())
        Path(f"{name}.spaced").write_text(key.hex(" "))
    Path("measurement.b64").write_text(base64.b64encode(_measurement()).decode())
    Path("line.txt").write_text(COMMAND_LINE)
    Path("pdh.key").write_bytes(PRIVATE.reveal())
    session = make_session(sevlab.attestation.session.godh_certificate(PRIVATE), 5, random=seeded(b"leaks"))
    Path("godh.b64").write_text(session.godh_base64)
    Path("session.b64").write_text(session.blob_base64)
    packet = sevlab.attestation.secret.build_secret(
        [("luks-key", b"disk key")], TIK, TEK, _measurement()[:32], iv=NONCE
    )
    Path("header").write_bytes(packet.header.to_bytes())
    Path("payload").write_bytes(packet.payload)
    Path("id.pem").write_bytes(pem(curve_key(PRIVATE)))
    signed = sevlab.attestation.id_block.build_id_block(bytes(range(48)), PRIVATE)
    Path("id.bin").write_text(signed.properties)
    Path("a.vmsa").write_bytes(bytes(4096))
    inputs = {"measurement": Path("measurement.b64").read_text(), "firmware": "firmware.fd", "tk": "tk.bin"}
    inputs |= dict(zip(("api_major", "api_minor", "build_id", "policy"), (0, 22, 13, 1), strict=True))
    write_case(make_case(inputs), "case.toml")
    pack_case(make_case(inputs), "case.sevcase", with_keys=True)
    yield folder
    os.chdir(before)


def _measurement() -> bytes:
    """What a launch of the sample firmware reports under the keys of the tests."""
    digest = hashlib.sha256((SAMPLES / "firmware.fd").read_bytes()).digest()
    message = sevlab.MeasureMessage(
        api_major=0, api_minor=22, build_id=13, policy=sevlab.Policy(1), digest=digest, mnonce=NONCE
    )
    return sevlab.compute_measure(message, SecretBytes(TIK)) + NONCE


def _bases() -> dict[str, tuple[list[str], list[str]]]:
    """Every verb with options and arguments that it takes."""
    launch = ["--measurement", base64.b64encode(_measurement()).decode(), *VERSION]
    launch += ["--firmware", "firmware.fd", "--tk", "tk.bin"]
    snp = ["--ovmf", "firmware-snp.fd", "--vcpus", "1", "--vcpu-type", "EPYC-Milan"]
    packet = ["--tk", "tk.bin", "--launch-measure-blob", "measurement.b64"]
    search = ["--budget", "0.2", "--max-changes", "1", "--jobs", "1"]
    return {
        "validate": (launch, []),
        "explain": (launch, []),
        "diagnose": ([*launch, *search], []),
        "diagnose --mode snp": ([*snp, "--report", "report-snp.bin", *search], []),
        "digest": (["--mode", "snp", *snp], []),
        "measure": ([*VERSION, "--tik", "tik.bin", "--nonce", NONCE.hex(), "--launch-digest", bytes(32).hex()], []),
        "secret build": ([*packet, "--secret", "luks-key:secret.bin"], ["new.header", "new.payload"]),
        "secret open": (packet, ["header", "payload"]),
        "ovmf": ([], ["firmware-kernel.fd"]),
        "vmsa build": (["--cpu", "0", "--firmware", "firmware-kernel.fd", "--vcpu-type", "EPYC-Milan"], ["new.vmsa"]),
        "vmsa show": ([], ["a.vmsa"]),
        "vmsa diff": ([], ["a.vmsa", "a.vmsa"]),
        "profiles": ([], []),
        "capture": (["--domlaunchsecinfo", "launch.txt", "--tk", "tk.bin", "-o", "new.toml"], []),
        "case new": ([*launch, "--out", "new.sevcase"], []),
        "case show": ([], ["case.sevcase"]),
        "case verify": ([], ["case.sevcase"]),
        "case pack": (["--out", "new.sevcase"], ["case.toml"]),
        "case unpack": ([], ["case.sevcase", "new.folder"]),
        "case redact": (["--digest-only", "--out", "new.sevcase"], ["case.toml"]),
        "coverage": (["--qemu-cmdline", "line.txt"], []),
        "report show": ([], ["report-snp.bin"]),
        "report verify": (["--vcek", "vcek-snp.der"], ["report-snp.bin"]),
        "advise": (["--api", "1.55", "--build", "5", "--policy", "1", "--technology", "sev"], []),
        "verifier-suite list": ([], []),
        "chain show": ([], ["godh.b64"]),
        "chain verify": ([], ["godh.b64"]),
        "session": ([], ["godh.b64", "1"]),
        "session open": (["--pdh-key", "pdh.key"], ["godh.b64", "session.b64"]),
        "id-block build": (["--measurement", bytes(range(48)).hex(), "--idkey", "id.pem"], []),
        "id-block show": ([], ["id.bin"]),
        "id-block verify": (["--measurement", bytes(range(48)).hex()], ["id.bin"]),
    }


#: Options that take any text, which is shown or written as it is, and values that are public and as long as a key.
PUBLIC = {
    *("--cmdline", "--append", "--title", "--by", "--from", "--when", "--versions", "--note", "--explanation"),
    *("--family-id", "--image-id", "--host-data", "--snp-family-id", "--snp-image-id", "--snp-host-data", "--digest"),
}
#: Names of new files: an option or argument that is given one writes to it.
OUTPUTS = {
    *("-o", "--out", "--outfile", "--html", "--out-block", "--out-auth", "--secret-header", "--secret-payload"),
    *("new.header", "new.payload", "new.vmsa", "new.folder", "--name"),
}


class Declared(BaseException):
    """Carries a verb's parser out of it."""


def _parser_of(verb: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    def stop(self: Any, words: list[str], *_: Any) -> None:
        raise Declared(self, words)

    name, *rest = verb.split()
    with monkeypatch.context() as patched:
        patched.setattr(Parser, "parse_args", stop)
        with pytest.raises(Declared) as found:
            main([name, *rest])
    parser: argparse.ArgumentParser = found.value.args[0]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parser = action.choices[rest[0]]
    return parser


def _values() -> list[str]:
    """Return key files, and keys as text."""
    files = [f"{name}.{end}" for name in ("tik", "tk") for end in ("bin", "hex", "b64", "spaced")]
    texts = list(dict.fromkeys([*forms(TIK).values(), TEK.hex() + TIK.hex(), base64.b64encode(TEK + TIK).decode()]))
    return [*files, *texts, *(f"luks-key:{forms(TIK)[form]}" for form in ("hex", "base64")), f"tik={TIK.hex()}"]


@pytest.mark.parametrize("verb", sorted(_bases()))
def test_no_verb_shows_a_key_in_the_wrong_place(
    verb: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    parser, (options, arguments) = _parser_of(verb, monkeypatch), _bases()[verb]
    names = [one.option_strings[0] for one in parser._actions if one.option_strings and one.nargs is None]
    commands = [[name, value] for name in names if name not in PUBLIC for value in _values()]
    trials = [([*options, *pair], arguments, pair[0]) for pair in commands if _may(*pair)]
    for place_of, argument in enumerate(arguments):
        for value in _values():
            if _may(argument, value):
                trials.append((options, [*arguments[:place_of], value, *arguments[place_of + 1 :]], argument))
    step = 1 if SOAK else max(1, len(trials) // many(1, 10))
    known = _known(place)
    for given, rest, asked in trials[hash_of(verb) % step :: step]:
        _restore(place, known)
        # "--" would be taken for an argument by those that have none.
        main([*verb.split(), *given, *(["--", *rest] if rest else [])])
        said = capfd.readouterr()
        where = f"{verb} {given} {rest}"
        assert not shown(said.out), (where, said.out)
        assert not shown(said.err), (where, said.err)
        assert "Traceback" not in said.err
        assert "error in sevlab itself" not in said.err, (where, said.err)
        for path in [path for path in place.rglob("*") if path.is_file() and path not in known]:
            is_asked = asked in OUTPUTS or verb in ("case new", "case unpack") or path.name == "new.toml"
            assert is_asked or not shown(path.read_bytes()), (where, path)


@cache
def _known(place: Path) -> dict[Path, bytes]:
    """Return what was in the folder at the beginning."""
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def hash_of(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0]


def _may(name: str, value: str) -> bool:
    """Say whether a value may be tried: nothing may be written over a key file, and no name can hold zeros."""
    return name not in OUTPUTS or not Path(value).exists()


def _restore(place: Path, known: dict[Path, bytes]) -> None:
    for path in list(place.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in known:
            path.unlink()
    for path, raw in known.items():
        if not path.is_file() or path.read_bytes() != raw:
            path.write_bytes(raw)


# Pasted texts.

PARSERS = [parse_anything, parse_command_line, parse_dmesg, parse_domain, parse_domlaunchsecinfo, parse_qmp]


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
def test_no_reader_of_texts_shows_a_key(parse: Callable[[str], object]) -> None:
    for text in (*forms(TIK).values(), forms(TEK + TIK)["hex"], f"tik: {TIK.hex()}\n", f"-append {TIK.hex()} -x y"):
        try:
            said = str(parse(text))
        except InputError as error:
            said = f"{error} {vars(error)}"
        assert not shown(said), (text, said)


def test_a_key_in_a_case_is_not_shown(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, text in enumerate(some([*forms(TIK).values(), TEK.hex() + TIK.hex()], 6)):
        for row in ("tk", "tik"):
            value = json.dumps(text.encode("utf-8", "replace").decode())
            Path("bad.toml").write_text(f"format = 2\n[owner]\n{row} = {value}\n")
            for verb in ("show", "verify", "pack"):
                main(["case", verb, "bad.toml", *(["--with-keys", "-o", f"{number}.sevcase"] * (verb == "pack"))])
            main(["validate", "--case", "bad.toml", "--firmware", "firmware.fd"])
            said = capfd.readouterr()
            # "case show" shows what is in a case: there a path that is none is refused before.
            assert not shown(said.out + said.err), said
    for line in (f"{TIK.hex()} = 1", f"[{TIK.hex()}]", TIK.hex(), f"[owner]\n{TIK.hex()} = 1"):
        Path("bad.toml").write_text(f"format = 2\n{line}\n")
        main(["case", "show", "bad.toml"])
        said = capfd.readouterr()
        assert not shown(said.out + said.err), said
    _restore(place, _known(place))


# What a traceback with local variables shows.


@cache
def _loaders() -> dict[str, Callable[[Any], object]]:
    """Everything that takes a key, with one key for it to take."""
    message = sevlab.MeasureMessage(
        api_major=0, api_minor=22, build_id=13, policy=sevlab.Policy(1), digest=bytes(32), mnonce=NONCE
    )
    measurement = base64.b64encode(_measurement()).decode()
    launch = {"measurement": measurement, "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}
    launch |= {"firmware": "firmware.fd"}
    late = launch | {"firmware": "no such file"}
    evidence = sevlab.load_evidence(**launch, tk="tk.bin")
    packet = sevlab.attestation.secret.build_secret([("luks-key", b"x")], TIK, TEK, bytes(range(32)), iv=NONCE)
    header, payload = packet.header, packet.payload
    pdh = sevlab.attestation.session.godh_certificate(PRIVATE)
    session = make_session(pdh, 5, random=seeded(b"loaders"))
    keys = session.keys
    return {
        "load_key": lambda key: sevlab.launch.values.load_key(key, "key"),
        "load_keys tk": lambda key: sevlab.launch.values.load_keys(str, tk=key),
        "load_keys tik": lambda key: sevlab.launch.values.load_keys(str, tik=key, tek="tek.bin"),
        "load_keys one": lambda key: sevlab.launch.values.load_keys(str, tik=key),
        "load_evidence tk": lambda key: sevlab.load_evidence(**launch, tk=key),
        "load_evidence tik": lambda key: sevlab.load_evidence(**launch, tik=key, tek="tek.bin"),
        "load_evidence tek": lambda key: sevlab.load_evidence(**launch, tik="tik.bin", tek=key),
        "load_evidence one": lambda key: sevlab.load_evidence(**launch, tik=key),
        "load_evidence late": lambda key: sevlab.load_evidence(**late, tk=key),
        "load_evidence unknown": lambda key: sevlab.load_evidence(**launch, tk=key, other=1),
        "replace": lambda key: evidence.replace(tik=key),
        "replace late": lambda key: evidence.replace(tk=key, policy="x"),
        "diagnose tk": lambda key: sevlab.diagnose(launch | {"tk": key}, budget=0.1),
        "diagnose tik": lambda key: sevlab.diagnose(launch | {"tik": key}, budget=0.1, max_changes=9),
        "diagnose late": lambda key: sevlab.diagnose(late | {"tk": key}, budget=0.1),
        "verify_case": lambda key: sevlab.verify_case(Case(launch), tk=key),
        "verify_case late": lambda key: sevlab.verify_case(Case(late), tk=key),
        "diagnose_case": lambda key: diagnose_case(Case(launch), keys={"tk": key}, budget=0.1, max_changes=1),
        "load_case": lambda key: sevlab.load_case("case.toml", tk=key),
        "load_case late": lambda key: sevlab.load_case("case.toml", tk=key, firmware="no such file"),
        "compute_measure": lambda key: sevlab.compute_measure(message, key),
        "HmacSteps": lambda key: sevlab.launch.measure.HmacSteps(message.to_bytes(), key),
        "build_secret tik": lambda key: sevlab.attestation.secret.build_secret(
            [("luks-key", b"x")], key, TEK, bytes(32)
        ),
        "build_secret late": lambda key: sevlab.attestation.secret.build_secret(
            [("luks-key", key)], b"", key, bytes(32)
        ),
        "build_secret measure": lambda key: sevlab.attestation.secret.build_secret(
            [("luks-key", b"x")], key, key, bytes(31)
        ),
        "open_secret": lambda key: sevlab.attestation.secret.open_secret(header, payload, key, b"", bytes(32)),
        "open_secret late": lambda key: sevlab.attestation.secret.open_secret(header, b"", key, key, bytes(32)),
        "open_session": lambda key: sevlab.attestation.session.open_session(session.blob, session.godh, key),
        "wrap_keys": lambda key: sevlab.attestation.session.wrap_keys(keys, key, key, bytes(16), sevlab.Policy(1)),
        "wrap_keys late": lambda key: sevlab.attestation.session.wrap_keys(keys, key, b"", bytes(16), sevlab.Policy(1)),
        "derive_session_keys": lambda key: sevlab.attestation.session.derive_session_keys(key, bytes(15)),
        "derive_session_keys late": lambda key: sevlab.attestation.session.derive_session_keys(key, bytes(16)),
        "build_id_block": lambda key: sevlab.attestation.id_block.build_id_block(bytes(47), key),
        "build_id_block late": lambda key: sevlab.attestation.id_block.build_id_block(bytes(48), PRIVATE, key),
        "load_private_key": lambda key: sevlab.attestation.id_block.load_private_key(
            key if isinstance(key, str) else "tik.bin"
        ),
        "SecretBytes": SecretBytes,
    }


LOADERS = (
    *("load_key", "load_keys tk", "load_keys tik", "load_keys one", "load_evidence tk", "load_evidence tik"),
    *("load_evidence tek", "load_evidence one", "load_evidence late", "load_evidence unknown", "replace"),
    *(
        "replace late",
        "diagnose tk",
        "diagnose tik",
        "diagnose late",
        "verify_case",
        "verify_case late",
        "diagnose_case",
        "load_case",
    ),
    *("load_case late", "compute_measure", "HmacSteps", "build_secret tik", "build_secret late"),
    *("build_secret measure", "open_secret", "open_secret late", "open_session", "wrap_keys", "wrap_keys late"),
    *("derive_session_keys", "derive_session_keys late", "build_id_block", "build_id_block late"),
    *("load_private_key", "SecretBytes"),
)


def _bad_keys() -> list[Any]:
    """Keys of every size and type: most are wrong for most of what takes them, none may be shown by any."""
    both = TEK + TIK
    made = [raw for key in (TIK, both) for raw in (key, key[:-1], key + b"\n", key * 2, key.hex().encode())]
    made += [
        bytearray(TIK),
        memoryview(both),
        SecretBytes(TIK[:-1]),
        SecretBytes(both),
        list(TIK),
        int.from_bytes(TIK, "big"),
    ]
    files = [f"{name}.{end}" for name in ("tik", "tk") for end in ("bin", "hex", "b64", "spaced")]
    return [*made, *files, *(text for form, text in forms(TIK).items() if form != "text"), both.hex(), {"k": TIK}]


def _told(error: BaseException | None, done: set[int]) -> Iterator[str]:
    """Yield what an error keeps: words, fields, and local variables of our frames, as a debugger shows them."""
    if error is None or id(error) in done:
        return
    done.add(id(error))
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    for frame in traceback.TracebackException.from_exception(error, capture_locals=True).stack:
        if "/tests/" not in frame.filename:
            yield from (f"{frame.name}: {name} = {value}" for name, value in (frame.locals or {}).items())
    yield from _told(error.__cause__, done)
    yield from _told(error.__context__, done)


@pytest.mark.parametrize("name", LOADERS)
def test_no_traceback_shows_a_key(name: str, place: Path) -> None:
    load, raised = _loaders()[name], 0
    for key in some(_bad_keys(), 12):
        try:
            load(key)
        except (SevlabError, TypeError, AttributeError) as error:
            raised += 1
            for words in _told(error, set()):
                assert not shown(words), (key, words)
    assert raised


def test_every_loader_is_tried(place: Path) -> None:
    assert tuple(_loaders()) == LOADERS


# A key where something public was asked for.


def _ways(key: bytes) -> dict[str, str]:
    """Return a nonce's worth of bytes in every form that is taken: text, and files of bytes and of text."""
    ways = {"hex": key.hex(), "HEX": key.hex().upper(), "base64": base64.b64encode(key).decode()}
    for name, raw in (("raw", key), ("hex", key.hex().encode()), ("base64", base64.b64encode(key) + b"\n")):
        Path(f"given.{name}").write_bytes(raw)
    return ways | {f"file of {name}": f"given.{name}" for name in ("raw", "hex", "base64")}


BLOBS = {
    "measure, then TIK": _measurement()[:32] + TIK,
    "measure, then TEK": _measurement()[:32] + TEK,
    "keys, then nonce": TEK + TIK + NONCE,
    "TIK in the middle": bytes(range(11)) + TIK + bytes(range(21)),
    "TEK first": TEK + bytes(range(32)),
}


@pytest.mark.parametrize("blob", BLOBS)
def test_a_blob_with_a_key_in_it_is_refused(blob: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knows_tek = "TEK" in blob
    packet = ["--tk", "tk.bin", "--launch-measure-blob"]
    measure = ["measure", *VERSION, "--tik", "tek.bin" if knows_tek else "tik.bin", "--launch-digest", bytes(32).hex()]
    commands = [[*measure, "--launch-measure-blob"], ["secret", "build", "--secret", "luks-key:secret.bin", *packet]]
    commands.append(["secret", "open", *packet])
    for given in _ways(BLOBS[blob]).values():
        for words in commands:
            rest = {"build": ["--", "new.h", "new.p"], "open": ["--", "header", "payload"]}.get(words[1], [])
            assert main([*words, given, *rest]) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert said.err.startswith("ERROR: --launch-measure-blob: received 48 bytes that have a key in them")
            assert said.err.count("\n") == 1
            assert not shown(said.err)
            assert not Path("new.h").exists()
    text = base64.b64encode(BLOBS[blob]).decode()
    launch = ["--measurement", text, *VERSION, "--firmware", "firmware.fd", "--tk", "tk.bin"]
    for words in (["explain"], ["explain", "--json"], ["diagnose", "--budget", "1"]):
        assert main([*words, *launch]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("ERROR: --measurement: received 48 bytes that have a key in them")
        assert not shown(said.out + said.err)
    for words in (["validate"], ["validate", "--json"], ["validate", "--debug"]):  # as libvirt's, but for the bytes
        assert main([*words, *launch]) == 1
        said = capsys.readouterr()
        assert not shown(said.out + said.err), said
    _restore(place, _known(place))


def test_a_nonce_or_digest_that_is_a_key_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure = ["measure", *VERSION, "--tik", "tik.bin"]
    for given in _ways(TIK).values():
        assert main([*measure, "--launch-digest", bytes(32).hex(), "--nonce", given]) == 2
        assert "--nonce: received 16 bytes that have a key in them" in capsys.readouterr().err
    digest = ["--launch-digest", (TEK + TIK).hex(), "--nonce", NONCE.hex(), "--json"]
    assert main([*measure, *digest]) == 2
    build = ["secret", "build", "--tk", "tk.bin", "--launch-measure-blob", "measurement.b64"]
    assert main([*build, "--secret", "luks-key:secret.bin", "--iv", TIK.hex(), "--", "new.h", "new.p"]) == 2
    opener = ["secret", "open", "--tk", "tk.bin", "--launch-measure-blob", "measurement.b64"]
    assert main([*opener, "--", "header", "tik.bin"]) == 2
    said = capsys.readouterr()
    assert not shown(said.out + said.err)
    Path("zero.bin").write_bytes(bytes(16))  # the key of a launch without a session is known to everybody
    zero = ["--launch-digest", bytes(32).hex(), "--nonce", bytes(16).hex()]
    assert main(["measure", *VERSION, "--tik", "zero.bin", *zero]) == 0
    _restore(place, _known(place))


def test_an_id_block_and_a_session_with_a_private_number_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = PRIVATE.reveal()
    build = ["id-block", "build", "--idkey", "id.pem", "--measurement"]
    for given in (number.hex(), base64.b64encode(number).decode(), "pdh.key"):
        assert main([*build, given]) == 2
        assert "--measurement: received 48 bytes that have a key in them" in capsys.readouterr().err
    for name in ("--family-id", "--image-id"):
        assert main([*build, bytes(48).hex(), name, number[16:32].hex()]) == 2
        said = capsys.readouterr()
        assert said.err.startswith(f"ERROR: {name}: received 16 bytes that have a key in them")
        assert not shown(said.out + said.err, number)
    Path("bad.session").write_bytes(number + bytes(80))
    assert main(["session", "open", "--pdh-key", "pdh.key", "godh.b64", "bad.session"]) == 2
    assert not shown(capsys.readouterr().err, number)
    _restore(place, _known(place))


def test_report_data_with_a_key_of_the_bundle_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = {"mode": "snp", "report": "report-snp.bin", "vcek": "vcek-snp.der", "tk": "tk.bin"}
    pack_case(make_case(inputs), "snp.sevcase", with_keys=True)
    for value in ((TIK + bytes(48)).hex(), base64.b64encode(bytes(8) + TEK + bytes(40)).decode()):
        assert main(["report", "verify", "--case", "snp.sevcase", "--report-data", value]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("ERROR: --report-data: ")
        assert not shown(said.out + said.err)
    _restore(place, _known(place))


@pytest.mark.parametrize("name", ["kernel", "initrd"])
def test_the_file_of_a_key_is_packed_as_nothing_else(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["case", "new", *_bases()["case new"][0][:-2], "--kernel", "secret.bin", f"--{name}"]
    Path("link.bin").symlink_to("tk.bin")
    for path in ("tk.bin", "./tk.bin", "link.bin"):
        for out in ("new.sevcase", "new.toml"):
            assert main([*base, path, "--out", out]) == 2
            assert f"ERROR: {name}: " in capsys.readouterr().err
            assert not Path(out).exists()
    _restore(place, _known(place))
