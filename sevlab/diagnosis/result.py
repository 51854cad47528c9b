"""What a search found, in sentences: explanations, what was ruled out, and what could not be tried."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from ..cpu import CPU_MODELS
from ..errors import UnsupportedError, quoted
from ..evidence import as_option
from ..formats.policy import Policy
from ..formats.snppolicy import SnpPolicy
from ..incidents import INCIDENTS
from ..inputs import KEY_SIZE
from ..keys import Secret
from ..launch import SKU, as_peer
from ..layout.page import Banner, Heading, Paragraph, Table, View
from ..layout.shown import Shown
from ..outcome import MATCH, NOT_DECIDED
from .sev import AXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..formats.report import Report
    from ..incidents import Incident
    from ..layout.page import Block
    from ..outcome import Trust
    from .model import Change, Hypothesis

EXPLAINED, UNEXPLAINED = "explained", "unexplained"
OWNER = (
    "This explains the report; it does not make the guest trustworthy. You must decide whether the values found are "
    "ones you accept."
)
NO_KERNEL = "No kernel was measured: the host may have loaded any kernel, initrd and command line."
NO_OPTION = {
    "message": "the form of the message",
    "table": "the size of the kernel-hashes table",
    "reset_address": "the start address of further CPUs",
}


#: Mistakes in bytes that no input of validate can name.
NO_INPUT = ("another part of the firmware file", "padded firmware", "command line in other bytes")


class Explanation(Shown, namedtuple("Explanation", "changes hypotheses tik")):
    """Changed inputs under which the computed measure is the reported one, and the mistakes they point to.

    ``tik`` is the transport integrity key that was found, None where the given one is right.
    """

    __slots__ = ()
    #: What is computed and compared.
    COMPARED = "measure"
    changes: tuple[Change, ...]
    hypotheses: tuple[Hypothesis, ...]
    tik: Secret | None

    def named(self, name: str) -> str:
        """Return what an input is called: its option, or words for what is none."""
        return NO_OPTION.get(name) or as_option(name)

    def shown(self, change: Change, side: str) -> str:
        """Return a value for people, the one ``given`` or ``found``: a number also in hex, a policy with its flags."""
        value = getattr(change, side)
        if value is None:
            return "nothing"
        if change.input == "policy" and isinstance(value, int):
            return Policy(value).text
        if isinstance(value, int):
            return f"{value} (0x{value:x})" if value > 9 else str(value)
        if change.input in ("cmdline", "measurement"):
            return quoted(value, 200, public=change.input == "measurement")
        return str(value)

    @property
    def found(self) -> dict[str, Any]:
        """The values found, by input."""
        return {change.input: change.found for change in self.changes}

    @property
    def inputs(self) -> dict[str, Any]:
        """The changes as inputs of :func:`sevlab.load_evidence` and ``Evidence.replace``; None takes an input away.

        Raises :class:`~sevlab.errors.UnsupportedError` for what no input can say: another form of the message, other
        bytes of a file or of the command line.
        """
        inputs: dict[str, Any] = {}
        for change, hypothesis in ((change, self._hypothesis_of(change)) for change in self.changes):
            if change.input in NO_OPTION or hypothesis.name in NO_INPUT:
                raise UnsupportedError(
                    f"validating with {self.named(change.input)} as found", "what validate's options say"
                )
            if hypothesis.axis == "key":
                inputs |= {"tk": None, "tik": self.tik, "tek": Secret(bytes(KEY_SIZE))}
            else:
                inputs[change.input] = change.found
        if "kernel" in inputs and inputs["kernel"] is None:
            inputs |= {"initrd": None, "cmdline": None}
        return inputs

    def _hypothesis_of(self, change: Change) -> Hypothesis:
        return next(one for one in self.hypotheses if change.input in AXES[one.axis] or one.axis == "key")

    @property
    def reasons(self) -> list[str]:
        """For each mistake a few sentences: how it happens, and what it resembles."""
        told = []
        for hypothesis in self.hypotheses:
            parts = [f"It resembles {INCIDENTS[key].name}: {INCIDENTS[key].lesson}" for key in hypothesis.incidents]
            told.append(" ".join([hypothesis.how, *parts]))
        return told

    @property
    def sentence(self) -> str:
        """Everything in one paragraph: what was given and found, how it happens, what to look out for."""
        values = [f"{name}: given {given}, but {found} fits the report." for name, given, found in self._rows()]
        return " ".join([*values, *dict.fromkeys(self.reasons), *self.alarms, OWNER])

    @property
    def alarms(self) -> list[str]:
        """What the owner must not overlook in the values found."""
        found = self.found
        alarms = []
        if "policy" in found:
            policy = Policy(found["policy"])
            given = next(change.given for change in self.changes if change.input == "policy")
            if not policy.nodbg:
                alarms.append(f"The policy found, {policy.text}, allows debugging: {Policy.nodbg.clear}")
            for row, value in policy.items():
                if row.is_flag and row.name != "nodbg" and not value and int(given) & row.mask:
                    alarms.append(f"The policy found does not have {row.name.upper()}: {row.clear}")
            alarms += policy.findings()
        if any(name in found and found[name] == "all zero" for name in ("tk", "tik")):
            alarms.append("The keys found are all zero: anyone can make this measurement, and it proves nothing.")
        if found.get("kernel", "") is None:
            alarms.append(NO_KERNEL)
        return alarms

    @property
    def incidents(self) -> tuple[str, ...]:
        """Keys of the incidents it resembles."""
        return tuple(dict.fromkeys(key for hypothesis in self.hypotheses for key in hypothesis.incidents))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "changes": [
                {"input": change.input.replace("_", "-"), "given": change.given, "found": change.found}
                for change in self.changes
            ],
            "sentence": self.sentence,
            "alarms": self.alarms,
            "incidents": list(self.incidents),
        }

    def explain(self) -> View:
        """Show the changes, what the owner must not overlook, and how such mistakes come about."""
        count = len(self.hypotheses)
        words = (
            f"EXPLAINED: with {count} change{'s' * (count > 1)} the computed {self.COMPARED} equals the reported one"
        )
        return View(Banner(words, "orange"), *self._blocks(), Paragraph(OWNER))

    def _rows(self) -> list[list[str]]:
        return [
            [self.named(change.input), self.shown(change, "given"), self.shown(change, "found")]
            for change in self.changes
        ]

    def _blocks(self) -> list[Block]:
        told: dict[str, list[str]] = {}
        for hypothesis in self.hypotheses:
            told.setdefault(hypothesis.how, []).append(hypothesis.name)
        alike = [[key, _told(INCIDENTS[key])] for key in self.incidents]
        return [
            Table(["input", "given", "found"], self._rows(), mono=[0, 1, 2]),
            *(Banner(alarm, "pink") for alarm in self.alarms),
            *(Paragraph(f"{_first_upper('; '.join(names))}. {how}") for how, names in told.items()),
            *([Table(["it resembles", "what happened there"], alike)] if alike else []),
        ]


def _told(incident: Incident) -> str:
    return f"'{incident.title}': {incident.lesson} ({incident.source}, {incident.date})"


class RuledOut(namedtuple("RuledOut", "what values mistakes")):
    """Something that was tried to its end in vain: what was changed, to how many values, which mistakes that covers."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.what}: {self.values}" + (f" ({self.mistakes})." if self.mistakes else ".")


class Diagnosis(Shown):
    """The outcome of :func:`sevlab.diagnose`.

    ``status`` is "match", "explained" or "unexplained"; "not_decided" where reported and computed value agree by a key
    out of a stranger's bundle, as ``trust`` tells. ``explanations`` come with the fewest changes first.
    ``tried`` is the number of candidates, ``seconds`` how long it took. ``searched`` tells what was tried to
    its end in vain, ``not_tried`` what was not and why. ``stopped`` says why the search ended early, "" when it did
    not.
    """

    #: What is computed and compared.
    COMPARED = "measure"
    #: What was taken from a case; None where nothing was.
    trust: Trust | None = None

    def __init__(
        self,
        status: str,
        explanations: Sequence[Explanation] = (),
        tried: int = 0,
        seconds: float = 0.0,
        searched: Sequence[RuledOut] = (),
        not_tried: Sequence[str] = (),
        stopped: str = "",
    ) -> None:
        self.status, self.explanations = status, tuple(explanations)
        self.tried, self.seconds = tried, seconds
        self.searched, self.not_tried, self.stopped = tuple(searched), tuple(not_tried), stopped

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data, as docs/diagnose.md describes it. Keys never appear."""
        return {
            "status": self.status,
            "explanations": [explanation.as_dict() for explanation in self.explanations],
            "tried": self.tried,
            "seconds": round(self.seconds, 3),
            "searched": [str(ruled_out) for ruled_out in self.searched],
            "not-tried": list(self.not_tried),
            "stopped": self.stopped,
            **({} if self.trust is None else {"trusted_from_case": list(self.trust.names)}),
        }

    @property
    def effort(self) -> str:
        """How much was tried, in a sentence."""
        return f"Tried {self.tried:,} candidates in {self.seconds:.1f} seconds."

    def explain(self) -> View:
        """Show the answer first, then what it rests on."""
        if self.status == MATCH:
            words = f"MATCH: the computed {self.COMPARED} equals the reported one, with every input as given"
            return View(Banner(words, "green"), Paragraph("There is nothing to explain."))
        if self.status == NOT_DECIDED and self.trust is not None:
            words = f"NOT DECIDED: the {self.COMPARED} {self.trust.words}"
            return View(Banner(words, "pink"), *(Paragraph(f"NOTE: {note}.") for note in self.trust.notes))
        if self.status == EXPLAINED:
            return View(*(block for explanation in self.explanations for block in explanation.explain().blocks))
        words = f"UNEXPLAINED: no change that was tried makes the computed {self.COMPARED} equal the reported one"
        blocks: list[Block] = [Banner(words, "pink")]
        if self.stopped:
            blocks.append(Paragraph(f"The search ended early: {self.stopped}."))
        if self.searched:
            rows = [list(ruled_out) for ruled_out in self.searched]
            blocks += [Heading("Ruled out"), Table(["changed", "values tried", "mistakes looked for"], rows)]
        if self.not_tried:
            rows = [list(sentence.partition(": ")[::2]) for sentence in self.not_tried]
            blocks += [Heading("Not tried"), Table(["what", "why"], rows)]
        return View(*blocks)


def _first_upper(words: str) -> str:
    return words[:1].upper() + words[1:]


#: Changes that no option of digest can say, and what they are called.
NO_SNP_OPTION = {
    "pages": "order and types of pages",
    "part": "what the digest is of",
    "reset_address": "start address of further CPUs",
}
#: What of a policy the owner must not overlook when it is set.
_DANGEROUS = ("debug", "migrate_ma")
UNCHECKED = "The signature of the report is not checked here; sevlab report verify checks it."
_COMPARED = "launch digest"
#: How many digits of a reported digest a table has room for.
_DIGITS = 24


class SnpExplanation(Explanation):
    """Changed inputs under which the computed launch digest is the reported one, and the mistakes they point to."""

    __slots__ = ()
    COMPARED = _COMPARED

    def named(self, name: str) -> str:
        """Return what an input is called: the option of digest, or words for what is none."""
        return NO_SNP_OPTION.get(name) or as_peer(name)

    def shown(self, change: Change, side: str) -> str:
        """Return a value for people; a CPU's signature and SEV_FEATURES in hex, as options take them."""
        value = getattr(change, side)
        if change.input == "cpu_signature" and isinstance(value, int):
            model = next((name for name, cpu in CPU_MODELS.items() if cpu.signature == value), "no model of QEMU")
            return f"0x{value:x} ({model})"
        if change.input == "measurement":
            digits, form = (str(value), "") if side == "given" else str(value).split(" ", 1)
            return f"{quoted(digits[:_DIGITS])}{'...' * (len(digits) > _DIGITS)} {form}".rstrip()
        if change.input == "ovmf_hash" and isinstance(value, str) and len(value) > _DIGITS:
            return f"{value[:_DIGITS]}..."
        if change.input in ("guest_features", "reset_address") and isinstance(value, int):
            return f"0x{value:x}"
        return super().shown(change, side)

    @property
    def inputs(self) -> dict[str, Any]:
        """The changes as inputs of :func:`sevlab.load_snp_launch`; None takes an input away.

        Raises :class:`~sevlab.errors.UnsupportedError` for what no input can say: pages in another order, another start
        of further CPUs, a part of the launch, other bytes of a file or of the command line.
        """
        inputs: dict[str, Any] = {}
        for change in self.changes:
            if change.input in NO_SNP_OPTION or any(one.name in NO_INPUT for one in self.hypotheses):
                raise UnsupportedError(
                    f"a launch with {self.named(change.input)} as found", "what digest's options say"
                )
            inputs[change.input] = change.found
        inputs.pop("measurement", None)
        if "cpu_signature" in inputs:
            inputs |= dict.fromkeys(SKU)
        if "vars_size" in inputs:
            inputs["vars_file"] = None
        if "kernel" in inputs and inputs["kernel"] is None:
            inputs |= {"initrd": None, "cmdline": None}
        return inputs

    @property
    def alarms(self) -> list[str]:
        """What the owner must not overlook in the values found."""
        return [NO_KERNEL] if self.found.get("kernel", "") is None else []


class SnpDiagnosis(Diagnosis):
    """The outcome of :func:`sevlab.diagnose_snp`; see :class:`sevlab.Diagnosis`.

    ``alarms`` are what the owner must not overlook in the report, whatever explains it; ``notes`` is what was odd
    about the inputs, and what was not looked at.
    """

    COMPARED = _COMPARED

    def __init__(self, *found: Any, alarms: Sequence[str] = (), notes: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*found, **more)
        self.alarms, self.notes = tuple(alarms), tuple(notes)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data, as docs/diagnose.md describes it."""
        return super().as_dict() | {"alarms": list(self.alarms), "notes": list(self.notes)}

    def explain(self) -> View:
        """Show the answer first, then what it rests on."""
        first, *rest = super().explain().blocks
        told: list[Block] = [Banner(alarm, "pink") for alarm in self.alarms]
        return View(first, *told, *rest, *(Paragraph(note) for note in self.notes))


def report_alarms(report: Report) -> list[str]:
    """Say what the owner must not overlook in a report, whatever its measurement is."""
    policy = report.policy
    alarms = [
        f"The report's policy sets {row.name.upper()}: {row.doc}"
        for row, value in policy.items()
        if row.name in _DANGEROUS and value
    ]
    if report.key_info.signer not in ("VCEK", "VLEK"):
        alarms.append("The report names no key that signed it: anyone can make such a report, and it proves nothing.")
    return alarms + [f"The report's policy: {finding}." for finding in SnpPolicy(policy).findings()]
