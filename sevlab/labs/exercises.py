"""Exercises for the notebooks: the student answers, sevlab computes the solution and marks.

The answer ``...`` means that nobody has tried yet. It is not an error, so *Run All* succeeds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING

from ..attestation.secret import build_secret
from ..attestation.session import derive_session_keys, wrap_keys
from ..data import read_table
from ..formats.kernel_hashes import KernelHashes, build_kernel_hashes
from ..formats.launch_measure import Measurement, MeasureMessage
from ..formats.policy import Policy, SnpPolicy
from ..formats.report import SIGNED, SIZE, MilanTcb, ReportV3, TurinReportV3, TurinTcb
from ..formats.secret import table_size
from ..formats.sev_certs import SessionBlob
from ..launch.compare import compare_launch
from ..launch.measure import compute_measure
from ..launch.sev import compute_digest
from ..launch.vmm import build_vmsa
from ..layout.structure import compare
from ..simulator.kds import KeyServer
from ..simulator.snp_platform import ContextPage
from . import samples
from .attacks.entrysign import BLOCK, solve_block
from .attacks.invalid_curve import LOST_PRIVATE
from .attacks.kernel_swap import SUCCESS, boot_blobs, make_table
from .attacks.keystream import LOST_PIN
from .attacks.launch_order import INSTRUCTIONS, program, run_blocks
from .classroom import Mark, as_number, broken_launch
from .incidents import NOTEBOOKS, catalogue
from .incidents.replays import FILES, GUEST, MILAN, REPLAYS, measured_case
from .predictions import compute_predictions
from .snp_samples import PRODUCT, snp_launch, snp_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..attestation.secret import SecretPacket


@dataclass(frozen=True)
class Exercise:
    """A question, the function that computes its solution, and a hint for wrong answers."""

    question: str
    solve: Callable[[], object]
    hint: str


def sample_message() -> MeasureMessage:
    """Return the message of the sample launch."""
    return MeasureMessage(
        api_major=samples.API_MAJOR,
        api_minor=samples.API_MINOR,
        build_id=samples.BUILD_ID,
        policy=Policy(samples.POLICY),
        digest=compute_digest([samples.firmware()]),
        mnonce=samples.MNONCE,
    )


#: The lost build number; students try all 256.
_LOST_BUILD = int.from_bytes(samples.TIK, "little") % 251


def lost_measurement() -> Measurement:
    """Return a measurement of the sample launch by SEV firmware with the lost build number."""
    message = sample_message().replace(build_id=_LOST_BUILD)
    return Measurement(measure=compute_measure(message, samples.TIK), mnonce=message.mnonce)


def _table(cmdline: str) -> KernelHashes:
    kernel, initrd = (hashlib.sha256(content).digest() for content in (samples.KERNEL, samples.INITRD))
    return build_kernel_hashes(kernel, initrd, cmdline)


#: The lost console; students try ttyS0 to ttyS99.
_LOST_CMDLINE = f"console=ttyS{int.from_bytes(samples.TIK, 'little') % 97}"


def lost_table() -> KernelHashes:
    """Return the kernel-hashes table of a launch with the lost console."""
    return _table(_LOST_CMDLINE)


def _changed_offsets() -> set[int]:
    message = sample_message()
    return set(compare(message, message.replace(policy=Policy(0x05000001))).marked)


#: The lost policy; students try all 64.
_LOST_POLICY = int.from_bytes(samples.TIK, "little") % 61


def lost_session() -> SessionBlob:
    """Return a launch session under the samples' keys with the lost policy."""
    keys = derive_session_keys(bytes(range(48)), samples.MNONCE)
    return wrap_keys(keys, samples.TEK, samples.TIK, bytes(range(0x50, 0x60)), Policy(_LOST_POLICY))


#: A four-digit secret under a keystream that is used twice; students find it without any key.
_LOST_PIN = f"{int.from_bytes(samples.TIK, 'little') % 9973:04}".encode()


def twice() -> tuple[SecretPacket, SecretPacket]:
    """Return two packets under one TEK and one IV, which must never happen; the first contains b"0000"."""
    measure, iv = samples.es_measurement()[:32], bytes(range(0x70, 0x80))
    keys = (samples.TIK, samples.TEK, measure)
    return build_secret([("luks-key", b"0000")], *keys, iv=iv), build_secret([("luks-key", _LOST_PIN)], *keys, iv=iv)


def _start_address() -> list[int]:
    page = build_vmsa("qemu", cpu=1, signature=0, reset_address=0xFFFCC0A4)
    return [int(page.cs.base), int(page.rip)]


#: The lost profile and number of CPUs of a SEV-ES launch; students try all pairs.
_LOST_LAUNCH = ("qemu" if samples.TIK[0] & 1 else "qemu-legacy", samples.TIK[1] % 8 + 1)


def lost_digest() -> bytes:
    """Return the digest (32 bytes) of the second sample's launch with the lost profile and number of CPUs."""
    profile, count = _LOST_LAUNCH
    return samples.es_launch(profile=profile, num_cpus=count).digest


def _first_step(**changes: object) -> str:
    return compare_launch(samples.es_launch(), samples.es_launch(**changes)).first


#: The lost number of CPUs of a SEV-SNP launch, 1 to 64.
_LOST_CPUS = samples.TIK[2] + 1


def lost_snp_digest() -> bytes:
    """Return the digest (48 bytes) of the SEV-SNP sample's launch with the lost number of CPUs."""
    return snp_launch(num_cpus=_LOST_CPUS).digest


#: The TCB that the lost certificate is for.
_LOST_TCB = ("committed_tcb", "launch_tcb")[samples.TIK[1] & 1]


def lost_vcek() -> bytes:
    """Return a certificate (DER) of the sample's chip for one of the four TCBs in its report."""
    report = snp_report()
    return KeyServer().vcek(PRODUCT, report.chip_id, getattr(report, _LOST_TCB))


def _first_link(**changes: object) -> int:
    """Return the number, from 1, of the first link of the SEV-SNP sample's launch that a change affects."""
    number = compare_launch(snp_launch(), snp_launch(**changes)).number
    assert number is not None
    return number + 1


def _places_of_snp() -> list[int]:
    blank = (form.from_bytes(bytes(form.size)) for form in (ReportV3, TurinReportV3))
    return [next(span.offset for span in report.spans() if span.name == "reported_tcb.snp") for report in blank]


def _open_orders() -> int:
    """Return the number of orders of the five blocks in which the secret leaves the guest in clear."""
    secret = b"in clear"
    return sum(secret in run_blocks(program(order), secret) for order in permutations(INSTRUCTIONS))


#: What a host provides to the guest firmware; the content does not matter.
_BLOBS = {"kernel": b"kernel", "initrd": b"initrd", "cmdline": b"cmdline\0"}
_BLOB_HASHES = {name: hashlib.sha256(content).digest() for name, content in _BLOBS.items()}


def _accepted(hashes: dict[str, bytes], **swapped: bytes) -> list[str]:
    """Return the blobs that a hardened firmware accepts under a table of these hashes, with some blobs swapped."""
    answers = boot_blobs(make_table(hashes), {**_BLOBS, **swapped}).answers
    return [answer.blob for answer in answers if answer.status == SUCCESS]


def _swappable(*entries: str) -> set[str]:
    """Return the blobs that can be swapped if the table only has these entries."""
    hashes = {name: _BLOB_HASHES[name] for name in entries}
    return {name for name in _BLOBS if name in _accepted(hashes, **{name: b"another"})}


def _digest_blocks() -> int:
    place = next(row for row in ContextPage.rows if row.name == "launch_digest")
    return (place.offset + place.size - 1) // BLOCK - place.offset // BLOCK + 1


#: The TCB that was shown wrongly (F40).
_SHOWN = MilanTcb(bl=4, tee=0, snp=24, ucode=219)


def _changed(one: str, other: str, signature: int | None) -> int:
    """Return how many bytes of a save area differ between two profiles."""
    pages = (build_vmsa(name, signature=signature, sev_features=1).to_bytes() for name in (one, other))
    return sum(left != right for left, right in zip(*pages, strict=True))


def _changed_hashes() -> int:
    """Return how many entries of the table change when bytes are appended to the kernel."""
    names = ("vmlinuz", "vmlinuz-received", "initrd.img")
    one, other, initrd = (hashlib.sha256(FILES[name]()).digest() for name in names)
    tables = [build_kernel_hashes(kernel, initrd, samples.CMDLINE) for kernel in (one, other)]
    return len(tables[0].compare(tables[1]).differing)


def _without_kernel() -> int:
    """Return how many hosts of the notebook's cases measured no kernel; those of plain SEV never have one."""
    rows = [REPLAYS[key] for key in NOTEBOOKS["F16-hash-section"]]
    launched = [{**({} if row.make is measured_case else GUEST), **row.owner, **row.host} for row in rows]
    return sum(inputs.get("kernel") is None for inputs in launched)


#: How each solution is computed.
_SOLUTIONS: dict[str, Callable[[], object]] = {
    "first-link": lambda: _first_link(kernel=None, initrd=None, cmdline=None),
    "lost-cpus": lambda: _LOST_CPUS,
    "two-places": _places_of_snp,
    "lost-vcek": lambda: _LOST_TCB,
    "pdh-guesses": lambda: 13 // 2,
    "lost-toy": lambda: LOST_PRIVATE,
    "impostor-policies": lambda: sum(not (Policy(number).nosend or Policy(number).domain) for number in range(64)),
    "open-orders": _open_orders,
    "debug-policy": lambda: int(SnpPolicy(0x30000).replace(debug=1)),
    "lost-neighbour": lambda: LOST_PIN,
    "kept-table": lambda: len(_accepted(_BLOB_HASHES, cmdline=b"another\0")),
    "short-table": lambda: _swappable("kernel"),
    "digest-blocks": _digest_blocks,
    "zero-tag": lambda: solve_block(b"A" * 32 + bytes(BLOCK), 2, bytes(BLOCK)).block.hex(),
    "minted-chip": lambda: "chip id",
    "no-bundle": lambda: sum(not entry.has_bundle for entry in catalogue().of("certificates").entries),
    "control-words": lambda: _changed("qemu", "qemu-legacy", MILAN),
    "right-releases": lambda: len(compute_predictions().right_about("6.10 and newer")),
    "rdx-bytes": lambda: _changed("ec2", "ec2-rdx0", None),
    "half-fixed": lambda: sum(all(fixed) for fixed in product((False, True), repeat=2)),
    "shapes": lambda: len((1, 2, 4, 8, 16)) * len((0x1, 0x21)),
    "no-kernel": _without_kernel,
    "appended-hashes": _changed_hashes,
    "hex-build": lambda: int("25", 16),
    "first-part": lambda: TurinTcb.from_bytes(_SHOWN.to_bytes()).parts["fmc"],
    "unsigned-bytes": lambda: SIZE - SIGNED,
    "first-step": lambda: _first_step(num_cpus=samples.ES_CPUS - 1),
    "line-break": lambda: len(compare(_table(samples.CMDLINE), _table(samples.CMDLINE + "\n")).marked),
    "lost-cmdline": _LOST_CMDLINE.encode,
    "who-notices": lambda: "policy_mac",
    "lost-policy": lambda: _LOST_POLICY,
    "who-catches": lambda: "owner",
    "start-address": _start_address,
    "lost-launch": lambda: set(_LOST_LAUNCH),
    "broken-launch": lambda: list(broken_launch(12).solution),
    "payload-size": lambda: table_size([32, 100]),
    "lost-pin": lambda: _LOST_PIN,
    "policy": lambda: int(Policy().replace(nodbg=1, noks=1, nosend=1)),
    "offsets": _changed_offsets,
    "next-minor": lambda: compute_measure(sample_message().replace(api_minor=samples.API_MINOR + 1), samples.TIK).hex(),
    "lost-build": lambda: _LOST_BUILD,
}
#: Every exercise by its name.
EXERCISES = {
    name: Exercise(row["question"], _SOLUTIONS[name], row["hint"]) for name, row in read_table("exercises").items()
}


def ask(name: str) -> str:
    """Return an exercise's question. Raises KeyError for an unknown name."""
    return EXERCISES[name].question


def mark(name: str, answer: object) -> Mark:
    """Mark an answer; ``...`` is not tried yet. Raises KeyError for an unknown name."""
    exercise = EXERCISES[name]
    if answer is ...:
        return Mark("not tried", f"{name}: not tried yet. Replace ... by your answer and run the cell again.")
    if _agrees(answer, exercise.solve()):
        return Mark("right", f"{name}: right.")
    return Mark("wrong", f"{name}: not yet. Hint: {exercise.hint}.")


def _agrees(answer: object, solution: object) -> bool:
    """Compare an answer with the solution; the solution's type decides which forms of an answer are accepted."""
    if isinstance(solution, set | list):
        if not isinstance(answer, set | tuple | list) or len(answer) != len(solution):
            return False
        if isinstance(solution, set):
            return all(any(_agrees(one, other) for one in answer) for other in solution)
        return all(map(_agrees, answer, solution))  # the order counts
    if isinstance(solution, bytes):  # exact, to the last space
        return answer in (solution, solution.decode())
    if isinstance(solution, int):
        return not isinstance(answer, bool) and as_number(answer) == solution
    if isinstance(answer, bytes | bytearray):
        answer = bytes(answer).hex()
    return isinstance(answer, str) and answer.strip().lower().removeprefix("0x") == str(solution).lower()
