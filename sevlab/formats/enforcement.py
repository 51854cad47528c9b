"""Does a firmware enforce the kernel hashes? The table's place is no sign of it: its code is read.

The host puts the hashes of kernel, initrd and command line where the firmware's footer table says. They are measured
there, and nothing more, unless a program in the firmware compares what is booted with them. In edk2 that is the driver
that hands over the kernel, ``QemuKernelLoaderFsDxe``, where a verifier is linked into it. Builds for AMD SEV
(``OvmfPkg/AmdSev``) link one that looks for the hashes by their GUIDs. The others link one that verifies nothing, and
since edk2-stable202511 they have the place too: the digest then names a kernel while any kernel boots.

So the driver's bytes decide: it names all three hashes, or none. That says which verifier is there, not that it is
right; the two forms that were are in :mod:`sevlab.attacks.kernel_swap`.

Sources: edk2, ``BlobVerifierLibSevHashes`` and ``BlobVerifierLibNull``; edk2 commit 4b1711d431 (2025-09-11).
"""

from __future__ import annotations

import hashlib
from collections import namedtuple

from .guid import Guid
from .hashtable import HashTable
from .modules import Programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .modules import Program
    from .ovmf import Ovmf

ENFORCES, PLACE_ONLY, CANNOT_TELL = "enforces", "place_only", "cannot_tell"
#: What each answer says of a firmware.
WORDS = {
    ENFORCES: "enforces the kernel hashes",
    PLACE_ONLY: "has the place but no code that checks it",
    CANNOT_TELL: "cannot tell whether it enforces the kernel hashes",
}
#: The driver that fetches kernel, initrd and command line from the host: QemuKernelLoaderFsDxe of edk2.
LOADER = Guid.from_text("806040ca-dad9-4978-a3b4-2d2ab0c8a48f")
BLOBS = ("kernel", "initrd", "cmdline")
_ROWS = {row.name: row for row in HashTable.rows}
_GUIDS = {name: bytes(_ROWS[f"{name}_guid"].const) for name in BLOBS}
_BUT = "the digest names your kernel while any kernel boots"


class Enforcement(namedtuple("Enforcement", "answer seen")):
    """An answer, a key of :data:`WORDS`, and what was seen: a few phrases."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """The answer as a sentence, with what was seen."""
        words = "Sevlab" if self.answer == CANNOT_TELL else "It"
        return f"{words} {WORDS[self.answer]}: {'; '.join(self.seen)}"

    def warning(self, name: str) -> str:
        """Return what to say of a kernel that is measured and not enforced; "" unless that is known."""
        if self.answer != PLACE_ONLY:
            return ""
        return f"{name}: for kernel hashes it {WORDS[PLACE_ONLY]}: {'; '.join(self.seen)}. So {_BUT}"

    def note(self, name: str) -> str:
        """Return what to say of a kernel of which it is not known whether it is enforced; "" when it is known."""
        if self.answer != CANNOT_TELL:
            return ""
        return f"{name}: {WORDS[CANNOT_TELL]}: {'; '.join(self.seen)}. If it does not, {_BUT}"

    def as_dict(self) -> dict[str, object]:
        """Return answer, words and what was seen, as JSON-ready data."""
        return {"answer": self.answer, "text": self.text, "seen": list(self.seen)}


#: Most firmware images of which the answer is remembered, by their SHA-256.
_KEPT = 16
_known: dict[bytes, Enforcement] = {}


def judge_enforcement(ovmf: Ovmf) -> Enforcement | None:
    """Say whether a firmware enforces the kernel hashes; None for one without a place for them.

    Its code is decompressed for that, once for each image.
    """
    if ovmf.hash_area is None:
        return None
    key = hashlib.sha256(ovmf.image).digest()
    if key not in _known:
        while len(_known) >= _KEPT:
            del _known[next(iter(_known))]
        _known[key] = _read(ovmf)
    return _known[key]


def _read(ovmf: Ovmf) -> Enforcement:
    if not ovmf.volumes:
        return Enforcement(CANNOT_TELL, ("it has no firmware volume, so there is no code to read",))
    programs, others = Programs(ovmf.image, ovmf.volumes), []
    for program in programs:
        if program.guid == LOADER:
            return _of_loader(program)
        others.append(program)
    naming = [program for program in others if names_hashes(program.content)]
    if naming:
        seen = f"{naming[0].text} names hashes of the table, and sevlab does not know what it is"
        return Enforcement(CANNOT_TELL, (seen,))
    if programs.lost:
        return Enforcement(CANNOT_TELL, (f"not read: {', '.join(programs.lost)}",))
    if not others:
        return Enforcement(CANNOT_TELL, ("its firmware volumes hold no program",))
    return Enforcement(PLACE_ONLY, (f"none of its {len(others)} programs names the hashes",))


def _of_loader(loader: Program) -> Enforcement:
    """Judge by the driver that hands over the kernel."""
    named = names_hashes(loader.content)
    if named and len(named) < len(BLOBS):
        return Enforcement(CANNOT_TELL, (f"{loader.text} names the hash of {' and '.join(named)} only",))
    if named:
        return Enforcement(ENFORCES, (f"{loader.text} names the hashes of {', '.join(named)}",))
    return Enforcement(PLACE_ONLY, (f"{loader.text} hands over the kernel and names none of its hashes",))


def names_hashes(code: bytes) -> list[str]:
    """Return the blobs whose hash a program looks for: it holds the GUID, in one piece or in two halves of 8 bytes."""
    return [name for name, guid in _GUIDS.items() if guid[:8] in code and guid[8:] in code]
