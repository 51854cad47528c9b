"""A capture: the values found in pasted texts, where each came from, what contradicts and what is missing."""

from __future__ import annotations

import base64
import html
import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import InputError, hide_keys, quoted
from ..formats.policy import Policy
from ..launch.inputs import REPORTED, SKU
from ..launch.values import parse_measurement, parse_number
from ..layout.span import Explainable
from ..layout.views import Banner, Heading, Paragraph, Table, View
from .case import BY_NAME, FILE

if TYPE_CHECKING:
    from ..layout.views import Block

    Value = str | int | bool

#: Longest text read from any one source, in characters.
TEXT_LIMIT = 1 << 20
#: Most remarks kept from one source: a hostile text must not flood the terminal.
REMARK_LIMIT = 40
#: The sources, the most reliable about the launch first. An ``option`` is the owner's own word; ``here`` is a file that
#: the host named and that was found here. Of the host's words, reports about the launched guest come before its
#: configuration, and that before what the platform says today.
OPTION, HERE, SECINFO, QMP, XML = "option", "here", "domlaunchsecinfo", "qmp", "xml"
COMMAND_LINE, DMESG = "qemu-cmdline", "dmesg"
SOURCES = (OPTION, HERE, SECINFO, QMP, XML, COMMAND_LINE, DMESG)
#: What a text of each source contains.
NEEDED = {
    SECINFO: "lines such as 'sev-measurement: ...'",
    QMP: 'answers such as {"return": {"data": "..."}}',
    XML: "the XML of a libvirt domain with launchSecurity",
    COMMAND_LINE: "a QEMU command line such as 'qemu-system-x86_64 -machine ...'",
    DMESG: "a line such as 'ccp 0000:47:00.1: SEV API:1.53 build:5'",
}
#: What only SEV-ES measures.
ES_ONLY = ("num_cpus", "vmsa_cpu0", "vmsa_cpu1", *SKU, "profile", "guest_features")
#: What is measured only by the kernel-hashes table.
HASHED = ("kernel", "initrd", "cmdline")
#: Of SEV-SNP, what a report shows and the digest does not contain: the owner's requirements are not taken from a host.
REPORT_ONLY = ("snp_guest_policy", "host_data", "id_block_value", "id_auth_value", "author_key")
#: Facts about the guest that decide which inputs count.
FACTS = ("guest", "kernel_hashes", "cpu", "nvram", "igvm", *REPORT_ONLY)
#: Where to get what is missing.
_REPORT = "On the host: virsh domlaunchsecinfo DOMAIN (as --domlaunchsecinfo); over QMP: query-sev (as --qmp)"
_MEASUREMENT = (
    "On the host, before the guest runs: virsh domlaunchsecinfo DOMAIN (as --domlaunchsecinfo); "
    "over QMP: query-sev-launch-measure (as --qmp)"
)
_FILE = "Your own copy of it: --{0} FILE, or --candidates DIR for the folder it is in"
_IGVM = "Compute its digest with the loader that the host uses: loaders differ"
_KEYS = "Give --tik FILE and --tek FILE, or --tk FILE: the keys that 'sevctl session' wrote when the guest was prepared"
_COUNT = "On the host: virsh vcpucount DOMAIN --live --current, then num-cpus in [owner] of the case file"
_CPU = (
    "On the host: lscpu (CPU family, Model, Stepping), then cpu-family, cpu-model and cpu-stepping in [owner] of the "
    "case file; or your own save areas as vmsa-cpu0 and vmsa-cpu1"
)
_IN_REPORT = (
    "Policy, host data, ID block and author key are in a report, and not in its digest. They are not taken into the "
    "case, because the host named them: require what you want of them with report verify."
)
_STARRED = (
    "* Named by the host. Compare it with what you meant to run: a measurement that matches such an input shows that "
    "the host ran what it says, not that it ran what you want."
)
#: A measurement in base64: as long as a private key, and not secret.
_BASE64 = re.compile("[A-Za-z0-9+/]{64}")
#: What journald and containers logged.
_MESSAGE = re.compile(r'"(?:_CMDLINE|MESSAGE|log)"\s*:\s*("(?:[^"\\]|\\.)*")')
#: What containers and builds put before each line of a log.
_BEFORE = re.compile(r"(?m)^(?:[\w.-]+ +\| |\d{4}-\d\d-\d\dT[\d:.]+Z )")
_LIMITS = {name: row.limit for name, row in BY_NAME.items() if row.limit and row.kind != FILE}


@dataclass(frozen=True)
class Found:
    """One value. ``source`` is one of :data:`SOURCES`, ``place`` where to look in it."""

    name: str
    value: Value
    source: str
    place: str

    @property
    def named_by_host(self) -> bool:
        """True for what the owner should know better than the host."""
        return self.source != OPTION and self.name not in (*REPORTED, "mode")

    @property
    def where(self) -> str:
        """The option that gave the text, and the place in it."""
        return self.place if self.source in (OPTION, HERE) else f"--{self.source} {self.place}"

    @property
    def origin(self) -> str:
        """Where the value came from, in words, for the case file."""
        return self.where + (", named by the host" if self.named_by_host else "")


@dataclass(frozen=True)
class Remark:
    """Something unexpected, or worth knowing, about a source."""

    source: str
    words: str


@dataclass(frozen=True)
class Contradiction:
    """Sources that disagree on a value: the one taken, and the others."""

    name: str
    taken: Found
    others: tuple[Found, ...]

    def __str__(self) -> str:
        others = ", ".join(f"{shown(one.value)} ({one.where})" for one in self.others)
        return f"{self.name}: {shown(self.taken.value)} ({self.taken.where}) is taken, but there is also {others}"


@dataclass(frozen=True)
class Missing:
    """An input that validate needs and no source has; ``how`` says where to get it."""

    name: str
    why: str
    how: str


class Collector:
    """Collects what a reader finds in the text of one source. Raises InputError for a text that is too long."""

    def __init__(self, source: str, text: str = "", limit: int = TEXT_LIMIT) -> None:
        check_size(text, f"--{source}", limit)
        self.source = source
        self.found: list[Found] = []
        self.remarks: list[Remark] = []

    def remark(self, words: str) -> None:
        """Add a remark. After :data:`REMARK_LIMIT` remarks the rest is dropped."""
        if len(self.remarks) <= REMARK_LIMIT:
            is_last = len(self.remarks) == REMARK_LIMIT
            self.remarks.append(Remark(self.source, "more remarks were left out" if is_last else words))

    def add(self, name: str, value: object, place: str) -> None:
        """Add a value if it is valid for its input; else a remark."""
        try:
            self.found.append(Found(name, _checked(name, value), self.source, place))
        except InputError as error:
            advice = f"; try: {error.advice}" if error.advice else ""
            self.remark(f"{place} is not used: received {error.received}; needed {error.needed}{advice}")

    def capture(self) -> Capture:
        """Return everything collected, with a remark if there is no value."""
        if not self.found:
            self.remark(f"nothing was understood; needed {NEEDED[self.source]}")
        return Capture(tuple(self.found), tuple(self.remarks), self.source)


@dataclass(frozen=True, repr=False)
class Capture(Explainable):
    """Values, remarks, and what follows from them. Captures add up: ``a + b``. ``source`` is "" for a sum."""

    found: tuple[Found, ...] = ()
    remarks: tuple[Remark, ...] = ()
    source: str = ""

    def __add__(self, other: Capture) -> Capture:
        return Capture(self.found + other.found, self.remarks + other.remarks)

    @cached_property
    def chosen(self) -> dict[str, Found]:
        """The value taken for each name: of the first source in :data:`SOURCES`, the last one it gives."""
        best = {one.name: one for one in sorted(self.found, key=lambda one: -SOURCES.index(one.source))}
        return {name: best[name] for name in (*BY_NAME, *FACTS) if name in best}

    @cached_property
    def contradictions(self) -> list[Contradiction]:
        """Where the host's sources disagree. (An option is not one of them: the owner may know better.)"""
        said = Capture(tuple(one for one in self.found if one.source not in (OPTION, HERE)))
        owned = {one.name for one in self.found if one.source == OPTION}
        result = []
        for name, taken in said.chosen.items():
            others = {one.value: one for one in said.found if one.name == name and one.value != taken.value}
            if others and name not in owned:
                result.append(Contradiction(name, taken, tuple(others.values())))
        return result

    @property
    def is_snp(self) -> bool:
        """Whether a source says that it is a SEV-SNP guest."""
        return "guest" in self.chosen and self.chosen["guest"].value == "sev-snp"

    @property
    def policy(self) -> Policy | None:
        """The guest policy, if a source has it."""
        return Policy(int(self.chosen["policy"].value)) if "policy" in self.chosen else None

    @property
    def hashes(self) -> bool | None:
        """Whether the kernel hashes are on; None if no source says it."""
        return bool(self.chosen["kernel_hashes"].value) if "kernel_hashes" in self.chosen else None

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Inputs that were found but do not count for this guest, with the reason."""
        reasons: dict[str, str] = {}
        if "igvm" in self.chosen:
            parts = [name for name in ("firmware", *HASHED) if name in self.chosen]
            reasons |= dict.fromkeys(parts, "an IGVM file decides what is loaded and measured")
        # What the owner named stays: leaving the owner's kernel out would let an unmeasured one pass.
        hashed = [name for name in HASHED if name in self.chosen and self.chosen[name].source != OPTION]
        if self.hashes is False:
            reasons |= dict.fromkeys(hashed, "the kernel hashes are off, so it is not measured")
        elif "kernel" not in self.chosen:
            reasons |= dict.fromkeys(hashed, "no kernel was found, and without one it has no effect")
        if self.is_snp:
            said = [name for name in REPORTED if name in self.chosen]
            reasons |= dict.fromkeys(said, "SEV-SNP has no launch measurement of this kind: its report says these")
        elif self.policy is not None and not self.policy.es:
            es_only = [name for name in ES_ONLY if name in self.chosen]
            reasons |= dict.fromkeys(es_only, "the policy has no SEV-ES bit (bit 2), so it is not measured")
        return reasons

    @cached_property
    def inputs(self) -> dict[str, Found]:
        """The inputs of a case: what was chosen and counts."""
        return {name: one for name, one in self.chosen.items() if name in BY_NAME and name not in self.left_out}

    @cached_property
    def missing(self) -> list[Missing]:
        """What validate still needs, in the order of a case file."""
        inputs, missing = self.inputs, []

        def miss(name: str, why: str, how: str) -> None:
            missing.append(Missing(name, why, how))

        for name in REPORTED:
            if name not in inputs and not self.is_snp:
                miss(name, "No source reports it", _MEASUREMENT if name == "measurement" else _REPORT)
        if "igvm" in self.chosen:
            file = shown(self.chosen["igvm"].value)
            miss("firmware", f"The launch is that of an IGVM file ({file}), which sevlab cannot read", _IGVM)
        elif "firmware" not in inputs:
            miss("firmware", "No source names it", _FILE.format("firmware"))
        if self.hashes and "kernel" not in inputs:
            miss("kernel", "Kernel hashes are on, but no source names a kernel", _FILE.format("kernel"))
        for name in ("firmware", "kernel", "initrd"):
            if name in inputs and inputs[name].source not in (OPTION, HERE):
                why = f"The host names {shown(inputs[name].value)}, which was not found here"
                miss(name, why, _FILE.format(name))
        if self.is_snp or (self.policy is not None and self.policy.es):
            if "num_cpus" not in inputs:
                miss("num_cpus", "The registers of every virtual CPU are measured", _COUNT)
            if not set(SKU) <= set(inputs) and "vmsa_cpu0" not in inputs:
                model = self.chosen.get("cpu")
                known = f"sevlab does not know them of the CPU model {shown(model.value)}" if model else ""
                miss(", ".join(SKU), known or "No source names the CPU model", _CPU)
        if not (self.is_snp or "tk" in inputs or {"tik", "tek"} <= set(inputs)):
            miss("tik, tek", "No host has the owner's keys", _KEYS)
        return missing

    def explain(self) -> View:
        """Show what was understood, contradictory, left out and missing."""
        counted = {name: one for name, one in self.chosen.items() if name not in self.left_out}
        blocks: list[Block] = [self._banner()]
        if counted:
            starred = {_key(name) + " *" * one.named_by_host: one for name, one in counted.items()}
            rows = [[key, in_cell(shown(one.value, 200)), one.where] for key, one in starred.items()]
            colours = ["grey" if name in FACTS else "blue" for name in counted]
            blocks += [Heading("Understood"), Table(["what", "value", "from"], rows, colours, mono=[1])]
            if any(one.named_by_host for one in self.chosen.values()):
                blocks.append(Paragraph(_STARRED))
        if any(name in self.chosen for name in REPORT_ONLY):
            blocks.append(Paragraph(_IN_REPORT))
        if self.contradictions:
            rows = [[_key(one.name), str(one).partition(": ")[2]] for one in self.contradictions]
            blocks += [Heading("Contradictions"), Table(["what", "which"], rows, ["pink"] * len(rows))]
        if self.left_out:
            rows = [[_key(name), why] for name, why in self.left_out.items()]
            blocks += [Heading("Left out of the case"), Table(["what", "why"], rows, ["grey"] * len(rows))]
        if self.missing:
            ways: dict[str, list[str]] = {}
            for lack in self.missing:
                ways.setdefault(f"{lack.why}. {lack.how}.", []).append(_key(lack.name))
            rows = [["\n".join(names), words] for words, names in ways.items()]
            blocks += [Heading("Missing"), Table(["what", "why, and what would give it"], rows, ["orange"] * len(rows))]
        if self.remarks:
            rows = [[one.source or "capture", one.words] for one in self.remarks]
            blocks += [Heading("Remarks"), Table(["source", "remark"], rows)]
        return View(*blocks)

    def _banner(self) -> Banner:
        words = f"Complete: everything that {'digest' if self.is_snp else 'validate'} needs is there"
        if self.missing:
            words = f"Incomplete: {len(self.missing)} missing"
        if count := len(self.contradictions):
            words += f"; {count} contradiction{'s' if count > 1 else ''} between sources"
        return Banner(words, "pink" if count else "orange" if self.missing else "green")

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON-ready data."""
        return {
            "found": [
                {**asdict(one), "origin": one.origin, "named_by_host": one.named_by_host, "used": name in self.inputs}
                for name, one in self.chosen.items()
            ],
            "contradictions": [asdict(one) for one in self.contradictions],
            "left_out": self.left_out,
            "missing": [asdict(one) for one in self.missing],
            "remarks": [asdict(one) for one in self.remarks],
        }


def _checked(name: str, value: object) -> Value:
    if name == "measurement":
        return base64.b64encode(parse_measurement(str(value), name).to_bytes()).decode()
    if name in _LIMITS:
        number = parse_number(value, name, _LIMITS[name])  # type: ignore[arg-type]  # it refuses other types
        if name == "num_cpus" and not number:
            raise InputError(name, "0", "at least one virtual CPU")
        return number
    if isinstance(value, bool):
        return value
    text = str(value)
    if name in BY_NAME or name == "nvram":
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(name, quoted(text), "text in UTF-8") from None
        if name != "cmdline" and (not text or "\0" in text):
            raise InputError(name, quoted(text), "the path of a file")
    return text


def check_size(text: str, name: str, limit: int = TEXT_LIMIT) -> None:
    if len(text) > limit:
        raise InputError(name, f"{len(text)} characters", f"at most {limit}", "only the part that matters")


def plain(text: str) -> str:
    """Return text without a terminal's colours, the marks of a page, and what a log puts before each line."""
    text = re.sub(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))", "", text)
    if re.match(r"(?i)\s*<(?:pre|code|p|div|span|blockquote|details|tt|samp|html|!doctype html)\b", text):
        text = html.unescape(re.sub(r"<[^<>]*>", "", text))
    text = html.unescape(text) if re.match(r"\s*&lt;", text) else text
    is_logged = text.lstrip()[:1] == "{" and re.search(r'"(?:_[A-Z_]+|PRIORITY|stream)"\s*:', text)
    if messages := _MESSAGE.findall(text) if is_logged else []:
        with suppress(ValueError):
            text = "\n".join(map(json.loads, messages))
    before = _BEFORE.findall(text)
    bars = [one for one in before if "|" in one]  # each another: the names in a table of values
    is_log = len(before) == len([one for one in text.splitlines() if one]) and (
        len(bars) < 2 or len(set(bars)) < len(bars)
    )
    return _BEFORE.sub("", text) if is_log else text


def shown(value: object, limit: int = 80) -> str:
    """Return a value for people: as it is if it is short and plain, else quoted, escaped and cut; see quoted."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, bytes):  # a digest
        return value.hex() if type(value) is bytes else str(value)
    text = str(value)
    may_be_key = text != hide_keys(text) and not _BASE64.fullmatch(text)
    is_plain = 0 < len(text) <= limit and text.isascii() and text.isprintable() and text == text.strip()
    return text if is_plain and not may_be_key else quoted(text, limit)


def in_cell(text: str, width: int = 40) -> str:
    """Return a long text in lines, for a narrow column."""
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


def _key(name: str) -> str:
    return name.replace("_", "-")
