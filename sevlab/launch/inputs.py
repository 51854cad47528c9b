"""What a launch is made of, as people give it: paths, texts and numbers, read and turned into a launch.

The names are those of the command line's options, with ``_`` for ``-``.
"""

from __future__ import annotations

from collections import namedtuple

from ..errors import InputError, named, quoted
from .reading import CHUNK, LARGEST, open_input, opened_once
from .sev import Hashed, Launch, Step
from .values import load_vmsa, parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Self

    from ..formats.kernel_hashes import KernelHashes
    from ..formats.ovmf import Ovmf
    from ..formats.policy import Policy
    from .reading import InputStream
    from .vmm import Cpus, Profile

#: The values the host reports. All are needed to judge a launch of SEV or SEV-ES.
REPORTED = ("measurement", "api_major", "api_minor", "build_id", "policy")
#: The owner's keys: both in one file, or one in each of two.
KEYS = ("tik", "tek", "tk")
#: The parts of the CPU's signature.
SKU = ("cpu_family", "cpu_model", "cpu_stepping")
#: What describes a launch of SEV or SEV-ES, in the order of the options.
INPUTS = (
    *("firmware", "kernel", "initrd", "cmdline", "num_cpus", "vmsa_cpu0", "vmsa_cpu1"),
    *(*SKU, "profile", "guest_features"),
)
#: Inputs that only a SEV-SNP launch has.
SNP_INPUTS = ("ovmf_hash", "svsm", "vars_size", "vars_file")
#: Those that name files, in a launch of SEV or SEV-ES.
FILES = ("firmware", "kernel", "initrd", "vmsa_cpu0", "vmsa_cpu1")
#: The names of inputs in sev-snp-measure, where they differ.
PEER_NAMES = {
    "firmware": "ovmf",
    "cmdline": "append",
    "num_cpus": "vcpus",
    "cpu_signature": "vcpu_sig",
    **{f"cpu_{part}": f"vcpu_{part}" for part in ("family", "model", "stepping")},
    "ovmf_hash": "snp_ovmf_hash",
}
#: The profile of libvirt 9.0's tool and of sevctl.
DEFAULT_PROFILE = "qemu-legacy"
#: Most virtual CPUs of a guest.
CPU_LIMIT = 4096
#: Largest firmware image accepted, in bytes. Real ones are 1 to 16 MiB; an endless file must not hang us.
FIRMWARE_LIMIT = 64 << 20
#: Largest kernel or initrd accepted, in bytes.
BLOB_LIMIT = LARGEST
_FLASH = "the file QEMU loads as flash unit 0, such as OVMF.fd"
#: What was hashed, by the identity of the file.
_known: dict[tuple[int, ...], Hashed] = {}


def as_option(name: str) -> str:
    """Return an input's name as the command line spells it."""
    return "--" + name.replace("_", "-")


def as_peer(name: str) -> str:
    """Return an input's name as sev-snp-measure's command line spells it."""
    return as_option(PEER_NAMES.get(name, name))


class Sha256(bytes):
    """SHA-256 (32 bytes) of a file that is not here: it replaces the file where only its hash is measured."""

    def __str__(self) -> str:
        return f"SHA-256 {self.hex()}"


class LaunchInputs:
    """The inputs of one launch, as they were given; None for those that were not.

    ``firmware``, ``kernel``, ``initrd``, ``vmsa_cpu0``, ``vmsa_cpu1``, ``svsm`` and ``vars_file`` are paths (of kernel
    and initrd also a :class:`Sha256`). Numbers can be text in decimal or 0x hex. ``cpu_signature``
    (CPUID 1, EAX) replaces family, model and stepping. Only SEV-SNP has ``ovmf_hash`` (the launch digest after the
    firmware: 48 bytes, or their hex digits), ``svsm``, and with it one of ``vars_size`` and ``vars_file``.
    """

    def __init__(
        self,
        *,
        firmware: str | None = None,
        kernel: str | Sha256 | None = None,
        initrd: str | Sha256 | None = None,
        cmdline: str | None = None,
        num_cpus: str | int | None = None,
        vmsa_cpu0: str | None = None,
        vmsa_cpu1: str | None = None,
        cpu_family: str | int | None = None,
        cpu_model: str | int | None = None,
        cpu_stepping: str | int | None = None,
        cpu_signature: str | int | None = None,
        profile: str | None = None,
        guest_features: str | int | None = None,
        ovmf_hash: bytes | str | None = None,
        svsm: str | None = None,
        vars_size: str | int | None = None,
        vars_file: str | None = None,
    ) -> None:
        self.firmware, self.kernel, self.initrd, self.cmdline = firmware, kernel, initrd, cmdline
        self.num_cpus, self.vmsa_cpu0, self.vmsa_cpu1 = num_cpus, vmsa_cpu0, vmsa_cpu1
        self.cpu_family, self.cpu_model, self.cpu_stepping = cpu_family, cpu_model, cpu_stepping
        self.cpu_signature, self.profile, self.guest_features = cpu_signature, profile, guest_features
        self.ovmf_hash, self.svsm, self.vars_size, self.vars_file = ovmf_hash, svsm, vars_size, vars_file

    @property
    def given(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def files(self) -> dict[str, str]:
        given = self.given
        return {name: str(given[name]) for name in FILES if name in given}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some inputs changed; one that is changed to None is left out."""
        return type(self)(**vars(self) | changes)

    def check(self) -> None:
        """Refuse inputs that do not go together, with :class:`~sevlab.errors.InputError`. No file is opened."""
        given = self.given
        for name in ("initrd", "cmdline"):
            if name in given and self.kernel is None:
                raise InputError(name, f"it without {named('kernel')}", named("kernel"))
        sku, files, making, numbers = (
            [name for name in names if name in given]
            for names in (SKU, ("vmsa_cpu0", "vmsa_cpu1"), ("profile", "guest_features"), (*SKU, "cpu_signature"))
        )
        if sku and self.cpu_signature is not None:
            raise InputError("cpu_signature", f"together with {named(sku[0])}", "one of the two")
        if files and numbers:
            raise InputError(files[0], f"together with {named(numbers[0])}", "VMSA files, or the CPU's numbers")
        if files and making:
            raise InputError(making[0], f"together with {named(files[0])}", "VMSA files, or how to make them")
        if 0 < len(sku) < 3:
            missing = next(name for name in SKU if name not in given)
            raise InputError(missing, f"nothing beside {named(sku[0])}", "family, model and stepping together")
        if files == ["vmsa_cpu1"]:
            raise InputError("vmsa_cpu1", f"it without {named('vmsa_cpu0')}", named("vmsa_cpu0"))


class Trust(namedtuple("Trust", "names bundled own wants", defaults=((), False, False, False))):
    """What a verdict takes from the case that it judges.

    ``names`` are key files, and requirements of a report, that the case gave. ``bundled``: the files came with the
    case. ``own``: the user says that the case is theirs. ``wants``: the required measurement follows from the case's
    files.
    """

    __slots__ = ()

    @property
    def keys(self) -> list[str]:
        return [name for name in self.names if name in KEYS]

    @property
    def is_doubtful(self) -> bool:
        """Whether a key comes from the same stranger as what it is to prove."""
        return bool(self.keys) and self.bundled and not self.own

    @property
    def words(self) -> str:
        """How the first line of a doubtful verdict goes on after the value that it is about."""
        keys, own = ("key", "a key of your own is") if len(self.keys) == 1 else ("keys", "keys of your own are")
        return f"is consistent with the {keys} in the bundle ({', '.join(self.keys)}), but {own} missing"

    @property
    def notes(self) -> list[str]:
        """Sentences about whose word is taken; none where the case is the user's own."""
        if self.own:
            return []
        found = []
        was, it, yours = ("was", "it", "that key is") if len(self.keys) == 1 else ("were", "them", "those keys are")
        taken = f"{' and '.join(self.keys)} {was} taken from the"
        if self.is_doubtful:
            found.append(
                f"{taken} bundle, whose sender can make any measurement match with {it}. "
                "Give --tk, or --tik and --tek, from files of your own; or --own-case if the bundle is yours"
            )
        elif self.keys:
            found.append(f"{taken} case: the verdict holds only if {yours} yours")
        if required := [name for name in self.names if name not in KEYS]:
            found.append(f"required by the case, not by you: {', '.join(required)}")
        return found

    def required_by(self, names: Iterable[str]) -> str:
        """Return who required these fields of a report: "you", "the case", or "you and the case"."""
        given = {*self.names, *(["snp-measurement"] if self.wants else [])}
        theirs = [not self.own and f"snp-{name.replace('_', '-')}" in given for name in names]
        if not any(theirs):
            return "you"
        return "the case" if all(theirs) else "you and the case"


#: SHA-256 of nothing, and what to say of a kernel that has it.
EMPTY = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
EMPTY_KERNEL = "kernel: an empty file, which boots nothing"


@opened_once()
def load_launch(policy: Policy, empty_kernel: bool = False, /, **inputs: Any) -> Launch:
    """Return the launch of SEV or SEV-ES that is made of these inputs (:class:`LaunchInputs`).

    An empty kernel boots nothing, and is refused unless *empty_kernel* allows it; then there is a warning. Registers of
    virtual CPUs are loaded when *policy* asks for SEV-ES; for plain SEV they have no effect. Raises
    :class:`~sevlab.errors.InputError` for inputs that cannot be used or do not go together.
    """
    given = LaunchInputs(**inputs)
    if foreign := [name for name in SNP_INPUTS if name in given.given]:
        raise TypeError(f"a launch of SEV or SEV-ES has no input named {foreign[0]!r}")
    if given.firmware is None:
        raise InputError("firmware", "nothing", "a firmware image")
    given.check()
    # Its tables hold the area for kernel hashes, and where further CPUs start.
    needs_tables = given.kernel is not None or (policy.es and given.vmsa_cpu0 is None)
    ovmf = load_ovmf(str(given.firmware)) if needs_tables else None
    steps = [Step("firmware", load_hashed(str(given.firmware)), "The firmware image, all of it.")]
    warnings = []
    if given.kernel is not None:
        doc = "SHA-256 of command line, initrd and kernel, in one table."
        table = load_table(given, empty=empty_kernel)
        steps.append(Step("kernel hashes", table.to_bytes(), doc))
        if table.kernel == EMPTY:
            warnings.append(EMPTY_KERNEL)
        if ovmf is not None and ovmf.hash_area is None:
            words = "QEMU refuses to start such a guest, and the firmware would not check them"
            warnings.append(f"firmware: this firmware has no area for kernel hashes. {words}")
    if policy.es or not set(given.given) <= {"firmware", "kernel", "initrd", "cmdline"}:
        from .vmm import PROFILES  # not above: a plain SEV launch does not need it

        cpus = read_cpus(given, DEFAULT_PROFILE, PROFILES)
        if policy.es:
            steps += _vmsas(cpus, ovmf)
    return Launch(steps, warnings, firmware=ovmf if given.kernel is not None else None)


def load_table(inputs: LaunchInputs, *, empty: bool = False) -> KernelHashes:
    """Hash the kernel, the initrd and the command line; return the table. *empty* allows an empty kernel."""
    from ..formats.kernel_hashes import build_kernel_hashes

    assert inputs.kernel is not None
    kernel = load_sha256(inputs.kernel, "kernel", empty=empty)
    initrd = load_sha256(inputs.initrd, "initrd", empty=True) if inputs.initrd is not None else None
    return build_kernel_hashes(kernel, initrd, inputs.cmdline)


def read_cpus(inputs: LaunchInputs, default: str, known: Mapping[str, Profile]) -> Cpus:
    """Read everything about virtual CPUs. *default* is the profile where none is given, *known* are all of them."""
    from .vmm import Cpus, cpu_signature, find_profile

    cpus = Cpus()
    if inputs.num_cpus is not None:
        cpus.count = parse_count(inputs.num_cpus)
    if inputs.vmsa_cpu0 is not None:
        cpus.boot = load_vmsa(str(inputs.vmsa_cpu0), "vmsa_cpu0")
    if inputs.vmsa_cpu1 is not None:
        cpus.further = load_vmsa(str(inputs.vmsa_cpu1), "vmsa_cpu1")
    if not {"profile", "guest_features", "cpu_family", "cpu_signature"}.isdisjoint(inputs.given):
        cpus.profile = find_profile(default if inputs.profile is None else inputs.profile, "profile", known)
        if inputs.guest_features is not None:
            cpus.features = parse_number(inputs.guest_features, "guest_features", (1 << 64) - 1)
        if inputs.cpu_signature is not None:
            cpus.signature = parse_number(inputs.cpu_signature, "cpu_signature", 0xFFFFFFFF)
        elif inputs.cpu_family is not None:
            limits = zip(SKU, (270, 255, 15), strict=True)
            cpus.signature = cpu_signature(*(parse_number(inputs.given[name], name, limit) for name, limit in limits))
    return cpus


def parse_count(value: str | int) -> int:
    return parse_number(value, "num_cpus", CPU_LIMIT, least=1)


def _vmsas(cpus: Cpus, ovmf: Ovmf | None) -> list[Step]:
    from .vmm import build_registers

    if cpus.count is None:
        raise InputError("num_cpus", "nothing", "the number of virtual CPUs, which SEV-ES measures")
    boot, further = build_registers(cpus, None if ovmf is None else ovmf.reset_address, cpus.count)
    first = Step("vCPU 0", boot.to_bytes(), "Initial registers of the boot CPU.")
    if further is None:
        return [first]
    page, doc = further.to_bytes(), "Initial registers of a further CPU."
    return [first, *(Step(f"vCPU {number}", page, doc) for number in range(1, cpus.count))]


def load_hashed(path: str, name: str = "firmware", *, limit: int = FIRMWARE_LIMIT, empty: bool = False) -> Hashed:
    """Hash a file; ``-`` reads standard input.

    Its hash is remembered until the command ends, and for as long as the file stays the same (device, inode, size, time
    of change), so asking again, as a widget does at every key press, costs nothing. Raises
    :class:`~sevlab.errors.InputError` with *name* for a file that is missing, larger than *limit* bytes, or empty
    (unless *empty* allows that).
    """
    with open_input(path, name, hashed=True) as stream:
        key = stream.identity
        if stream.hashed is None and key in _known:
            stream.raw.source.hashed = _known[key]
        total = 0
        while stream.hashed is None and (chunk := stream.read(CHUNK)):
            total += len(chunk)
            if total > limit:
                break
        if stream.hashed is None or stream.hashed[0] > limit:
            received, needed = f"{quoted(path)}, more than {limit >> 20} MiB", f"a file of at most {limit >> 20} MiB"
            raise InputError(name, received, needed, _FLASH if limit == FIRMWARE_LIMIT else "")
        hashed = Hashed(*stream.hashed)
        if key and key == stream.identity:
            _known[key] = hashed
    if not hashed.size and not empty:
        raise InputError(name, f"{quoted(path)}, an empty file", "a file with content", "check how it was copied")
    return hashed


def load_sha256(value: str | Sha256, name: str, *, empty: bool = False) -> bytes:
    """Return the SHA-256 (32 bytes) of a kernel or initrd, given as its path, or as the :class:`Sha256` itself."""
    if isinstance(value, Sha256):
        return bytes(value)
    return load_hashed(str(value), name, limit=BLOB_LIMIT, empty=empty).digest


def read_image(stream: InputStream, path: str, name: str) -> bytes:
    """Return the bytes of a firmware image; InputError with *name* for one that is empty or larger than 64 MiB."""
    image = stream.read_up_to(FIRMWARE_LIMIT, keep=True)
    if len(image) > FIRMWARE_LIMIT:
        received = f"{quoted(path)}, more than {FIRMWARE_LIMIT >> 20} MiB"
        raise InputError(name, received, "a firmware image (1 to 16 MiB is usual)", _FLASH)
    if not image:
        raise InputError(name, f"{quoted(path)}, an empty file", "a firmware image", "check how the file was copied")
    return image


def load_ovmf(path: str, name: str = "firmware") -> Ovmf:
    """Read and parse a firmware file (``-``: standard input); InputError for one unreadable, empty or above 64 MiB."""
    from ..formats.ovmf import parse_ovmf  # not above: validate without a kernel does not need it

    with open_input(path, name) as stream:
        return parse_ovmf(read_image(stream, path, name))
