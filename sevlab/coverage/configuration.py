"""A configuration as a list of parts, whatever it was written in, and the few facts that decide about them."""

from __future__ import annotations

import os
from collections import namedtuple

from ..capture.commandline import CommandLine, read_command_line
from ..capture.domain import Domain, read_domain
from ..capture.files import locate
from ..capture.found import shown
from ..capture.words import split_options
from ..errors import InputError, UnsupportedError, quoted
from ..firmware import load_ovmf
from ..formats.efi_modules import CANNOT_TELL, PLACE_ONLY, Enforcement
from ..formats.policy import Policy
from ..inputs import FIRMWARE_LIMIT
from ..keytext import describe_content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..capture.domain import Element
    from ..case import Case

#: One part: ``words`` as people wrote them, ``path`` as the rules know them.
Part = namedtuple("Part", "words path")


#: The answer about a firmware without a place for kernel hashes.
NO_PLACE = "no_place"


class Setup(namedtuple("Setup", "sev linked es hashes kernel flash split enforcement")):
    """What decides about the parts.

    Is it an SEV guest (``sev``) whose object is in use (``linked``); SEV-ES (``es``, None when no policy is known);
    are kernel ``hashes`` on; is a ``kernel`` given; is there firmware in ``flash`` unit 0; is it ``split``, with its
    variables in unit 1. ``enforcement`` is what the firmware makes of a measured kernel: "enforces", "place_only",
    "cannot_tell" or "no_place"; "" where no kernel is measured.
    """

    __slots__ = ()

    def holds(self, when: str) -> bool:
        """Return whether a rule's condition holds. Conditions are words, all of which must."""
        return all(_CONDITIONS[word](self) for word in when.split())


_CONDITIONS: dict[str, Callable[[Setup], bool]] = {
    "es": lambda setup: setup.es is True,
    "no-es": lambda setup: setup.es is False,
    "es-unknown": lambda setup: setup.es is None,
    "hashes": lambda setup: setup.hashes,
    "no-hashes": lambda setup: not setup.hashes,
    "kernel": lambda setup: setup.kernel,
    "no-kernel": lambda setup: not setup.kernel,
    "flash": lambda setup: setup.flash,
    "split": lambda setup: setup.split,
    "no-sev": lambda setup: not setup.sev,
    "unlinked": lambda setup: not setup.linked,
    "place-only": lambda setup: setup.enforcement == PLACE_ONLY,
    "no-place": lambda setup: setup.enforcement == NO_PLACE,
    "cannot-tell": lambda setup: setup.enforcement == CANNOT_TELL,
}

#: Options whose parts are labelled one by one.
_SPLIT_OPTIONS = ("-object sev-guest", "-machine", "-cpu", "-smp")
#: XML elements that are looked into. Any other is one part with all that is in it.
_CONTAINERS = ("/domain/os", "/domain/devices", "/domain/launchSecurity")


def _es(policy: str) -> bool | None:
    """Return whether a policy (as text) asks for SEV-ES; None when it is no policy."""
    from ..inputs import parse_policy

    try:
        return bool(parse_policy(policy).es)
    except InputError:
        return None


def _refuse_snp() -> None:
    raise UnsupportedError("coverage of an SEV-SNP guest", "SEV and SEV-ES guests, whose measurement works otherwise")


class Firmware(namedtuple("Firmware", "answer text")):
    """What a firmware makes of kernel hashes: the answer as in :class:`Setup`, and a sentence with what was seen."""

    __slots__ = ()


def read_firmware(path: str | None) -> Firmware:
    """Say what the firmware at *path* makes of kernel hashes. A path that is not absolute is the host's own business.

    No path at all, and what is no regular file of this machine, cannot tell. Nothing is raised.
    """
    here = locate(path, None, FIRMWARE_LIMIT)[0] if path else ""
    if not here:
        which = f"the firmware {quoted(path)} is not here" if path else "no firmware is named"
        found: Enforcement | None = Enforcement(CANNOT_TELL, (f"{which}, so its code was not read",))
    else:
        try:
            found = load_ovmf(here).enforcement
        except InputError as error:
            found = Enforcement(CANNOT_TELL, (str(error),))
    if found is None:
        return Firmware(NO_PLACE, f"The firmware {quoted(here)} has no place for kernel hashes")
    return Firmware(found.answer, found.text)


def _judged(setup: Setup, path: str | None, parts: list[Part]) -> tuple[list[Part], Setup, str]:
    """Return the parts, the setup and a sentence, with what the firmware makes of a kernel that is measured."""
    if not (setup.sev and setup.linked and setup.hashes and setup.kernel):
        return parts, setup, ""
    firmware = read_firmware(path)
    if firmware.answer in _LACKING:
        parts = [*parts, Part(*_LACKING[firmware.answer])]
    return parts, setup._replace(enforcement=firmware.answer), firmware.text


_LACKING = {
    PLACE_ONLY: ("(absent) code in the firmware that checks kernel hashes", "absent enforcement"),
    NO_PLACE: ("(absent) place for kernel hashes in the firmware", "absent place"),
}


def of_command_line(text: str) -> tuple[list[Part], Setup, str]:
    """Return the parts of a QEMU command line."""
    command = read_command_line(text)
    guest = command.guest
    if guest is not None and guest.part("qom-type") == "sev-snp-guest":
        _refuse_snp()
    if not any(one.name for one in command.options):
        received = f"{describe_content(text.encode(errors='replace'))}, without an option"
        raise InputError("--qemu-cmdline", received, "a QEMU command line")
    setup = Setup(
        sev=guest is not None,
        linked=command.linked,
        es=_es(guest.part("policy", "0x1")) if guest is not None else None,
        hashes=command.kernel_hashes,
        kernel=command.last("-kernel") is not None,
        flash=command.flash(0) is not None,
        split=command.flash(1) is not None,
        enforcement="",
    )
    parts = _option_parts(command)
    if guest is None:
        parts.append(Part("(absent) -object sev-guest,...", "absent sev-guest"))
    elif not command.linked:
        parts.append(Part("(absent) -machine confidential-guest-support=ID", "absent link"))
    if setup.kernel and not setup.hashes:
        parts.append(Part("(absent) kernel-hashes=on", "absent kernel-hashes"))
    if command.flash(0) is None and command.last("-bios") is None:
        parts.append(Part("(absent) firmware: -drive if=pflash,... or -bios", "absent firmware"))
    return _judged(setup, command.flash(0) or command.last("-bios"), parts)


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
            head = f"{one.name} " if not position else "  "
            bare = not position and key in ("qom-type", "type", "model", "cpus")
            if path == "-smp" and key != "cpus" and one.part("cpus"):
                key, words = "unused", f"{key}={value}"
            else:
                words = value if bare else f"{key}={value}"
            parts.append(Part(head + words, f"{path}/{key}"))
    return parts


def of_domain(text: str) -> tuple[list[Part], Setup, str]:
    """Return the parts of a libvirt domain XML."""
    domain = read_domain(text)
    security = domain.security
    kind = security.attributes.get("type", "") if security is not None else ""
    if kind == "sev-snp":
        _refuse_snp()
    policy = security.first("policy") if security is not None else None
    bare = policy.text.strip().lower().removeprefix("0x") if policy is not None else ""
    setup = Setup(
        sev=kind == "sev",
        linked=True,
        es=_es("0x" + bare),
        hashes=security is not None and security.attributes.get("kernelHashes") == "yes",
        kernel=domain.root.first("os/kernel") is not None,
        flash=False,
        split=domain.root.first("os/nvram") is not None,
        enforcement="",
    )
    parts = [part for child in domain.root.children for part in _element_parts(child, "/domain", domain)]
    if not setup.sev:
        parts.append(Part("(absent) <launchSecurity type='sev'>", "absent sev-guest"))
    elif setup.kernel and not setup.hashes:
        parts.append(Part("(absent) kernelHashes='yes'", "absent kernel-hashes"))
    loaders = [one.text.strip() for one in domain.root.all("os/loader")]
    if not loaders:
        parts.append(Part("(absent) <loader> in <os>", "absent firmware"))
    return _judged(setup, next(reversed([text for text in loaders if text]), None), parts)


def _element_parts(element: Element, above: str, domain: Domain) -> list[Part]:
    path = f"{above}/{element.tag}"
    if path == "/domain/qemu:commandline":
        # These words reach QEMU as they are, so the rules for QEMU's own words hold for them.
        import shlex

        words = CommandLine(*split_options(shlex.join(["qemu-kvm", *(word for word in domain.passthrough)])))
        return [Part(f"<qemu:arg> {part.words}", part.path) for part in _option_parts(words)]
    if path == "/domain/os/loader":
        kind = element.attributes.get("type", "")
        return [Part(_tag(element), f"{path} {kind}".strip())]
    if path not in _CONTAINERS:
        return [Part(_tag(element), path)]
    parts = [Part(f"<{element.tag} {key}='{value}'>", f"{path}/@{key}") for key, value in element.attributes.items()]
    return parts + [part for child in element.children for part in _element_parts(child, path, domain)]


def _tag(element: Element) -> str:
    attributes = "".join(f" {key}='{value}'" for key, value in element.attributes.items())
    inner = element.text.strip() or ("..." if element.children else "")
    return f"<{element.tag}{attributes}>{inner}</{element.tag}>" if inner else f"<{element.tag}{attributes}/>"


def of_case(case: Case) -> tuple[list[Part], Setup, str]:
    """Return the parts of a case: its inputs."""
    policy = case.inputs.get("policy")
    setup = Setup(
        sev=True,
        linked=True,
        es=bool(Policy(policy).es) if policy is not None else None,
        hashes="kernel" in case.inputs,
        kernel="kernel" in case.inputs,
        flash=False,
        split=False,
        enforcement="",
    )
    parts = [
        Part(f"{name.replace('_', '-')} = {shown(value, 120)}", f"case {name}") for name, value in case.part().items()
    ]
    if "firmware" not in case.inputs:
        parts.append(Part("(absent) firmware", "absent firmware"))
        return _judged(setup, None, parts)
    return _judged(setup, os.path.abspath(str(case.inputs["firmware"])), parts)
