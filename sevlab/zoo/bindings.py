"""Bad pairs: the leaf is genuine, and for another chip, TCB or product than the report tells."""

from __future__ import annotations

from ..formats.vcek import ASK, SPL
from .animal import Animal, bad
from .edit import rename_extension, reseal
from .platform import CHIPS, CPUS, OTHER_CHIP, SERVER, given, name_of, tcb_of, vcek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..formats.report import Tcb
    from .animal import Given


def wrong_bindings() -> list[Animal]:
    """Return them. In each, whoever has one key that AMD certified claims to be something else."""
    new, old = tcb_of("Milan"), tcb_of("Milan", snp=8)
    current = tcb_of("Milan", snp=26)
    ancient = tcb_of("Turin", fmc=3, bl=1, tee=4, snp=0)
    chip = CHIPS["Turin"]
    longer = chip[:8] + bytes(range(56))
    without = reseal(rename_extension(vcek("Milan", CHIPS["Milan"], new), SPL["ucode"]), name_of(ASK, "Milan"))
    return [
        bad(
            "other-chip",
            "the leaf of another chip",
            "a key taken out of one chip speaks for another",
            "HWID is not CHIP_ID",
            "chip-id",
            given(**_as(OTHER_CHIP, new)),
            "F43",
        ),
        bad(
            "longer-chip-id",
            "a Turin's chip id goes on behind its 8 bytes",
            "it is the name of no Turin",
            "CHIP_ID is not HWID and zeros",
            "chip-id-beginning",
            given("Turin", 5, chip_id=longer),
            "F42",
        ),
        bad(
            "older-leaf",
            "the leaf of an older TCB",
            "a key of an old TCB, which may have leaked, claims a new one",
            "the leaf is for another TCB than REPORTED_TCB",
            "tcb",
            given(**_as(CHIPS["Milan"], old)),
            "A23",
        ),
        bad(
            "current-leaf",
            "the leaf of CURRENT_TCB, which is not REPORTED_TCB",
            "the key that signed is not the one that REPORTED_TCB stands for",
            "the leaf is for CURRENT_TCB",
            "tcb-current",
            given(**_as(CHIPS["Milan"], current), current_tcb=current),
            "F38",
        ),
        bad(
            "tcb-as-milan",
            "a Turin's leaf of an old TCB that looks new when read as a Milan's",
            "the parts of a TCB lie elsewhere on Turin",
            "the leaf is for another TCB",
            "tcb-layout",
            given("Turin", 5, **_as(chip, ancient, "Turin"), reported_tcb=tcb_of("Turin", fmc=1, bl=4)),
            "F40",
        ),
        bad(
            "missing-number",
            "a leaf without the number for microcode",
            "the leaf does not tell all of its TCB",
            "an extension is missing",
            "missing",
            given(leaf=without),
        ),
        bad(
            "other-product",
            "a report that tells a Milan, signed by a Genoa",
            "the processor is not the leaf's product",
            "the processor is no Genoa",
            "processor",
            _genoa_as_milan(),
            "F13",
        ),
    ]


def _as(chip_id: bytes, tcb: Tcb, product: str = "Milan") -> dict[str, Any]:
    """Sign as a chip at a TCB, whatever the report tells."""
    return {"key": SERVER.vcek_key(product, chip_id, tcb), "leaf": vcek(product, chip_id, tcb)}


def _genoa_as_milan() -> Given:
    family, model, stepping = CPUS["Milan"]
    return given("Genoa", 3, cpuid_fam_id=family, cpuid_mod_id=model, cpuid_step=stepping)
