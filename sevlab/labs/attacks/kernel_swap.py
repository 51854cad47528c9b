"""A09 and A10: a host boots a kernel that is not the owner's. Who notices, and what does the guest firmware do then?

A kernel that is booted directly is not part of the launch digest. A table of its hashes can be, if the host was asked
for one (``kernel-hashes=on``). Then the owner sees a different table in the digest, or the guest firmware sees a blob
whose hash is not in the table. Each sees only its half, so a host can try two ways. And what distributions ship since
edk2-stable202511 has the place for the table but no code that checks it.

Only the hashes are measured. The guest firmware itself checks that the blobs have these hashes, one by one, as the
host provides them. This is a model of that check (the blob verifier of edk2's AmdSev build) in its two forms, and of
the build of OVMF without one. What matters is not only the verifier's answer but what follows: the machine stops, or
boots something else that nobody measured.

Sources: measured-direct-boot 2 and 2.5; incidents A09, A10; edk2 commit 4b1711d431 (2025-09-11), edk2 pull request 5769
(2024), ``OvmfPkg/AmdSev/BlobVerifierLibSevHashes`` and ``OvmfPkg/QemuKernelLoaderFsDxe`` before that and after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, SevlabError, quoted
from ...formats.efi_modules import PLACE_ONLY
from ...formats.kernel_hashes import KernelHashes
from ...formats.policy import Policy
from ...launch.inputs import load_launch, load_ovmf
from ...launch.snp import load_snp_launch
from ...layout.span import Explainable
from ...layout.views import Banner, Heading, Table, View
from ...simulator.launch import simulate_launch
from ...simulator.snp_launch import simulate_snp_launch

#: The verifier's answer for a blob. In a dead loop the machine stops.
SUCCESS, DENIED, DEAD_LOOP = "EFI_SUCCESS", "EFI_ACCESS_DENIED", "dead loop"
#: The loader gives up without asking the verifier.
NOT_ASKED = "not asked"
#: The verifiers, and what each does.
VERIFIERS = {
    "none": "all builds of OVMF except AmdSev, with or without the place for hashes: every blob is accepted",
    "early": "AmdSev until 2024: a wrong blob is denied, and the firmware goes on",
    "hardened": "AmdSev since edk2 pull request 5769 (2024): if the host cheats, the machine stops",
}
#: What boots: the host's kernel, something else that the firmware finds, or nothing at all.
KERNEL, OTHER, NOTHING = "the kernel", "another boot option", "nothing"
_ROWS = {row.name: row for row in KernelHashes.rows}
_TABLE = bytes(_ROWS["table_guid"].const)
_GUIDS = {name: bytes(_ROWS[f"{name}_guid"].const) for name in ("kernel", "initrd", "cmdline")}
#: The table and each of its entries begin with a GUID and a length: so many bytes.
_HEAD = _ROWS["cmdline_guid"].offset
_HASH = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Answer:
    """The verifier's answer for one blob; ``matches`` says that its hash is in the table."""

    blob: str
    status: str
    why: str
    matches: bool = False


class Boot(Explainable):
    """The result of a boot.

    ``answers`` are for the blobs that the host provided, up to the one that ended the boot; ``runs`` is
    :data:`KERNEL`, :data:`OTHER` or :data:`NOTHING`; ``verifier`` is a key of :data:`VERIFIERS`.
    """

    def __init__(self, verifier: str, answers: list[Answer], runs: str) -> None:
        self.verifier, self.answers, self.runs = verifier, answers, runs

    @property
    def unverified(self) -> list[str]:
        """The blobs that the kernel runs with although nobody verified them."""
        return [answer.blob for answer in self.answers if not answer.matches] if self.runs == KERNEL else []

    def explain(self) -> View:
        """Show what runs, and the verifier's answer for each blob."""
        words, colour = f"What runs: {self.runs}", "pink"
        if self.runs == NOTHING:
            words, colour = "The machine stopped: nothing runs", "green"
        elif self.runs == OTHER:
            words += ", which the table of hashes does not cover"
        elif self.unverified:
            words += f", and nobody verified {', '.join(self.unverified)}"
        else:
            words, colour = f"{words}, and the hash of every blob is in the table", "green"
        rows = [[answer.blob, answer.status, answer.why] for answer in self.answers]
        return View(Banner(words, colour), Table([f"blob ({self.verifier})", "answer", "why"], rows, mono=[0, 1]))


def make_table(hashes: Mapping[str, bytes], size: int = 0) -> bytes:
    """Return a table of kernel hashes with these entries, in their order, padded with zeros.

    *hashes* are by blob (``cmdline``, ``initrd``, ``kernel``), of any length; all three in this order make QEMU's
    table. It is padded to a multiple of 16 bytes, and to *size*. Raises :class:`~sevlab.errors.InputError` for an
    unknown blob, and for entries that exceed a 16-bit length.
    """
    entries = b""
    for name, raw in hashes.items():
        if name not in _GUIDS:
            raise InputError("hashes", quoted(name), f"one of {', '.join(_GUIDS)}")
        entries += _begin(_GUIDS[name], len(raw)) + bytes(raw)
    table = _begin(_TABLE, len(entries)) + entries
    return table.ljust(max(-(-len(table) // 16) * 16, size), b"\0")


def _begin(guid: bytes, size: int) -> bytes:
    length, limit = _HEAD + size, 1 << 8 * _ROWS["table_length"].size
    if length >= limit:
        raise InputError("hashes", f"{size} bytes", f"at most {limit - _HEAD - 1}")
    return guid + length.to_bytes(_ROWS["table_length"].size, "little")


def verify_blob(area: bytes, name: str, content: bytes | None, verifier: str = "hardened") -> Answer:
    """Return a verifier's answer when the loader has fetched a blob.

    *area* are the bytes of the place for hashes, as the guest has them; *content* is the blob, None if it could not be
    fetched. Any bytes are taken. *verifier* is a key of :data:`VERIFIERS`.
    """
    if verifier not in VERIFIERS:
        raise InputError("verifier", quoted(verifier), f"one of {', '.join(VERIFIERS)}")
    if content is None:
        status, then = (DEAD_LOOP, "") if verifier == "hardened" else (NOT_ASKED, ", and the loader gives up")
        return Answer(name, status, f"it could not be fetched{then}")
    if verifier == "none":
        return Answer(name, SUCCESS, "nobody checks")
    cheated = DEAD_LOOP if verifier == "hardened" else DENIED
    entries = _entries(area)
    if not entries:
        return Answer(name, DENIED, "there is no table of hashes")
    if name not in _GUIDS:
        return Answer(name, cheated, "the verifier knows no blob of this name")
    for guid, data in _walk(entries):
        if data is None:
            return Answer(name, DEAD_LOOP, "an entry of length 0: the search for the next one never ends")
        if guid != _GUIDS[name]:
            continue
        if len(data) != _HASH:
            return Answer(name, DENIED, f"its hash has {len(data)} bytes, not {_HASH}")
        if data == hashlib.sha256(content).digest():
            return Answer(name, SUCCESS, "its hash is the one in the table", True)
        return Answer(name, cheated, "its hash is not the one in the table")
    return Answer(name, SUCCESS if verifier == "hardened" else DENIED, "the table has no entry for it")


def compare_verifiers(cases: Mapping[str, tuple[bytes, bytes | None]], blob: str = "initrd") -> View:
    """Show what each verifier answers in each case: the place for hashes, and the blob; see :func:`verify_blob`."""
    rows = []
    for case, (area, content) in cases.items():
        answers = [verify_blob(area, blob, content, verifier) for verifier in VERIFIERS]
        rows.append([case, *(answer.status for answer in answers), answers[-1].why])
    return View(Table([f"what is wrong ({blob})", *VERIFIERS, f"why ({list(VERIFIERS)[-1]})"], rows, mono=[1, 2, 3]))


def boot_blobs(area: bytes, blobs: Mapping[str, bytes | None], verifier: str = "hardened") -> Boot:
    """Boot as the firmware does: fetch each blob and have it verified, then start the kernel.

    *blobs* are what the host provides, in this order: the command line with its NUL byte, and b"" for no initrd. For
    *area* and *verifier* see :func:`verify_blob`.
    """
    answers: list[Answer] = []
    for name, content in blobs.items():
        answers.append(verify_blob(area, name, content, verifier))
        if answers[-1].status != SUCCESS:
            return Boot(verifier, answers, NOTHING if answers[-1].status == DEAD_LOOP else OTHER)
    return Boot(verifier, answers, KERNEL if blobs.get("kernel") else OTHER)


def _entries(area: bytes) -> bytes:
    """Return the entries of the table in an area, b"" if there is no valid table."""
    length = int.from_bytes(_ROWS["table_length"].cut(area), "little")
    return area[_HEAD:length] if area.startswith(_TABLE) and _HEAD <= length <= len(area) else b""


def _walk(entries: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield GUID and content of each entry as edk2 finds them; the content is None where edk2 loops forever."""
    place = 0
    while len(entries) - place >= _HEAD:
        length = int.from_bytes(_ROWS["table_length"].cut(entries[place:]), "little")
        if length > len(entries) - place:
            return
        guid = entries[place : place + len(_TABLE)]
        yield guid, entries[place + _HEAD : place + length]
        if not length:
            yield guid, None
            return
        place += length


#: The inputs that are booted, and the step of a launch with their hashes.
BOOTED, _STEP = ("kernel", "initrd", "cmdline"), "kernel hashes"
#: The guests without SEV-SNP, and their policies: NODBG, with and without ES.
_POLICIES = {"SEV": 0x1, "SEV-ES": 0x5}


@dataclass(frozen=True)
class Seen:
    """What one owner sees: the digest it computed, the one that was launched with, and its refusal."""

    guest: str
    computed: bytes
    launched: bytes
    caught: SevlabError | None


class KernelSwap(Explainable):
    """The result of booting a different kernel in guests of SEV, SEV-ES and SEV-SNP.

    ``owners`` are what each guest's owner saw; ``boot`` is what the guest firmware then did; ``table`` are the 176
    bytes that the host loaded in the place for hashes, zeros without hashes.
    """

    def __init__(self, owners: list[Seen], boot: Boot, table: bytes) -> None:
        self.owners, self.boot, self.table = owners, boot, table

    @property
    def noticed(self) -> list[str]:
        """The owners that refused, and "the guest firmware" if it stopped the machine."""
        owners = [f"the owner ({seen.guest})" for seen in self.owners if seen.caught is not None]
        return owners + (["the guest firmware"] if self.boot.runs == NOTHING else [])

    def explain(self) -> View:
        """Show who noticed, what each owner saw, and what the firmware did."""
        words = f"NOTICED by {', '.join(self.noticed)}" if self.noticed else "NOBODY NOTICES"
        rows = []
        for seen in self.owners:
            answer = "the same: goes on" if seen.caught is None else "different: refuses"
            rows.append([seen.guest, f"{seen.computed[:12].hex()}...", f"{seen.launched[:12].hex()}...", answer])
        header = ["guest", "digest, computed", "digest, launched with", "its owner finds"]
        return View(
            Banner(words, "green" if self.noticed else "pink"),
            Table(header, rows, mono=[0, 1, 2]),
            Heading("The guest firmware fetches the blobs"),
            *self.boot.explain().blocks,
        )


def swap_kernel(
    inputs: Mapping[str, object],
    swapped: Mapping[str, object],
    *,
    hashes: bool = True,
    keep_table: bool = False,
    verifier: str | None = None,
    seed: bytes = b"a swapped kernel",
) -> KernelSwap:
    """Launch what the owner wants, boot what the host wants, and see who notices.

    *inputs* are the owner's, as :func:`sevlab.load_snp_launch` takes them, with a kernel; *swapped* are those of
    ``kernel``, ``initrd`` and ``cmdline`` that the host replaces. *hashes*: the owner asked for the table of hashes.
    *keep_table*: the host loads the owner's table instead of that of what it boots. *verifier* is a key of
    :data:`VERIFIERS`, by default "none" if the firmware has the place and no code that checks it, else "hardened".
    Raises :class:`~sevlab.errors.InputError` for unusable inputs, and for any other input in *swapped*.
    """
    if unknown := sorted(set(swapped) - set(BOOTED)):
        raise InputError("swapped", unknown[0], f"one of {', '.join(BOOTED)}")
    ovmf = load_ovmf(str(inputs["firmware"]))
    area = ovmf.hash_area
    if area is None or "kernel" not in inputs:
        raise InputError("inputs", "no kernel, or a firmware without a place for hashes", "both")
    if verifier is None:
        verifier = "none" if ovmf.enforcement and ovmf.enforcement.answer == PLACE_ONLY else "hardened"
    meant = dict(inputs) if hashes else {name: value for name, value in inputs.items() if name not in BOOTED}
    loaded = meant if keep_table or not hashes else {**meant, **swapped}
    launch = load_launch(Policy(_POLICIES["SEV"]), **loaded)
    table = next((bytes(step.content) for step in launch.steps if step.name == _STEP), bytes(KernelHashes.size))
    regions = load_snp_launch(**loaded).regions
    pages = b"".join(one.page(number) for one in regions if one.name == _STEP for number in range(len(one.contents)))
    owners = []
    for guest, policy in _POLICIES.items():
        sev = simulate_launch(meant, policy, seed=seed, tamper={_STEP: lambda _: table} if hashes else {})
        computed, made = load_launch(Policy(policy), **meant).digest, sev.platform.guests[sev.host.handle].digest
        owners.append(Seen(guest, computed, made, sev.caught and sev.caught[1]))
    run = simulate_snp_launch(meant, seed=seed, tamper={_STEP: lambda _: pages} if hashes else {})
    made = run.context.digest if run.context is not None else b""
    owners.append(Seen("SEV-SNP", run.computed.digest, made, run.caught and run.caught[1]))
    boot = boot_blobs(table.ljust(area[1], b"\0"), read_blobs({**inputs, **swapped}), verifier)
    return KernelSwap(owners, boot, table)


def read_blobs(inputs: Mapping[str, object]) -> dict[str, bytes | None]:
    """Return what a host provides: kernel and initrd (b"" for none), and the command line with its NUL byte."""
    blobs: dict[str, bytes | None] = {
        name: Path(str(inputs[name])).read_bytes() if inputs.get(name) is not None else b"" for name in BOOTED[:2]
    }
    blobs["cmdline"] = str(inputs.get("cmdline") or "").encode("utf-8", "surrogateescape") + b"\0"
    return blobs
