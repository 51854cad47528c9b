"""GUIDs: the 16-byte names that firmware tables are made of, and the ones that SEV knows.

A GUID (globally unique identifier) is stored in EFI's mixed order: the first three groups are little-endian, the last
two are as they are written. So ``96b582de-1fb2-...`` begins with the bytes ``de 82 b5 96 b2 1f``.
"""

from __future__ import annotations

import re

from ..errors import InputError, LayoutError, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: What each known GUID names. Source: AMD's and edk2's tables as measured-direct-boot 2.1 and 3.4, sev-launch (secret
#: table), and edk2 MdePkg for the firmware volumes.
NAMES = {
    "96b582de-1fb2-45f7-baea-a366c55a082d": "OVMF footer table",
    "00f771de-1a7e-4fcb-890e-68c77e2fb44e": "SEV-ES reset block",
    "4c2eb361-7d9b-4cc3-8081-127c90d3d294": "SEV secret block",
    "7255371f-3a3b-4b04-927b-1da6efa8d454": "SEV hash table block",
    "dc886566-984a-4798-a75e-5585a7bf67cc": "SEV metadata offset",
    "e47a6535-984a-4798-865e-4685a7bf8ec2": "TDX metadata offset",
    "784fa70e-3176-4677-8a20-04b68699e374": "IGVM metadata offset",
    "a789a612-0597-4c4b-a49f-cbb1fe9d1ddd": "SVSM info",
    "9438d606-4f22-4cc9-b479-a793d411fd21": "kernel-hashes table",
    "97d02dd8-bd20-4c94-aa78-e7714d36ab2a": "command line hash",
    "44baf731-3a2f-4bd7-9af1-41e29169781d": "initrd hash",
    "4de79437-abd2-427f-b835-d5b172d2045b": "kernel hash",
    "1e74f542-71dd-4d66-963e-ef4287ff173b": "launch secret table",
    "736869e5-84f0-4973-92ec-06879ce3da0b": "LUKS disk key",
    "adf956ad-e98c-484c-ae11-b51c7d336447": "launch secret area (EFI configuration table)",
    "fff12b8d-7696-4c8b-a985-2747075b4f50": "variable store (NVRAM) volume",
    "8c8ce578-8a3d-4f1c-9935-896185c32dd3": "firmware file system 2 volume",
    "5473c07a-3dcb-4dca-bd6f-1e9689e7349a": "firmware file system 3 volume",
}


class Guid(bytes):
    """A GUID: 16 bytes in EFI's mixed order.

    Takes the stored bytes (:meth:`from_text` takes the written form) and is equal to them. ``str()`` gives the written
    form in lower case. Raises :class:`~sevlab.errors.LayoutError` for another length.
    """

    __slots__ = ()

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != 16:
            raise LayoutError("GUID", f"{len(raw)} bytes", "16 bytes")
        return super().__new__(cls, raw)

    @classmethod
    def from_text(cls, text: str, name: str = "GUID") -> Self:
        """Return the GUID written as ``8-4-4-4-12`` hex digits; raise InputError with *name* for anything else."""
        text = str(text)
        if not _TEXT.fullmatch(text):
            needed = "a GUID: hex digits in groups of 8-4-4-4-12, such as 736869e5-84f0-4973-92ec-06879ce3da0b"
            raise InputError(name, quoted(text), needed)
        return cls(_reorder(bytes.fromhex(text.replace("-", ""))))

    @property
    def name(self) -> str:
        """What it is the GUID of; "" when sevlab does not know it."""
        return NAMES.get(str(self), "")

    @property
    def text(self) -> str:
        """The GUID for people: its written form and, when known, its name."""
        return f"{self} ({self.name})" if self.name else str(self)

    def __str__(self) -> str:
        return hyphenated(_reorder(self))

    def __repr__(self) -> str:
        return f"Guid.from_text('{self}')"


def hyphenated(raw: bytes) -> str:
    """Return 16 bytes as a GUID is written, in their own order."""
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _reorder(raw: bytes) -> bytes:
    return raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
