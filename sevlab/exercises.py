"""Exercises for the notebooks: the student answers, sevlab computes the solution and marks.

An exercise that nobody has tried yet (the answer is ``...``) is no error, so that *Run All* goes through.
"""

from __future__ import annotations

import hashlib
from collections import namedtuple
from contextlib import suppress

from . import attacks, samples
from .classroom import Mark, broken_launch
from .formats.kernel_hashes import KernelHashes, build_kernel_hashes
from .formats.launch_measure import Measurement, MeasureMessage
from .formats.policy import Policy
from .formats.report import ReportV3, TurinReportV3
from .formats.secret import table_size
from .formats.sev_certs import SessionBlob
from .launch import compare_launch
from .layout.structure import compare
from .measure import compute_measure
from .profiles import build_vmsa
from .replays.tasks import TASKS as incident_tasks
from .samples import snp
from .secret import build_secret
from .session import derive_session_keys, wrap_keys
from .snp import compare_snp_launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .secret import SecretPacket


__all__ = ["EXERCISES", "Exercise", "Mark", "ask", "broken_launch", "mark"]


class Exercise(namedtuple("Exercise", "question solve hint")):
    """A question, a function that computes its solution, and a hint for wrong answers."""

    __slots__ = ()
    question: str
    solve: Callable[[], object]
    hint: str


def sample_message() -> MeasureMessage:
    """Return the message of the sample launch."""
    from .digest import compute_digest

    return MeasureMessage(
        api_major=samples.API_MAJOR,
        api_minor=samples.API_MINOR,
        build_id=samples.BUILD_ID,
        policy=Policy(samples.POLICY),
        digest=compute_digest([samples.firmware()]),
        mnonce=samples.MNONCE,
    )


#: The build number under which the lost measurement was made; students find it by trying all 256.
_LOST_BUILD = int.from_bytes(samples.TIK, "little") % 251


def lost_measurement() -> Measurement:
    """Return a measurement of the sample launch by a firmware whose build number nobody wrote down."""
    message = sample_message().replace(build_id=_LOST_BUILD)
    return Measurement(measure=compute_measure(message, samples.TIK), mnonce=message.mnonce)


def _table(cmdline: str) -> KernelHashes:
    """Return the kernel-hashes table of the second sample, for another command line."""
    kernel, initrd = (hashlib.sha256(content).digest() for content in (samples.KERNEL, samples.INITRD))
    return build_kernel_hashes(kernel, initrd, cmdline)


#: The console of the lost table; students find it by trying ttyS0 to ttyS99.
_LOST_CMDLINE = f"console=ttyS{int.from_bytes(samples.TIK, 'little') % 97}"


def lost_table() -> KernelHashes:
    """Return the kernel-hashes table of a launch whose serial console nobody wrote down."""
    return _table(_LOST_CMDLINE)


def _changed_offsets() -> set[int]:
    message = sample_message()
    return set(compare(message, message.replace(policy=Policy(0x05000001))).marked)


#: The policy of the lost session; students find it by trying 64.
_LOST_POLICY = int.from_bytes(samples.TIK, "little") % 61


def lost_session() -> SessionBlob:
    """Return a launch session under the samples' keys whose policy nobody wrote down."""
    keys = derive_session_keys(bytes(range(48)), samples.MNONCE)
    return wrap_keys(keys, samples.TEK, samples.TIK, bytes(range(0x50, 0x60)), Policy(_LOST_POLICY))


#: A secret of four digits that is hidden by a keystream used twice; students find it without any key.
_LOST_PIN = f"{int.from_bytes(samples.TIK, 'little') % 9973:04}".encode()


def twice() -> tuple[SecretPacket, SecretPacket]:
    """Return two packets under one TEK and one IV, which must never be: the secret of the first is b"0000"."""
    measure, iv = samples.es_measurement()[:32], bytes(range(0x70, 0x80))
    first, second = (
        build_secret([("luks-key", pin)], samples.TIK, samples.TEK, measure, iv=iv) for pin in (b"0000", _LOST_PIN)
    )
    return first, second


def _start_address() -> list[int]:
    page = build_vmsa("qemu", cpu=1, signature=0, reset_address=0xFFFCC0A4)
    return [int(page.cs.base), int(page.rip)]


#: What was not written down of a SEV-ES launch; students find it by trying all pairs.
_LOST_LAUNCH = ("qemu" if samples.TIK[0] & 1 else "qemu-legacy", samples.TIK[1] % 8 + 1)


def lost_digest() -> bytes:
    """Return the digest (32 bytes) of the second sample's launch under another profile and number of CPUs."""
    profile, count = _LOST_LAUNCH
    return samples.es_launch(profile=profile, num_cpus=count).digest


def _first_step(**changes: object) -> str:
    """Return the first step of the second sample's launch that differs after a change."""
    return compare_launch(samples.es_launch(), samples.es_launch(**changes)).first


#: How many virtual CPUs the lost SEV-SNP launch has; students find it among 64.
_LOST_CPUS = samples.TIK[2] + 1


def lost_snp_digest() -> bytes:
    """Return the digest (48 bytes) of the SEV-SNP sample's launch with a number of CPUs that nobody wrote down."""
    return snp.snp_launch(num_cpus=_LOST_CPUS).digest


#: The TCB that the lost certificate is for.
_LOST_TCB = ("committed_tcb", "launch_tcb")[samples.TIK[1] & 1]


def lost_vcek() -> bytes:
    """Return a certificate (DER) of the sample's chip for one of the four TCBs in its report."""
    report = snp.snp_report()
    return snp.key_server().vcek(snp.PRODUCT, report.chip_id, getattr(report, _LOST_TCB))


def _first_link(**changes: object) -> int:
    """Return the number, from 1, of the first link of the SEV-SNP sample's launch that differs after a change."""
    number = compare_snp_launch(snp.snp_launch(), snp.snp_launch(**changes)).number
    assert number is not None
    return number + 1


def _places_of_snp() -> list[int]:
    """Return the offsets of the part ``snp`` of REPORTED_TCB, in reports of Milan and of Turin."""
    blank = (form.from_bytes(bytes(form.size)) for form in (ReportV3, TurinReportV3))
    return [next(span.offset for span in report.spans() if span.name == "reported_tcb.snp") for report in blank]


EXERCISES = {
    "first-link": Exercise(
        "The SEV-SNP sample is launched without kernel, initrd and cmdline. Which link differs first? (its number)",
        lambda: _first_link(kernel=None, initrd=None, cmdline=None),
        "links are numbered from 1; sevlab.compare_snp_launch names the first that differs",
    ),
    "lost-cpus": Exercise(
        "How many virtual CPUs, 1 to 64, has the launch with exercises.lost_snp_digest()? All else is the sample's.",
        lambda: _LOST_CPUS,
        "launch.cpu_digests(64) lists the digests with 1, 2, 3 ... CPUs",
    ),
    "two-places": Exercise(
        "At which offset of a report stands the part snp of REPORTED_TCB, on Milan and on Turin? (a list)",
        _places_of_snp,
        "REPORTED_TCB begins at 0x180; sevlab.explain(sevlab.TurinTcb.from_bytes(bytes(8))) shows where Turin has snp",
    ),
    "lost-vcek": Exercise(
        "For which TCB of the report is the certificate exercises.lost_vcek()? (a field's name, such as current_tcb)",
        lambda: _LOST_TCB,
        "verify the report with it: the check TCB says what the certificate is for",
    ),
    **{name: Exercise(*task) for name, task in attacks.TASKS.items()},
    **{name: Exercise(*task) for name, task in incident_tasks.items()},
    "first-step": Exercise(
        "The host starts the second sample with 3 virtual CPUs in place of 4. Which step of the chain differs first?",
        lambda: _first_step(num_cpus=samples.ES_CPUS - 1),
        "the chain is the same as far as both have steps: look for the first step that only one of them has",
    ),
    "line-break": Exercise(
        "How many of the table's 176 bytes differ when the sample's command line ends in a line break?",
        lambda: len(compare(_table(samples.CMDLINE), _table(samples.CMDLINE + "\n")).marked),
        "sevlab.compare(one, other).marked lists the offsets; a hash may by chance keep a byte",
    ),
    "lost-cmdline": Exercise(
        "Which command line is exercises.lost_table() made for? It is console=ttyS and a number from 0 to 99.",
        _LOST_CMDLINE.encode,
        "build the table for each of the 100 command lines and compare its cmdline field with the lost one's",
    ),
    "who-notices": Exercise(
        "The host changes one byte of wrap_iv in the launch session. Which check of the platform fails? (its name)",
        lambda: "policy_mac",
        "explore(opened) lets you change wrap_iv; no MAC covers it, but TEK and TIK come out wrong",
    ),
    "lost-policy": Exercise(
        "Which policy, 0 to 63, is exercises.lost_session() bound to? Its TIK is the samples' 30 31 ... 3f.",
        lambda: _LOST_POLICY,
        "policy_mac is HMAC-SHA256 under the TIK of the policy's four bytes, little-endian; there are only 64 to try",
    ),
    "who-catches": Exercise(
        "A host changes the nonce in the measurement it passes on. Which party notices? (as .caught names it)",
        lambda: "owner",
        "simulate the launch again with that change, and look at .caught",
    ),
    "start-address": Exercise(
        "A firmware's footer gives 0xfffcc0a4 as reset address. What are CS base and RIP of the further CPUs? (a list)",
        _start_address,
        "sevlab.build_vmsa(..., cpu=1, reset_address=...) makes the page; the upper 16 bits go to CS base",
    ),
    "lost-launch": Exercise(
        "Which profile (qemu or qemu-legacy) and number of CPUs (1 to 8) give exercises.lost_digest()? (a list)",
        lambda: set(_LOST_LAUNCH),
        "evidence.replace(profile=..., num_cpus=...).digest for each of the 16 pairs, compared with the lost one",
    ),
    "broken-launch": Exercise(
        "Which inputs of exercises.broken_launch(12) are wrong? (a list of their names, as the page shows them)",
        lambda: list(broken_launch(12).solution),
        "sevlab.diagnose takes broken_launch(12).inputs, and .explanations[0].changes of what it returns names them",
    ),
    "payload-size": Exercise(
        "How many bytes is the payload of a packet with two secrets, of 32 and of 100 bytes?",
        lambda: table_size([32, 100]),
        "20 bytes of head, 20 before each secret, and zeros up to a multiple of 16",
    ),
    "lost-pin": Exercise(
        "exercises.twice() is two packets under one TEK and one IV. The first holds b'0000'. What does the other hold?",
        lambda: _LOST_PIN,
        "exclusive-or of the two payloads is that of the two tables; the secret starts at byte 40; no key is needed",
    ),
    "policy": Exercise(
        "Which number is the policy with NODBG, NOKS and NOSEND set and all else clear?",
        lambda: int(Policy().replace(nodbg=1, noks=1, nosend=1)),
        "add the values of the bits: bit n is worth 2**n",
    ),
    "offsets": Exercise(
        "At which offsets of the message do bytes change when the policy goes from 0x1 to 0x05000001? (a list)",
        _changed_offsets,
        "the policy starts at offset 4 and is little-endian: its lowest byte comes first",
    ),
    "next-minor": Exercise(
        "What is the measure, in hex, of the sample launch on firmware whose API minor is one higher?",
        lambda: compute_measure(sample_message().replace(api_minor=samples.API_MINOR + 1), samples.TIK).hex(),
        "evidence.message.replace(api_minor=...) makes the message, sevlab.compute_measure(message, tik) the rest",
    ),
    "lost-build": Exercise(
        "Under which build number was exercises.lost_measurement() made? Everything else is as in the sample.",
        lambda: _LOST_BUILD,
        "there are only 256 build numbers: compute the measure for each and compare",
    ),
}


def ask(name: str) -> str:
    """Return an exercise's question. Raises KeyError for an unknown name."""
    question: str = EXERCISES[name].question
    return question


def mark(name: str, answer: object) -> Mark:
    """Mark an answer. ``...`` means: not tried yet. Raises KeyError for an unknown name."""
    exercise = EXERCISES[name]
    if answer is ...:
        return Mark("not tried", f"{name}: not tried yet. Put your answer in place of ... and run the cell again.")
    if _agrees(answer, exercise.solve()):
        return Mark("right", f"{name}: right.")
    return Mark("wrong", f"{name}: not yet. Hint: {exercise.hint}.")


def _agrees(answer: object, solution: object) -> bool:
    """Compare an answer with the solution, in the forms people give: which ones follows from the solution's type."""
    if isinstance(solution, set | list):
        return isinstance(answer, set | tuple | list) and _same_items(list(answer), solution)
    if isinstance(solution, bytes):  # exact, to the last space
        return answer in (solution, solution.decode())
    if isinstance(solution, int):
        return not isinstance(answer, bool) and _number(answer) == solution
    if isinstance(answer, bytes | bytearray):
        answer = bytes(answer).hex()
    return isinstance(answer, str) and answer.strip().lower().removeprefix("0x") == str(solution).lower()


def _same_items(answer: list[object], solution: set[Any] | list[Any]) -> bool:
    """Compare item by item; the order counts only where the solution has one."""
    if len(answer) != len(solution):
        return False
    if isinstance(solution, set):
        return all(any(_agrees(one, other) for one in answer) for other in solution)
    return all(map(_agrees, answer, solution))


def _number(answer: object) -> object:
    """Return text that is a whole number as that number, anything else as it is."""
    if isinstance(answer, str):
        with suppress(ValueError):
            return int(answer.strip(), 0)
    return answer
