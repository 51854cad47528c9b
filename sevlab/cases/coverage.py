"""Which parts of a configuration the launch measurement of SEV and SEV-ES, or the digest of SEV-SNP, covers.

A configuration is a QEMU command line, a libvirt domain XML or a case. The rules, with their sources, are in
``data/coverage.toml``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fnmatch import translate
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from ..data import read_table
from ..errors import InputError, checked, describe_content, quoted
from ..formats.efi_modules import CANNOT_TELL, PLACE_ONLY, Enforcement
from ..launch.inputs import FIRMWARE_LIMIT, load_ovmf
from ..launch.values import parse_policy
from ..layout.span import Explainable
from ..layout.views import Banner, Paragraph, Table, View
from .capture import in_cell, shown
from .domain_xml import Element, passthrough, read_domain, unknown_of
from .locate import locate
from .qemu_cmdline import DEFAULT_POLICY, WHOLE, CommandLine

if TYPE_CHECKING:
    from .case import Case

MEASURED, NOT_MEASURED, BREAKS = "measured", "not measured", "breaks measurement"
#: Of SEV-SNP: the report shows it, and the launch digest does not depend on it.
IN_REPORT = "in the report but not in the digest"
#: Each label as one character, for people who do not see its colour, and its colour.
MARKS = {MEASURED: ("M", "green"), IN_REPORT: ("R", "purple"), NOT_MEASURED: ("-", "grey"), BREAKS: ("!", "pink")}
#: The answer about a firmware without a place for kernel hashes.
NO_PLACE = "no_place"
#: Most parts shown; a hostile text can hold more than anyone reads.
SHOWN_LIMIT = 2000
#: Most characters of a part, and of one line of it.
_WORDS_LIMIT, _CELL = 160, 44
#: Options whose parts are labelled one by one.
_SPLIT_OPTIONS = ("-object sev-guest", "-object sev-snp-guest", "-machine", "-cpu", "-smp")
#: XML elements whose children are labelled one by one.
_CONTAINERS = ("/domain/os", "/domain/devices", "/domain/launchSecurity")


@dataclass(frozen=True)
class Rule:
    """``paths`` are patterns of a part's path; ``when`` is a condition of :class:`Setup`, "" for always."""

    label: str
    paths: tuple[str, ...]
    reason: str
    when: str = ""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """One pattern for all paths: a hostile configuration can have thousands of parts."""
        return re.compile("|".join(map(translate, self.paths)))


#: The first that fits decides; the last fits everything.
RULES = (
    *(Rule(**row) for row in read_table("coverage")["rule"]),
    Rule(NOT_MEASURED, ("*",), "Not known to sevlab. SEV measures only firmware, kernel hashes and CPU state."),
)


@dataclass(frozen=True)
class Part:
    """One part of a configuration: ``words`` as written, ``path`` for the rules."""

    words: str
    path: str


@dataclass(frozen=True)
class Setup:
    """What decides about the parts.

    Is it an SEV guest (``sev``) whose object is in use (``linked``); SEV-ES (``es``, None when no policy is known);
    are kernel ``hashes`` on; is a ``kernel`` given; is there firmware in ``flash`` unit 0; is it ``split``, with its
    variables in unit 1. ``enforcement`` is how the firmware treats a measured kernel: "enforces", "place_only",
    "cannot_tell" or "no_place"; "" if no kernel is measured.
    """

    sev: bool
    linked: bool
    es: bool | None
    hashes: bool
    kernel: bool
    flash: bool = False
    split: bool = False
    enforcement: str = ""
    snp: bool = False

    @cached_property
    def conditions(self) -> dict[str, bool]:
        """The words that a rule's condition is made of."""
        return {
            "snp": self.snp,
            "es": self.es is True,
            "no-es": self.es is False,
            "hashes": self.hashes,
            "kernel": self.kernel,
            "no-kernel": not self.kernel,
            "flash": self.flash,
            "split": self.split,
            "no-sev": not self.sev,
            "unlinked": not self.linked,
            "place-only": self.enforcement == PLACE_ONLY,
            "cannot-tell": self.enforcement == CANNOT_TELL,
        }

    def holds(self, when: str) -> bool:
        """Return whether a rule's condition holds: all its words must."""
        return all(self.conditions[word] for word in when.split())


def _es(policy: str) -> bool | None:
    with suppress(InputError):
        return bool(parse_policy(policy).es)
    return None


def read_firmware(path: str | None) -> tuple[str, str]:
    """Return how the firmware at *path* treats kernel hashes, as in :class:`Setup`, and a sentence. Never raises.

    It is "cannot_tell" for a relative path (the host's own) and for anything but a regular file of this machine.
    """
    here = locate(path, None, FIRMWARE_LIMIT)[0] if path else ""
    if not here:
        where = "not here" if os.path.isabs(path or "") else "named by a relative path"
        which = f"the firmware {quoted(path)} is {where}" if path else "no firmware is named"
        return CANNOT_TELL, str(Enforcement(CANNOT_TELL, (f"{which}, so its code was not read",)).text)
    try:
        found = load_ovmf(here).enforcement
    except InputError as error:
        found = Enforcement(CANNOT_TELL, (str(error),))
    if found is None:
        return NO_PLACE, f"The firmware {quoted(here)} has no place for kernel hashes"
    return str(found.answer), str(found.text)


@dataclass(frozen=True)
class Line(Part):
    """A part with its label and the reason."""

    label: str
    reason: str


class Coverage(Explainable):
    """A configuration, labelled. ``lines`` are in the configuration's order; what is absent comes last.

    ``firmware`` is a sentence about how the firmware at the path *firmware* treats a measured kernel, "" without one.
    """

    def __init__(self, parts: Sequence[Part], setup: Setup, firmware: str | None = None) -> None:
        self.setup, self.firmware = setup, ""
        if setup.sev and setup.linked and setup.hashes and setup.kernel:
            answer, self.firmware = read_firmware(firmware)
            self.setup = replace(setup, enforcement=answer)
            if answer == PLACE_ONLY:
                parts = [*parts, Part("(absent) code in the firmware that checks kernel hashes", "absent enforcement")]
            elif answer == NO_PLACE:
                parts = [*parts, Part("(absent) place for kernel hashes in the firmware", "absent place")]

        @lru_cache(maxsize=4096)
        def rule(path: str) -> Rule:
            return next(rule for rule in RULES if rule.pattern.match(path) and self.setup.holds(rule.when))

        self.lines = [Line(part.words, part.path, rule(part.path).label, rule(part.path).reason) for part in parts]

    @property
    def labels(self) -> list[str]:
        """The labels that a part of this configuration may have: only a SEV-SNP guest has a report."""
        return [label for label in MARKS if label != IN_REPORT or self.setup.snp]

    def count(self, label: str) -> int:
        return sum(line.label == label for line in self.lines)

    @property
    def broken(self) -> list[Line]:
        return [line for line in self.lines if line.label == BREAKS]

    def explain(self) -> View:
        """Show every part with its label and reason, each label as its mark (:data:`MARKS`)."""
        lines = self.lines[:SHOWN_LIMIT]
        rows = [[MARKS[line.label][0], line.label, _cell(line.words), line.reason] for line in lines]
        colours = [MARKS[line.label][1] for line in lines]
        counts = ", ".join(f"{self.count(label)} {label} [{MARKS[label][0]}]" for label in self.labels)
        words = f"{'Something' if self.broken else 'Nothing'} here breaks the measurement: {counts}"
        table = Table(["", "label", "part", "why"], rows, colours, mono=[0, 2], wrapped={1: 18})
        rest = [Paragraph(f"{len(self.lines) - len(lines)} more parts are not shown.")] * (len(lines) < len(self.lines))
        firmware = [Paragraph(f"Firmware: {self.firmware}.")] if self.firmware else []
        return View(Banner(words, "pink" if self.broken else "green"), *firmware, table, *rest)

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON-ready data."""
        return {
            "status": "breaks" if self.broken else "covered",
            "setup": asdict(self.setup),
            "counts": {label: self.count(label) for label in self.labels},
            "parts": [asdict(line) for line in self.lines],
            **({"firmware": self.firmware} if self.firmware else {}),
        }


def _cell(words: str) -> str:
    """Return a part's words for a narrow column, with their indent below another part."""
    bare = words.lstrip(" ")
    return in_cell(words[: len(words) - len(bare)] + shown(bare, _WORDS_LIMIT), _CELL)


@checked
def cover_command_line(text: str) -> Coverage:
    """Label a QEMU command line. Raises InputError for any other text."""
    command = CommandLine(text)
    snp = (guest := command.guest) is not None and guest.part("qom-type") == "sev-snp-guest"
    if not any(one.name for one in command.options):
        received = f"{describe_content(text.encode(errors='replace'))}, without an option"
        raise InputError("--qemu-cmdline", received, "a QEMU command line")
    setup = Setup(
        sev=guest is not None,
        linked=command.linked,
        es=snp or (_es(guest.part("policy", DEFAULT_POLICY)) if guest is not None else None),
        snp=snp,
        hashes=command.kernel_hashes,
        kernel=command.last("-kernel") is not None,
        flash=command.flash(0) is not None,
        split=command.flash(1) is not None,
    )
    parts = _option_parts(command)
    absent, doubt = [], command.doubt if command.lost else ""
    if guest is None:
        absent, doubt = [Part("(absent) -object sev-guest,...", "absent sev-guest")], command.doubt
    elif not command.linked:
        absent, doubt = [Part("(absent) -machine confidential-guest-support=ID", "absent link")], command.link_doubt
    if setup.kernel and not setup.hashes:
        absent.append(Part("(absent) kernel-hashes=on", "absent kernel-hashes"))
    if command.flash(0) is None and command.last("-bios") is None:
        absent.append(Part("(absent) firmware: -drive if=pflash,... or -bios", "absent firmware"))
    _refuse_doubt("--qemu-cmdline", absent, doubt, WHOLE)
    return Coverage(parts + absent, setup, command.flash(0) or command.last("-bios"))


def _option_parts(command: CommandLine) -> list[Part]:
    parts = []
    for number, one in enumerate(command.options):
        path = one.name or "word"
        if one.name == "-object":
            path = f"-object {one.part('qom-type')}"
        elif number in command.units:
            path = f"pflash {command.units[number]}"
        elif one.name == "-device" and one.parts:
            path = f"-device {one.part('driver')}"
        if path not in _SPLIT_OPTIONS or not one.parts:
            parts.append(Part(one.text, path))
            continue
        for position, (key, value) in enumerate(one.parts):
            head = "  " if position else f"{one.name} "
            bare = not position and key in ("qom-type", "type", "model", "cpus")
            unused = path == "-smp" and key != "cpus" and one.part("cpus")
            parts.append(Part(head + (value if bare else f"{key}={value}"), f"{path}/{'unused' if unused else key}"))
    return parts


@checked
def cover_domain(text: str) -> Coverage:
    """Label a libvirt domain XML. Raises InputError for any other text."""
    domain = read_domain(text)
    security = domain.first("launchSecurity")
    kind = security.attributes.get("type", "") if security is not None else ""
    snp = kind == "sev-snp"
    policy = security.first("policy") if security is not None else None
    bare = policy.text.strip().lower().removeprefix("0x") if policy is not None else ""
    setup = Setup(
        sev=kind in ("sev", "sev-snp"),
        linked=True,
        es=snp or _es("0x" + bare),
        snp=snp,
        hashes=security is not None and security.attributes.get("kernelHashes") == "yes",
        kernel=domain.first("os/kernel") is not None,
        split=domain.first("os/nvram") is not None,
    )
    parts = [part for child in domain.children for part in _element_parts(child, "/domain", domain)]
    absent = []
    if not setup.sev:
        absent.append(Part("(absent) <launchSecurity type='sev'>", "absent sev-guest"))
    elif setup.kernel and not setup.hashes:
        absent.append(Part("(absent) kernelHashes='yes'", "absent kernel-hashes"))
    loaders = [one.text.strip() for one in domain.all("os/loader")]
    if not loaders:
        absent.append(Part("(absent) <loader> in <os>", "absent firmware"))
    _refuse_doubt("--xml", absent, unknown_of(domain), "virsh dumpxml DOMAIN")
    return Coverage(parts + absent, setup, next(filter(None, reversed(loaders)), None))


def _refuse_doubt(name: str, absent: list[Part], doubt: str, advice: str) -> None:
    """Raise InputError where something would be called absent, and not all of the text was understood."""
    if absent and doubt:
        lost = absent[0].words.removeprefix("(absent) ")
        received = f"a configuration without {lost}, of which not all was understood ({doubt})"
        raise InputError(name, received, "a whole one", advice)


def _element_parts(element: Element, above: str, domain: Element) -> list[Part]:
    path = f"{above}/{element.tag}"
    if path == "/domain/qemu:commandline":
        # These words reach QEMU unchanged, so the rules for its own options apply.
        words = CommandLine(shlex.join(["qemu-kvm", *passthrough(domain)]))
        return [Part(f"<qemu:arg> {part.words}", part.path) for part in _option_parts(words)]
    if path == "/domain/os/loader":
        return [Part(_tag(element), f"{path} {element.attributes.get('type', '')}".strip())]
    if path not in _CONTAINERS:
        return [Part(_tag(element), path)]
    parts = [Part(f"<{element.tag} {key}='{value}'>", f"{path}/@{key}") for key, value in element.attributes.items()]
    return parts + [part for child in element.children for part in _element_parts(child, path, domain)]


def _tag(element: Element) -> str:
    attributes = "".join(f" {key}='{value}'" for key, value in element.attributes.items())
    inner = element.text.strip() or ("..." if element.children else "")
    return f"<{element.tag}{attributes}>{inner}</{element.tag}>" if inner else f"<{element.tag}{attributes}/>"


@checked
def cover_case(case: Case) -> Coverage:
    """Label the inputs of a case."""
    es, kernel = None if case.policy is None else bool(case.policy.es), "kernel" in case.inputs
    es = True if case.is_snp else es
    setup = Setup(sev=True, linked=True, es=es, hashes=kernel, kernel=kernel, snp=case.is_snp)
    given = case.part().items()
    parts = [Part(f"{name.replace('_', '-')} = {shown(value, 120)}", f"case {name}") for name, value in given]
    firmware = case.inputs.get("firmware")
    if firmware is None:
        parts.append(Part("(absent) firmware", "absent firmware"))
    return Coverage(parts, setup, None if firmware is None else os.path.abspath(str(firmware)))
