"""A09: a host that boots another kernel than the owner's, and who notices.

A kernel that is booted directly is no part of the launch digest. Only a table of its hashes may be, when the host was
asked for one (``kernel-hashes=on``). Then the owner sees another table in the digest, and the firmware sees a blob that
does not have its hash in the table. Each sees only its half, so a host has two ways to try. And what distributions ship
since edk2-stable202511 has the place for the table, and no code that looks into it.

Sources: incidents A09; measured-direct-boot 2; edk2 commit 4b1711d431 (2025-09-11).
"""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

from ..errors import InputError
from ..firmware import load_ovmf
from ..formats.efi_modules import PLACE_ONLY
from ..formats.kernel_hashes import KernelHashes
from ..formats.policy import Policy
from ..launch import load_launch
from ..layout.span import Explainable
from ..simulator.launch import simulate_launch
from ..simulator.snp.launch import simulate_snp_launch
from ..snp import load_snp_launch
from .blobs import NOTHING, boot_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ..layout.views import View
    from .blobs import Boot

#: The inputs that are booted, and the step of a launch that their hashes are.
BOOTED, _STEP = ("kernel", "initrd", "cmdline"), "kernel hashes"
#: The guests without SEV-SNP, and their policies: NODBG, and with ES.
_POLICIES = {"SEV": 0x1, "SEV-ES": 0x5}


class Seen(namedtuple("Seen", "guest computed reported caught")):
    """What one owner sees: the digest it computed, the one that the secure processor made, its refusal or None."""

    __slots__ = ()


class KernelSwap(Explainable):
    """What came of booting another kernel, in guests of SEV, SEV-ES and SEV-SNP.

    ``owners`` tell what each guest's owner saw; ``boot`` is what the firmware then did; ``table`` are the 176 bytes
    that the host loaded in the place for hashes, zeros without hashes.
    """

    def __init__(self, owners: list[Seen], boot: Boot, table: bytes) -> None:
        self.owners, self.boot, self.table = owners, boot, table

    @property
    def noticed(self) -> list[str]:
        """Who noticed: the owners that refused, and "the firmware" when it stopped the machine."""
        owners = [f"the owner ({seen.guest})" for seen in self.owners if seen.caught is not None]
        return owners + (["the firmware"] if self.boot.runs == NOTHING else [])

    def explain(self) -> View:
        """Show who noticed, what each owner saw, and what the firmware did."""
        from ..layout.views import Banner, Heading, Table, View

        words = f"NOTICED by {', '.join(self.noticed)}" if self.noticed else "NOBODY NOTICES"
        rows = []
        for seen in self.owners:
            answer = "the same: goes on" if seen.caught is None else "another: refuses"
            rows.append([seen.guest, f"{seen.computed[:12].hex()}...", f"{seen.reported[:12].hex()}...", answer])
        header = ["guest", "digest, computed", "digest, reported", "its owner finds"]
        return View(
            Banner(words, "green" if self.noticed else "pink"),
            Table(header, rows, mono=[0, 1, 2]),
            Heading("The firmware fetches the blobs"),
            *self.boot.explain().blocks,
        )


def swap_kernel(
    inputs: Mapping[str, Any],
    swapped: Mapping[str, Any],
    *,
    hashes: bool = True,
    keep_table: bool = False,
    verifier: str | None = None,
    seed: bytes = b"a swapped kernel",
) -> KernelSwap:
    """Launch what the owner wants, boot what the host wants, and see who notices.

    *inputs* are the owner's, as :func:`sevlab.load_snp_launch` takes them, with a kernel; *swapped* are those of
    ``kernel``, ``initrd`` and ``cmdline`` that the host replaces. *hashes* is whether the owner asked for the table of
    hashes; *keep_table* whether the host loads the owner's table, and not that of what it boots. *verifier* is a key of
    :data:`~sevlab.attacks.blobs.VERIFIERS`; without it the firmware's code decides: "none" where it has the place and
    no code that checks it, else "hardened". Raises :class:`~sevlab.errors.InputError` for inputs that are no launch,
    and for others in *swapped*.
    """
    if unknown := sorted(set(swapped) - set(BOOTED)):
        raise InputError("swapped", unknown[0], f"one of {', '.join(BOOTED)}")
    ovmf = load_ovmf(str(inputs["firmware"]))
    area = ovmf.hash_area
    if area is None or "kernel" not in inputs:
        raise InputError("inputs", "no kernel, or a firmware without a place for hashes", "both")
    if verifier is None:
        verifier = "none" if ovmf.enforcement and ovmf.enforcement.answer == PLACE_ONLY else "hardened"
    wanted = dict(inputs) if hashes else {name: value for name, value in inputs.items() if name not in BOOTED}
    loaded = wanted if keep_table or not hashes else {**wanted, **swapped}
    table = _step(loaded)
    owners = [_sev(name, wanted, table if hashes else None, seed) for name in _POLICIES]
    owners.append(_snp(wanted, _page(loaded) if hashes else None, seed))
    boot = boot_blobs(table.ljust(area[1], b"\0"), read_blobs({**inputs, **swapped}), verifier)
    return KernelSwap(owners, boot, table)


def _sev(guest: str, wanted: dict[str, Any], table: bytes | None, seed: bytes) -> Seen:
    """Launch a guest without SEV-SNP; the host loads *table* for that of its inputs."""
    policy = _POLICIES[guest]
    run = simulate_launch(wanted, policy, seed=seed, tamper=_put(table))
    made = run.platform.guests[run.host.handle].digest
    return Seen(guest, load_launch(Policy(policy), **wanted).digest, made, run.caught and run.caught[1])


def _snp(wanted: dict[str, Any], pages: bytes | None, seed: bytes) -> Seen:
    """Launch a guest of SEV-SNP; the host loads *pages* for those with the table of its inputs."""
    run = simulate_snp_launch(wanted, seed=seed, tamper=_put(pages))
    made = run.context.digest if run.context is not None else b""
    return Seen("SEV-SNP", run.computed.digest, made, run.caught and run.caught[1])


def _put(raw: bytes | None) -> dict[str, Callable[[bytes], bytes]]:
    return {} if raw is None else {_STEP: lambda loaded: raw}


def read_blobs(inputs: Mapping[str, Any]) -> dict[str, bytes | None]:
    """Return what a host hands to the firmware: kernel and initrd (b"" for none), the command line and its NUL byte."""
    blobs: dict[str, bytes | None] = {
        name: Path(str(inputs[name])).read_bytes() if inputs.get(name) is not None else b"" for name in BOOTED[:2]
    }
    blobs["cmdline"] = str(inputs.get("cmdline") or "").encode("utf-8", "surrogateescape") + b"\0"
    return blobs


def _step(inputs: Mapping[str, Any]) -> bytes:
    """Return the table that a host loads for these inputs, zeros for none."""
    launch = load_launch(Policy(_POLICIES["SEV"]), **inputs)
    return next((bytes(step.content) for step in launch.steps if step.name == _STEP), bytes(KernelHashes.size))


def _page(inputs: Mapping[str, Any]) -> bytes:
    """Return the pages with that table in them."""
    region = next(region for region in load_snp_launch(**inputs).regions if region.name == _STEP)
    return b"".join(region.page(number) for number in range(len(region.contents)))
