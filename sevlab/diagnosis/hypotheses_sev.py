"""All hypotheses of SEV and SEV-ES, in order. If two give a parameter the same value, the first is reported.

To add one, declare it here and name it in its list; those of SEV-SNP are in
:mod:`~sevlab.diagnosis.hypotheses_snp`, which has the ones about files from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..formats.kernel_hashes import hash_cmdline
from ..formats.policy import Policy
from ..launch.inputs import SKU
from ..launch.vmm import CPU_MODELS, PROFILES, RESET_VECTOR, Cpu
from .model import COUNT_LIMIT, Hypothesis, Option, mistake

if TYPE_CHECKING:
    from .start import SevStart, Start


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
#: Minimum API versions that a policy may ask for, major and minor: those of the releases.
MINIMUMS = tuple(dict.fromkeys((major, minor) for major, minor, _, _ in RELEASES))
NUMBERS = ("api_major", "api_minor", "build_id")
_LIKELY_COUNTS = {*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 96, 128, 192, 240, 255, 256, 288, 384, 512}
#: SEV_FEATURES seen on hosts: none, SNP active (in an SEV-ES page), DebugSwap, both.
LIKELY_FEATURES = (0x0, 0x1, 0x20, 0x21)
#: Words that installers, images and people add to a command line.
USUAL_WORDS = (
    *("quiet", "splash", "ro", "rw", "debug", "console=ttyS0", "console=tty0", "earlyprintk=serial", "panic=-1"),
)
#: Where OVMF's AmdSev and X64 builds start further CPUs.
_RESET_ADDRESSES = (0x0080B004, RESET_VECTOR)


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


def _about_number(position: int, parameter: str) -> Iterator[Hypothesis]:
    word = parameter.replace("_", " ").replace("api", "API").replace("build id", "build")

    @mistake(f"{word} in hex, read as decimal", parameter, 0.5, "F27")
    def in_hex(start: SevStart) -> Iterator[Option]:
        """Its digits are hex and were read as decimal. Some tools print versions in one base and take them in the
        other."""
        return _byte(_hex_for_decimal(start.inputs.numbers[position]))

    @mistake(f"{word} in decimal, read as hex", parameter, 0.5, "F27")
    def in_decimal(start: SevStart) -> Iterator[Option]:
        """Its digits are decimal and were read as hex. Some tools print versions in one base and take them in the
        other."""
        return _byte(_decimal_for_hex(start.inputs.numbers[position]))

    @mistake(f"{word} of another platform", parameter, 0.4, "F28")
    def of_another(start: SevStart) -> Iterator[Option]:
        """It belongs to a different firmware, such as that of the owner's machine, or of this host before or after an
        update. The measurement is made with the version of the firmware that ran."""
        return _byte(dict.fromkeys((major, minor, build)[position] for major, minor, build, _ in RELEASES))

    @mistake(f"any {word}", parameter, 0.2, "F28")
    def any_byte(start: SevStart) -> Iterator[Option]:
        """A wrong number, from a typing error or from another host."""
        given = start.inputs.numbers[position]
        near = {given - 1, given + 1} | (set(range(32)) if position == 2 else set())
        return (Option(number, number, number in near or (position == 0 and number < 2)) for number in range(256))

    yield from (in_hex, in_decimal, of_another, any_byte)


@mistake("version of another firmware", "release", 0.6, "F28")
def _other_release(start: SevStart) -> Iterator[Option]:
    """API major, API minor and build are those of another released firmware, such as that of the owner's machine, or of
    this host before or after an update. They belong together, so this is one mistake."""
    given = start.inputs.numbers
    misread = [{one, *_hex_for_decimal(one), *_decimal_for_hex(one)} for one in given]
    for major, minor, build, _ in RELEASES:
        version = (major, minor, build)
        is_other = sum(one != other for one, other in zip(version, given, strict=True)) > 1
        # One number has its own mistakes. Where each may be read in the wrong base, that is likelier.
        is_misread = all(one in forms for one, forms in zip(version, misread, strict=True))
        if is_other:
            yield Option(version, dict(zip(NUMBERS, version, strict=True)), not is_misread)


def _policies(numbers: Iterable[int], likely: bool = True) -> Iterator[Option]:
    return (Option(Policy(number), number, likely) for number in numbers if 0 <= number <= 0xFFFFFFFF)


@mistake("policy in the wrong base", "policy", 0.5, "F27")
def _policy_base(start: SevStart) -> Iterator[Option]:
    """Its digits are hex and were read as decimal, or the other way round."""
    number = int(start.inputs.policy)
    return _policies([*_hex_for_decimal(number), *_decimal_for_hex(number)])


@mistake("policy with its bytes reversed", "policy", 0.3)
def _policy_bytes(start: SevStart) -> Iterator[Option]:
    """Its four bytes were read in the wrong order. They are little-endian: flags first, API minor last."""
    return _policies([int.from_bytes(int(start.inputs.policy).to_bytes(4, "little"), "big")])


@mistake("another flag in the policy", "policy", 0.7)
def _other_flags(start: SevStart) -> Iterator[Option]:
    """A flag is set or clear that should not be: the guest was started with another policy than noted."""
    upper = int(start.inputs.policy) & ~0x3F
    return _policies(upper | flags for flags in range(64))


@mistake("another minimum version in the policy", "policy", 0.3)
def _other_minimum(start: SevStart) -> Iterator[Option]:
    """The upper two bytes, the minimum API version that may launch the guest, are not those that were noted."""
    policy = start.inputs.policy
    major, minor, _ = start.inputs.numbers
    pairs = dict.fromkeys([(0, 0), (major, minor), (policy.api_minor, policy.api_major), *MINIMUMS])
    for major, minor in pairs:
        upper = major << 16 | minor << 24 | int(policy) & 0xFFC0
        yield from _policies([upper | int(policy) & 0x3F])
        yield from _policies((upper | flags for flags in range(64)), likely=False)


@mistake("measurement in another form", "measurement", 0.6, "F33")
def _measurement_form(start: SevStart) -> Iterator[Option]:
    """It was copied in another form than base64 of 48 bytes, the measure first and then the nonce."""
    return (Option(one.value, one.found) for one in start.inputs.measurements[1:] if one is not None)


def _keys_like(start: SevStart, *words: str, invert: bool = False) -> Iterator[Option]:
    for reading in start.inputs.keys[1:]:
        if reading is not None and any(word in reading.found for word in words) != invert:
            yield Option(reading.value, reading.found)


@mistake("keys exchanged", "key", 0.6, "F34")
def _keys_exchanged(start: SevStart) -> Iterator[Option]:
    """TEK and TIK are in each other's place. A key file holds the TEK first and then the TIK."""
    return _keys_like(start, "swapped")


@mistake("launch without a session", "key", 0.4, "F30")
def _no_session(start: SevStart) -> Iterator[Option]:
    """The guest was started without a session, or with key files that were written before the keys were made: its keys
    are all zero. ANYONE CAN MAKE THIS MEASUREMENT, so it proves nothing about the guest."""
    return _keys_like(start, "all zero")


@mistake("key file in another form", "key", 0.6, "F33")
def _key_form(start: SevStart) -> Iterator[Option]:
    """The key file holds text, a line break or another number of keys instead of raw bytes."""
    return _keys_like(start, "swapped", "all zero", invert=True)


@mistake("message of API before 0.17", "message", 0.15, "F28")
def _old_message(start: SevStart) -> Iterator[Option]:
    """Firmware older than API 0.17 makes the HMAC over another message, without context byte and version."""
    yield Option(True, "52 bytes, without context byte and version")


@mistake("another part of the firmware file", "firmware", 0.5, "F25")
def _parts_of_image(start: Start) -> Iterator[Option]:
    """The host loaded another part of this file. The measurement covers the file of flash unit 0, and only that."""
    if start.ovmf is None:
        return
    ovmf, path, image = start.ovmf, start.launch.firmware, start.ovmf.image
    if ovmf.volumes and ovmf.volumes[0].is_nvram and 0 < ovmf.volumes[0].end < ovmf.size:
        split = ovmf.volumes[0].end
        yield Option(start.image(image[split:]), f"{path}, the CODE half (from byte 0x{split:x})")
        yield Option(start.image(image[:split]), f"{path}, the VARS half (up to byte 0x{split:x})", False)
    if ovmf.trailing:
        yield Option(start.image(image[: ovmf.end]), f"{path}, without the {ovmf.trailing} bytes after its end")
    bare = image.rstrip(image[-1:])
    if len(image) - len(bare) > 64 and not ovmf.trailing and image[-1] in (0, 0xFF):
        yield Option(start.image(bare), f"{path}, without the {len(image) - len(bare)} bytes of padding at its end")


@mistake("padded firmware", "firmware", 0.2, "F25")
def _padded_image(start: Start) -> Iterator[Option]:
    """The host loaded the image with padding to a round size."""
    if start.ovmf is None:
        return
    image, path = start.ovmf.image, start.launch.firmware
    units = (4 << 10, 64 << 10, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20)
    sizes = dict.fromkeys(-(-len(image) // unit) * unit for unit in units)
    for size in (size for size in sizes if len(image) < size <= 4 * len(image)):
        for byte in (b"\0", b"\xff"):
            count = size - len(image)
            yield Option(start.image(image + byte * count), f"{path}, padded by {count} bytes of 0x{byte.hex()}", False)


@mistake("another firmware file", "firmware", 0.7, "F25")
def _candidate_images(start: Start) -> Iterator[Option]:
    """The host loaded another firmware file, for example one of an older or newer package."""
    for file in start.files:
        image = start.candidate(file)
        if image is not None and image.digest != start.base_image.digest:
            yield Option(image, file.path)
    is_code = start.ovmf is not None and start.ovmf.kind_key == "code"
    for file in start.files if is_code else ():
        if file.is_vars:
            yield Option(start.joined(file.path), f"{file.path}, then {start.launch.firmware}")


FIRMWARE = (_parts_of_image, _padded_image, _candidate_images)


@mistake("no kernel hashes", "kernel", 0.7, "A09", "F17")
def _no_kernel(start: Start) -> Iterator[Option]:
    """The host loaded no kernel hashes: kernel-hashes=on is missing, or the kernel comes from the disk. Kernel, initrd
    and command line are then NOT measured, and the host may load any."""
    if start.launch.kernel is not None:
        yield Option(None, None)


@mistake("another kernel", "kernel", 0.6, "F17")
def _candidate_kernels(start: Start) -> Iterator[Option]:
    """The host loaded another kernel, for example after an update."""
    yield from _candidate_files(start)
    if start.initrd:
        yield Option(start.initrd, start.launch.initrd or "")


@mistake("no initrd", "initrd", 0.5, "F17")
def _no_initrd(start: Start) -> Iterator[Option]:
    """The host loaded no initrd; the table then holds the hash of nothing."""
    if start.launch.initrd is not None:
        yield Option(start.nothing, None)


@mistake("another initrd", "initrd", 0.6, "F17")
def _candidate_initrds(start: Start) -> Iterator[Option]:
    """The host loaded another initrd. It is rebuilt with every update of the kernel, and often contains the time."""
    yield from _candidate_files(start)
    if start.kernel:
        yield Option(start.kernel, start.launch.kernel or "")


def _candidate_files(start: Start) -> Iterator[Option]:
    return (Option(file.image.digest, file.path, file.image.size >= 1024) for file in start.files)


@mistake("command line written differently", "cmdline", 0.7)
def _command_lines(start: Start) -> Iterator[Option]:
    """Every byte of the command line counts. A shell, an editor or a configuration file added or removed some."""
    text = start.launch.cmdline
    if text is None:
        return
    bare, joined = text.strip("\r\n"), " ".join(text.split())
    likely = [f"{text}\n", f"{text} ", f" {text}", f"{text}\r\n", text.rstrip("\r\n"), text.strip(), text.rstrip()]
    likely += [text.replace("\r\n", "\n"), text.replace("\n", "\r\n"), f'"{text}"', f"'{text}'"]
    likely += [bare.replace('"', "").replace("'", ""), bare.strip("\"'"), text.replace(" ", "  "), joined, ""]
    unlikely = [f"{text}\r", f'"{bare}"\n', f"{joined} ", text.replace("\\", ""), text.lower()]
    likely += [text[:i] + " " + text[i:] for i in [i for i, one in enumerate(text) if one == " "][:64]]  # one doubled
    forms = dict.fromkeys(unlikely, False) | dict.fromkeys(likely, True)
    for form in dict.fromkeys([*likely, *unlikely]):
        if form != text and "\0" not in form:
            yield Option(hash_cmdline(form), form or None, forms[form])


@mistake("a word more or less on the command line", "cmdline", 0.5)
def _other_words(start: Start) -> Iterator[Option]:
    """A word was added or removed, for example by a boot loader's configuration or for one test."""
    text = start.launch.cmdline
    if text is None:
        return
    words = text.split(" ")[:256]
    forms = [" ".join([*words[:i], *words[i + 1 :]]) for i in range(len(words))] if len(words) > 1 else []
    forms += [f"{text} {word}" for word in USUAL_WORDS] + [f"{word} {text}" for word in USUAL_WORDS]
    for form in forms:
        if form != text and "\0" not in form:
            yield Option(hash_cmdline(form), form)


@mistake("command line in other bytes", "cmdline", 0.3)
def _cmdline_bytes(start: Start) -> Iterator[Option]:
    """It was hashed in other bytes: QEMU hashes it in the encoding of the host, with one NUL byte at its end."""
    text = start.launch.cmdline
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
            hashed = hash_cmdline(other) if b"\0" not in other else hashlib.sha256(other).digest()
            yield Option(hashed, f"{text} (in {name})")


@mistake("other padding of the table", "table", 0.1, "F26")
def _padding(start: Start) -> Iterator[Option]:
    """The kernel-hashes table was padded in another way. It has 168 bytes, and 176 with its padding."""
    return (Option(size, size) for size in (168, 192))


KERNEL = (
    *(_no_kernel, _candidate_kernels, _no_initrd, _candidate_initrds),
    *(_command_lines, _other_words, _cmdline_bytes, _padding),
)


def counts(start: Start) -> Iterator[Option]:
    """Return the options for the number of virtual CPUs."""
    given = start.count
    near = {given - 1, given + 1, given * 2, given // 2} if given else set()
    return (Option(count, count, count in _LIKELY_COUNTS | near) for count in range(1, COUNT_LIMIT + 1))


def signatures() -> Iterator[Option]:
    """Return the options for the CPU model: those of QEMU, then other steppings; by signature, and by its parts."""
    known = dict.fromkeys(CPU_MODELS.values())
    others = [cpu._replace(stepping=stepping) for cpu in known for stepping in range(16)]
    for cpu in (*known, *others, Cpu(0, 0, 0)):
        yield Option(cpu.signature, {"cpu_signature": cpu.signature, **dict(zip(SKU, cpu, strict=True))}, cpu in known)


@mistake("another number of virtual CPUs", "count", 0.7, "F15")
def _counts(start: Start) -> Iterator[Option]:
    """SEV-ES measures one page for every virtual CPU, also for those that are only there to be plugged in later."""
    return counts(start)


@mistake("another CPU model", "model", 0.6, "F11")
def _models(start: Start) -> Iterator[Option]:
    """The virtual CPU is of another model. What counts is QEMU's model of the guest, not the processor of the host."""
    return signatures()


@mistake("another profile", "profile", 0.6, "F05")
def _profiles(start: Start) -> Iterator[Option]:
    """The host's kernel or hypervisor starts virtual CPUs in another state."""
    return (Option(name, name) for name in PROFILES)


@mistake("other SEV_FEATURES", "features", 0.5, "F01")
def _features(start: SevStart) -> Iterator[Option]:
    """The host's kernel sets other SEV_FEATURES, for example with debug_swap."""
    given = start.cpus.features or 0
    values = dict.fromkeys([*LIKELY_FEATURES, *(given ^ 1 << bit for bit in range(64))])
    return (Option(value, value, value in LIKELY_FEATURES) for value in values)


@mistake("another start of further CPUs", "reset", 0.1)
def other_start(start: Start) -> Iterator[Option]:
    """Further virtual CPUs start at another address than the firmware's tables say."""
    known = start.base_image.reset_address
    return (Option(address, address, False) for address in _RESET_ADDRESSES if address != known)


HYPOTHESES: tuple[Hypothesis, ...] = (
    *(one for position, parameter in enumerate(NUMBERS) for one in _about_number(position, parameter)),
    _other_release,
    *(_policy_base, _policy_bytes, _other_flags, _other_minimum),
    *(_measurement_form, _keys_exchanged, _no_session, _key_form, _old_message),
    *(*FIRMWARE, *KERNEL),
    *(_counts, _models, _profiles, _features, other_start),
)
