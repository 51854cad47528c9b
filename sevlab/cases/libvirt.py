"""A running guest under libvirt: what the host reports about it, and whether asking the host is safe.

``validate --domain`` takes from libvirt what the options leave out. Some of it may come from an untrusted host, because
the measure covers it (the measurement, versions, the policy). The rest (which firmware, which kernel, how many CPUs) is
to be checked, so it is taken from the host only with *insecure*.

The rules are those of libvirt 9.0's ``virt-qemu-sev-validate``; docs/validate.md lists the differences. libvirt's
module for Python is imported only when a domain is asked for.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Thread
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, InputError, InsecureError, StateError, quoted
from ..launch.inputs import INPUTS, REPORTED, LaunchInputs
from ..launch.values import parse_policy
from .capture import TEXT_LIMIT
from .domain_xml import Element, read_xml

if TYPE_CHECKING:
    Address = IPv4Address | IPv6Address

URI = "qemu:///system"
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
#: The elements of the configuration that name files, by input.
_FILES = {"firmware": "os/loader", "kernel": "os/kernel", "initrd": "os/initrd"}
#: What is needed beyond the standard library, and where to get it.
_INSTALL = {
    "libvirt": "Debian's python3-libvirt (a venv needs --system-site-packages), or pip install 'sevlab[libvirt]'",
    "defusedxml": "Debian's python3-defusedxml, or pip install defusedxml",
}
#: Seconds to wait while the system looks up names: it may ask a server that does not answer.
PATIENCE = 2.0
_SURE = "--insecure, if this is only a test"


def import_libvirt() -> Any:
    """Return libvirt's module. Raises :class:`~sevlab.errors.InputError` where it or the XML reader is missing."""
    try:
        import defusedxml  # noqa: F401
        import libvirt
    except ImportError as error:
        name = error.name if error.name in _INSTALL else "libvirt"
        received = f"a Python that cannot import {name} ({quoted(error, 100)})"
        raise InputError("--domain", received, f"its module {name}", _INSTALL[name]) from None
    return libvirt


class Guest:
    """A guest under libvirt. :meth:`connect` sets ``connection``, :meth:`find` ``domain``: libvirt's own objects."""

    def __init__(self, uri: str, name: str, libvirt: Any = None) -> None:
        self.libvirt = import_libvirt() if libvirt is None else libvirt
        # libvirt prints every error itself; here each is one line of ours.
        self.libvirt.registerErrorHandler(lambda context, error: None, None)
        self.uri, self.name = uri, name

    def ask(self, question: Callable[[], Any], option: str = "--domain") -> Any:
        """Ask libvirt. An error is one line that names the *option*, ``--domain`` or ``--connect``."""
        try:
            return question()
        except (self.libvirt.libvirtError, ValueError) as error:  # ValueError: text that is not UTF-8
            asked = quoted(self.uri if option == "--connect" else self.name)
            raise InputError(option, f"{asked}: {quoted(error, 300)}", "an answer of libvirt") from None

    def connect(self) -> None:
        self.connection = self.ask(lambda: self.libvirt.open(self.uri), "--connect")

    def find(self) -> None:
        """Look the domain up: by number, UUID or name."""
        connection, name = self.connection, self.name
        is_number = re.fullmatch(r"[0-9]{1,9}", name)
        find = connection.lookupByUUIDString if _UUID.fullmatch(name) else connection.lookupByName
        self.domain = self.ask(lambda: connection.lookupByID(int(name)) if is_number else find(name))

    @property
    def host(self) -> str:
        """The host's name as the hypervisor gives it; "" if it has none."""
        answer = self.ask(self.connection.getHostname, "--connect")
        return bare_name(answer) if isinstance(answer, str) else ""

    def inject(self, header: str, payload: str) -> None:
        """Pass a secret's packet (both parts as base64) to the domain, and let it run."""
        self.ask(lambda: self.domain.setLaunchSecurityState({"sev-secret": payload, "sev-secret-header": header}, 0))
        try:
            self.ask(self.domain.resume)
        except InputError as error:
            received = f"{error.received}. It has the secret, but is still paused"
            raise InputError("--domain", received, "a domain that can be resumed", "virsh resume") from None


def bare_name(name: str) -> str:
    """Return a host's name (or address) for comparison: in lower case, without white space or a final dot."""
    return name.strip().rstrip(".").lower()


def is_this_machine(host: str) -> bool:
    """Return whether *host*, a name or an address from :func:`bare_name`, is this machine.

    A short name matches any full name that begins with it. Looking up names, which may take up to
    :data:`PATIENCE` seconds, comes last.
    """
    if not host:
        return False
    address = _address(host)
    if address is not None and _is_own(address):
        return True

    def is_same(name: str) -> bool:
        if address is not None:
            return address == _address(name)
        if "." in host and "." in name:
            return host == name
        return host.partition(".")[0] == name.partition(".")[0]

    known = {"localhost", "localhost.localdomain", bare_name(socket.gethostname())}
    return any(map(is_same, known)) or any(map(is_same, _looked_up_names()))


def _address(text: str) -> Address | None:
    """Return an IP address from text, also in brackets; None for other text. IPv4 within IPv6 is IPv4."""
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_own(address: Address) -> bool:
    """Return whether a network interface of this machine has an address: only then can a socket be bound to it."""
    if address.is_loopback or address.is_unspecified:
        return True
    if address.is_multicast or str(address) == "255.255.255.255":  # any socket can be bound to these
        return False
    text = str(address).partition("%")[0]
    places: list[tuple[Any, ...]] = [(text, 0)]
    if address.version == 6 and address.is_link_local:  # valid on one interface, which need not be named
        places = [(text, 0, 0, number) for number, _ in socket.if_nameindex()]
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    for place in places:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(place)
            return True
    return False


def _looked_up_names() -> set[str]:
    """Return this machine's names and addresses as the system looks them up; none if that takes too long."""
    found: list[str] = []

    def look() -> None:
        with suppress(OSError, ValueError):
            found.append(socket.getfqdn())
        with suppress(OSError, ValueError):  # this is how libvirt finds its name
            for *_, name, place in socket.getaddrinfo(socket.gethostname(), None, flags=socket.AI_CANONNAME):
                found.extend((name, str(place[0])))

    looking = Thread(target=look, daemon=True)
    looking.start()
    looking.join(PATIENCE)
    return {bare_name(name) for name in found} - {""}


def complete_inputs(
    guest: Guest, given: Mapping[str, object], *, insecure: bool = False, ignore_config: bool = False
) -> dict[str, Any]:
    """Return the inputs *given*, completed by what libvirt knows about *guest*. Given inputs are not asked for.

    What may not come from the host is refused, unless *insecure*. *ignore_config* skips the checks of the domain's
    configuration. Raises :class:`~sevlab.errors.ConfigurationError`, :class:`~sevlab.errors.StateError` or
    :class:`~sevlab.errors.InsecureError` for what is refused, and :class:`~sevlab.errors.InputError` if libvirt does
    not answer, or inputs do not go together.
    """
    inputs: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    # Checked before the host is asked, which must not complete, and so replace, half of an answer.
    LaunchInputs(**{name: inputs.get(name) for name in INPUTS}).check()
    guest.connect()
    host = guest.host
    local = is_this_machine(host)
    if (local or not host) and not insecure:
        what = f"on this machine, {quoted(host)}" if local else "that does not say where it is"
        needed = "one on another machine than this one"
        raise InsecureError("--connect", f"{quoted(guest.uri)}, a hypervisor {what}", needed, _SURE)
    guest.find()
    count = _check_state(guest, insecure)
    configuration = _read(guest.ask(guest.domain.XMLDesc), "domain")
    if not ignore_config:
        check_configuration(configuration, has_kernel="kernel" in inputs, insecure=insecure)
    inputs |= _reported(guest, inputs)
    is_es = parse_policy(inputs["policy"], "--policy").es
    if is_es and "num_cpus" not in inputs:
        _refuse(insecure, "--num-cpus", "the number of virtual CPUs that the host gives")
        inputs["num_cpus"] = count
    for name, path in _FILES.items():
        element = configuration.first(path)
        if name in inputs or (element is None and name != "firmware"):
            continue
        if not local:  # a local one is asked only with *insecure*
            received = "nothing, and the file that the configuration names is on another machine"
            raise InputError(f"--{name}", received, "the file itself")
        if element is None or not element.text:
            raise InputError(f"--{name}", "nothing, and the configuration names none", "a file")
        # The host must not make standard input one of the files.
        inputs[name] = "./-" if element.text == "-" else element.text
    if "cmdline" not in inputs and (element := configuration.first("os/cmdline")) is not None:
        _refuse(insecure, "--cmdline", "a command line from the host's configuration")
        inputs["cmdline"] = element.text
    if is_es and not {"vmsa_cpu0", "cpu_family"} & set(inputs):
        _refuse(insecure, "--cpu-family", "the CPU's family, model and stepping that the host gives")
        inputs |= _signature(guest)
    return inputs


def _check_state(guest: Guest, insecure: bool) -> object:
    """Refuse a domain that does not run, or is no longer paused; return its number of virtual CPUs."""
    name, advice = quoted(guest.name), "virsh start --paused"
    if not guest.ask(guest.domain.isActive):
        raise StateError("--domain", f"{name}, which does not run", "a running domain", advice)
    state, _, _, count, *_ = guest.ask(guest.domain.info)
    if state != guest.libvirt.VIR_DOMAIN_PAUSED and not insecure:
        raise StateError("--domain", f"{name}, which runs already", "a domain paused since its start", advice)
    return count


def check_configuration(root: Element, *, has_kernel: bool, insecure: bool) -> None:
    """Refuse a domain (*root* is its XML) that cannot be measured, or whose measurement would prove too little."""
    security = [one for one in root.all("launchSecurity") if one.attributes.get("type") == "sev"]
    if len(security) != 1:
        raise ConfigurationError("--domain", "a configuration without SEV", "one <launchSecurity type='sev'>")
    for tag, what in (("dhCert", "the owner's certificate"), ("session", "the launch session")):
        if len(security[0].all(tag)) != 1:
            needed = f"<{tag}>, {what}: without it the keys are all zero and anyone can make the measurement"
            raise ConfigurationError("--domain", f"a configuration without one <{tag}>", needed)
    if root.all("os/nvram") and not insecure:
        received = "firmware with a variable store (<nvram>), which is not measured"
        raise InsecureError("--domain", received, "one firmware image without it", _SURE)
    if len(root.all("os/loader")) != 1:
        raise ConfigurationError("--domain", "a configuration without one <loader>", "the path of one firmware image")
    boots = any(root.all(f"os/{tag}") for tag in ("kernel", "initrd", "cmdline"))
    if security[0].attributes.get("kernelHashes") == "yes":
        if not boots:
            received = "kernelHashes='yes' without a kernel"
            raise ConfigurationError("--domain", received, "<kernel> in the configuration, or no kernelHashes")
    elif has_kernel:
        received = "a kernel, but the domain does not measure it"
        raise InputError("--kernel", received, "kernelHashes='yes' in <launchSecurity>", "leave out --kernel")
    elif boots and not insecure:
        needed = "kernelHashes='yes' in <launchSecurity>"
        raise InsecureError("--domain", "a kernel that is not measured", needed, _SURE)


def _refuse(insecure: bool, option: str, received: str) -> None:
    if not insecure:
        raise InsecureError(option, received, "the option, since the host must not choose its own evidence", _SURE)


def _reported(guest: Guest, given: Container[str]) -> dict[str, object]:
    """Return the reported values that were not given. They may come from the host, because the measure covers them."""
    missing = {name: "sev-" + name.replace("_", "-") for name in REPORTED if name not in given}
    answer = guest.ask(guest.domain.launchSecurityInfo) if missing else {}
    info = answer if isinstance(answer, dict) else {}
    for key in missing.values():
        if key not in info:
            needed = f"it, as libvirt 8.0 or newer reports it of a guest with SEV or SEV-ES; or --{key[4:]}"
            raise InputError("--domain", f"launch security information without {key}", needed)
    return {name: info[key] for name, key in missing.items()}


def _signature(guest: Guest) -> dict[str, str]:
    """Return family, model and stepping of the host's CPU, from libvirt's capabilities."""
    root = _read(guest.ask(guest.connection.getCapabilities, "--connect"), "capabilities")
    found = root.all("host/cpu/signature")
    if len(found) != 1:
        needed = "one CPU signature, as a newer libvirt reports it, or --cpu-family, --cpu-model, --cpu-stepping"
        raise InputError("--connect", "capabilities without the CPU's signature", needed)
    return {f"cpu_{part}": found[0].attributes.get(part, "") for part in ("family", "model", "stepping")}


def _read(text: object, tag: str) -> Element:
    """Read XML of the host, which may be anything. Without a root named *tag* it counts as empty."""
    try:
        root = read_xml(text if isinstance(text, str) else "")
    except InputError as error:
        needed = f"the XML of its {tag}, at most {TEXT_LIMIT >> 20} MiB"
        raise InputError("--domain", f"from libvirt {error.received}", needed) from None
    return root if root.tag == tag else Element(tag, {})
