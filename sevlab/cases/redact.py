"""Leaving the firmware out of a case that can be diagnosed all the same, where the mathematics allows it.

A digest of SEV-SNP is a chain: you can continue from the link after the firmware, and need only the tables near the
firmware's end. A digest of SEV and SEV-ES is one SHA-256, which cannot be continued from its result: without the
firmware only the digest as a whole can be kept. Of a kernel and an initrd only the SHA-256 is ever measured.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InputError
from ..formats.ovmf import Ovmf, parse_ovmf
from ..formats.ovmf_tables import RESET_VECTOR, EntryEnd
from ..formats.page_info import PAGE
from ..launch.files import Sha256, load_sha256
from ..launch.inputs import INPUTS, SNP_INPUTS, load_launch
from ..launch.reading import opened_once
from ..launch.snp import load_image, load_ovmf_digest, load_snp_launch
from .case import Case, hash_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .case import Value

#: What ``origin`` says of a file that is in the redacted case as it was.
_KEPT = "kept by redact as it was"
_LOADED = {*INPUTS, *SNP_INPUTS, "cpu_signature", "digest"}
_ADVICE = (
    "--digest-only, which keeps the launch digest alone: it can be validated, but no other kernel, command line or "
    "CPUs can be tried"
)


@opened_once()
def redact_case(case: Case, folder: str, *, digest_only: bool = False) -> Case:
    """Return a case without its firmware, kernel and initrd, diagnosable like the whole one.

    Of a SEV-SNP launch the launch digest after the firmware stays, and an image of the firmware's tables with zeros for
    all else, which is written into *folder*; of a launch of plain SEV without kernel hashes its launch digest; of
    kernel and initrd their SHA-256. With *digest_only*, of any launch its digest alone. The words that explain the case
    and those that tell where inputs came from go too, whoever wrote them: they name what is left out.

    Raises :class:`~sevlab.errors.InputError` for a launch of which nothing that could be diagnosed would be left, and
    for one without a firmware.
    """
    if "firmware" not in case.inputs:
        raise InputError("case", "one without a firmware", "a case with something to leave out")
    if changed := case.changed:
        raise InputError("case", str(changed[0]), "the files that the case was made with", "a new case")
    if not digest_only and case.mode == "snp:svsm":
        received = "a launch with an SVSM, whose pages come after the firmware's, and nothing can go on from there"
        raise InputError("case", received, "SEV-SNP without an SVSM, or plain SEV", _ADVICE)
    if not digest_only and not case.is_snp and (case.mode == "seves" or "kernel" in {*case.inputs, *case.found}):
        what = "a launch of SEV-ES" if case.mode == "seves" else "a launch with kernel hashes"
        received = f"{what}: its SHA-256 goes on after the firmware, and cannot be continued from a digest"
        raise InputError("case", received, "SEV-SNP, or plain SEV without a kernel", _ADVICE)
    redacted = _snp(case, folder) if case.is_snp and not digest_only else _digest_only(case)
    # Words that were in the case could name what was left out of it. A file that stays gets new ones, or pack_case
    # would note its name.
    about = {name: words for name, words in case.about.items() if name != "explanation"}
    told = {name: words for name, words in redacted.origin.items() if case.origin.get(name) != words}
    return redacted.replace(about=about, origin=dict.fromkeys(redacted.hashes, _KEPT) | told)


def _snp(case: Case, folder: str) -> Case:
    origin = dict(case.origin)
    inputs, found = _without_files(case.inputs, folder, origin), _without_files(case.found, folder, {})
    hashes, found_hashes = hash_files(inputs), hash_files(found)
    return case.replace(inputs=inputs, hashes=hashes, origin=origin, found=found, found_hashes=found_hashes)


def _without_files(inputs: Mapping[str, Value | None], folder: str, words: dict[str, str]) -> dict[str, Value | None]:
    """Return inputs with the firmware's tables, written into *folder*, for a firmware, and hashes for other files."""
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
            words[name] = "redacted: its SHA-256 is kept, which is all of it that is measured"
    return kept


def keep_tables(ovmf: Ovmf) -> bytes:
    """Return the last pages of an image with its footer table and SEV metadata, all other bytes being zero.

    What a launch asks an image for is the same for both. Raises :class:`~sevlab.errors.InputError` where it is not.
    """
    ranges = []
    if not ovmf.trailing:
        if ovmf.table is not None:
            ranges.append((ovmf.table.offset, ovmf.size - RESET_VECTOR))
        elif ovmf.entries:  # the reset block in the place it had before there was a table
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


def _digest_only(case: Case) -> Case:
    """Return a case in which the launch digest replaces everything that was loaded."""
    digest = _as_digest(case)
    inputs, origin, found = (
        {name: value for name, value in part.items() if name not in _LOADED}
        for part in (case.inputs, case.origin, case.found)
    )
    if case.found and (other := _as_digest(case.explained)) != digest:
        found |= other
    inputs |= digest
    origin |= dict.fromkeys(digest, "redacted: the launch digest of everything that was loaded")
    return case.replace(inputs=inputs, hashes=hash_files(inputs), origin=origin, found=found, found_hashes={})


def _as_digest(case: Case) -> dict[str, Value]:
    """Return the launch digest as an input, which replaces everything that was loaded."""
    if case.is_snp:
        return {"snp_measurement": load_snp_launch(**case.snp_launch).digest.hex()}
    if case.policy is None:
        raise InputError("policy", "nothing", "a policy, which says whether registers are measured")
    if "digest" in case.inputs:
        return {"digest": case.inputs["digest"]}
    launch = {name: value for name, value in case.part().items() if name in INPUTS}
    return {"digest": load_launch(case.policy, **launch).digest}
