"""Mistakes about virtual CPUs, which only SEV-ES measures."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..cpu import CPU_MODELS, split_signature
from ..formats.hashtable import HashTable, hash_cmdline
from ..formats.policy import Policy
from ..profiles import PROFILES, RESET_VECTOR
from .model import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .start import Start

COUNT_LIMIT = 512
_LIKELY_COUNTS = {*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 96, 128, 192, 240, 255, 256, 288, 384, 512}
#: SEV_FEATURES seen on hosts: none, SNP active (in an SEV-ES page), DebugSwap, both.
LIKELY_FEATURES = (0x0, 0x1, 0x20, 0x21)
#: Where OVMF's AmdSev and X64 builds start further CPUs.
_RESET_ADDRESSES = (0x0080B004, RESET_VECTOR)


def counts(start: Start) -> Iterator[Option]:
    """Other numbers of virtual CPUs."""
    given = start.count
    near = {given - 1, given + 1, given * 2, given // 2} if given else set()
    return (Option(count, count, count in _LIKELY_COUNTS | near) for count in range(1, COUNT_LIMIT + 1))


def signatures() -> Iterator[tuple[int, bool]]:
    """Yield the CPU signatures that are tried, and whether each is likely: those of models, then other steppings."""
    known = dict.fromkeys(CPU_MODELS.values())
    for cpu in known:
        yield cpu.signature, True
    for cpu in known:
        for stepping in range(16):
            yield cpu._replace(stepping=stepping).signature, False
    yield 0, False


def _models(start: Start) -> Iterator[Option]:
    for signature, likely in signatures():
        cpu = split_signature(signature)
        found = {"cpu_family": cpu.family, "cpu_model": cpu.model, "cpu_stepping": cpu.stepping}
        yield Option(signature, found, likely)


def _profiles(start: Start) -> Iterator[Option]:
    return (Option(name, name) for name in PROFILES)


def _features(start: Start) -> Iterator[Option]:
    given = start.cpus.features if start.cpus and start.cpus.features is not None else 0
    values = dict.fromkeys([*LIKELY_FEATURES, *(given ^ 1 << bit for bit in range(64))])
    return (Option(value, value, value in LIKELY_FEATURES) for value in values)


def _resets(start: Start) -> Iterator[Option]:
    known = start.base_image.reset_address
    return (Option(address, address, False) for address in _RESET_ADDRESSES if address != known)


RESET = Hypothesis(
    "another start of further CPUs",
    "reset",
    0.1,
    _resets,
    "Further virtual CPUs start at another address than the firmware's tables say.",
)
CPUS = (
    Hypothesis(
        "another number of virtual CPUs",
        "count",
        0.7,
        counts,
        "SEV-ES measures one page for every virtual CPU, also for those that are only there to be plugged in later.",
        ("F15",),
    ),
    Hypothesis(
        "another CPU model",
        "model",
        0.6,
        _models,
        "The virtual CPU is of another model. What counts is QEMU's model of the guest, not the processor of the host.",
        ("F11",),
    ),
    Hypothesis(
        "another profile",
        "profile",
        0.6,
        _profiles,
        "The host's kernel or hypervisor starts virtual CPUs in another state.",
        ("F05",),
    ),
    Hypothesis(
        "other SEV_FEATURES",
        "features",
        0.5,
        _features,
        "The host's kernel sets other SEV_FEATURES, for example with debug_swap.",
        ("F01",),
    ),
    RESET,
)

#: Versions of the SEV firmware seen in public: API major and minor, build; and where.
RELEASES = (
    (0, 16, 5, "AMDESE/AMDSEV#31"),
    (0, 16, 12, "AMDESE/AMDSEV#41"),
    (0, 17, 1, "AMDESE/AMDSEV#32"),
    (0, 17, 22, "AMDESE/AMDSEV#41"),
    (0, 18, 15, "AMDESE/sev-tool, README"),
    (0, 22, 13, "libvirt, manual of virt-qemu-sev-validate"),
    (0, 24, 15, "libvirt, manual of virsh"),
    (1, 28, 28, "AMDESE/sev-tool#65"),
    (1, 33, 3, "AMDESE/sev-tool#65"),
    (1, 51, 3, "enarx/enarx#2263"),
    (1, 53, 5, "AMDESE/AMDSEV#195"),
    (1, 55, 17, "AMDESE/AMDSEV#271"),
    (1, 55, 21, "AMDESE/AMDSEV#271"),
    (1, 55, 22, "AMD-SB-3015"),
    (1, 55, 25, "amd/AMD-ASPFW"),
)
#: Least API versions that a policy may ask for, major and minor: those of the releases.
MINIMUMS = tuple(dict.fromkeys((major, minor) for major, minor, _, _ in RELEASES))
NUMBERS = ("api_major", "api_minor", "build_id")


def _hex_for_decimal(number: int) -> Iterator[int]:
    """The digits were hex and were read as decimal: 16 for 0x16, which is 22."""
    if number >= 10:
        yield int(str(number), 16)


def _decimal_for_hex(number: int) -> Iterator[int]:
    """The digits were decimal and were read as hex: 0x22, which is 34, for 22."""
    digits = format(number, "x")
    if number >= 10 and digits.isdigit():
        yield int(digits)


def _byte(numbers: Iterable[int]) -> Iterator[Option]:
    return (Option(number, number) for number in numbers if 0 <= number <= 255)


def _released(start: Start, position: int) -> Iterator[Option]:
    return _byte(dict.fromkeys((major, minor, build)[position] for major, minor, build, _ in RELEASES))


def _any_byte(start: Start, position: int) -> Iterator[Option]:
    given = start.given.numbers[position]
    near = {given - 1, given + 1} | (set(range(32)) if position == 2 else set())
    return (Option(number, number, number in near or (position == 0 and number < 2)) for number in range(256))


def numbers() -> Iterator[Hypothesis]:
    """The mistakes of a version's three numbers."""
    for position, axis in enumerate(NUMBERS):
        word = axis.replace("_", " ").replace("api", "API").replace("build id", "build")
        yield Hypothesis(
            f"{word} in hex, read as decimal",
            axis,
            0.5,
            lambda start, position=position: _byte(_hex_for_decimal(start.given.numbers[position])),
            "Its digits are hex and were read as decimal. Some tools print versions in one base and take them in the "
            "other.",
            ("F27",),
        )
        yield Hypothesis(
            f"{word} in decimal, read as hex",
            axis,
            0.5,
            lambda start, position=position: _byte(_decimal_for_hex(start.given.numbers[position])),
            "Its digits are decimal and were read as hex. Some tools print versions in one base and take them in the "
            "other.",
            ("F27",),
        )
        yield Hypothesis(
            f"{word} of another platform",
            axis,
            0.4,
            lambda start, position=position: _released(start, position),
            "It is that of another firmware: of the owner's own machine, or of the host before or after an update. The "
            "measurement is made with the version of the firmware that ran.",
            ("F28",),
        )
        yield Hypothesis(
            f"any {word}",
            axis,
            0.2,
            lambda start, position=position: _any_byte(start, position),
            "A wrong number, from a typing error or from another host.",
            ("F28",),
        )


def _policies(numbers: Iterable[int], likely: bool = True) -> Iterator[Option]:
    return (Option(Policy(number), number, likely) for number in numbers if 0 <= number <= 0xFFFFFFFF)


def _other_flags(start: Start) -> Iterator[Option]:
    upper = int(start.given.policy) & ~0x3F
    return _policies(upper | flags for flags in range(64))


def _other_minimum(start: Start) -> Iterator[Option]:
    policy = start.given.policy
    major, minor, _ = start.given.numbers
    pairs = dict.fromkeys([(0, 0), (major, minor), (policy.api_minor, policy.api_major), *MINIMUMS])
    for major, minor in pairs:
        upper = major << 16 | minor << 24 | int(policy) & 0xFFC0
        yield from _policies([upper | int(policy) & 0x3F])
        yield from _policies((upper | flags for flags in range(64)), likely=False)


def _policy_bytes(start: Start) -> Iterator[Option]:
    return _policies([int.from_bytes(int(start.given.policy).to_bytes(4, "little"), "big")])


def _policy_base(start: Start) -> Iterator[Option]:
    number = int(start.given.policy)
    return _policies([*_hex_for_decimal(number), *_decimal_for_hex(number)])


POLICY = (
    Hypothesis(
        "policy in the wrong base",
        "policy",
        0.5,
        _policy_base,
        "Its digits are hex and were read as decimal, or the other way round.",
        ("F27",),
    ),
    Hypothesis(
        "policy with its bytes reversed",
        "policy",
        0.3,
        _policy_bytes,
        "Its four bytes were read in the wrong order. They are little-endian: flags first, API minor last.",
    ),
    Hypothesis(
        "another flag in the policy",
        "policy",
        0.7,
        _other_flags,
        "A flag is set or clear that was not meant to be: the guest was started with another policy than noted.",
    ),
    Hypothesis(
        "another minimum version in the policy",
        "policy",
        0.3,
        _other_minimum,
        "The upper two bytes, the least API version that may launch the guest, are others than noted.",
    ),
)

_WORDS_LIMIT = 256
#: Words that installers, images and people add to a kernel's command line.
_USUAL_WORDS = (
    "quiet",
    "splash",
    "ro",
    "rw",
    "debug",
    "console=ttyS0",
    "console=tty0",
    "earlyprintk=serial",
    "panic=-1",
)
_PAD_TO = (4 << 10, 64 << 10, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20)


def _parts_of_image(start: Start) -> Iterator[Option]:
    """Other files that the same image may have been mistaken for: a half of it, padded, or with padding cut off."""
    if start.ovmf is None:
        return
    ovmf, path = start.ovmf, start.given.launch["firmware"]
    image = ovmf.image
    if ovmf.volumes and ovmf.volumes[0].is_nvram and 0 < ovmf.volumes[0].end < ovmf.size:
        split = ovmf.volumes[0].end
        yield Option(start.image(image[split:]), f"{path}, the CODE half (from byte 0x{split:x})")
        yield Option(start.image(image[:split]), f"{path}, the VARS half (up to byte 0x{split:x})", False)
    if ovmf.trailing:
        yield Option(start.image(image[: ovmf.end]), f"{path}, without the {ovmf.trailing} bytes after its end")
    bare = image.rstrip(image[-1:])
    if len(image) - len(bare) > 64 and not ovmf.trailing and image[-1] in (0, 0xFF):
        yield Option(start.image(bare), f"{path}, without the {len(image) - len(bare)} bytes of padding at its end")


def _padded_image(start: Start) -> Iterator[Option]:
    if start.ovmf is None:
        return
    image, path = start.ovmf.image, start.given.launch["firmware"]
    sizes = dict.fromkeys(-(-len(image) // unit) * unit for unit in _PAD_TO)
    for size in (size for size in sizes if len(image) < size <= 4 * len(image)):
        for byte in (b"\0", b"\xff"):
            count = size - len(image)
            yield Option(start.image(image + byte * count), f"{path}, padded by {count} bytes of 0x{byte.hex()}", False)


def _candidate_images(start: Start) -> Iterator[Option]:
    for file in start.files:
        image = start.candidate(file)
        if image is not None and image.digest != start.base_image.digest:
            yield Option(image, file.path)
    ovmf = start.ovmf
    for file in start.files if ovmf is not None and ovmf.kind_key == "code" else ():
        if file.is_vars:
            yield Option(start.joined(file.path), f"{file.path}, then {start.given.launch['firmware']}")


FIRMWARE = (
    Hypothesis(
        "another part of the firmware file",
        "firmware",
        0.5,
        _parts_of_image,
        "The host loaded another part of this file. The measurement covers the file of flash unit 0, and only that.",
        ("F25",),
    ),
    Hypothesis(
        "padded firmware",
        "firmware",
        0.2,
        _padded_image,
        "The host loaded the image with padding to a round size.",
        ("F25",),
    ),
    Hypothesis(
        "another firmware file",
        "firmware",
        0.7,
        _candidate_images,
        "The host loaded another firmware file, for example one of an older or newer package.",
        ("F25",),
    ),
)


def _no_kernel(start: Start) -> Iterator[Option]:
    if "kernel" in start.given.launch:
        yield Option(None, None)


def _candidate_kernels(start: Start) -> Iterator[Option]:
    for file in start.files:
        yield Option(file.digest, file.path, file.size >= 1024)
    if start.initrd:
        yield Option(start.initrd, start.given.launch.get("initrd", ""))


def _no_initrd(start: Start) -> Iterator[Option]:
    if "initrd" in start.given.launch:
        yield Option(start.nothing, None)


def _candidate_initrds(start: Start) -> Iterator[Option]:
    for file in start.files:
        yield Option(file.digest, file.path, file.size >= 1024)
    if start.kernel:
        yield Option(start.kernel, start.given.launch.get("kernel", ""))


def _command_lines(start: Start) -> Iterator[Option]:
    """The command line as shells, editors and configuration files change it."""
    text = start.given.launch.get("cmdline")
    if text is None:
        return
    bare = text.strip("\r\n")
    forms = {
        f"{text}\n": True,
        f"{text} ": True,
        f" {text}": True,
        f"{text}\r\n": True,
        f"{text}\r": False,
        text.rstrip("\r\n"): True,
        text.strip(): True,
        text.rstrip(): True,
        text.replace("\r\n", "\n"): True,
        text.replace("\n", "\r\n"): True,
        f'"{text}"': True,
        f"'{text}'": True,
        f'"{bare}"\n': False,
        bare.replace('"', "").replace("'", ""): True,
        bare.strip("\"'"): True,
        text.replace(" ", "  "): True,
        " ".join(text.split()): True,
        " ".join(text.split()) + " ": False,
        text.replace("\\", ""): False,
        text.lower(): False,
        "": True,
    }
    places = [i for i, letter in enumerate(text) if letter == " "][:64]
    forms |= {text[:i] + " " + text[i:]: True for i in places}  # one blank doubled
    for form, likely in forms.items():
        if form != text and "\0" not in form:
            yield Option(hash_cmdline(form), form or None, likely)


def _other_words(start: Start) -> Iterator[Option]:
    """The command line with one word less, or with one more that is often added."""
    text = start.given.launch.get("cmdline")
    if text is None:
        return
    words = text.split(" ")[:_WORDS_LIMIT]
    forms = [" ".join([*words[:i], *words[i + 1 :]]) for i in range(len(words))] if len(words) > 1 else []
    forms += [f"{text} {word}" for word in _USUAL_WORDS] + [f"{word} {text}" for word in _USUAL_WORDS]
    for form in forms:
        if form != text and "\0" not in form:
            yield Option(hash_cmdline(form), form)


def _cmdline_bytes(start: Start) -> Iterator[Option]:
    text = start.given.launch.get("cmdline")
    if text is None:
        return
    raw = text.encode("utf-8", "surrogateescape")
    yield Option(hashlib.sha256(raw).digest(), f"{text} (hashed without the NUL byte at its end)")
    for codec, name in (("latin-1", "Latin-1"), ("utf-16-le", "UTF-16")):
        try:
            other = text.encode(codec)
        except UnicodeEncodeError:
            continue
        if other != raw and b"\0" not in other.strip(b"\0"):
            yield Option(
                hash_cmdline(other) if b"\0" not in other else hashlib.sha256(other).digest(), f"{text} (in {name})"
            )


def _padding(start: Start) -> Iterator[Option]:
    for size, likely in ((168, True), (192, True)):
        yield Option(size, size, likely)


KERNEL = (
    Hypothesis(
        "no kernel hashes",
        "kernel",
        0.7,
        _no_kernel,
        "The host loaded no kernel hashes: kernel-hashes=on is missing, or the kernel comes from the disk. Kernel, "
        "initrd and command line are then NOT measured, and the host may load any.",
        ("A09", "F17"),
    ),
    Hypothesis(
        "another kernel",
        "kernel",
        0.6,
        _candidate_kernels,
        "The host loaded another kernel, for example after an update.",
        ("F17",),
    ),
    Hypothesis(
        "no initrd",
        "initrd",
        0.5,
        _no_initrd,
        "The host loaded no initrd; the table then holds the hash of nothing.",
        ("F17",),
    ),
    Hypothesis(
        "another initrd",
        "initrd",
        0.6,
        _candidate_initrds,
        "The host loaded another initrd. It is made anew with every update of the kernel, and often holds the time.",
        ("F17",),
    ),
    Hypothesis(
        "command line written otherwise",
        "cmdline",
        0.7,
        _command_lines,
        "Every byte of the command line counts. A shell, an editor or a configuration file added or took some.",
    ),
    Hypothesis(
        "a word more or less on the command line",
        "cmdline",
        0.5,
        _other_words,
        "A word was added or taken away, for example by a boot loader's configuration or for one test.",
    ),
    Hypothesis(
        "command line in other bytes",
        "cmdline",
        0.3,
        _cmdline_bytes,
        "It was hashed in other bytes: QEMU hashes it in the encoding of the host, with one NUL byte at its end.",
    ),
    Hypothesis(
        "other padding of the table",
        "table",
        0.1,
        _padding,
        f"The kernel-hashes table was padded in another way. It has 168 bytes, and {HashTable.size} with its padding.",
        ("F26",),
    ),
)


def _measurement_readings(start: Start) -> Iterator[Option]:
    for reading in start.given.measurements[1:]:
        if reading is not None:
            yield Option(reading.value, reading.found)


def _keys_like(start: Start, *words: str, invert: bool = False) -> Iterator[Option]:
    for reading in start.given.keys[1:]:
        if reading is not None and any(word in reading.found for word in words) != invert:
            yield Option(reading.value, reading.found)


WIRE = (
    Hypothesis(
        "measurement in another form",
        "measurement",
        0.6,
        _measurement_readings,
        "It was copied in another form than base64 of 48 bytes, the measure first and then the nonce.",
        ("F33",),
    ),
    Hypothesis(
        "keys exchanged",
        "key",
        0.6,
        lambda start: _keys_like(start, "swapped"),
        "TEK and TIK are in each other's place. A key file holds the TEK first and then the TIK.",
        ("F34",),
    ),
    Hypothesis(
        "launch without a session",
        "key",
        0.4,
        lambda start: _keys_like(start, "all zero"),
        "The guest was started without a session, or with key files that were written before the keys were made: its "
        "keys are all zero. ANYONE CAN MAKE THIS MEASUREMENT, so it proves nothing about the guest.",
        ("F30",),
    ),
    Hypothesis(
        "key file in another form",
        "key",
        0.6,
        lambda start: _keys_like(start, "swapped", "all zero", invert=True),
        "The key file holds text, a line break or another number of keys, where raw bytes are needed.",
        ("F33",),
    ),
    Hypothesis(
        "message of API before 0.17",
        "message",
        0.15,
        lambda start: [Option(True, "52 bytes, without context byte and version")],
        "Firmware older than API 0.17 makes the HMAC over another message, without context byte and version.",
        ("F28",),
    ),
)

HYPOTHESES: tuple[Hypothesis, ...] = (*numbers(), *POLICY, *WIRE, *FIRMWARE, *KERNEL, *CPUS)
