"""What the launch measurement of SEV and SEV-ES covers: the rules, as data. The first that fits decides.

Sources: AMD 55766 (LAUNCH_UPDATE_DATA, LAUNCH_UPDATE_VMSA, LAUNCH_MEASURE); QEMU's documentation of memory encryption;
the checks of libvirt 9.0's virt-qemu-sev-validate; QEMU commit a8152c4e for -bios.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MEASURED, NOT_MEASURED, BREAKS = "measured", "not measured", "breaks measurement"


@dataclass(frozen=True)
class Rule:
    """``paths`` are patterns, separated by ``|``; ``when`` is a condition of :class:`.Setup`, "" for always."""

    label: str
    paths: str
    when: str
    reason: str


_CPU_REASON = "Only the CPU's family, model and stepping are in the measured registers (RDX); its features are not."
_NO_ES = "Without SEV-ES (policy bit 2) no register of any virtual CPU is measured."
_ES_UNKNOWN = "Measured only with SEV-ES (policy bit 2), and no policy is known."
_NO_HASHES = "Kernel hashes are off, so the host can replace it unseen."

RULES = (
    # What stands in the way of any measurement.
    Rule(
        BREAKS, "absent sev-guest", "", "Without it this is an ordinary guest: its memory is open, nothing is measured."
    ),
    Rule(
        BREAKS,
        "absent link",
        "",
        "The sev-guest object stands unused: the guest runs without SEV, nothing is measured.",
    ),
    Rule(BREAKS, "absent firmware", "", "No firmware is named, so nobody can say what was measured first."),
    Rule(NOT_MEASURED, "*", "no-sev", "Nothing is measured: this is no SEV guest."),
    Rule(NOT_MEASURED, "*", "unlinked", "Nothing is measured: the sev-guest object is not in use."),
    Rule(
        BREAKS,
        "absent kernel-hashes",
        "",
        "A kernel is given but not measured: the host can replace it unseen. libvirt's validator refuses this.",
    ),
    Rule(
        BREAKS,
        "/domain/os/nvram|pflash 1",
        "",
        "The firmware's variables are writable, the host's, and not measured; the firmware obeys them. libvirt's "
        "validator refuses this: use one combined, stateless image.",
    ),
    Rule(
        BREAKS,
        "pflash [!0]*",
        "",
        "Only flash unit 0 is measured; another unit gives the guest unmeasured code or data.",
    ),
    Rule(
        BREAKS,
        "-incoming|-loadvm",
        "",
        "A guest that is taken over was not launched here: there is no launch to measure.",
    ),
    Rule(
        BREAKS, "-machine/igvm-cfg|-object igvm-cfg", "", "An IGVM file decides what is measured; sevlab can't read it."
    ),
    Rule(BREAKS, "-readconfig", "", "More options stand in a file that was not read, the firmware perhaps among them."),
    # The firmware.
    Rule(MEASURED, "pflash 0|/domain/os/loader pflash", "split", "The first flash unit, every byte: the CODE half."),
    Rule(
        MEASURED, "pflash 0|/domain/os/loader pflash", "", "The firmware is the first thing measured, every byte of it."
    ),
    Rule(NOT_MEASURED, "-bios", "flash", "QEMU starts the firmware in flash unit 0 and does not use this one."),
    Rule(
        MEASURED,
        "-bios|/domain/os/loader rom|/domain/os/loader",
        "",
        "The firmware is measured, every byte of it, by QEMU 7.1 and later; older ones do not measure -bios.",
    ),
    Rule(MEASURED, "case firmware", "", "The firmware is the first thing measured, every byte of it."),
    # The kernel.
    Rule(
        BREAKS,
        "absent enforcement",
        "",
        "The firmware has the place but no code that checks it: the digest names this kernel while any kernel boots.",
    ),
    Rule(BREAKS, "absent place", "", "QEMU refuses to start a guest with kernel hashes and this firmware."),
    Rule(
        NOT_MEASURED,
        "-kernel|-initrd|-append|/domain/os/kernel|/domain/os/initrd|/domain/os/cmdline|case kernel|case initrd"
        "|case cmdline",
        "hashes kernel place-only",
        "Its SHA-256 is in the measured table of hashes, but nothing compares the two: the host can replace it unseen.",
    ),
    Rule(
        MEASURED,
        "-kernel|-initrd|-append|/domain/os/kernel|/domain/os/initrd|/domain/os/cmdline|case kernel|case initrd"
        "|case cmdline",
        "hashes kernel cannot-tell",
        "Its SHA-256 is in the measured table of hashes. Whether the firmware compares the two, sevlab cannot tell.",
    ),
    Rule(
        MEASURED, "-kernel|/domain/os/kernel|case kernel", "hashes", "Its SHA-256 is in the measured table of hashes."
    ),
    Rule(
        MEASURED,
        "-initrd|-append|/domain/os/initrd|/domain/os/cmdline|case initrd|case cmdline",
        "hashes kernel",
        "Its SHA-256 is in the measured table of hashes (of a command line: with a zero byte after it).",
    ),
    Rule(
        NOT_MEASURED,
        "-initrd|-append|/domain/os/initrd|/domain/os/cmdline|case initrd|case cmdline",
        "no-kernel",
        "Without a kernel it has no effect.",
    ),
    Rule(
        NOT_MEASURED, "-kernel|-initrd|-append|/domain/os/kernel|/domain/os/initrd|/domain/os/cmdline", "", _NO_HASHES
    ),
    Rule(NOT_MEASURED, "-dtb|/domain/os/dtb|-shim", "", "The table of hashes has no entry for it."),
    Rule(
        MEASURED,
        "-object sev-guest/kernel-hashes|/domain/launchSecurity/@kernelHashes",
        "hashes kernel",
        "It makes QEMU put the hashes of kernel, initrd and command line into measured memory, after the firmware.",
    ),
    Rule(
        NOT_MEASURED,
        "-object sev-guest/kernel-hashes|/domain/launchSecurity/@kernelHashes",
        "hashes",
        "Without a kernel no table is loaded; libvirt's validator calls this a wrong configuration.",
    ),
    Rule(NOT_MEASURED, "-object sev-guest/kernel-hashes|/domain/launchSecurity/@kernelHashes", "", "It is off."),
    # The guest object.
    Rule(
        MEASURED,
        "-object sev-guest/policy|/domain/launchSecurity/policy|case policy",
        "",
        "Not in the launch digest, but in the message under the HMAC beside it; the firmware enforces it.",
    ),
    Rule(
        NOT_MEASURED,
        "-object sev-guest/dh-cert-file|-object sev-guest/session-file"
        "|/domain/launchSecurity/dhCert|/domain/launchSecurity/session",
        "",
        "Not measured, but they bring the keys TIK and TEK: a wrong one fails the launch, or the HMAC has another key.",
    ),
    Rule(
        NOT_MEASURED,
        "-object sev-guest/cbitpos|/domain/launchSecurity/cbitpos"
        "|-object sev-guest/reduced-phys-bits|/domain/launchSecurity/reducedPhysBits",
        "",
        "It tells QEMU how this host's processor marks encrypted memory.",
    ),
    Rule(
        NOT_MEASURED,
        "-object sev-guest/qom-type|/domain/launchSecurity/@type",
        "",
        "It starts the launch, which is then measured; it is no part of it.",
    ),
    Rule(
        NOT_MEASURED,
        "-object sev-guest/id|-object sev-guest/handle|-object sev-guest/sev-device|-object sev-guest/legacy-vm-type",
        "",
        "It names something on the host.",
    ),
    Rule(
        NOT_MEASURED,
        "-machine/confidential-guest-support|-machine/memory-encryption",
        "",
        "It puts the sev-guest object to use; the launch, not this word, is measured.",
    ),
    # The virtual CPUs.
    Rule(
        MEASURED,
        "-smp/cpus|/domain/vcpu|case num_cpus",
        "es",
        "With SEV-ES the registers of every virtual CPU are measured, so their number matters.",
    ),
    Rule(
        MEASURED,
        "-smp/sockets|-smp/dies|-smp/clusters|-smp/modules|-smp/cores|-smp/threads|-smp/maxcpus",
        "es",
        "Only through the number of virtual CPUs at the start, which is worked out of it when cpus is not given.",
    ),
    Rule(NOT_MEASURED, "-smp/unused", "es", "The number of virtual CPUs is given, so this only arranges them."),
    Rule(MEASURED, "-cpu|-cpu/model|-cpu/family|-cpu/stepping|/domain/cpu", "es", _CPU_REASON),
    Rule(NOT_MEASURED, "-cpu/*", "es", "A feature of the CPU is not in its measured registers."),
    Rule(
        MEASURED,
        "case vmsa_cpu?|case cpu_*|case profile|case guest_features",
        "es",
        "With SEV-ES the 4096-byte save area of every virtual CPU is measured, and this is in it.",
    ),
    Rule(
        NOT_MEASURED,
        "-smp*|/domain/vcpu*|-cpu*|/domain/cpu|case num_cpus|case vmsa_cpu?|case cpu_*|case profile"
        "|case guest_features",
        "no-es",
        _NO_ES,
    ),
    Rule(
        NOT_MEASURED,
        "-smp*|/domain/vcpu|-cpu*|/domain/cpu|case num_cpus|case vmsa_cpu?|case cpu_*|case profile|case guest_features",
        "",
        _ES_UNKNOWN,
    ),
    # What a case has beside.
    Rule(
        MEASURED,
        "case api_*|case build_id",
        "",
        "In the message under the HMAC: the firmware puts its own version there.",
    ),
    Rule(
        NOT_MEASURED,
        "case measurement",
        "",
        "It is the measurement: 32 bytes of HMAC and the nonce, 16 bytes that are under the HMAC.",
    ),
    Rule(NOT_MEASURED, "case tik|case tk", "", "The key of the HMAC: no measure can be checked or forged without it."),
    Rule(NOT_MEASURED, "case tek", "", "It encrypts secrets for the guest; no measure depends on it."),
    # What people most often hope is measured.
    Rule(
        NOT_MEASURED,
        "-drive|-blockdev|-hd?|-cdrom|-fd?|-sd|-mtdblock|word|/domain/devices/disk|/domain/devices/filesystem|-virtfs"
        "|-fsdev|-snapshot",
        "",
        "No disk is measured: encrypt it, and give the guest the key as a launch secret.",
    ),
    Rule(NOT_MEASURED, "-device loader", "", "It writes into the guest's memory from outside, unmeasured."),
    Rule(
        NOT_MEASURED,
        "-option-rom|-fw_cfg|-smbios|-acpitable|/domain/sysinfo|/domain/os/smbios|/domain/os/acpi",
        "",
        "The firmware reads it from the host after the measurement, unmeasured.",
    ),
    Rule(
        NOT_MEASURED, "-machine/pflash?", "", "It names the flash unit's node; what the unit holds is labelled there."
    ),
    Rule(NOT_MEASURED, "-machine/*|/domain/os/type", "", "The machine's make-up is not measured."),
    Rule(
        NOT_MEASURED,
        "-m|/domain/memory|/domain/currentMemory|/domain/maxMemory|/domain/memoryBacking|-object memory-*"
        "|-mem-*|-numa|-overcommit|/domain/numatune|/domain/memtune",
        "",
        "Memory is empty at the launch; its size is not measured.",
    ),
    Rule(NOT_MEASURED, "-S", "", "It keeps the guest from running, so that the owner can check before it does."),
    Rule(NOT_MEASURED, "-object *", "", "An object on the host's side; none of it is measured."),
    Rule(NOT_MEASURED, "-global|-set", "", "It changes settings of devices; none is measured."),
    Rule(
        NOT_MEASURED,
        "-device*|-netdev|-net|-nic|-chardev|-serial|-parallel|-monitor|-mon|-qmp*|-usb*|-vga|-display"
        "|-audio*|-spice|-vnc|-nographic|-tpmdev|/domain/devices/*|-watchdog*|-virtioserial|-debugcon|-rtc"
        "|/domain/clock|/domain/iothreads|-iscsi|-gdb|-s",
        "",
        "Devices are the host's; what a guest hears from them is not measured.",
    ),
    Rule(
        NOT_MEASURED,
        "/domain/os/*|-boot|/domain/bootloader*",
        "",
        "How the firmware is started or told to go on is not measured.",
    ),
    Rule(
        NOT_MEASURED,
        "-accel|-enable-kvm|-name|-uuid|-nodefaults|-no-user-config|-daemonize|-pidfile|-D|-d|-msg|-trace"
        "|-sandbox|-runas|-chroot|-no-reboot|-no-shutdown|-no-hpet|-no-acpi|-k|-L|-action|-add-fd|-only-migratable"
        "|-compat|-async-teardown|/domain/name|/domain/uuid|/domain/title|/domain/description|/domain/metadata"
        "|/domain/features|/domain/on_*|/domain/pm|/domain/seclabel|/domain/resource|/domain/cputune|/domain/genid"
        "|/domain/blkiotune|/domain/perf|/domain/vcpus|/domain/keywrap|/domain/iothread*|/domain/override",
        "",
        "It tells the host how to run the guest; the guest's content is not in it.",
    ),
)

#: What is said of a part that no rule knows.
UNKNOWN = Rule(NOT_MEASURED, "*", "", "Not known to sevlab. SEV measures only firmware, kernel hashes and CPU state.")


# One pattern for each rule: a hostile configuration can have thousands of parts.
_PATTERNS = [re.compile("|".join(map(translate, rule.paths.split("|")))) for rule in RULES]


def find_rule(path: str, holds: Callable[[str], bool]) -> Rule:
    """Return the first rule that fits a part's path and whose condition holds."""
    for rule, pattern in zip(RULES, _PATTERNS, strict=True):
        if pattern.match(path) and holds(rule.when):
            return rule
    return UNKNOWN
