"""The SEV-SNP attestation report: what the secure processor says of a guest, signed with a key of the chip.

1184 bytes. The guest asks for it and chooses REPORT_DATA; the host cannot make or change one. Each version is a class.
The parts of a TCB (trusted computing base) lie in different places on Milan and Genoa and on Turin, so each class comes
in two forms. :func:`parse_report` chooses. The signature is made over the raw bytes, and only those are ever verified:
a report that is parsed and rebuilt may lose bytes that its reader does not know (F41).

TCB_VERSION has eight bytes, one for each part, each a security version number (SVN): it grows with every fix that
closes a hole. The same eight bytes mean different things on different products (F40). Never compare them as one number:
a newer microcode does not make up for an older boot loader.

The VCEK is asked for by chip and by REPORTED_TCB, from which the signing key is made. With CURRENT_TCB (F38), with the
parts in another product's places (F40), in hex (F39) or with 64 bytes of a Turin's chip id (F42), AMD's key server
(KDS) returns another certificate, or none. Nothing here asks it.

Sources: snp-launch 4, 6 and 8 (AMD 56860, SNP ABI, ATTESTATION_REPORT and TCB_VERSION; AMD 57230; the sev crate).
Real reports of versions 2, 3 and 5 were read, from Milan, Genoa and Turin. Nothing public says what version 4 is, so it
counts as unknown. Version 6 (ABI 1.59) and Venice were read about (virtee/sev#395, #396), and not seen on hardware.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import LayoutError, checked
from ..layout.bits import Bits, bit, reserved_bits
from ..layout.structure import Layout, at, reserved
from ..layout.views import Code, Heading, Paragraph, Table, View
from .id_block import SnpAlgorithm
from .policy import SnpPolicy
from .sev_certs import SCALAR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar

    from ..layout.views import Block

SPEC = "AMD 56860 (SNP ABI), ATTESTATION_REPORT"
TCB_SPEC = "AMD 56860 (SNP ABI), TCB_VERSION"
#: Bytes of a report, those that the signature covers (all before it), and those before it in a guest driver's answer.
SIZE, SIGNED, HEADER = 0x4A0, 0x2A0, 0x20
VCEK, VLEK, NO_KEY = 0, 1, 7
#: What each part of a TCB is, in the order in which they are shown and asked for. Not every product has all.
PART_DOCS = {
    "fmc": "FMC, the secure processor's first mutable code",
    "bl": "the secure processor's boot loader",
    "tee": "the secure processor's operating system (TEE)",
    "snp": "the SEV-SNP firmware",
    "ucode": "the CPU's microcode",
}
PARTS = tuple(PART_DOCS)
#: The TCBs of a report, from the one that a platform cannot go below to the one that runs.
LADDER = ("launch_tcb", "reported_tcb", "committed_tcb", "current_tcb")
#: Bytes of a Turin's chip id, after which come zeros; the other products fill all 64.
TURIN_CHIP_ID = 8
#: AMD's key server.
HOST = "https://kdsintf.amd.com"
#: Products by family and range of models, as CPUID gives them (vmsa 3.3). Bergamo and Siena count as Genoa.
_PRODUCTS = (
    (0x19, 0x00, 0x0F, "Milan"),
    (0x19, 0x10, 0x1F, "Genoa"),
    (0x19, 0xA0, 0xAF, "Genoa"),
    (0x1A, 0x00, 0x11, "Turin"),
    *((0x1A, low, high, "Venice") for low, high in ((0x50, 0x57), (0x90, 0xAF), (0xC0, 0xC7))),
)
_UNKNOWN = "Not known for this version."
#: The class of reports of each version (0 for one that is not known) and form of TCBs.
_CLASSES: dict[tuple[int, type[Tcb] | None], type[Report]] = {}
_NOT_IN_ORDER = ": NOT REPORTED <= COMMITTED <= CURRENT"


class Tcb(Layout, size=0, spec=TCB_SPEC):
    """A TCB version, in whichever of its forms."""

    @classmethod
    def part_names(cls) -> tuple[str, ...]:
        """Return the parts this form has, in the order of :data:`PARTS`."""
        return tuple(row.name for row in cls.rows if not row.is_reserved)

    @property
    def parts(self) -> dict[str, int]:
        """Every part's SVN, 0 to 255, in the order of :data:`PARTS`."""
        return {name: getattr(self, name) for name in self.part_names()}

    @property
    def text(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.parts.items())

    def below(self, least: Mapping[str, int]) -> list[str]:
        """Return the parts that are older than *least* asks for; a part that this product does not have is 0."""
        mine = self.parts
        return [name for name, value in least.items() if mine.get(name, 0) < value]


class MilanTcb(Tcb, size=8, spec=TCB_SPEC + ", Milan and Genoa"):
    """TCB version of Milan, Genoa, Bergamo and Siena."""

    bl: int = at(0, 1, "SVN of the secure processor's boot loader.")
    tee: int = at(1, 1, "SVN of the secure processor's operating system (TEE).")
    reserved_2: bytes = reserved(2, 4)
    snp: int = at(6, 1, "SVN of the SEV-SNP firmware.")
    ucode: int = at(7, 1, "SVN of the CPU's microcode.")


class TurinTcb(Tcb, size=8, spec=TCB_SPEC + ", Turin"):
    """TCB version of Turin."""

    fmc: int = at(0, 1, "SVN of FMC, the secure processor's first mutable code.")
    bl: int = at(1, 1, "SVN of the secure processor's boot loader.")
    tee: int = at(2, 1, "SVN of the secure processor's operating system (TEE).")
    snp: int = at(3, 1, "SVN of the SEV-SNP firmware.")
    reserved_4: bytes = reserved(4, 3)
    ucode: int = at(7, 1, "SVN of the CPU's microcode.")


class VeniceTcb(Tcb, size=8, spec=TCB_SPEC + ", Venice"):
    """TCB version of Venice."""

    fmc: int = at(0, 1, "SVN of FMC, the secure processor's first mutable code.")
    tee: int = at(1, 1, "SVN of the secure processor's operating system (TEE).")
    snp: int = at(2, 1, "SVN of the SEV-SNP firmware.")
    reserved_3: bytes = reserved(3, 5)


class PlatformInfo(Bits, size=8, spec=SPEC + ", PLATFORM_INFO"):
    """What is switched on on the platform that made the report."""

    smt_en = bit(0, "SMT is on: two threads share a core.")
    tsme_en = bit(1, "TSME is on: all memory is encrypted, no matter whose it is.")
    ecc_en = bit(2, "The memory corrects errors (ECC).")
    rapl_dis = bit(3, "RAPL, the processor's power meter, is off.")
    ciphertext_hiding_dram_en = bit(4, "The host cannot see ciphertext of guests' memory.")
    alias_check_complete = bit(5, "At start-up no two addresses were found to be one cell (BadRAM, CVE-2024-21944).")
    iommu_write_safe = bit(6, "The IOMMU cannot be made to write to guests' memory (AMD-SB-3016, CVE-2023-20585).")
    tio_en = bit(7, "Trusted devices (SEV-TIO) are on.")
    reserved_8 = reserved_bits(8, 56)


class KeyInfo(Bits, size=4, spec=SPEC + ", KEY_INFO"):
    """Which keys were used. Four bytes."""

    author_key_en = bit(0, "AUTHOR_KEY_DIGEST holds the digest of an author key.")
    mask_chip_key = bit(1, "The host forbids reports under the chip's key.")
    signing_key = bit(2, "Which key signed: 0 is VCEK (the chip's), 1 VLEK (a cloud's), 7 none.", width=3)
    reserved_5 = reserved_bits(5, 27)

    KEYS: ClassVar[Mapping[int, str]] = {VCEK: "VCEK", VLEK: "VLEK", NO_KEY: "none"}

    @property
    def signer(self) -> str:
        """The signing key's kind: "VCEK", "VLEK", "none", or "unknown"."""
        return self.KEYS.get(self.signing_key, "unknown")

    @property
    def text(self) -> str:
        """The number in hex, and the signing key by name."""
        flags = "".join(f", {name}" for name in self.flags)
        return f"0x{int(self):08x} (signed with: {self.signer}{flags})"


class Report(Layout, size=0, spec=SPEC):
    """An attestation report: what all versions share, with the TCB versions of Milan and Genoa.

    A subclass with another *tcb* has its TCB versions in that form, or as ``bytes``.
    """

    #: The version this class is for; 0 when it is of no known one.
    VERSION: ClassVar[int] = 0
    #: The form of its TCB versions; None when that is not known.
    TCB: ClassVar[type[Tcb] | None] = MilanTcb

    def __init_subclass__(cls, *, size: int, spec: str, tcb: type[Tcb] | type[bytes] | None = None) -> None:
        if tcb is not None:
            cls.TCB = tcb if issubclass(tcb, Tcb) else None
            for name in LADDER:
                row = vars(Report)[name]
                setattr(cls, name, at(row.offset, row.size, row.doc, type=tcb))
        super().__init_subclass__(size=size, spec=spec)
        cls.VERSION = cls.rows[0].const or 0
        _CLASSES[cls.VERSION, cls.TCB] = cls

    version: int = at(0x000, 4, "Version of this structure.")
    guest_svn: int = at(0x004, 4, "Security version number (SVN) of the guest, from the ID block; else 0.")
    policy: SnpPolicy = at(0x008, 8, "The guest policy.", type=SnpPolicy, colour="yellow")
    family_id: bytes = at(0x010, 16, "Family of the guest, from the ID block; else zero.", type=bytes)
    image_id: bytes = at(0x020, 16, "Image of the guest, from the ID block; else zero.", type=bytes)
    vmpl: int = at(0x030, 4, "VM privilege level (VMPL) that the report speaks for: 0 is the highest, 3 the lowest.")
    signature_algo: SnpAlgorithm = at(0x034, 4, "How the report is signed.", type=SnpAlgorithm, const=1)
    current_tcb: Tcb = at(0x038, 8, "TCB that runs now.", type=MilanTcb)
    platform_info: PlatformInfo = at(0x040, 8, "What is switched on on the platform.", type=PlatformInfo)
    key_info: KeyInfo = at(0x048, 4, "Which keys were used.", type=KeyInfo)
    reserved_4c: bytes = reserved(0x04C, 4)
    report_data: bytes = at(
        0x050, 64, "Chosen by the guest, such as a nonce or a key's hash.", type=bytes, colour="pink"
    )
    measurement: bytes = at(0x090, 48, "The launch digest.", type=bytes, colour="teal")
    host_data: bytes = at(0x0C0, 32, "Given by the host at LAUNCH_FINISH; guest and owner may check it.", type=bytes)
    id_key_digest: bytes = at(0x0E0, 48, "SHA-384 of the key that signed the ID block; zero without one.", type=bytes)
    author_key_digest: bytes = at(0x110, 48, "SHA-384 of the key that signed the ID key; zero without one.", type=bytes)
    report_id: bytes = at(0x140, 32, "A random number of this guest.", type=bytes)
    report_id_ma: bytes = at(0x160, 32, "The same of its migration agent; all 0xff without one.", type=bytes)
    reported_tcb: Tcb = at(
        0x180, 8, "TCB that the signing key is made from, and which its certificate names.", type=MilanTcb
    )
    reserved_188: bytes = reserved(0x188, 24)
    chip_id: bytes = at(
        0x1A0, 64, "Which chip; zero when masked. On Turin 8 bytes, then zeros.", type=bytes, colour="blue"
    )
    committed_tcb: Tcb = at(0x1E0, 8, "TCB below which the platform cannot go back.", type=MilanTcb)
    current_build: int = at(0x1E8, 1, "Build of the SEV-SNP firmware that runs.")
    current_minor: int = at(0x1E9, 1, "Its minor version.")
    current_major: int = at(0x1EA, 1, "Its major version.")
    reserved_1eb: bytes = reserved(0x1EB, 1)
    committed_build: int = at(0x1EC, 1, "Build of the firmware below which the platform cannot go back.")
    committed_minor: int = at(0x1ED, 1, "Its minor version.")
    committed_major: int = at(0x1EE, 1, "Its major version.")
    reserved_1ef: bytes = reserved(0x1EF, 1)
    launch_tcb: Tcb = at(0x1F0, 8, "TCB when the guest was launched or migrated in.", type=MilanTcb)
    reserved_1f8: bytes = reserved(0x1F8, 168)
    r: bytes = at(SIGNED, SCALAR, "First number of the signature, little-endian.", type=bytes)
    s: bytes = at(SIGNED + SCALAR, SCALAR, "Second number of the signature, little-endian.", type=bytes)
    reserved_330: bytes = reserved(SIGNED + 2 * SCALAR, 368)

    @property
    def signed(self) -> bytes:
        """The bytes under the signature (672 bytes), exactly as they came."""
        return self.to_bytes()[:SIGNED]

    @property
    def is_known(self) -> bool:
        return self.VERSION != 0

    @property
    def cpuid(self) -> tuple[int, int, int] | None:
        """Family, model and stepping of the processor; None in a version without them."""
        names = "cpuid_fam_id", "cpuid_mod_id", "cpuid_step"
        return tuple(getattr(self, name) for name in names) if hasattr(self, names[0]) else None

    @property
    def product(self) -> str:
        """The product by the report's own bytes: "Milan", "Genoa", "Turin", "Milan or Genoa", or "" when that is open.

        From version 3 on the report names the processor. In version 2 a chip id of 8 bytes and zeros is a Turin's, a
        longer one is not, and a masked one (all zero) says nothing. An unknown version says nothing.
        """
        if self.cpuid is not None:
            family, model, _ = self.cpuid
            found = next((name for fam, low, high, name in _PRODUCTS if fam == family and low <= model <= high), "")
            return found if found != "Venice" or self.VERSION == 6 else ""  # how older ones look is not known
        if not self.is_known or not any(self.chip_id):
            return ""
        return "Milan or Genoa" if any(self.chip_id[TURIN_CHIP_ID:]) else "Turin"

    def ladder(self) -> dict[str, Tcb]:
        """Return the four TCBs by name, in the order of :data:`LADDER`; none when their form is not known."""
        return {name: getattr(self, name) for name in LADDER} if self.TCB else {}

    def all_findings(self, product: str = "") -> list[str]:
        """Return a sentence for everything unexpected; *product* is what its reader takes it to be from."""
        found = [*self.findings(), *tcb_ladder(self)]
        if product and self.product and product not in self.product.split(" or "):
            found.append(f"the report itself says that it is from {self.product}, not {product}")
        return found

    def as_dict(self, product: str = "") -> dict[str, object]:
        """Return the report as JSON-ready data; *product* as it was read with."""
        urls, reason = vcek_urls(self, product)
        return {
            "version": self.version,
            "known": self.is_known,
            "product": product or self.product,
            "signing_key": self.key_info.signer,
            "fields": {s.name: int(s.value) if isinstance(s.value, int) else s.raw.hex() for s in self.spans()},
            "policy": {row.name: value for row, value in self.policy.items() if not row.reserved},
            "tcb": {name: one.parts for name, one in self.ladder().items()},
            "findings": self.all_findings(product),
            "vcek_urls": urls,
            "no_url": reason,
        }

    def explain(self, product: str = "", note: str = "") -> View:
        """Show every field; *product* as the report was read with, *note* says where it came from."""
        raw, rows, colours = self.to_bytes(), [], []
        for row in self.rows:
            value = row.decode(row.cut(raw))
            finding = "; ".join(value.findings()) if isinstance(value, Tcb) else row.finding(value)
            if finding or not row.is_reserved:
                words = f"{row.doc} FINDING: {finding}." if finding else row.doc
                rows.append([row.name, f"0x{row.offset:03x}, {row.size}", _lines(row.text(value), value, words)])
                colours.append("pink" if finding else row.colour)
        findings = self.all_findings(product)
        return View(
            Heading(f"An attestation report ({self.size} bytes)"),
            *([Paragraph(f"{note}.")] if note else []),
            Paragraph(self._summary(product)),
            Table(["field", "at, size", "value, and meaning"], rows, colours=colours, mono=[0, 1]),
            *explain_ladder(self),
            *(block for bits in (self.policy, self.platform_info, self.key_info) for block in _bits(bits)),
            Heading("What is unexpected"),
            Paragraph("; ".join(findings) + "." if findings else "Nothing: no reserved byte or bit is set."),
            *explain_urls(self, product),
        )

    def _summary(self, product: str) -> str:
        made_by = product or self.product or "a product that it does not name"
        if self.cpuid is not None and not (product or self.product):
            made_by = "a product that sevlab does not know"
        words = f"Version {self.version}, from {made_by}, signed with: {self.key_info.signer}."
        if self.cpuid is not None:
            words += " CPUID: family 0x{:x}, model 0x{:x}, stepping {}.".format(*self.cpuid)
        if not self.is_known:
            words += " This version is not known to sevlab: only the fields that all versions share are named."
        elif not (product or self.product):
            words += " Its TCBs are read in the form of Milan and Genoa, which is a guess: give --product."
        return words


class ReportV2(Report, size=SIZE, spec=SPEC + ", version 2 (ABI 1.55 and before)"):
    """An attestation report of version 2, from Milan or Genoa."""

    version: int = at(0x000, 4, "Version of this structure.", const=2)


class ReportV3(ReportV2, size=SIZE, spec=SPEC + ", version 3 (ABI 1.56)"):
    """An attestation report of version 3, from Milan or Genoa: it names the processor's family, model and stepping."""

    version: int = at(0x000, 4, "Version of this structure.", const=3)
    cpuid_fam_id: int = at(0x188, 1, "Family of the processor (combined).")
    cpuid_mod_id: int = at(0x189, 1, "Model of the processor (combined).")
    cpuid_step: int = at(0x18A, 1, "Stepping of the processor.")
    reserved_18b: bytes = reserved(0x18B, 21)


class ReportV5(ReportV3, size=SIZE, spec=SPEC + ", version 5 (ABI 1.58)"):
    """An attestation report of version 5, from Milan or Genoa: it lists the mitigations in force."""

    version: int = at(0x000, 4, "Version of this structure.", const=5)
    launch_mit_vector: int = at(0x1F8, 8, "Mitigations that were in force at launch, a bit each.")
    current_mit_vector: int = at(0x200, 8, "Mitigations that are in force now.")
    reserved_208: bytes = reserved(0x208, 152)


class ReportV6(ReportV5, size=SIZE, spec=SPEC + ", version 6 (ABI 1.59)"):
    """An attestation report of version 6, from Milan or Genoa: it has extended TCBs. Not seen on hardware."""

    version: int = at(0x000, 4, "Version of this structure.", const=6)
    reserved_208: bytes = reserved(0x208, 24)
    current_etcb: bytes = at(0x220, 32, "Extended TCB that runs now.", type=bytes)
    launch_etcb: bytes = at(0x240, 32, "Extended TCB when the guest was launched or migrated in.", type=bytes)
    committed_etcb: bytes = at(0x260, 32, "Extended TCB below which the platform cannot go back.", type=bytes)
    reserved_280: bytes = reserved(0x280, 32)


class TurinReportV2(ReportV2, size=SIZE, spec=ReportV2.spec, tcb=TurinTcb):
    """An attestation report of version 2, from Turin."""


class TurinReportV3(ReportV3, size=SIZE, spec=ReportV3.spec, tcb=TurinTcb):
    """An attestation report of version 3, from Turin."""


class TurinReportV5(ReportV5, size=SIZE, spec=ReportV5.spec, tcb=TurinTcb):
    """An attestation report of version 5, from Turin."""


class TurinReportV6(ReportV6, size=SIZE, spec=ReportV6.spec, tcb=TurinTcb):
    """An attestation report of version 6, from Turin."""


class VeniceReportV6(ReportV6, size=SIZE, spec=ReportV6.spec, tcb=VeniceTcb):
    """An attestation report of version 6, from Venice."""


class UnknownMilanReport(Report, size=SIZE, spec=SPEC):
    """An attestation report of an unknown version, from Milan or Genoa as its certificate says."""

    reserved_4c: bytes = at(0x04C, 4, _UNKNOWN, type=bytes, colour="grey")
    reserved_188: bytes = at(0x188, 24, _UNKNOWN, type=bytes, colour="grey")
    reserved_1eb: bytes = at(0x1EB, 1, _UNKNOWN, type=bytes, colour="grey")
    reserved_1ef: bytes = at(0x1EF, 1, _UNKNOWN, type=bytes, colour="grey")
    reserved_1f8: bytes = at(0x1F8, 168, _UNKNOWN, type=bytes, colour="grey")


class UnknownTurinReport(UnknownMilanReport, size=SIZE, spec=SPEC, tcb=TurinTcb):
    """An attestation report of an unknown version, from Turin as its certificate says."""


class UnknownReport(UnknownMilanReport, size=SIZE, spec=SPEC, tcb=bytes):
    """An attestation report of a version that sevlab does not know.

    Only the fields that all versions share are named. TCB versions are bytes, since their form is not known either.
    """


VERSIONS = tuple(sorted({version for version, _ in _CLASSES if version}))
#: The form of the TCB version by product, of those whose certificates are known.
TCB_FORMS: dict[str, type[Tcb]] = {"Milan": MilanTcb, "Genoa": MilanTcb, "Turin": TurinTcb}
_FORMS = {**TCB_FORMS, "Venice": VeniceTcb}


@checked
def parse_report(raw: bytes, product: str = "") -> Report:
    """Parse a report of exactly 1184 bytes; any content is accepted.

    *product* ("Milan", "Genoa" or "Turin") says which form its TCB versions have; without it the report's own bytes
    do. Where these leave it open, it is that of Milan and Genoa for a known version, and none for an unknown one.
    Raises :class:`~sevlab.errors.LayoutError` for another length.
    """
    if len(raw) != SIZE:
        raise LayoutError("report", f"{len(raw)} bytes", f"{SIZE} bytes")
    version = int.from_bytes(raw[:4], "little")
    version = version if version in VERSIONS else 0
    form = _FORMS.get(product) or _FORMS.get(_CLASSES[version, MilanTcb].from_bytes(raw).product)
    form = form or (MilanTcb if version else None)
    return _CLASSES.get((version, form), UnknownReport).from_bytes(raw)


class ReportRequest(Layout, size=0x60, spec="AMD 56860 (SNP ABI), MSG_REPORT_REQ"):
    """What a guest sends to ask for a report."""

    report_data: bytes = at(0x00, 64, "What the report is to hold.", type=bytes, colour="pink")
    vmpl: int = at(0x40, 4, "VMPL that the report is to speak for; not below that of the key used.")
    key_sel: int = at(0x44, 4, "Which key is to sign: 0 VLEK when there is one, else VCEK; 1 VCEK; 2 VLEK.")
    reserved_48: bytes = reserved(0x48, 24)


class ReportResponse(Layout, size=HEADER, spec="AMD 56860 (SNP ABI), MSG_REPORT_RSP"):
    """What comes before the report in the answer."""

    status: int = at(0x00, 4, "0 for good, 0x16 for a wrong parameter, 0x27 for a key that is not there.")
    report_size: int = at(0x04, 4, "Bytes of the report that follows.")
    reserved_8: bytes = reserved(0x08, 24)


def crl_path(product: str, *, vlek: bool = False) -> str:
    """Return the path of the list of revoked certificates (DER)."""
    return f"/{'vlek' if vlek else 'vcek'}/v1/{product}/crl"


def vcek_path(product: str, chip_id: bytes, tcb: Tcb) -> str:
    """Return the path of a VCEK (DER) for a chip (64 bytes, as in a report) and a TCB, in decimals of two digits."""
    hwid = chip_id[:TURIN_CHIP_ID] if product == "Turin" else chip_id
    parts = "&".join(f"{name}SPL={value:02d}" for name, value in tcb.parts.items())
    return f"/vcek/v1/{product}/{hwid.hex()}?{parts}"


@checked
def vcek_urls(report: Report, product: str = "") -> tuple[list[str], str]:
    """Return the addresses from which AMD's key server gives the VCEK of a report; without one, why there is none.

    They are made of REPORTED_TCB, never of CURRENT_TCB, which only looks alike (F38). Nothing is fetched. A report of
    version 2 does not distinguish Milan and Genoa, so there may be two, unless *product* says which.
    """
    signer, tcb = report.key_info.signer, report.ladder().get("reported_tcb")
    if signer == "VLEK":
        return [], "A VLEK signed it, which AMD gives to the cloud alone: ask the host for its certificate table."
    if signer != "VCEK":
        return [], "No key signed it that has a certificate."
    if not any(report.chip_id):
        return [], "CHIP_ID is masked, so nobody can ask for the chip's certificate: only the host has it."
    products = [one for one in (product or report.product).split(" or ") if TCB_FORMS.get(one) is report.TCB]
    if report.TCB is VeniceTcb:
        return [], "How AMD's key server names a Venice is not known to sevlab: ask the host for its certificate table."
    if not products or tcb is None:
        return [], "Which product made it is not known, and with it the form of its TCB. Try: --product"
    return [HOST + vcek_path(one, report.chip_id, tcb) for one in products], ""


def explain_urls(report: Report, product: str = "") -> list[Block]:
    """Show where the certificate of the signing key is to be had."""
    heading = Heading("Where the certificate of its key is")
    urls, reason = vcek_urls(report, product)
    if not urls:
        return [heading, Paragraph(reason)]
    chains = " and ".join(f"{url.rpartition('/')[0]}/cert_chain" for url in urls)
    words = f"Nothing was fetched. The certificates above it are at {chains}."
    return [heading, Code("\n".join(urls)), Paragraph(words)]


def tcb_ladder(report: Report) -> list[str]:
    """Return a sentence for every part that breaks REPORTED <= COMMITTED <= CURRENT."""
    tcbs = list(report.ladder().items())[1:]
    return [
        f"{part}: {lower.upper()} is {low.parts[part]}, above {higher.upper()} with {high.parts[part]}"
        for part in (tcbs[0][1].parts if tcbs else ())
        for (lower, low), (higher, high) in pairwise(tcbs)
        if low.parts[part] > high.parts[part]
    ]


def explain_ladder(report: Report) -> list[Block]:
    """Show the four TCBs side by side, a line for each part."""
    heading, tcbs = Heading("How new the platform is: its TCBs, part by part"), report.ladder().values()
    if not tcbs:
        return [heading, Paragraph("The form of its TCBs is not known. Try: --product, or the leaf's certificate")]
    broken = {one.partition(":")[0] for one in tcb_ladder(report)}
    rows = [
        [part, *(str(one.parts[part]) for one in tcbs), PART_DOCS[part] + _NOT_IN_ORDER * (part in broken)]
        for part in report.current_tcb.parts
    ]
    header = ["part", *(name.removesuffix("_tcb") for name in LADDER), "what it is"]
    rule = "Reported must not be above committed, nor committed above current. The signing key follows from reported."
    return [heading, Table(header, rows, mono=[0, 1, 2, 3, 4]), Paragraph(rule)]


def _lines(text: str, value: object, words: str) -> str:
    """Return a field's value and meaning; long values in full on lines of their own, to be compared and copied."""
    if isinstance(value, Tcb):
        return f"{text} (bytes {value.to_bytes().hex(' ')})\n{words}"
    if isinstance(value, bytes) and any(value):
        return "\n".join([*(text[start : start + 64] for start in range(0, len(text), 64)), words])
    return f"{text} – {words}"


def _bits(bits: Bits) -> list[Block]:
    """Show a number bit by bit, without the commands that each bit governs, which take too much space."""
    heading, table = bits.explain().blocks
    assert isinstance(table, Table)
    rows = [[bit, name, value, meaning] for bit, name, value, _, meaning in table.rows]
    return [heading, Table([*table.header[:3], table.header[4]], rows, mono=[0, 1, 2])]
