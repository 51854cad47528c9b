"""Mistakes in what was loaded: firmware, kernel, initrd, command line, and the table of their hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ...formats.kernel_hashes import KernelHashes, hash_cmdline
from ..hypothesis import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..start import Start

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
        f"The kernel-hashes table was padded differently. It has 168 bytes, and {KernelHashes.size} with its padding.",
        ("F26",),
    ),
)
