"""Leaving the firmware out of a case that can be diagnosed all the same, where the mathematics allows it.

A digest of SEV-SNP is a chain: whoever has the link after the firmware can go on from it, and needs of the firmware but
the tables near its end. A digest of SEV and SEV-ES is one SHA-256, which nobody can continue from its result: without
the firmware only the digest as a whole can be kept. Of a kernel and an initrd only the SHA-256 is ever measured.
"""

from __future__ import annotations

import os

from ..case import Case, hash_files
from ..digest import Sha256, load_sha256
from ..errors import InputError
from ..formats.ovmf import Ovmf, parse_ovmf
from ..formats.ovmf_tables import RESET_VECTOR, EntryEnd
from ..formats.page_info import PAGE
from ..formats.policy import Policy
from ..launch import INPUTS, SNP_INPUTS, load_launch
from ..reading import opened_once
from ..snp.load import load_image, load_ovmf_digest, load_snp_launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What ``origin`` says of a file that is in the redacted case as it was.
_KEPT = "kept by redact as it was"
_LOADED = {*INPUTS, *SNP_INPUTS, "cpu_signature", "digest"}
_DIGEST_ONLY = (
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
    return _without_words(_redacted(case, folder, digest_only), case)


def _without_words(redacted: Case, case: Case) -> Case:
    """Return a redacted case without the words that were in *case* and could name what was left out of it."""
    about = {name: words for name, words in case.about.items() if name != "explanation"}
    kept = dict.fromkeys(redacted.hashes, _KEPT)  # or pack_case would note the names of their files
    told = {name: words for name, words in redacted.origin.items() if case.origin.get(name) != words}
    return redacted.replace(about=about, origin=kept | told)


def _redacted(case: Case, folder: str, digest_only: bool) -> Case:
    if digest_only:
        return _digest_only(case)
    if case.mode == "snp:svsm":
        received = "a launch with an SVSM, whose pages come after the firmware's, and nothing can go on from there"
        raise InputError("case", received, "SEV-SNP without an SVSM, or plain SEV", _DIGEST_ONLY)
    if case.is_snp:
        return _snp(case, folder)
    if case.mode == "seves" or {"kernel"} & {*case.inputs, *case.found}:
        what = "a launch of SEV-ES" if case.mode == "seves" else "a launch with kernel hashes"
        received = f"{what}: its SHA-256 goes on after the firmware, and cannot be continued from a digest"
        raise InputError("case", received, "SEV-SNP, or plain SEV without a kernel", _DIGEST_ONLY)
    return _digest_only(case)


def _snp(case: Case, folder: str) -> Case:
    inputs, origin = dict(case.inputs), dict(case.origin)
    found = dict(case.found)
    for one, words in ((inputs, origin), (found, {})):
        if one.get("firmware") is not None:
            one |= _without_firmware(one, folder, words)
        for name in ("kernel", "initrd"):
            if one.get(name) is not None and not isinstance(one[name], Sha256):
                one[name] = Sha256(load_sha256(one[name], name, empty=True))
                words[name] = "redacted: its SHA-256 is kept, which is all of it that is measured"
    return case.replace(
        inputs=inputs, hashes=hash_files(inputs), origin=origin, found=found, found_hashes=hash_files(found)
    )


def _without_firmware(inputs: dict[str, Any], folder: str, words: dict[str, str]) -> dict[str, Any]:
    """Write an image of the firmware's tables into *folder*; return what takes the firmware's place."""
    path = str(inputs["firmware"])
    ovmf = load_image(path).ovmf
    digest = inputs.get("ovmf_hash") or load_ovmf_digest(path)
    stub = keep_tables(ovmf)
    kept = os.path.join(folder, f"tables-{digest.hex()[:16]}.fd")
    with open(kept, "wb") as stream:
        stream.write(stub)
    words["firmware"] = f"redacted: the tables of an image of {ovmf.size} bytes, and zeros for all else"
    words["ovmf_hash"] = "redacted: the launch digest after the whole firmware"
    return {"firmware": kept, "ovmf_hash": digest}


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
    """Return a case in which the launch digest stands for all that was loaded."""
    digest = _digest(case)
    inputs = {name: value for name, value in case.inputs.items() if name not in _LOADED}
    origin = {name: words for name, words in case.origin.items() if name not in _LOADED}
    found = {name: value for name, value in case.found.items() if name not in _LOADED}
    if case.found and (other := _digest(case.explained)) != digest:
        found |= _as_digest(case, other)
    what = _as_digest(case, digest)
    origin |= dict.fromkeys(what, "redacted: the launch digest of everything that was loaded")
    inputs |= what
    return case.replace(inputs=inputs, hashes=hash_files(inputs), origin=origin, found=found, found_hashes={})


def _as_digest(case: Case, digest: bytes) -> dict[str, Any]:
    return {"snp_measurement": digest.hex()} if case.is_snp else {"digest": digest}


def _digest(case: Case) -> bytes:
    if case.is_snp:
        return load_snp_launch(**case.snp_launch).digest
    if "policy" not in case.inputs:
        raise InputError("policy", "nothing", "a policy, which says whether registers are measured")
    if "digest" in case.inputs:
        return bytes(case.inputs["digest"])
    launch = {name: value for name, value in case.inputs.items() if name in INPUTS}
    return load_launch(Policy(case.inputs["policy"]), **launch).digest
