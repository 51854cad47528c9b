"""What was found, where, and what that leaves open."""

from __future__ import annotations

import base64
import re
from collections import namedtuple

from ..case import BY_NAME, CPU_LIMIT
from ..errors import InputError, quoted
from ..formats.policy import Policy
from ..inputs import parse_measurement, parse_number
from ..keytext import hide_keys
from ..layout.span import Explainable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..layout.views import View

#: Longest text read from any one source, in characters.
TEXT_LIMIT = 1 << 20
#: Most remarks kept from one source. A hostile text must not flood the terminal.
REMARK_LIMIT = 40

#: The sources, the most believable about the launch first. An ``option`` is the owner's own word; ``here`` is a file
#: that the host named and that was found here. Of the host's words, the reports of the launched guest go before the
#: configuration it was to have, and that before what the host's platform says today.
OPTION, HERE, SECINFO, QMP, XML = "option", "here", "domlaunchsecinfo", "qmp", "xml"
COMMAND_LINE, DMESG = "qemu-cmdline", "dmesg"
SOURCES = (OPTION, HERE, SECINFO, QMP, XML, COMMAND_LINE, DMESG)

#: What each source must hold at least something of.
NEEDED = {
    SECINFO: "lines such as 'sev-measurement: ...'",
    QMP: 'answers such as {"return": {"data": "..."}}',
    XML: "the XML of a libvirt domain with launchSecurity",
    COMMAND_LINE: "a QEMU command line such as 'qemu-system-x86_64 -machine ...'",
    DMESG: "a line such as 'ccp 0000:47:00.1: SEV API:1.53 build:5'",
}
#: What the host reports about the launch. All are needed to validate.
REPORTED = ("measurement", "api_major", "api_minor", "build_id", "policy")
#: What only SEV-ES measures.
ES_ONLY = ("num_cpus", "vmsa_cpu0", "vmsa_cpu1", "cpu_family", "cpu_model", "cpu_stepping", "profile", "guest_features")
#: What is measured only by the kernel-hashes table.
HASHED = ("kernel", "initrd", "cmdline")
#: What is known about the guest beside its inputs: they decide which inputs count.
FACTS = ("guest", "kernel_hashes", "cpu", "nvram")

#: A measurement in base64: it is as long as a private number, and no secret.
_MEASUREMENT = re.compile("[A-Za-z0-9+/]{64}")
_LIMITS = {name: row.limit for name, row in BY_NAME.items() if row.limit} | {"num_cpus": CPU_LIMIT}


class Found(namedtuple("Found", "name value source place")):
    """One value. ``source`` is one of :data:`SOURCES`, ``place`` is where in it, as its reader would look for it."""

    __slots__ = ()

    @property
    def named_by_host(self) -> bool:
        """True for what the owner should know better than the host does."""
        return self.source != OPTION and self.name not in REPORTED

    @property
    def where(self) -> str:
        """Where the value was found: the option that gave the text, and the place in it."""
        return str(self.place) if self.source in (OPTION, HERE) else f"--{self.source} {self.place}"

    @property
    def origin(self) -> str:
        """Where the value came from, in words, for the case file."""
        return self.where + (", named by the host" if self.named_by_host else "")


Remark = namedtuple("Remark", "source words")


class Contradiction(namedtuple("Contradiction", "name taken others")):
    """Sources that disagree on a value: the one taken, and the others."""

    __slots__ = ()

    def __str__(self) -> str:
        others = ", ".join(f"{shown(one.value)} ({one.where})" for one in self.others)
        return f"{self.name}: {shown(self.taken.value)} ({self.taken.where}) is taken, but there is also {others}"


class Missing(namedtuple("Missing", "name why how")):
    """An input that validate needs and nobody gave; ``how`` is what would give it."""

    __slots__ = ()


class Capture(Explainable):
    """Values, remarks, and what follows from them. Built by the readers, then added up: ``a + b``."""

    def __init__(self, source: str = "", found: Iterable[Found] = (), remarks: Iterable[Remark] = ()) -> None:
        self.source, self.found, self.remarks = source, list(found), list(remarks)

    def __add__(self, other: Capture) -> Capture:
        return Capture("", [*self.found, *other.found], [*self.remarks, *other.remarks])

    def remark(self, words: str) -> None:
        """Remember something odd, or something to know. Beyond :data:`REMARK_LIMIT` remarks the rest is dropped."""
        if len(self.remarks) < REMARK_LIMIT:
            self.remarks.append(Remark(self.source, words))
        elif len(self.remarks) == REMARK_LIMIT:
            self.remarks.append(Remark(self.source, "more remarks were left out"))

    def remark_if_empty(self) -> None:
        """Say so when nothing was found."""
        if not self.found:
            self.remark(f"nothing was understood; needed {NEEDED[self.source]}")

    def add(self, name: str, value: Any, place: str) -> None:
        """Take a value if it can be one; else remark on it."""
        try:
            self.found.append(Found(name, _checked(name, value), self.source, place))
        except InputError as error:
            advice = f"; try: {error.advice}" if error.advice else ""
            self.remark(f"{place} is not used: received {error.received}; needed {error.needed}{advice}")

    @property
    def chosen(self) -> dict[str, Found]:
        """The value taken for each name: of the first source in :data:`SOURCES`, the last one it gives."""
        order = [*BY_NAME, *FACTS]
        best: dict[str, Found] = {}
        for one in sorted(self.found, key=lambda one: -SOURCES.index(one.source)):
            best[one.name] = one
        return {name: best[name] for name in order if name in best}

    @property
    def contradictions(self) -> list[Contradiction]:
        """Where the host's sources disagree. (An option is not one of them: the owner may know better.)"""
        said = Capture("", [one for one in self.found if one.source not in (OPTION, HERE)])
        owned = {one.name for one in self.found if one.source == OPTION}
        result = []
        for name, taken in said.chosen.items():
            others = {one.value: one for one in said.found if one.name == name and one.value != taken.value}
            if others and name not in owned:
                result.append(Contradiction(name, taken, list(others.values())))
        return result

    @property
    def policy(self) -> Policy | None:
        """The guest policy, if a source tells it."""
        one = self.chosen.get("policy")
        return Policy(one.value) if one else None

    @property
    def left_out(self) -> dict[str, str]:
        """Inputs that were found but do not count for this guest, with the reason."""
        chosen, policy = self.chosen, self.policy
        reasons: dict[str, str] = {}
        hashes = chosen.get("kernel_hashes")
        if hashes and not hashes.value:
            reasons |= dict.fromkeys(HASHED, "the kernel hashes are off, so it is not measured")
        elif "kernel" not in chosen:
            reasons |= dict.fromkeys(HASHED, "no kernel is given to QEMU, so it has no effect")
        if policy is not None and not policy.es:
            reasons |= dict.fromkeys(ES_ONLY, "the policy has no SEV-ES bit (bit 2), so it is not measured")
        return {
            # What the owner named stays: leaving the owner's kernel out would let an unmeasured one pass.
            name: why
            for name, why in reasons.items()
            if name in chosen and (name not in HASHED or chosen[name].source != OPTION)
        }

    @property
    def inputs(self) -> dict[str, Found]:
        """The inputs of a case: what was chosen, without what does not count."""
        left_out = self.left_out
        return {name: one for name, one in self.chosen.items() if name in BY_NAME and name not in left_out}

    @property
    def missing(self) -> list[Missing]:
        """What validate still needs."""
        from .missing import missing_inputs

        return missing_inputs(self)

    def explain(self) -> View:
        """Show what was understood, what contradicts, what was left out and what is missing."""
        from .show import explain_capture

        return explain_capture(self)

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON-ready data."""
        left_out = self.left_out
        return {
            "found": [
                {**one._asdict(), "origin": one.origin, "named_by_host": one.named_by_host, "used": name in self.inputs}
                for name, one in self.chosen.items()
            ],
            "contradictions": [
                {"name": one.name, "taken": one.taken._asdict(), "others": [other._asdict() for other in one.others]}
                for one in self.contradictions
            ],
            "left_out": left_out,
            "missing": [one._asdict() for one in self.missing],
            "remarks": [one._asdict() for one in self.remarks],
        }


def _checked(name: str, value: Any) -> Any:
    """Return the value a name stands for, or raise InputError."""
    if name == "measurement":
        return base64.b64encode(parse_measurement(value, name).to_bytes()).decode()
    if name in _LIMITS and BY_NAME[name].kind != "file":
        number = parse_number(value, name, _LIMITS[name])
        if name == "num_cpus" and not number:
            raise InputError(name, "0", "at least one virtual CPU")
        return number
    if isinstance(value, str) and (name in BY_NAME or name == "nvram"):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(name, quoted(value), "text in UTF-8") from None
        if name != "cmdline" and (not value or "\0" in value):
            raise InputError(name, quoted(value), "the path of a file")
    return value


def check_size(text: str, source: str, limit: int = TEXT_LIMIT) -> None:
    """Refuse a text that is too long to be what it says it is."""
    if len(text) > limit:
        raise InputError(f"--{source}", f"{len(text)} characters", f"at most {limit}", "only the part that matters")


def shown(value: object, limit: int = 80) -> str:
    """Return a value for people: as it is when it is short and plain, else quoted, escaped and cut; see quoted."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, bytes):  # a digest
        return value.hex() if type(value) is bytes else str(value)
    text = str(value)
    if text != hide_keys(text) and not _MEASUREMENT.fullmatch(text):
        return quoted(text, limit)
    if 0 < len(text) <= limit and text.isascii() and text.isprintable() and text == text.strip():
        return text
    return quoted(text, limit)
