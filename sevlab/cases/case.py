"""A case: the inputs of one launch, where each came from, what a search found, and whether files have changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..errors import InputError, quoted
from ..formats.policy import Policy
from ..launch.inputs import CPU_LIMIT, FILES, FIRMWARE_LIMIT, INPUTS, SKU, SNP_INPUTS, Sha256, Trust
from ..launch.reading import CHUNK, CasePath, open_input

if TYPE_CHECKING:
    from ..launch.keys import SecretBytes

    Value = str | int | bytes | Sha256 | SecretBytes
    V = TypeVar("V")

#: The format of case files. No other is read or written.
FORMAT = 2
#: Largest case file read, in bytes. A full one has about 2 KiB.
CASE_LIMIT = 64 << 10
#: Most dots in one. Python's TOML reader takes 20 seconds and 4 GB over a key of 30,000 parts.
DOT_LIMIT = 1000
#: Largest kernel or initrd that is hashed, in bytes.
FILE_LIMIT = 1 << 30
#: Largest report, and largest file of certificates, in bytes.
REPORT_LIMIT = 64 << 10
#: What a case can be about, as ``sevlab digest --mode`` calls it.
MODES = {"sev": "SEV", "seves": "SEV-ES", "snp": "SEV-SNP", "snp:svsm": "SEV-SNP with an SVSM"}
#: The kinds of inputs. A mode is one of :data:`MODES`, a requirement text that a report's verification reads.
MEASUREMENT, NUMBER, COUNT, TEXT, FILE, KEY = "measurement", "number", "count", "text", "file", "key file"
BYTES, MODE, REQUIREMENT, FORBID = "bytes", "mode", "requirement", "forbid"
#: Inputs that replace each other: an option for one side drops the other side of the case.
_ALTERNATIVES = (
    ({"tk"}, {"tik", "tek"}),
    ({"vmsa_cpu0", "vmsa_cpu1"}, {*SKU, "cpu_signature"}),
    ({"cpu_signature"}, {*SKU}),
    ({"digest"}, {"firmware", "kernel", "initrd", "cmdline"}),
    ({"vars_size"}, {"vars_file"}),
    ({"report"}, {"reported_measurement"}),
    ({"chain"}, {"ask", "ark"}),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One input of a case, by its name in Python. ``limit``: the largest number or file, or the number of bytes."""

    section: str
    name: str
    kind: str
    limit: int = 0
    doc: str = ""

    @property
    def key(self) -> str:
        """The input's key in the case file: its name, with ``-`` for ``_``."""
        return self.name.replace("_", "-")

    @property
    def option(self) -> str:
        """The option of the same meaning: of ``validate``, or of ``report verify`` for the section ``snp``."""
        return "--" + self.key.removeprefix("snp-")

    @property
    def needed(self) -> str:
        """What is accepted, in a few words."""
        if self.kind in (NUMBER, COUNT):
            return f"a whole number from {int(self.kind == COUNT)} to {self.limit}"
        return {
            MEASUREMENT: "the measurement as base64 text",
            FILE: "a table with path and sha256",
            BYTES: f"{self.limit} bytes in hex, in quotes",
            MODE: f"one of {', '.join(MODES)}",
            KEY: "the path of a key file, in quotes",
            FORBID: "true or false",
        }.get(self.kind, "text in quotes")


#: Everything a case file can hold, in the order it is written.
ROWS = (
    Row("reported", "measurement", MEASUREMENT, doc="The 48-byte measurement in base64."),
    Row("reported", "api_major", NUMBER, 255, "Major version of the host's SEV API."),
    Row("reported", "api_minor", NUMBER, 255, "Minor version of the host's SEV API."),
    Row("reported", "build_id", NUMBER, 255, "Build number of the host's SEV firmware."),
    Row("reported", "policy", NUMBER, 0xFFFFFFFF, "The guest policy."),
    Row("owner", "firmware", FILE, FIRMWARE_LIMIT, "The guest's firmware image."),
    Row("owner", "kernel", FILE, FILE_LIMIT, "The kernel, when its hash is measured."),
    Row("owner", "initrd", FILE, FILE_LIMIT, "The initial RAM disk, when its hash is measured."),
    Row("owner", "cmdline", TEXT, doc="The kernel command line, exactly as QEMU receives it."),
    Row("owner", "num_cpus", COUNT, CPU_LIMIT, "Number of virtual CPUs (SEV-ES)."),
    Row("owner", "vmsa_cpu0", FILE, REPORT_LIMIT, "Save area of the first virtual CPU (SEV-ES), 4096 bytes."),
    Row("owner", "vmsa_cpu1", FILE, REPORT_LIMIT, "Save area of every other virtual CPU (SEV-ES), 4096 bytes."),
    Row("owner", "cpu_family", NUMBER, 270, "CPU family, instead of save areas (SEV-ES)."),
    Row("owner", "cpu_model", NUMBER, 255, "CPU model, instead of save areas (SEV-ES)."),
    Row("owner", "cpu_stepping", NUMBER, 15, "CPU stepping, instead of save areas (SEV-ES)."),
    Row("owner", "profile", TEXT, doc="Which hypervisor's initial CPU state is measured (SEV-ES)."),
    Row("owner", "guest_features", NUMBER, (1 << 64) - 1, "SEV_FEATURES of the save area (SEV-ES)."),
    Row("owner", "digest", BYTES, 32, "Launch digest, instead of everything that was loaded."),
    Row("owner", "tik", KEY, doc="File of the transport integrity key, 16 raw bytes."),
    Row("owner", "tek", KEY, doc="File of the transport encryption key, 16 raw bytes."),
    Row("owner", "tk", KEY, doc="File of both keys, TEK then TIK, 32 raw bytes, instead of tik and tek."),
    Row("launch", "mode", MODE, doc="What was launched, as sevlab digest calls it."),
    Row("launch", "reported_measurement", BYTES, 48, "MEASUREMENT of SEV-SNP, where there is no report."),
    Row("launch", "cpu_signature", NUMBER, 0xFFFFFFFF, "CPUID 1, EAX, instead of family, model and stepping."),
    Row("launch", "ovmf_hash", BYTES, 48, "Launch digest after the firmware, instead of it (SEV-SNP)."),
    Row("launch", "svsm", FILE, FIRMWARE_LIMIT, "The SVSM image (SEV-SNP)."),
    Row("launch", "vars_size", NUMBER, FIRMWARE_LIMIT, "Bytes of OVMF's variable store (with an SVSM)."),
    Row("launch", "vars_file", FILE, FIRMWARE_LIMIT, "OVMF's variable store, of which only the size counts."),
    Row("launch", "id_block", FILE, REPORT_LIMIT, "The ID block and its authentication, in one file (SEV-SNP)."),
    Row("snp", "report", FILE, REPORT_LIMIT, "The attestation report."),
    Row("snp", "vcek", FILE, REPORT_LIMIT, "The chip's certificate."),
    Row("snp", "vlek", FILE, REPORT_LIMIT, "The cloud's certificate, instead of the chip's."),
    Row("snp", "chain", FILE, REPORT_LIMIT, "ASK (or ASVK) and ARK, PEM."),
    Row("snp", "ask", FILE, REPORT_LIMIT, "ASK or ASVK alone, instead of a chain."),
    Row("snp", "ark", FILE, REPORT_LIMIT, "ARK alone, instead of a chain."),
    Row("snp", "certs", FILE, REPORT_LIMIT, "A certificate table, as the host hands it to the guest."),
    Row("snp", "crl", FILE, REPORT_LIMIT, "The list of revoked certificates."),
    Row("snp", "snp_measurement", REQUIREMENT, doc="Required launch digest, 48 bytes as hex or base64."),
    Row("snp", "snp_policy", NUMBER, (1 << 64) - 1, "Required guest policy of SEV-SNP."),
    Row("snp", "snp_host_data", REQUIREMENT, doc="Required HOST_DATA, 32 bytes as hex or base64."),
    Row("snp", "snp_report_data", REQUIREMENT, doc="Required REPORT_DATA, 64 bytes as hex or base64."),
    Row("snp", "snp_family_id", REQUIREMENT, doc="Required FAMILY_ID, 16 bytes as hex or base64."),
    Row("snp", "snp_image_id", REQUIREMENT, doc="Required IMAGE_ID, 16 bytes as hex or base64."),
    Row("snp", "snp_id_key_digest", REQUIREMENT, doc="Required ID_KEY_DIGEST, 48 bytes as hex or base64."),
    Row("snp", "snp_author_key_digest", REQUIREMENT, doc="Required AUTHOR_KEY_DIGEST, 48 bytes as hex or base64."),
    Row("snp", "snp_min_tcb", REQUIREMENT, doc="Minimum REPORTED_TCB, as bl=4,tee=0,snp=24,ucode=219."),
    Row("snp", "snp_vmpl", NUMBER, 3, "Required VMPL."),
    Row("snp", "snp_forbid_debug", FORBID, doc="Whether a policy that allows debugging fails."),
    Row("snp", "snp_forbid_smt", FORBID, doc="Whether a policy that allows SMT fails."),
    Row("snp", "snp_forbid_migration", FORBID, doc="Whether a policy that allows migration fails."),
)
BY_NAME = {row.name: row for row in ROWS}
#: Where a case comes from, and why it did not match: text for people, on which nothing depends.
ABOUT = (
    Row("about", "title", TEXT, doc="What this case is about, in a line."),
    Row("about", "by", TEXT, doc="Who measured."),
    Row("about", "from", TEXT, doc="Where it comes from: a host, a ticket, a public report."),
    Row("about", "when", TEXT, doc="When it was measured."),
    Row("about", "versions", TEXT, doc="Versions of the host's kernel, QEMU, libvirt, firmware, tools."),
    Row("about", "note", TEXT, doc="Anything else."),
    Row("about", "explanation", TEXT, doc="Why it did not match, in words."),
    Row("about", "written_by", TEXT, doc="The program that wrote the case, and its version."),
)
#: Files of which the hash is enough, because nothing else of them is measured.
BY_HASH = ("kernel", "initrd")
#: The sections of a launch of SEV or SEV-ES, of one of SEV-SNP, and of a report's verification.
LAUNCH, SNP_LAUNCH, SNP = ("reported", "owner"), ("owner", "launch"), ("snp",)
#: The inputs of what was loaded, of SEV, SEV-ES and SEV-SNP.
LOADED = frozenset({*INPUTS, *SNP_INPUTS, "cpu_signature"})
SECTIONS = ("about", *LAUNCH, "launch", *SNP, "found", "origin")


@dataclass(frozen=True)
class Change:
    """A file that differs from the one the case was made with. ``now`` is its SHA-256 now, "" if it can't be read."""

    name: str
    path: str
    recorded: str
    now: str

    def __str__(self) -> str:
        if not self.now and isinstance(self.path, CasePath) and self.path.is_outside:
            where = "is not in the folder of the case, and may not be the recorded file"
            return f"{self.name}: {quoted(self.path)} {where}, SHA-256 {self.recorded}"
        if not self.now:
            return f"{self.name}: {quoted(self.path)} can't be read now; the case recorded SHA-256 {self.recorded}"
        return f"{self.name}: {quoted(self.path)} has changed: recorded SHA-256 {self.recorded}, now {self.now}"


@dataclass(frozen=True, repr=False, eq=False)
class Case:
    """Every input of one launch.

    ``inputs`` maps the keys of the case, with ``_`` for ``-``, to values: the measurement as base64 text, numbers as
    int, bytes as bytes, files and key files as paths that can be opened from here, a key from a bundle as a
    :class:`~sevlab.SecretBytes`, a kernel or initrd known only by its hash as :class:`~sevlab.launch.inputs.Sha256`.
    ``hashes`` maps the names of files to their recorded SHA-256 (hex). ``origin`` says in words where a value came
    from, ``about`` is other text for people. ``found`` are the inputs under which the computed value is the reported
    one, None for an input to leave out; ``found_hashes`` are the hashes of files among them. ``path`` is the case file.
    ``own``: the case is the user's own, so its keys and requirements are trusted, and the files it names are opened
    wherever they are. ``bundled``: its files came with it, in a bundle or in the folder of an unpacked one.
    """

    inputs: dict[str, Value]
    hashes: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    path: str = ""
    about: dict[str, str] = field(default_factory=dict)
    found: dict[str, Value | None] = field(default_factory=dict)
    found_hashes: dict[str, str] = field(default_factory=dict)
    own: bool = False
    bundled: bool = False

    def __post_init__(self) -> None:
        unknown = {*self.inputs, *self.hashes, *self.origin, *self.found, *self.found_hashes} - set(BY_NAME)
        if unknown := unknown or set(self.about) - {row.name for row in ABOUT}:
            raise TypeError(f"a case has nothing named {min(unknown)!r}")
        object.__setattr__(self, "inputs", {name: self.inputs[name] for name in BY_NAME if name in self.inputs})
        object.__setattr__(self, "found", {name: self.found[name] for name in BY_NAME if name in self.found})

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)

    @property
    def mode(self) -> str:
        """What was launched: a key of ``MODES``, worked out of the inputs if the case does not say; "" if unknown."""
        if "mode" in self.inputs:
            return str(self.inputs["mode"])
        if "svsm" in self.inputs:
            return "snp:svsm"
        if self.policy is not None:
            return "seves" if self.policy.es else "sev"
        return "snp" if {"report", "reported_measurement", "ovmf_hash"} & set(self.inputs) else ""

    @property
    def is_snp(self) -> bool:
        return self.mode.startswith("snp")

    @property
    def policy(self) -> Policy | None:
        """The guest policy of SEV and SEV-ES."""
        value = self.inputs.get("policy")
        return Policy(value) if isinstance(value, int) else None

    @property
    def reported_measurement(self) -> bytes | None:
        """The launch digest of SEV-SNP that the host reported without a report."""
        value = self.inputs.get("reported_measurement")
        return value if isinstance(value, bytes) else None

    @property
    def recorded(self) -> Iterator[tuple[str, str, str]]:
        """Name, path and recorded SHA-256 of every file, including those found; not of key files."""
        for inputs, hashes in ((self.inputs, self.hashes), (self.found, self.found_hashes)):
            for name, sha256 in hashes.items():
                yield name, str(inputs[name]), sha256

    @property
    def paths(self) -> Iterator[tuple[str, str]]:
        """Name and path of every file and key file, including those found."""
        for name, value in (*self.inputs.items(), *self.found.items()):
            if BY_NAME[name].kind in (FILE, KEY) and isinstance(value, str):
                yield name, value

    @property
    def changed(self) -> list[Change]:
        """The files whose SHA-256 is not the recorded one, read now. Never raises: a changed file is a finding."""
        changes = []
        for name, path, recorded in self.recorded:
            try:
                now = hash_file(path, name, BY_NAME[name].limit)
            except InputError:
                now = ""
            if now != recorded:
                changes.append(Change(name, path, recorded, now))
        return changes

    def part(self, sections: Sequence[str] = LAUNCH) -> dict[str, Any]:
        """Return the inputs of some sections, by default those of a launch of SEV or SEV-ES."""
        return {name: value for name, value in self.inputs.items() if BY_NAME[name].section in sections}

    @property
    def snp_launch(self) -> dict[str, Value]:
        """The inputs of a SEV-SNP launch, as :func:`sevlab.load_snp_launch` takes them."""
        return with_registers({name: value for name, value in self.inputs.items() if name in LOADED})

    @property
    def explained(self) -> Self:
        """The case with the inputs found instead of those given."""
        given = {name: value for name, value in self.found.items() if value is not None}
        dropped = _dropped(given) | set(self.found)
        kept = {name: value for name, value in self.inputs.items() if name not in dropped}
        hashes = {name: value for name, value in self.hashes.items() if name in kept} | self.found_hashes
        return self.replace(inputs=kept | given, hashes=hashes, found={}, found_hashes={})

    def merged(
        self, given: Mapping[str, Value | None], sections: Sequence[str] = LAUNCH
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the inputs of *sections*, overridden by *given* options, and the names of those overridden.

        None counts as not given. Alternatives such as ``tk`` and ``tik`` override each other.
        """
        explicit = {name: value for name, value in given.items() if value is not None}
        dropped, mine = set(explicit) | _dropped(explicit), self.part(sections)
        kept = {name: value for name, value in mine.items() if name not in dropped}
        return {**kept, **explicit}, [name for name in mine if name in dropped]

    def trust(self, given: Mapping[str, Value | None] | None = None, sections: Sequence[str] = LAUNCH) -> Trust:
        """Return what a verdict trusts this case for: keys and requirements that *given* (see :meth:`merged`) lacks."""
        merged, replaced = self.merged(given or {}, sections)
        kept = [BY_NAME[name] for name in merged if self.inputs.get(name, False) is not False and name not in replaced]
        taken = tuple(row.key for row in kept if row.kind == KEY or (row.section in SNP and row.kind != FILE))
        return Trust(taken, self.bundled, self.own)

    def __repr__(self) -> str:
        return f"Case({self.path!r}, {', '.join(self.inputs) or 'empty'})"


def with_registers(inputs: dict[str, V]) -> dict[str, V]:
    """Return the inputs of a launch; the registers among them are read, in whatever form they are."""
    given = {name: str(inputs[name]) for name in FILES[3:] if inputs.get(name) is not None}
    if given:
        from ..attestation.byte_forms import read_page  # not above: few launches have them

        inputs = inputs | {name: read_page(path, name) for name, path in given.items()}  # type: ignore[assignment]
    return inputs


def _dropped(names: Iterable[str]) -> set[str]:
    given = set(names)
    dropped = {"ovmf_hash"} if "firmware" in given else set()  # a digest of one firmware only
    for one, other in _ALTERNATIVES:
        dropped |= other if one & given else set()
        dropped |= one if other & given else set()
    return dropped


def hash_file(path: str, name: str, limit: int = FILE_LIMIT) -> str:
    """Return the SHA-256 of a file as hex; raise :class:`~sevlab.errors.InputError` when it can't be read."""
    with open_input(path, name, hashed=True) as stream:
        total = 0
        while stream.hashed is None and total <= limit and (chunk := stream.read(CHUNK)):
            total += len(chunk)
        if stream.hashed is None or stream.hashed[0] > limit:
            raise InputError(name, f"{quoted(path)}, more than {limit} bytes", f"a file of at most {limit} bytes")
        return str(stream.hashed[1].copy().hexdigest())


def hash_files(inputs: Mapping[str, Value | None]) -> dict[str, str]:
    """Return the SHA-256 (hex) of every file among *inputs*, as it is now. Key files are not opened."""
    return {
        name: hash_file(value, name, BY_NAME[name].limit)
        for name, value in inputs.items()
        if BY_NAME[name].kind == FILE and isinstance(value, str)
    }


def make_case(
    inputs: Mapping[str, Value], origin: Mapping[str, str] | None = None, about: Mapping[str, str] | None = None
) -> Case:
    """Return a case of the user's own, with the SHA-256 of every file as it is now. Keys are not opened."""
    return Case(dict(inputs), hash_files(inputs), dict(origin or {}), about=dict(about or {}), own=True)
