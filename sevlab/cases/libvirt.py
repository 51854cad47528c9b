"""A running guest under libvirt: what the host reports of it, and whether asking the host is safe.

``validate --domain`` takes from libvirt what the options leave out. Some of that may come from an untrusted host,
because the measure covers it (the measurement, versions, the policy). The rest (which firmware, which kernel, how many
CPUs) is what is to be checked, so it is taken from the host only with *insecure*.

The rules are those of libvirt 9.0's ``virt-qemu-sev-validate``; docs/validate.md lists the differences. libvirt's
module for Python is imported when a domain is asked for, and not before.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, InputError, InsecureError, StateError, quoted
from ..launch.evidence import REPORTED
from ..launch.inputs import INPUTS, LaunchInputs
from ..launch.values import parse_policy
from .capture import TEXT_LIMIT
from .domain_xml import Element, read_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address
    from typing import Any

    Address = IPv4Address | IPv6Address

URI = "qemu:///system"

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)

#: The elements of the configuration that name files, and the inputs they are.
_FILES = {"firmware": "os/loader", "kernel": "os/kernel", "initrd": "os/initrd"}

#: What is needed beyond the standard library, and where to get it.
_INSTALL = {
    "libvirt": "Debian's python3-libvirt (a venv needs --system-site-packages), or pip install 'sevlab[libvirt]'",
    "defusedxml": "Debian's python3-defusedxml, or pip install defusedxml",
}

#: How many seconds to wait for the names that the system looks up: it may ask a server that does not answer.
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
    """A guest under libvirt, which is first asked by :meth:`connect`.

    ``connection`` and ``domain`` are libvirt's own objects, there after :meth:`connect` and :meth:`find`.
    """

    def __init__(self, uri: str, name: str, libvirt: Any = None) -> None:
        self.libvirt = import_libvirt() if libvirt is None else libvirt
        # libvirt prints every error on its own; here each is one line of ours.
        self.libvirt.registerErrorHandler(lambda context, error: None, None)
        self.uri, self.name = uri, name

    def ask(self, question: Callable[[], Any], option: str = "--domain") -> Any:
        """Ask libvirt. What it refuses is one line that names the *option*, ``--domain`` or ``--connect``."""
        try:
            return question()
        except (self.libvirt.libvirtError, ValueError) as error:  # ValueError: words that are not UTF-8
            asked = quoted(self.uri if option == "--connect" else self.name)
            raise InputError(option, f"{asked}: {quoted(error, 300)}", "an answer of libvirt") from None

    def connect(self) -> None:
        """Connect to the hypervisor."""
        self.connection = self.ask(lambda: self.libvirt.open(self.uri), "--connect")

    def find(self) -> None:
        """Look the domain up: by number, UUID or name."""
        connection, name = self.connection, self.name
        if re.fullmatch(r"[0-9]{1,9}", name):
            self.domain = self.ask(lambda: connection.lookupByID(int(name)))
        elif _UUID.fullmatch(name):
            self.domain = self.ask(lambda: connection.lookupByUUIDString(name))
        else:
            self.domain = self.ask(lambda: connection.lookupByName(name))

    @property
    def host(self) -> str:
        """The host's name, from the hypervisor; "" if it has none."""
        answer = self.ask(self.connection.getHostname, "--connect")
        return bare_name(answer) if isinstance(answer, str) else ""

    def inject(self, header: str, payload: str) -> None:
        """Hand a secret's packet (both parts as base64) to the domain, and let it run."""
        self.ask(lambda: self.domain.setLaunchSecurityState({"sev-secret": payload, "sev-secret-header": header}, 0))
        try:
            self.ask(self.domain.resume)
        except InputError as error:
            received = f"{error.received}. It has the secret, but stays paused"
            raise InputError("--domain", received, "a domain that goes on", "virsh resume") from None


def bare_name(name: str) -> str:
    """Return a host's name (or address) as names are compared: in lower case, without white space or a final dot."""
    return name.strip().rstrip(".").lower()


def is_this_machine(host: str) -> bool:
    """Return whether *host*, a name or an address from :func:`bare_name`, is this machine.

    A short name matches any full name that begins with it. Looking up more names may take long, so this comes last and
    is given up after :data:`PATIENCE`.
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
    """Return an IP address from its text, also in brackets; None for anything else. IPv4 within IPv6 is IPv4."""
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_own(address: Address) -> bool:
    """Return whether one of this machine's network interfaces has an address: only then can a socket be bound to it."""
    if address.is_loopback or address.is_unspecified:
        return True
    if address.is_multicast or str(address) == "255.255.255.255":  # any socket can be bound to these
        return False
    text = str(address).partition("%")[0]
    places: list[tuple[Any, ...]] = [(text, 0)]
    if address.version == 6 and address.is_link_local:  # it counts on one interface, which need not be named
        places = [(text, 0, 0, number) for number, _ in socket.if_nameindex()]
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    for place in places:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(place)
            return True
    return False


def _looked_up_names() -> set[str]:
    """Return this machine's names and addresses as the system looks them up; none when that takes too long."""
    found: list[str] = []

    def look() -> None:
        with suppress(OSError, ValueError):
            found.append(socket.getfqdn())
        with suppress(OSError, ValueError):  # this is how libvirt finds the name that it answers
            for *_, name, place in socket.getaddrinfo(socket.gethostname(), None, flags=socket.AI_CANONNAME):
                found.extend((name, str(place[0])))

    looking = Thread(target=look, daemon=True)
    looking.start()
    looking.join(PATIENCE)
    return {bare_name(name) for name in found} - {""}


def complete_inputs(
    guest: Guest, given: dict[str, Any], *, insecure: bool = False, ignore_config: bool = False
) -> dict[str, Any]:
    """Return the inputs *given*, completed by what libvirt knows of *guest*. What is given is not asked for.

    What may come from the host is taken; what may not is refused, unless *insecure*. *ignore_config* leaves out the
    checks of the domain's configuration. Raises :class:`~sevlab.errors.ConfigurationError`,
    :class:`~sevlab.errors.StateError` or :class:`~sevlab.errors.InsecureError` by what is refused, and
    :class:`~sevlab.errors.InputError` for what libvirt does not answer, and for inputs that do not go together.
    """
    inputs = {name: value for name, value in given.items() if value is not None}
    # Before anything is taken from the host, which must not complete, and so replace, half of an answer.
    LaunchInputs(**{name: inputs.get(name) for name in INPUTS}).check()
    guest.connect()
    host = guest.host
    local = is_this_machine(host)
    if (local or not host) and not insecure:
        what = f"on this machine, {quoted(host)}" if local else "that does not say where it is"
        needed = "one that is judged from another machine"
        raise InsecureError("--connect", f"{quoted(guest.uri)}, a hypervisor {what}", needed, _SURE)
    guest.find()
    state = _check_state(guest, insecure)
    configuration = _read(guest.ask(guest.domain.XMLDesc), "domain")
    if not ignore_config:
        check_configuration(configuration, has_kernel="kernel" in inputs, insecure=insecure)
    inputs |= _reported(guest, inputs)
    is_es = parse_policy(inputs["policy"], "--policy").es
    if is_es and "num_cpus" not in inputs:
        _refuse(insecure, "--num-cpus", "the number of virtual CPUs that the host says")
        inputs["num_cpus"] = state[3]
    for name, path in _FILES.items():
        _add_file(configuration, inputs, name, path, local=local)
    if "cmdline" not in inputs and (element := configuration.first("os/cmdline")) is not None:
        _refuse(insecure, "--cmdline", "a command line from the host's configuration")
        inputs["cmdline"] = element.text
    if is_es and not {"vmsa_cpu0", "cpu_family"} & set(inputs):
        _refuse(insecure, "--cpu-family", "the CPU's family, model and stepping that the host says")
        inputs |= _signature(guest)
    return inputs


def _check_state(guest: Guest, insecure: bool) -> Any:
    """Refuse a domain that does not run, or that was let go on before it was judged; return libvirt's information."""
    if not guest.ask(guest.domain.isActive):
        raise StateError(
            "--domain", f"{quoted(guest.name)}, which does not run", "a running domain", "virsh start --paused"
        )
    info = guest.ask(guest.domain.info)
    if info[0] != guest.libvirt.VIR_DOMAIN_PAUSED and not insecure:
        received = f"{quoted(guest.name)}, which runs already"
        raise StateError("--domain", received, "a domain that is paused since its start", "virsh start --paused")
    return info


def check_configuration(root: Element, *, has_kernel: bool, insecure: bool) -> None:
    """Refuse a domain whose configuration cannot be measured, or whose measurement would prove too little.

    *root* is the element ``domain`` of its XML.
    """
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
        raise InsecureError(
            "--domain", "a kernel that is not measured", "kernelHashes='yes' in <launchSecurity>", _SURE
        )


def _refuse(insecure: bool, option: str, received: str) -> None:
    if not insecure:
        raise InsecureError(option, received, "the option, since the host must not choose what it is judged by", _SURE)


def _reported(guest: Guest, given: dict[str, Any]) -> dict[str, Any]:
    """Return the reported values that were not given. They may come from the host, because the measure covers them."""
    wanted = {name: "sev-" + name.replace("_", "-") for name in REPORTED if name not in given}
    if not wanted:
        return {}
    answer = guest.ask(guest.domain.launchSecurityInfo)
    info = answer if isinstance(answer, dict) else {}
    for key in wanted.values():
        if key not in info:
            needed = f"it, as libvirt 8.0 or newer tells of a guest with SEV or SEV-ES; or --{key[4:]}"
            raise InputError("--domain", f"launch security information without {key}", needed)
    return {name: info[key] for name, key in wanted.items()}


def _add_file(configuration: Element, inputs: dict[str, Any], name: str, path: str, *, local: bool) -> None:
    """Take a file that the configuration names. Only a *local* hypervisor's files are here to be taken.

    A local one is asked for anything only if that is insecure and wanted, so this need not be refused again.
    """
    element = configuration.first(path)
    if name in inputs or (element is None and name != "firmware"):
        return
    if not local:
        received = "nothing, and the file that the configuration names is on another machine"
        raise InputError(f"--{name}", received, "the file itself")
    if element is None or not element.text:
        raise InputError(f"--{name}", "nothing, and the configuration names none", "a file")
    # The host must not make standard input one of the files.
    inputs[name] = "./-" if element.text == "-" else element.text


def _signature(guest: Guest) -> dict[str, str]:
    """Return family, model and stepping of the host's CPU, from libvirt's capabilities."""
    root = _read(guest.ask(guest.connection.getCapabilities, "--connect"), "capabilities")
    found = root.all("host/cpu/signature")
    if len(found) != 1:
        needed = "one CPU signature, as a newer libvirt tells it, or --cpu-family, --cpu-model, --cpu-stepping"
        raise InputError("--connect", "capabilities without the CPU's signature", needed)
    return {f"cpu_{part}": found[0].attributes.get(part, "") for part in ("family", "model", "stepping")}


def _read(text: Any, tag: str) -> Element:
    """Read XML of the host, which may be anything. What is not about a *tag* holds nothing that we look for."""
    try:
        root = read_xml(text if isinstance(text, str) else "")
    except InputError as error:
        needed = f"the XML of its {tag}, at most {TEXT_LIMIT >> 20} MiB"
        raise InputError("--domain", f"from libvirt {error.received}", needed) from None
    return root if root.tag == tag else Element(tag, {})
