"""Redact a case: leave out its firmware where the mathematics still allows a diagnosis.

A digest of SEV-SNP is a chain: it can be continued from the link after the firmware, with only the tables near the
firmware's end. A digest of SEV and SEV-ES is one SHA-256, which cannot be continued from its result, so without the
firmware only the whole digest can be kept. Of a kernel and an initrd only the SHA-256 is ever measured.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import InputError
from ..formats.ovmf import Ovmf, parse_ovmf
from ..formats.ovmf_tables import RESET_VECTOR, EntryEnd
from ..formats.page_info import PAGE
from ..launch.inputs import INPUTS, Sha256, load_launch, load_sha256
from ..launch.reading import opened_once
from ..launch.snp import load_image, load_ovmf_digest, load_snp_launch
from .case import LOADED, Case, hash_files, with_registers

if TYPE_CHECKING:
    from .case import Value

#: What ``origin`` says of an unchanged file of the redacted case.
_KEPT = "kept by redact as it was"
_ADVICE = (
    "--digest-only, which keeps the launch digest alone: it can be validated, but no other kernel, command line or "
    "CPUs can be tried"
)


@opened_once()
def redact_case(case: Case, folder: str, *, digest_only: bool = False) -> Case:
    """Return a case without its firmware, kernel and initrd that can be diagnosed like the whole one.

    It keeps, for SEV-SNP, the launch digest after the firmware and an image of the firmware's tables with zeros for all
    else, which is written into *folder*; for plain SEV without kernel hashes the launch digest; the SHA-256 of kernel
    and initrd. With *digest_only* it keeps only the digest, of any launch. The explanation and the origins of inputs
    are left out: they name what was removed.

    Raises :class:`~sevlab.errors.InputError` for a case without a firmware, and for a launch of which nothing would be
    left to diagnose.
    """
    if "firmware" not in case.inputs:
        raise InputError("case", "one without a firmware", "a case with something to leave out")
    if changed := case.changed:
        raise InputError("case", str(changed[0]), "the files that the case was made with", "a new case")
    if not digest_only and case.mode == "snp:svsm":
        received = "a launch with an SVSM, whose pages come after the firmware's, so the chain cannot be continued"
        raise InputError("case", received, "SEV-SNP without an SVSM, or plain SEV", _ADVICE)
    if not digest_only and not case.is_snp and (case.mode == "seves" or "kernel" in {*case.inputs, *case.found}):
        what = "a launch of SEV-ES" if case.mode == "seves" else "a launch with kernel hashes"
        received = f"{what}: its SHA-256 covers more than the firmware, and cannot be continued from a digest"
        raise InputError("case", received, "SEV-SNP, or plain SEV without a kernel", _ADVICE)
    about = {name: words for name, words in case.about.items() if name != "explanation"}
    origin: dict[str, str] = {}
    if case.is_snp and not digest_only:
        inputs, found = _without_files(case.inputs, folder, origin), _without_files(case.found, folder, {})
    else:
        inputs, found = _digest_only(case, origin)
    hashes = hash_files(inputs)
    # Files that stay get new words, because pack_case would note their names.
    origin = dict.fromkeys(hashes, _KEPT) | origin
    return case.replace(
        inputs=inputs, hashes=hashes, origin=origin, about=about, found=found, found_hashes=hash_files(found)
    )


def _without_files(inputs: Mapping[str, Value | None], folder: str, words: dict[str, str]) -> dict[str, Value | None]:
    """Return inputs with the tables of the firmware, written into *folder*, and the hashes of kernel and initrd."""
    kept = dict(inputs)
    if isinstance(path := inputs.get("firmware"), str):
        ovmf = load_image(path).ovmf
        digest = inputs.get("ovmf_hash")
        if not isinstance(digest, bytes):
            digest = load_ovmf_digest(path)
        tables = os.path.join(folder, f"tables-{digest.hex()[:16]}.fd")
        with open(tables, "wb") as stream:
            stream.write(keep_tables(ovmf))
        words["firmware"] = f"redacted: the tables of an image of {ovmf.size} bytes, and zeros for all else"
        words["ovmf_hash"] = "redacted: the launch digest after the whole firmware"
        kept |= {"firmware": tables, "ovmf_hash": digest}
    for name in ("kernel", "initrd"):
        if isinstance(file := inputs.get(name), str):
            kept[name] = Sha256(load_sha256(file, name, empty=True))
            words[name] = "redacted: its SHA-256 is kept, which is all that is measured"
    return kept


def keep_tables(ovmf: Ovmf) -> bytes:
    """Return the last pages of an image with its footer table and SEV metadata, and zeros for all else.

    Both mean the same to a launch. Raises :class:`~sevlab.errors.InputError` if they do not.
    """
    ranges = []
    if not ovmf.trailing:
        if ovmf.table is not None:
            ranges.append((ovmf.table.offset, ovmf.size - RESET_VECTOR))
        elif ovmf.entries:  # the reset block where it was before there was a table
            ranges.append((ovmf.entries[0].offset, ovmf.entries[0].offset + ovmf.entries[0].size))
        if ovmf.metadata is not None:
            ranges.append((ovmf.metadata.offset, ovmf.metadata.offset + ovmf.metadata.size))
    start = min((begin for begin, _ in ranges), default=ovmf.size - EntryEnd.size) // PAGE * PAGE
    image = bytearray(ovmf.size - start)
    for begin, end in ranges:
        image[begin - start : end - start] = ovmf.image[begin:end]
    kept = parse_ovmf(bytes(image))
    if any(getattr(kept, name) != getattr(ovmf, name) for name in ("sections", "hash_area", "reset_address")):
        raise InputError("firmware", "tables that mean something else without the rest", "an image of OVMF")
    return bytes(image)


def _digest_only(case: Case, words: dict[str, str]) -> tuple[dict[str, Value | None], dict[str, Value | None]]:
    """Return the inputs, and those found, with the launch digest instead of everything that was loaded."""
    digest = _as_digest(case)
    inputs, found = (
        {name: value for name, value in part.items() if name not in {*LOADED, "digest"}}
        for part in (case.inputs, case.found)
    )
    if case.found and (other := _as_digest(case.explained)) != digest:
        found |= other
    words |= dict.fromkeys(digest, "redacted: the launch digest of everything that was loaded")
    return inputs | digest, found


def _as_digest(case: Case) -> dict[str, Value]:
    if case.is_snp:
        return {"snp_measurement": load_snp_launch(**case.snp_launch).digest.hex()}
    if case.policy is None:
        raise InputError("policy", "nothing", "a policy, which says whether registers are measured")
    if "digest" in case.inputs:
        return {"digest": case.inputs["digest"]}
    launch = with_registers({name: value for name, value in case.part().items() if name in INPUTS})
    return {"digest": load_launch(case.policy, **launch).digest}
