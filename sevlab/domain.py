"""A running guest under libvirt: what the host reports of it, and whether asking the host is safe.

``validate --domain`` takes from libvirt what the options leave out. Some of that may come from an untrusted host, since
the measure covers it (the measurement, versions, the policy). The rest (which firmware, which kernel, how many CPUs) is
just what is to be checked, so it is taken from the host only by somebody who says that he knows: *insecure*.

The rules are those of libvirt 9.0's ``virt-qemu-sev-validate``; docs/validate.md tells the differences. libvirt's
module for Python is imported when a domain is asked for, and not before.
"""

from __future__ import annotations

import re
import socket

from .capture.domain import Domain as Configuration
from .capture.domain import read_domain, read_xml
from .errors import ConfigurationError, InputError, InsecureError, StateError, UnsupportedError, quoted
from .inputs import parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

URI = "qemu:///system"
#: The keys of what libvirt calls launch security information, and the inputs they are.
_REPORTED = ("measurement", "api_major", "api_minor", "build_id", "policy")
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
#: The elements of the configuration that name files, and the inputs they are.
_FILES = {"firmware": "os/loader", "kernel": "os/kernel", "initrd": "os/initrd"}
_INSTALL = "Debian's package python3-libvirt, or: pip install 'sevlab[libvirt]'"
_SURE = "--insecure, if this is only a test"


def import_libvirt() -> Any:
    """Return libvirt's module. Raises :class:`~sevlab.errors.UnsupportedError` where there is none."""
    try:
        import libvirt
    except ImportError:
        raise UnsupportedError("a libvirt domain without libvirt's module for Python", _INSTALL) from None
    return libvirt


class Guest:
    """A guest under libvirt. ``connection`` and ``domain`` are libvirt's own objects."""

    def __init__(self, uri: str, name: str, libvirt: Any = None) -> None:
        self.libvirt = import_libvirt() if libvirt is None else libvirt
        # libvirt prints every error on its own; here each is one line of ours.
        self.libvirt.registerErrorHandler(lambda context, error: None, None)
        self.uri, self.name = uri, name
        self.connection = self._ask("--connect", uri, lambda: self.libvirt.open(uri))

    def _ask(self, option: str, what: str, question: Callable[[], Any]) -> Any:
        """Ask libvirt; what it refuses is one line that names the option."""
        try:
            return question()
        except self.libvirt.libvirtError as error:
            raise InputError(option, f"{quoted(what)}: {quoted(error, 300)}", "an answer of libvirt") from None

    def ask(self, question: Callable[[], Any]) -> Any:
        """Ask about the domain; raise :class:`~sevlab.errors.InputError` when libvirt refuses."""
        return self._ask("--domain", self.name, question)

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
    def is_local(self) -> bool:
        """True when the hypervisor runs on this very machine."""
        return bool(self._ask("--connect", self.uri, self.connection.getHostname) == socket.gethostname())

    def inject(self, header: str, payload: str) -> None:
        """Hand a secret's packet (both parts as base64) to the domain, and let it run."""
        self.ask(lambda: self.domain.setLaunchSecurityState({"sev-secret": payload, "sev-secret-header": header}, 0))
        self.ask(self.domain.resume)


def complete_inputs(
    guest: Guest, given: dict[str, Any], *, insecure: bool = False, ignore_config: bool = False
) -> dict[str, Any]:
    """Return the inputs *given*, completed by what libvirt knows of *guest*.

    What may come from the host is taken; what may not is refused, unless *insecure*. *ignore_config* leaves out the
    checks of the domain's configuration. Raises :class:`~sevlab.errors.ConfigurationError`,
    :class:`~sevlab.errors.StateError` or :class:`~sevlab.errors.InsecureError` by what is refused, and
    :class:`~sevlab.errors.InputError` for what libvirt does not answer.
    """
    local = guest.is_local
    if local and not insecure:
        received = f"{quoted(guest.uri)}, a hypervisor on this machine"
        raise InsecureError("--connect", received, "one that is judged from another machine", _SURE)
    guest.find()
    state = _check_state(guest, insecure)
    configuration = _read(guest.ask(guest.domain.XMLDesc), read_domain)
    if not ignore_config:
        check_configuration(configuration, has_kernel=given.get("kernel") is not None, insecure=insecure)
    inputs = {name: value for name, value in given.items() if value is not None}
    inputs |= _reported(guest, inputs)
    policy = parse_number(inputs["policy"], "--policy", 0xFFFFFFFF)
    is_es = bool(policy & 4)
    if is_es and "num_cpus" not in inputs:
        _refuse(insecure, "--num-cpus", "the number of virtual CPUs that the host says")
        inputs["num_cpus"] = state[3]
    for name, path in _FILES.items():
        _add_file(configuration, inputs, name, path, local=local, insecure=insecure)
    if "cmdline" not in inputs and (element := configuration.root.first("os/cmdline")) is not None:
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


def check_configuration(configuration: Configuration, *, has_kernel: bool, insecure: bool) -> None:
    """Refuse a domain whose configuration cannot be measured, or whose measurement would prove too little."""
    root = configuration.root
    security = [one for one in root.all("launchSecurity") if one.attributes.get("type") == "sev"]
    if len(security) != 1:
        raise ConfigurationError("--domain", "a configuration without SEV", "<launchSecurity type='sev'>")
    for tag, what in (("dhCert", "the owner's certificate"), ("session", "the launch session")):
        if len(security[0].all(tag)) != 1:
            needed = f"<{tag}>, {what}: without it the keys are all zero and anyone can make the measurement"
            raise ConfigurationError("--domain", f"a configuration without <{tag}>", needed)
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
    """Return what was not given of what the host reports. It may come from there, for the measure covers all of it."""
    info = guest.ask(guest.domain.launchSecurityInfo)
    reported = {}
    for name in _REPORTED:
        key = "sev-" + name.replace("_", "-")
        if name in given:
            continue
        if key not in info:
            raise InputError("--domain", f"launch security information without {key}", "a libvirt of 8.0 or newer")
        reported[name] = info[key]
    return reported


def _add_file(
    configuration: Configuration, inputs: dict[str, Any], name: str, path: str, *, local: bool, insecure: bool
) -> None:
    """Take a file that the configuration names, where that is possible and wanted."""
    element = configuration.root.first(path)
    if name in inputs or (element is None and name != "firmware"):
        return
    if not local:
        received = "nothing, and the file that the configuration names is on another machine"
        raise InputError(f"--{name}", received, "the file itself")
    _refuse(insecure, f"--{name}", "a file that the host's configuration names")
    if element is None or not element.text:
        raise InputError(f"--{name}", "nothing, and the configuration names none", "a file")
    inputs[name] = element.text


def _signature(guest: Guest) -> dict[str, Any]:
    """Return family, model and stepping of the host's CPU, from libvirt's capabilities."""
    root = _read(guest.ask(guest.connection.getCapabilities), read_xml)
    element = root.first("host/cpu/signature")
    if element is None:
        raise InputError("--connect", "capabilities without the CPU's signature", "a newer libvirt, or --cpu-family")
    return {f"cpu_{part}": element.attributes.get(part, "") for part in ("family", "model", "stepping")}


def _read(text: Any, reader: Callable[[str], Any]) -> Any:
    """Read XML of the host, which may be anything."""
    try:
        return reader(text if isinstance(text, str) else "")
    except InputError as error:
        raise InputError("--domain", f"from libvirt {error.received}", error.needed) from None
