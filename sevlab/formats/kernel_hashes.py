"""The kernel-hashes table: how the guest's firmware learns which kernel the owner wants.

In measured direct boot the host loads kernel, initrd (the first file system) and command line, and none of them is
part of the launch digest. Instead the host writes their SHA-256 hashes into this table, and the *table* is measured
with the firmware. The firmware then refuses a kernel whose hash differs. For SEV and SEV-ES these 176 bytes are hashed
directly after the firmware image.

Sources: measured-direct-boot 2.1 to 2.7 (QEMU ``sev_add_kernel_loader_hashes``; edk2 AmdSev blob verifier).
"""

from __future__ import annotations

import hashlib

from ..errors import InputError, quoted
from ..layout.structure import Layout, at, reserved
from .guid import Guid

SPEC = "QEMU and edk2 (AmdSev): SEV kernel-hashes table"
_LENGTH = "Bytes of this entry: 16 (GUID) + 2 (length) + 32 (hash)."
TABLE = Guid.from_text("9438d606-4f22-4cc9-b479-a793d411fd21")
CMDLINE = Guid.from_text("97d02dd8-bd20-4c94-aa78-e7714d36ab2a")
INITRD = Guid.from_text("44baf731-3a2f-4bd7-9af1-41e29169781d")
KERNEL = Guid.from_text("4de79437-abd2-427f-b835-d5b172d2045b")


class KernelHashes(Layout, size=176, spec=SPEC):
    """The kernel-hashes table, with its padding.

    A header and three entries, always all three and always in this order: command line, initrd, kernel. The padding
    brings it to a multiple of 16 bytes, the unit the firmware encrypts in. Numbers are little-endian.
    """

    table_guid: Guid = at(0x00, 16, "Says that this is the table.", type=Guid, const=TABLE, colour="grey")
    table_length: int = at(0x10, 2, "Bytes of header and entries, without the padding.", const=168, colour="grey")
    cmdline_guid: Guid = at(0x12, 16, "Names the entry of the command line.", type=Guid, const=CMDLINE, colour="grey")
    cmdline_length: int = at(0x22, 2, _LENGTH, const=50, colour="grey")
    cmdline: bytes = at(0x24, 32, "SHA-256 of the command line and one NUL byte.", type=bytes, colour="yellow")
    initrd_guid: Guid = at(0x44, 16, "Names the entry of the initrd.", type=Guid, const=INITRD, colour="grey")
    initrd_length: int = at(0x54, 2, _LENGTH, const=50, colour="grey")
    initrd: bytes = at(
        0x56, 32, "SHA-256 of the initrd file; of the empty string when there is none.", type=bytes, colour="green"
    )
    kernel_guid: Guid = at(0x76, 16, "Names the entry of the kernel.", type=Guid, const=KERNEL, colour="grey")
    kernel_length: int = at(0x86, 2, _LENGTH, const=50, colour="grey")
    kernel: bytes = at(0x88, 32, "SHA-256 of the kernel file, exactly as on disk.", type=bytes, colour="blue")
    padding: bytes = reserved(0xA8, 8)


def hash_cmdline(cmdline: str | bytes | None = None) -> bytes:
    """Return the SHA-256 (32 bytes) of a kernel command line as QEMU hashes it: its bytes and one NUL byte.

    Text is taken as UTF-8. Nothing is trimmed: ``console=ttyS0`` and ``console=ttyS0 `` differ. None, no command line,
    is a single NUL byte, the same as an empty one. Raises :class:`~sevlab.errors.InputError` for a NUL byte within,
    which no host could pass on.
    """
    if isinstance(cmdline, str):
        try:
            # Bytes that are no UTF-8 reach Python's arguments as surrogates; they go back to what they were.
            cmdline = cmdline.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InputError("cmdline", quoted(cmdline), "text that can be written as UTF-8") from None
    elif not isinstance(cmdline, bytes | bytearray | memoryview | None):
        raise InputError("cmdline", type(cmdline).__name__, "text or bytes")
    raw = bytes(cmdline or b"")
    if b"\0" in raw:
        where = f"a NUL byte at position {raw.index(0)} of {len(raw)}"
        raise InputError("cmdline", where, "a command line without NUL bytes", "leave it out: one is added by itself")
    return hashlib.sha256(raw + b"\0").digest()


def build_kernel_hashes(kernel: bytes, initrd: bytes | None = None, cmdline: str | bytes | None = None) -> KernelHashes:
    """Build the table that QEMU measures.

    *kernel* and *initrd* are SHA-256 digests (32 bytes) of the files; *cmdline* is the command line itself. No initrd
    counts as an empty one. Raises :class:`~sevlab.errors.LayoutError` for a digest of another length, and
    :class:`~sevlab.errors.InputError` as :func:`hash_cmdline` does.
    """
    empty = hashlib.sha256(b"").digest()
    return KernelHashes(kernel=kernel, initrd=empty if initrd is None else initrd, cmdline=hash_cmdline(cmdline))
