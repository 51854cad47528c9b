"""What a firmware image can do in a launch, judged by its tables, and for kernel hashes by its code too."""

from __future__ import annotations

from collections import namedtuple

from .enforcement import CANNOT_TELL, ENFORCES, PLACE_ONLY
from .footer import HASH_BLOCK, RESET_BLOCK, SECRET_BLOCK, SEV_METADATA
from .hashtable import HashTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .guid import Guid
    from .ovmf import Ovmf

#: A question, its answer (yes, no or unknown), and one sentence that says why.
Ability = namedtuple("Ability", "question answer sentence")

HASHES = "Check hashes of kernel, initrd and cmdline?"
PROCESSORS = "Start SEV-ES application processors?"
SNP = "Run as an SEV-SNP guest?"
SECRET = "Receive a launch secret?"

_SINCE = (
    "Of edk2's builds OvmfPkg/AmdSev has it, and since edk2-stable202511 OvmfPkgX64 and OvmfPkgIa32X64 have it too."
)
#: The answer about kernel hashes, by what the code does.
_ENFORCED = {ENFORCES: "yes", PLACE_ONLY: "no", CANNOT_TELL: "unknown"}


def judge(ovmf: Ovmf) -> list[Ability]:
    """Return the abilities of an image, each with a reason."""
    questions = (HASHES, PROCESSORS, SNP, SECRET)
    if ovmf.trailing:
        words = "The host looks for the footer table at the very end of the file, and does not find it there."
        return [Ability(question, "no", words) for question in questions]
    if not ovmf.entries and not ovmf.table and ovmf.kind_key != "old":
        words = f"This file cannot tell: it is {ovmf.kind}."
        if ovmf.kind_key == "vars":
            words = "The VARS half cannot tell: look at the CODE half or at the combined image."
        return [Ability(question, "unknown", words) for question in questions]
    answers = (_hashes(ovmf), _processors(ovmf), _snp(ovmf), _secret(ovmf))
    return [Ability(question, *answer) for question, answer in zip(questions, answers, strict=True)]


def _absent(ovmf: Ovmf, guid: Guid, advice: str) -> tuple[str, str]:
    """Say why an ability is missing."""
    entry = ovmf.find(guid)
    if entry:
        why = "names base 0" if entry.value else "cannot be read"
        return ("no" if entry.value else "unknown"), f"Its {guid.name} {why}. {advice}"
    if ovmf.table and any(fault.startswith("footer table") for fault in ovmf.faults):
        return "unknown", f"Its footer table is damaged, so a {guid.name} may be lost."
    where = "Its footer table has" if ovmf.table else "It has no footer table, and so"
    return "no", f"{where} no {guid.name}. {advice}"


def _hashes(ovmf: Ovmf) -> tuple[str, str]:
    if not ovmf.hash_area:
        return _absent(ovmf, HASH_BLOCK, _SINCE)
    base, size = ovmf.hash_area
    if size < HashTable.size:
        return "no", f"Its area of {size} bytes is too small for the table of {HashTable.size} bytes; QEMU refuses it."
    words = f"Its table goes to 0x{base:x}, an area of {size} bytes."
    if ovmf.sections:
        pages = [section for section in ovmf.sections if section.name == "KERNEL_HASHES"]
        if not any(section.base <= base and base + HashTable.size <= section.end for section in pages):
            words += " But no KERNEL_HASHES section of its SEV metadata holds that area, so not under SEV-SNP."
    found = ovmf.enforcement
    assert found is not None
    return _ENFORCED[found.answer], f"{words} {found.text}."


def _processors(ovmf: Ovmf) -> tuple[str, str]:
    if ovmf.reset_address is None:
        entry = ovmf.find(RESET_BLOCK)
        if entry and entry.value:
            return "no", "Its SEV-ES reset block holds address 0, which QEMU refuses."
        return _absent(ovmf, RESET_BLOCK, "QEMU refuses to launch an SEV-ES guest with it.")
    place = "footer table" if ovmf.table else "legacy place before the reset vector"
    return "yes", f"They start at 0x{ovmf.reset_address:x}, by the SEV-ES reset block in its {place}."


def _snp(ovmf: Ovmf) -> tuple[str, str]:
    if not ovmf.metadata:
        if ovmf.find(SEV_METADATA):
            return "unknown", "Its SEV metadata cannot be read."
        return _absent(ovmf, SEV_METADATA, "This build is too old for SEV-SNP, or not made for it.")
    names = {section.name for section in ovmf.sections}
    lacking = [name for name in ("SECRETS", "CPUID") if name not in names]
    if lacking:
        return "unknown", f"Its SEV metadata has no {' and no '.join(lacking)} section."
    count = len(ovmf.sections)
    if any(fault.startswith("SEV metadata") for fault in ovmf.faults):
        return "unknown", f"Its SEV metadata is damaged; {count} sections can be read."
    return "yes", f"Its SEV metadata names {count} ranges of guest memory to prepare."


def _secret(ovmf: Ovmf) -> tuple[str, str]:
    if not ovmf.secret_area:
        return _absent(ovmf, SECRET_BLOCK, _SINCE)
    base, size = ovmf.secret_area
    return "yes", f"The secret goes to 0x{base:x}, an area of {size} bytes."
