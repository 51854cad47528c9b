"""A QEMU command line: the firmware it loads, the guest object that makes it SEV, the kernel, the virtual CPUs."""

from __future__ import annotations

import re
from functools import cached_property

from ..arguments import checked
from ..cpu import CPU_MODELS
from .found import COMMAND_LINE, Capture, shown
from .words import Option, split_options

GUEST_TYPES = ("sev-guest", "sev-snp-guest")
#: QEMU's policy when the sev-guest object names none: NODBG.
DEFAULT_POLICY = "0x1"
_CHAIN_LIMIT = 16
_TOPOLOGY = ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")


class CommandLine:
    """A QEMU command line, understood as far as a launch needs it. Make it with :func:`read_command_line`."""

    def __init__(self, options: list[Option], remarks: list[str]) -> None:
        self.options, self.remarks = options, remarks

    def last(self, name: str) -> str | None:
        """Return the value of the last option of a name; QEMU lets the last one win."""
        return next((one.value for one in reversed(self.options) if one.name == name and one.value is not None), None)

    @property
    def repeated(self) -> list[str]:
        """What of a launch is told twice, and differently, in sentences. QEMU takes the last of it without a word."""
        found = []
        for name in ("-kernel", "-initrd", "-append", "-bios"):
            if len({one.value for one in self.options if one.name == name and one.value is not None}) > 1:
                found.append(f"{name} comes more than once; the last one counts, as in QEMU")
        guest = self.guest
        for key in dict.fromkeys(key for key, _ in guest.parts) if guest is not None else ():
            if guest is not None and len({value for name, value in guest.parts if name == key}) > 1:
                found.append(f"-object {guest.part('qom-type')},{shown(key)} comes more than once; the last one counts")
        guests = [one for one in self.options if one.name == "-object" and one.part("qom-type") in GUEST_TYPES]
        if len(guests) > 1:
            found.append(f"{len(guests)} objects can make it an SEV guest; the one that -machine names counts")
        return found

    @cached_property
    def machine(self) -> dict[str, str]:
        """The parts of all -machine options together."""
        return {key: value for one in self.options if one.name == "-machine" for key, value in one.parts}

    @property
    def link(self) -> str:
        """The id of the object that protects the guest's memory, "" when none is named."""
        return self.machine.get("confidential-guest-support") or self.machine.get("memory-encryption", "")

    @cached_property
    def guest(self) -> Option | None:
        """The object that makes it an SEV guest: the one -machine names, else the first."""
        guests = [one for one in self.options if one.name == "-object" and one.part("qom-type") in GUEST_TYPES]
        return next((one for one in guests if one.part("id") == self.link), guests[0] if guests else None)

    @property
    def linked(self) -> bool:
        """True when -machine names the guest object; otherwise the guest runs without SEV."""
        return self.guest is not None and bool(self.link) and self.guest.part("id") == self.link

    @property
    def kernel_hashes(self) -> bool:
        """True when QEMU puts the kernel's hash into measured memory. Off by default."""
        return self.guest is not None and self.guest.part("kernel-hashes") in ("on", "yes", "true", "y")

    @cached_property
    def units(self) -> dict[int, int]:
        """Which options (by position) belong to which flash unit: 0 is the firmware, 1 its variables."""
        units: dict[int, int] = {}
        taken: set[int] = set()
        free = 0
        for number, one in enumerate(self.options):
            if one.name == "-pflash" or (one.name == "-drive" and one.part("if") == "pflash"):
                given = (one.part("unit") or one.part("index")) if one.name == "-drive" else ""
                units[number] = int(given) if re.fullmatch("[0-9]{1,3}", given) else free
                taken.add(units[number])
                while free in taken:
                    free += 1
        nodes = {
            one.part("node-name"): number
            for number, one in enumerate(self.options)
            if one.name == "-blockdev" and one.part("node-name")
        }
        for unit in (0, 1):
            node = self.machine.get(f"pflash{unit}", "")
            for _ in range(_CHAIN_LIMIT):
                if node not in nodes or nodes[node] in units:
                    break
                units[nodes[node]] = unit
                node = self.options[nodes[node]].part("file")
        return units

    def flash(self, unit: int) -> str | None:
        """Return the file of a flash unit."""
        for number, own in self.units.items():
            option = self.options[number]
            if own != unit:
                continue
            if option.name == "-pflash":
                return str(option.value)
            path = option.part("file.filename") or option.part("filename")
            if not path and option.name == "-drive":
                path = option.part("file")
            if path:
                return path
        return None

    @property
    def cpus(self) -> str:
        """The number of virtual CPUs at the start, as QEMU works it out of -smp; "1" without it."""
        parts: dict[str, str] = {key: value for one in self.options if one.name == "-smp" for key, value in one.parts}
        if not parts or parts.get("cpus"):
            return parts.get("cpus", "1")
        if parts.get("maxcpus"):
            return parts["maxcpus"]
        count = 1
        for key in _TOPOLOGY:
            count *= int(parts[key]) if re.fullmatch("[0-9]{1,5}", parts.get(key, "")) else 1
        return str(count)


def read_command_line(text: str) -> CommandLine:
    """Read a QEMU command line; raise :class:`~sevlab.errors.InputError` only for one that is too long."""
    return CommandLine(*split_options(text))


@checked
def parse_command_line(text: str) -> Capture:
    """Read a QEMU command line: from a script, from libvirt's log, from ps, or from /proc/PID/cmdline."""
    command = read_command_line(text)
    capture = Capture(COMMAND_LINE)
    for words in command.remarks:
        capture.remark(words)
    if not any(one.name for one in command.options):
        capture.remark_if_empty()
        return capture
    for words in command.repeated:
        capture.remark(words)
    if command.last("-readconfig"):
        capture.remark("-readconfig names a file with more options, which was not read")
    _firmware(command, capture)
    _guest(command, capture)
    for name, option in (("kernel", "-kernel"), ("initrd", "-initrd"), ("cmdline", "-append")):
        value = command.last(option)
        if value is not None:
            capture.add(name, value, option)
    capture.add("num_cpus", command.cpus, "-smp" if command.last("-smp") else "without -smp")
    _cpu(command, capture)
    return capture


def _firmware(command: CommandLine, capture: Capture) -> None:
    flash, bios = command.flash(0), command.last("-bios")
    if flash:
        capture.add("firmware", flash, "flash unit 0")
        if bios:
            capture.remark("-bios stands beside a flash unit 0, and QEMU then uses the flash")
    elif bios:
        capture.add("firmware", bios, "-bios")
        capture.remark("-bios: QEMU measures this firmware from version 7.1 on; before, it did not")
    else:
        capture.remark("no firmware is named (flash unit 0 or -bios); QEMU's own default can't start an SEV guest")
    variables = command.flash(1)
    if variables:
        capture.add("nvram", variables, "flash unit 1")
        capture.remark("flash unit 1 holds the firmware's variables: the host can change them, nothing measures them")


def _guest(command: CommandLine, capture: Capture) -> None:
    guest = command.guest
    if guest is None:
        capture.remark("there is no -object sev-guest: this guest does not use SEV")
        return
    kind = guest.part("qom-type")
    where = f"-object {kind}"
    capture.add("guest", kind.removesuffix("-guest"), where)
    if not command.linked:
        capture.remark(
            f"no -machine confidential-guest-support={shown(guest.part('id') or 'ID')} names the {kind} object: "
            "this guest runs without SEV"
        )
    if kind != "sev-guest":
        capture.remark("this is an SEV-SNP guest, which has no launch measurement of this kind")
        return
    capture.add("kernel_hashes", command.kernel_hashes, f"{where},kernel-hashes")
    policy = guest.part("policy")
    if re.fullmatch("0[0-7]+", policy):
        capture.remark(f"{where},policy={policy} starts with 0, which QEMU reads as octal")
        policy = str(int(policy[:24], 8))
    capture.add("policy", policy or DEFAULT_POLICY, f"{where},policy" if policy else f"{where}, QEMU's default policy")


def _cpu(command: CommandLine, capture: Capture) -> None:
    option = next((one for one in reversed(command.options) if one.name == "-cpu" and one.parts), None)
    if option is None:
        return
    name = option.parts[0][1] if option.parts[0][0] == "model" else ""
    if name:
        capture.add("cpu", name[:80], "-cpu")
    numbers = CPU_MODELS.get(name, ("", "", ""))
    for key, number in zip(("family", "model", "stepping"), numbers, strict=True):
        # The model's name is the first part, so a later part called model is the number.
        given = next((value for part, value in reversed(option.parts[1:]) if part == key), "")
        if given or number != "":
            capture.add(f"cpu_{key}", given or number, f"-cpu {name[:40]}" + (f",{key}" if given else ""))
