"""Everything a case file can hold, declared once: the reader, the writer and the documentation follow from it."""

from __future__ import annotations

from collections import namedtuple

from ..inputs import FIRMWARE_LIMIT

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
#: Most virtual CPUs of a guest.
CPU_LIMIT = 4096

#: What a case can be about, as ``sevlab digest --mode`` calls it.
MODES = {"sev": "SEV", "seves": "SEV-ES", "snp": "SEV-SNP", "snp:svsm": "SEV-SNP with an SVSM"}

MEASUREMENT, NUMBER, COUNT, TEXT, FILE, KEY = "measurement", "number", "count", "text", "file", "key file"
#: Bytes in hex or base64, and one of :data:`MODES`.
BYTES, MODE = "bytes", "mode"
#: Text that a report's verification reads, and a decision to forbid something.
WANTED, FORBID = "wanted", "forbid"


class Row(namedtuple("Row", "section key kind limit doc", defaults=(0, ""))):
    """One input as the case file holds it.

    ``limit`` is the largest number, the largest file in bytes, or how many bytes there are.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The input's name in Python: its key, with ``_`` for ``-``."""
        return str(self.key).replace("-", "_")

    @property
    def option(self) -> str:
        """The option that gives the same: of ``validate``, or of ``report verify`` for the section ``snp``."""
        return "--" + str(self.key).removeprefix("snp-")

    @property
    def needed(self) -> str:
        """What is accepted, in a few words."""
        numbers = f"a whole number from {int(self.kind == COUNT)} to {self.limit}"
        return {
            MEASUREMENT: "the measurement as base64 text",
            NUMBER: numbers,
            COUNT: numbers,
            TEXT: "text in quotes",
            FILE: "a table with path and sha256",
            BYTES: f"{self.limit} bytes in hex, in quotes",
            MODE: f"one of {', '.join(MODES)}",
            KEY: "the path of a key file, in quotes",
            WANTED: "text in quotes",
            FORBID: "true or false",
        }[self.kind]


#: Everything a case file can hold, in the order it is written.
ROWS = (
    Row("reported", "measurement", MEASUREMENT, doc="The 48-byte measurement in base64."),
    Row("reported", "api-major", NUMBER, 255, "Major version of the host's SEV API."),
    Row("reported", "api-minor", NUMBER, 255, "Minor version of the host's SEV API."),
    Row("reported", "build-id", NUMBER, 255, "Build number of the host's SEV firmware."),
    Row("reported", "policy", NUMBER, 0xFFFFFFFF, "The guest policy."),
    Row("owner", "firmware", FILE, FIRMWARE_LIMIT, "The guest's firmware image."),
    Row("owner", "kernel", FILE, FILE_LIMIT, "The kernel, when its hash is measured."),
    Row("owner", "initrd", FILE, FILE_LIMIT, "The initial RAM disk, when its hash is measured."),
    Row("owner", "cmdline", TEXT, doc="The kernel command line, exactly as QEMU receives it."),
    Row("owner", "num-cpus", COUNT, CPU_LIMIT, "Number of virtual CPUs (SEV-ES)."),
    Row("owner", "vmsa-cpu0", FILE, 4096, "Save area of the first virtual CPU (SEV-ES), 4096 bytes."),
    Row("owner", "vmsa-cpu1", FILE, 4096, "Save area of every other virtual CPU (SEV-ES), 4096 bytes."),
    Row("owner", "cpu-family", NUMBER, 270, "CPU family, instead of save areas (SEV-ES)."),
    Row("owner", "cpu-model", NUMBER, 255, "CPU model, instead of save areas (SEV-ES)."),
    Row("owner", "cpu-stepping", NUMBER, 15, "CPU stepping, instead of save areas (SEV-ES)."),
    Row("owner", "profile", TEXT, doc="Which hypervisor's initial CPU state is measured (SEV-ES)."),
    Row("owner", "guest-features", NUMBER, (1 << 64) - 1, "SEV_FEATURES of the save area (SEV-ES)."),
    Row("owner", "digest", BYTES, 32, "Launch digest, in place of everything that was loaded."),
    Row("owner", "tik", KEY, doc="File of the transport integrity key, 16 raw bytes."),
    Row("owner", "tek", KEY, doc="File of the transport encryption key, 16 raw bytes."),
    Row("owner", "tk", KEY, doc="File of both keys, TEK then TIK, 32 raw bytes, instead of tik and tek."),
    Row("launch", "mode", MODE, doc="What was launched, as sevlab digest calls it."),
    Row("launch", "reported-measurement", BYTES, 48, "MEASUREMENT of SEV-SNP, where its report is not there."),
    Row("launch", "cpu-signature", NUMBER, 0xFFFFFFFF, "CPUID 1, EAX, instead of family, model and stepping."),
    Row("launch", "ovmf-hash", BYTES, 48, "Launch digest after the firmware, in its place (SEV-SNP)."),
    Row("launch", "svsm", FILE, FIRMWARE_LIMIT, "The SVSM image (SEV-SNP)."),
    Row("launch", "vars-size", NUMBER, FIRMWARE_LIMIT, "Bytes of OVMF's variable store (with an SVSM)."),
    Row("launch", "vars-file", FILE, FIRMWARE_LIMIT, "OVMF's variable store, of which only the size counts."),
    Row("launch", "id-block", FILE, REPORT_LIMIT, "The ID block and its authentication, in one file (SEV-SNP)."),
    Row("snp", "report", FILE, REPORT_LIMIT, "The attestation report."),
    Row("snp", "vcek", FILE, REPORT_LIMIT, "The chip's certificate."),
    Row("snp", "vlek", FILE, REPORT_LIMIT, "The cloud's certificate, instead of the chip's."),
    Row("snp", "chain", FILE, REPORT_LIMIT, "ASK (or ASVK) and ARK, PEM."),
    Row("snp", "ask", FILE, REPORT_LIMIT, "ASK or ASVK alone, instead of a chain."),
    Row("snp", "ark", FILE, REPORT_LIMIT, "ARK alone, instead of a chain."),
    Row("snp", "certs", FILE, REPORT_LIMIT, "A certificate table, as the host hands it to the guest."),
    Row("snp", "crl", FILE, REPORT_LIMIT, "The list of revoked certificates."),
    Row("snp", "snp-measurement", WANTED, doc="Wanted launch digest, 48 bytes as hex or base64."),
    Row("snp", "snp-policy", NUMBER, (1 << 64) - 1, "Wanted guest policy of SEV-SNP."),
    Row("snp", "snp-host-data", WANTED, doc="Wanted HOST_DATA, 32 bytes as hex or base64."),
    Row("snp", "snp-report-data", WANTED, doc="Wanted REPORT_DATA, 64 bytes as hex or base64."),
    Row("snp", "snp-family-id", WANTED, doc="Wanted FAMILY_ID, 16 bytes as hex or base64."),
    Row("snp", "snp-image-id", WANTED, doc="Wanted IMAGE_ID, 16 bytes as hex or base64."),
    Row("snp", "snp-id-key-digest", WANTED, doc="Wanted ID_KEY_DIGEST, 48 bytes as hex or base64."),
    Row("snp", "snp-author-key-digest", WANTED, doc="Wanted AUTHOR_KEY_DIGEST, 48 bytes as hex or base64."),
    Row("snp", "snp-min-tcb", WANTED, doc="Least REPORTED_TCB, as bl=4,tee=0,snp=24,ucode=219."),
    Row("snp", "snp-vmpl", NUMBER, 3, "Wanted VMPL."),
    Row("snp", "snp-forbid-debug", FORBID, doc="Whether a policy that allows debugging fails."),
    Row("snp", "snp-forbid-smt", FORBID, doc="Whether a policy that allows SMT fails."),
    Row("snp", "snp-forbid-migration", FORBID, doc="Whether a policy that allows migration fails."),
)
BY_NAME = {row.name: row for row in ROWS}
#: Where a case comes from, and what was found out: text for people, on which nothing depends.
ABOUT = (
    Row("about", "title", TEXT, doc="What this case is about, in a line."),
    Row("about", "by", TEXT, doc="Who measured."),
    Row("about", "from", TEXT, doc="Where it comes from: a host, a ticket, a public report."),
    Row("about", "when", TEXT, doc="When it was measured."),
    Row("about", "versions", TEXT, doc="Versions of the host's kernel, QEMU, libvirt, firmware, tools."),
    Row("about", "note", TEXT, doc="Anything else."),
    Row("about", "explanation", TEXT, doc="Why it did not match, in words."),
    Row("about", "written-by", TEXT, doc="The program that wrote the case, and its version."),
)
#: Files of which the hash alone may be known, because no more of them is measured.
BY_HASH = ("kernel", "initrd")
#: What describes a launch of SEV or SEV-ES, what a launch of SEV-SNP is made of, and what a report is verified with.
LAUNCH, SNP_LAUNCH, SNP = ("reported", "owner"), ("owner", "launch"), ("snp",)
SECTIONS = ("about", *LAUNCH, "launch", *SNP, "found", "origin")
