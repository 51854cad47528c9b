"""Mistakes about the pages that the firmware's metadata asks for: their order, their types, and what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....formats.ovmf_tables import SECTION_TYPES
from ....formats.page_info import UNMEASURED, ZERO, PageType
from ....profiles import SNP_PROFILES
from ....snp.load import DEFAULT_PROFILE
from ...hypothesis import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..start import SnpStart

_NUMBERS = {kind.name: number for number, kind in SECTION_TYPES.items()}
_SEC_MEM, _CPUID, _HASHES = (_NUMBERS[name] for name in ("SEC_MEM", "CPUID", "KERNEL_HASHES"))
#: Section types that are younger than some of their readers.
_NEW = {_NUMBERS["SVSM_CAA"]}


def _rules(start: SnpStart) -> Iterator[tuple[str, dict[str, object], str]]:
    """Yield the ways in which a host may load the sections otherwise: kind of mistake, changed rules, words."""
    image = start.base_image if start.svsm is None else start.svsm
    types = [section.type for section in image.sections]
    name = start.cpus.profile or DEFAULT_PROFILE
    rules = SNP_PROFILES[name].pages
    if _HASHES in types:
        if rules.hashes_first:
            yield "hashes", {"hashes_first": False}, "the page of kernel hashes where the metadata has it"
        else:
            yield "hashes", {"hashes_first": True}, "the page of kernel hashes before all other sections"
        last: dict[str, object] = {"hashes_first": False, "hashes_last": True}
        yield "hashes", last, "the page of kernel hashes after all other sections"
    if _CPUID in types:
        words = "where the metadata has it" if rules.cpuid_last else "after all other sections"
        yield "order", {"cpuid_last": not rules.cpuid_last}, f"the CPUID page {words}"
    if _SEC_MEM in types:
        kind = UNMEASURED if rules.sec_mem == ZERO else ZERO
        yield "type", {"sec_mem": kind}, f"SEC_MEM sections as {PageType(kind).short} pages"
    for number in dict.fromkeys(types):
        mistake = "order" if number in SECTION_TYPES and number not in _NEW else "new"
        shown = SECTION_TYPES[number].name if number in SECTION_TYPES else f"of type 0x{number:x}"
        yield mistake, {"left_out": frozenset({number})}, f"sections {shown} left out"


def _loaded_otherwise(start: SnpStart, *kinds: str) -> Iterator[Option]:
    for kind, changes, words in _rules(start):
        if kind in kinds:
            yield Option(tuple(sorted(changes.items())), words)


PAGES = (
    Hypothesis(
        "page of kernel hashes elsewhere in the chain",
        "pages",
        0.5,
        lambda start: _loaded_otherwise(start, "hashes"),
        "The page of kernel hashes comes at another place: the first QEMU patches measured it before the metadata's "
        "pages, and newer edk2 has its section at the end. Use the firmware file and the profile that the host uses.",
        ("F22", "F21"),
    ),
    Hypothesis(
        "a section of a type that a reader did not know",
        "pages",
        0.4,
        lambda start: _loaded_otherwise(start, "new"),
        "The firmware's metadata has a section of a newer type, and whoever made the launch or computed the reported "
        "digest left it out. QEMU takes unknown types for ZERO pages.",
        ("F23",),
    ),
    Hypothesis(
        "pages in another order or of another type",
        "pages",
        0.3,
        lambda start: _loaded_otherwise(start, "order", "type"),
        "The hypervisor loads the pages of the firmware's metadata in another order, as another type, or not at all. "
        "sevlab digest --trace shows each page; compare it with what the hypervisor logs.",
        ("F21", "F09"),
    ),
)
