"""What a search found, in sentences: explanations, what was ruled out, and what could not be tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data import INCIDENTS
from ..errors import UnsupportedError, quoted
from ..formats.policy import Policy, SnpPolicy
from ..launch.inputs import SKU, as_option, as_peer
from ..launch.keys import SecretBytes
from ..launch.values import KEY_SIZE
from ..launch.verify import MATCH, NOT_DECIDED
from ..launch.vmm import CPU_MODELS
from ..layout.span import Explainable
from ..layout.views import Banner, Heading, Paragraph, Table, View
from .model import FROM_FILES

if TYPE_CHECKING:
    from ..formats.report import Report
    from ..launch.inputs import Trust
    from ..layout.views import Block
    from .model import Change, Hypothesis


EXPLAINED, UNEXPLAINED = "explained", "unexplained"
OWNER = (
    "This explains the report; it does not make the guest trustworthy. You must decide whether the values found are "
    "ones you accept."
)
NO_KERNEL = "No kernel was measured: the host may have loaded any kernel, initrd and command line."
UNCHECKED = "The signature of the report is not checked here; sevlab report verify checks it."
#: What no option can express, and what it is called.
NO_OPTION = {
    "message": "the form of the message",
    "table": "the size of the kernel-hashes table",
    "reset_address": "the start address of further CPUs",
    "pages": "order and types of pages",
    "part": "what the digest is of",
}
#: Mistakes in bytes that no input can name.
NO_INPUT = ("another part of the firmware file", "padded firmware", "command line in other bytes")
#: Flags of a report's policy that the owner must not overlook.
_DANGEROUS = ("debug", "migrate_ma")
#: How many digits of a reported digest a table has room for.
_DIGITS = 24


@dataclass(frozen=True)
class Cause:
    """One mistake, and the inputs that it changed."""

    hypothesis: Hypothesis
    changes: tuple[Change, ...]


@dataclass(frozen=True, repr=False)
class Explanation(Explainable):
    """Changed inputs under which the computed value equals the reported one, and the mistakes they point to.

    ``tik`` is the transport integrity key that was found, None if the given one is right. ``vcpu_type`` is the name of
    the CPU model that was given, "" for none, and None where it was given by numbers.
    """

    causes: tuple[Cause, ...]
    tik: SecretBytes | None = None
    is_snp: bool = False
    vcpu_type: str | None = None

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every input that was changed."""
        return tuple(change for cause in self.causes for change in cause.changes)

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The mistakes."""
        return tuple(cause.hypothesis for cause in self.causes)

    def named(self, name: str) -> str:
        """Return what an input is called: its option, or words if it has none."""
        return NO_OPTION.get(name) or (as_peer if self.is_snp else as_option)(name)

    def shown(self, change: Change, side: str) -> str:
        """Return a value for people, ``given`` or ``found``: a number also in hex, a policy with its flags."""
        name, value = change.input, getattr(change, side)
        if value is None:
            return "nothing"
        if name == "measurement" and self.is_snp:
            digits, _, form = str(value).partition(" ") if side == "found" else (str(value), "", "")
            return f"{quoted(digits[:_DIGITS])}{'...' * (len(digits) > _DIGITS)} {form}".rstrip()
        if name in ("cmdline", "measurement"):
            return quoted(str(value), 200, public=name == "measurement")
        if name == "ovmf_hash" and len(str(value)) > _DIGITS:
            return f"{str(value)[:_DIGITS]}..."
        if not isinstance(value, int):
            return str(value)
        if name == "policy":
            return Policy(value).text
        if name == "cpu_signature":
            return f"0x{value:x} ({_model(value) or 'no model of QEMU'})"
        if self.is_snp and name in ("guest_features", "reset_address"):
            return f"0x{value:x}"
        return f"{value} (0x{value:x})" if value > 9 else str(value)

    @property
    def found(self) -> dict[str, object]:
        """The values found, by input."""
        return {change.input: change.found for change in self.changes}

    @property
    def inputs(self) -> dict[str, Any]:
        """The changes as inputs of :func:`sevlab.load_evidence`, or of :func:`sevlab.load_snp_launch`.

        None takes an input away. Raises :class:`~sevlab.errors.UnsupportedError` for what no input can express:
        another form of the message, pages in another order, other bytes of a file or of the command line, registers
        from VMSA files that differ in part.
        """
        inputs = dict[str, object]()
        for cause in self.causes:
            for change in cause.changes:
                if change.input in NO_OPTION or cause.hypothesis.name in NO_INPUT or change.given == FROM_FILES:
                    what, verb = ("a launch", "digest") if self.is_snp else ("validating", "validate")
                    what = f"{what} with {self.named(change.input)} as found"
                    raise UnsupportedError(what, f"what {verb}'s options say")
                if cause.hypothesis.parameter == "key":
                    inputs |= {"tk": None, "tik": self.tik, "tek": SecretBytes(bytes(KEY_SIZE))}
                else:
                    inputs[change.input] = change.found
        if self.is_snp:
            inputs.pop("measurement", None)
        if "cpu_signature" in inputs:
            inputs |= dict.fromkeys(SKU)
        if "vars_size" in inputs:
            inputs["vars_file"] = None
        if "kernel" in inputs and inputs["kernel"] is None:
            inputs |= {"initrd": None, "cmdline": None}
        return inputs

    @property
    def sentence(self) -> str:
        """Everything in one paragraph: what was given and found, how it happens, what to look out for."""
        values = [f"{name}: given {given}, but {found} fits the report." for name, given, found in self._rows()]
        reasons = []
        for one in self.hypotheses:
            alike = [f"It resembles {INCIDENTS[key].name}: {INCIDENTS[key].lesson}" for key in one.incidents]
            reasons.append(" ".join([one.how, *alike]))
        return " ".join([*values, *dict.fromkeys(reasons), *self.alarms, OWNER])

    @property
    def alarms(self) -> list[str]:
        """What the owner must not overlook in the values found."""
        alarms = []
        for change in self.changes:
            if change.input == "policy":
                policy = Policy(change.found)
                if not policy.nodbg:
                    alarms.append(f"The policy found, {policy.text}, allows debugging: {Policy.nodbg.clear}")
                for row, value in policy.items():
                    if row.is_flag and row.name != "nodbg" and not value and int(change.given) & row.mask:
                        alarms.append(f"The policy found does not have {row.name.upper()}: {row.clear}")
                alarms += policy.findings()
        if any(self.found.get(name) == "all zero" for name in ("tk", "tik")):
            alarms.append("The keys found are all zero: anyone can make this measurement, and it proves nothing.")
        if self.found.get("kernel", "") is None:
            alarms.append(NO_KERNEL)
        return alarms

    @property
    def incidents(self) -> tuple[str, ...]:
        """Keys of the incidents it resembles."""
        return tuple(dict.fromkeys(key for hypothesis in self.hypotheses for key in hypothesis.incidents))

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON-ready data."""
        return {
            "changes": [
                {
                    "input": one.input.replace("_", "-"),
                    "given": one.given,
                    "found": str(one.found) if isinstance(one.found, bytes) else one.found,
                }
                for one in self.changes
            ],
            "sentence": self.sentence,
            "alarms": self.alarms,
            "incidents": list(self.incidents),
        }

    def explain(self) -> View:
        """Show the changes, what the owner must not overlook, and how such mistakes happen."""
        count, value = len(self.causes), _compared(self.is_snp)
        words = f"EXPLAINED: with {count} change{'s' * (count > 1)} the computed {value} equals the reported one"
        reasons: dict[str, list[str]] = {}
        for hypothesis in self.hypotheses:
            reasons.setdefault(hypothesis.how, []).append(hypothesis.name)
        alike = [(key, INCIDENTS[key]) for key in self.incidents]
        rows = [[key, f"'{one.title}': {one.lesson} ({one.source}, {one.date})"] for key, one in alike]
        return View(
            Banner(words, "orange"),
            Table(["input", "given", "found"], self._rows(), mono=[0, 1, 2]),
            *(Banner(alarm, "pink") for alarm in self.alarms),
            *(Paragraph(f"{_first_upper('; '.join(names))}. {how}") for how, names in reasons.items()),
            *([Table(["it resembles", "what happened there"], rows)] if rows else []),
            Paragraph(OWNER),
        )

    def _rows(self) -> list[list[str]]:
        rows = []
        for change in self.changes:
            if self.vcpu_type is not None and change.input == "cpu_signature" and (model := _model(change.found)):
                rows.append([as_peer("vcpu_type"), self.vcpu_type or "nothing", model])
            else:
                rows.append([self.named(change.input), self.shown(change, "given"), self.shown(change, "found")])
        return rows


def _model(signature: object) -> str:
    """Return QEMU's name for a CPU, "" if it has none."""
    return next((name for name, cpu in CPU_MODELS.items() if cpu.signature == signature), "")


@dataclass(frozen=True)
class RuledOut:
    """Something that was tried completely and explains nothing: what was changed, how many values, which mistakes."""

    what: str
    values: str
    mistakes: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.values}" + (f" ({self.mistakes})." if self.mistakes else ".")


@dataclass(frozen=True, repr=False)
class Diagnosis(Explainable):
    """The outcome of :func:`sevlab.diagnose`.

    ``status`` is "match", "explained", "unexplained", or "not_decided" if the values agree only under a key from
    somebody else's bundle (see ``trust``). ``explanations`` come with the fewest changes first. ``tried`` is the number
    of candidates, ``seconds`` how long it took. ``searched`` is what was ruled out, ``not_tried`` what was not tried
    and why, ``stopped`` why the search ended early ("" if it did not). ``alarms`` are what the owner must not overlook
    in a SEV-SNP report, whatever explains it; ``notes`` are remarks about the inputs, and what was not checked.
    """

    status: str
    explanations: tuple[Explanation, ...] = ()
    tried: int = 0
    seconds: float = 0.0
    searched: tuple[RuledOut, ...] = ()
    not_tried: tuple[str, ...] = ()
    stopped: str = ""
    is_snp: bool = False
    trust: Trust | None = None
    alarms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
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
            **({"alarms": list(self.alarms), "notes": list(self.notes)} if self.is_snp else {}),
        }

    @property
    def effort(self) -> str:
        """How much was tried, in a sentence."""
        return f"Tried {self.tried:,} candidate{'s' * (self.tried != 1)} in {self.seconds:.1f} seconds."

    def explain(self) -> View:
        """Show the answer first, then what it rests on."""
        value = _compared(self.is_snp)
        blocks: list[Block] = []
        if self.status == MATCH:
            words = f"MATCH: the computed {value} equals the reported one, with every input as given"
            blocks += [Banner(words, "green"), Paragraph("There is nothing to explain.")]
        elif self.status == NOT_DECIDED and self.trust is not None:
            words = f"NOT DECIDED: the {value} {self.trust.words}"
            blocks += [Banner(words, "pink"), *(Paragraph(f"NOTE: {note}.") for note in self.trust.notes)]
        elif self.status == EXPLAINED:
            blocks += [block for explanation in self.explanations for block in explanation.explain().blocks]
        else:
            words = f"UNEXPLAINED: no change that was tried makes the computed {value} equal the reported one"
            blocks += [Banner(words, "pink"), *self._tried()]
        first, *rest = blocks
        return View(first, *(Banner(alarm, "pink") for alarm in self.alarms), *rest, *map(Paragraph, self.notes))

    def _tried(self) -> list[Block]:
        blocks: list[Block] = [Paragraph(f"The search ended early: {self.stopped}.")] if self.stopped else []
        if self.searched:
            rows = [[one.what, one.values, one.mistakes] for one in self.searched]
            blocks += [Heading("Ruled out"), Table(["changed", "values tried", "mistakes looked for"], rows)]
        if self.not_tried:
            rows = [list(sentence.partition(": ")[::2]) for sentence in self.not_tried]
            blocks += [Heading("Not tried"), Table(["what", "why"], rows)]
        return blocks


def report_alarms(report: Report) -> list[str]:
    """Return what the owner must not overlook in a report, whatever its measurement is."""
    policy = report.policy
    alarms = [
        f"The report's policy sets {row.name.upper()}: {row.doc}"
        for row, value in policy.items()
        if row.name in _DANGEROUS and value
    ]
    if report.key_info.signer not in ("VCEK", "VLEK"):
        alarms.append("The report names no key that signed it: anyone can make such a report, and it proves nothing.")
    return alarms + [f"The report's policy: {finding}." for finding in SnpPolicy(policy).findings()]


def _compared(is_snp: bool) -> str:
    return "launch digest" if is_snp else "measure"


def _first_upper(words: str) -> str:
    return words[:1].upper() + words[1:]
