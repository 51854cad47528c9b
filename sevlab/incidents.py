"""Public incidents that a mismatch may resemble, as data with sources.

Each happened to somebody and was told in public. The key is the number under which sevlab's facts and notebooks know
it.
"""

from __future__ import annotations

from collections import namedtuple


class Incident(namedtuple("Incident", "key title source date lesson")):
    """One incident: its key, a title, where it is told, when (as precisely as known), and one sentence."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The incident in one phrase, with its source."""
        return f"{self.key} '{self.title}' ({self.source}, {self.date})"


_KNOWN = (
    Incident(
        "A07",
        "Debug policy",
        "AMD 55766, DBG_DECRYPT; a property of the design",
        "2016",
        "With debugging allowed the host may decrypt the guest's memory, so an owner must check the policy.",
    ),
    Incident(
        "A09",
        "Direct boot without hashes",
        "confidential-containers/confidential-containers#54",
        "2022-06-10",
        "Only the firmware is measured; the host may load any kernel.",
    ),
    Incident(
        "A17",
        "EntrySign",
        "CVE-2024-56161, AMD-SB-7033",
        "2025-02-03",
        "Microcode could be forged on old firmware, so a verifier must ask for a TCB that is new enough.",
    ),
    Incident(
        "A23",
        "A leaked seed of the chip's keys",
        "arXiv 2605.12990",
        "2026-05-13",
        "Whoever has a chip's secrets signs as any firmware that the chip ever had.",
    ),
    Incident(
        "F01",
        "debug_swap flips SEV_FEATURES",
        "AMDESE/AMDSEV#195",
        "2023-10-19",
        "A new feature of KVM set one bit in every save area.",
    ),
    Incident(
        "F02",
        "How is the digest of my guest computed?",
        "virtee/sev-snp-measure#30",
        "2023-10-20",
        "The same bit as in F01, but without an ID block: the guest boots, and only the report differs.",
    ),
    Incident(
        "F03",
        "The default flips back",
        "virtee/sev-snp-measure#43",
        "2024-03",
        "A tool's default for SEV_FEATURES followed the kernels, and was wrong again ten weeks later.",
    ),
    Incident(
        "F04",
        "One guest, two measurements",
        "amd/sev-utils#8",
        "2024-06-03",
        "Each release of a tool describes the hosts of its time; another release gives another digest.",
    ),
    Incident(
        "F05",
        "KVM starts to set the floating-point control words",
        "virtee/sev-snp-measure#48",
        "2024-04-22",
        "Four bytes of every save area changed with the kernel.",
    ),
    Incident(
        "F06",
        "A digest that no input gives",
        "virtee/sev-snp-measure#37",
        "2024-01",
        "A tool that knew one value of SEV_FEATURES could not describe a host that set another.",
    ),
    Incident(
        "F07",
        "EC2 changed RDX from 0 to 0x600",
        "virtee/sev-snp-measure#60",
        "2026-04-28",
        "One register of every save area changed with the cloud; guests launched before keep the old digest.",
    ),
    Incident(
        "F08",
        "What is in an EC2 digest?",
        "aws/uefi#10",
        "2023-08-31",
        "A cloud's registers and order of pages are its own; without them its digest cannot be computed.",
    ),
    Incident(
        "F09",
        "GCE differs again",
        "virtee/sev-snp-measure#56",
        "2025-07-07",
        "One register and one page type are others than under QEMU, so the digest is.",
    ),
    Incident(
        "F10",
        "Two bugs hide each other",
        "coconut-svsm/svsm#349",
        "2024-05-20",
        "With an SVSM two things were wrong at once: how many save areas count, and one bit in them.",
    ),
    Incident(
        "F11",
        "Model not carried to launch",
        "aleph-im/aleph-vm#1145",
        "2026-08-20",
        "The guest was measured for one CPU model and started with another.",
    ),
    Incident(
        "F12",
        "My CPU is a Turin",
        "virtee/sev#317",
        "2025-07",
        "The model that is measured is the one QEMU shows the guest, not the processor below it.",
    ),
    Incident(
        "F13",
        "The wrong product's certificate",
        "kata-containers/kata-containers#12210",
        "2025-12-09",
        "A report of version 2 does not name its processor, so the product was guessed from a CPU model.",
    ),
    Incident(
        "F14",
        "Signature 0 refused",
        "virtee/sev-snp-measure#67",
        "2026-05-26",
        "A number that may be 0 was taken for one that was not given.",
    ),
    Incident(
        "F15",
        "vCPU count decides the digest",
        "confidential-dot-ai/c8s#217",
        "2026-08",
        "Every virtual CPU adds one page to the digest, so one image has as many digests as shapes.",
    ),
    Incident(
        "F16",
        "OVMF without the section for hashes",
        "virtee/sev-snp-measure#26",
        "2023-07-09",
        "Only the AmdSev build of OVMF checks a kernel's hashes, and until 2025 only it had a place for them.",
    ),
    Incident(
        "F17",
        "Measured direct boot assembled wrongly",
        "AMDESE/AMDSEV#93",
        "2022-04",
        "Firmware, options and kernel hashes must fit together, and each missing piece fails in its own way.",
    ),
    Incident(
        "F18",
        "48 bytes too many, and a hash that changes",
        "AMDESE/qemu#10",
        "2023-05-03",
        "The firmware received more bytes of the kernel than the file has, and other ones at each boot.",
    ),
    Incident(
        "F19",
        "An assertion in place of an error",
        "AMDESE/AMDSEV#142",
        "2023-03-08",
        "Kernel hashes were asked for, and the loader of that kind of kernel never made any.",
    ),
    Incident(
        "F20",
        "The setup header is left alone under SEV",
        "project-oak/oak#5059",
        "2025-05-20",
        "QEMU patches a kernel's header, but not under SEV; a tool that did was off by a few bytes.",
    ),
    Incident(
        "F21",
        "Order and place of pages differ by hypervisor",
        "project-oak/oak#5060",
        "2025-05-26",
        "The same pages in another order, or at another address, are another launch.",
    ),
    Incident(
        "F22",
        "The page of hashes moved in the chain",
        "virtee/sev-snp-measure#12",
        "2023-04",
        "The same bytes in a new order are a new digest.",
    ),
    Incident(
        "F23",
        "A new type of section",
        "virtee/sev-snp-measure#50",
        "2024-05",
        "OVMF got a section of a type that readers did not know; some stopped, some took it for zero pages.",
    ),
    Incident(
        "F24",
        "The footer table is not found",
        "virtee/sev-snp-measure#51",
        "2024-05-28",
        "A tool did not find the table at the end of an image that boots.",
    ),
    Incident(
        "F25",
        "Which file?",
        "AMDESE/AMDSEV#49",
        "2020",
        "It is not plain which of the firmware's files is the one that is measured.",
    ),
    Incident(
        "F26",
        "Table padding",
        "virtee/sevctl commit a53a1a0",
        "2023-04-05",
        "An aligned table got 16 bytes of padding too many.",
    ),
    Incident(
        "F27",
        "Decimal versus hex",
        "AMDESE/sev-tool#44",
        "2021-09-05",
        "One command prints versions in decimal, the other reads them as hex.",
    ),
    Incident(
        "F28",
        "Which platform's version?",
        "AMDESE/sev-tool commit 06dc9af",
        "2020-08-24",
        "The version of the owner's machine was used in place of the host's; the message itself changed at API 0.17.",
    ),
    Incident(
        "F29",
        "What exactly is the digest?",
        "AMDESE/sev-tool#9",
        "2019-04-10",
        "Nobody can read the digest out of the firmware, so a wrong one shows only as a wrong HMAC.",
    ),
    Incident(
        "F30",
        "Keys saved before they existed",
        "AMDESE/sev-tool commit 663908b",
        "2020-04-22",
        "The key file was written before the keys were made.",
    ),
    Incident(
        "F31",
        "Policy MAC under the wrong key",
        "virtee/sev commit 6a14a2a",
        "2019-04-30",
        "Two keys of a session were mistaken for each other in one of its fields.",
    ),
    Incident(
        "F32",
        "A session blob in another language",
        "virtee/sevctl#58",
        "2022-08-26",
        "Byte orders, order of keys, width of a counter: each choice has one right value.",
    ),
    Incident(
        "F33",
        "Path instead of content",
        "AMDESE/AMDSEV#70",
        "2021-08-26",
        "A value was handed on in another form than its reader takes: a path, hex, base64 with line breaks.",
    ),
    Incident(
        "F34",
        "TIK and TEK mixed up",
        "virtee/sevctl commit 7fa8440",
        "2023-06-13",
        "The documentation passed one key in the place of the other.",
    ),
    Incident(
        "F35",
        "A signature check that always passed",
        "virtee/sev commit c3b7092",
        "2020-05-18",
        "No error was taken for a valid signature, so one chip's certificate passed below another product's root.",
    ),
    Incident(
        "F36",
        "A report with a digest of 4 bytes",
        "virtee/sev commit 71beb7a",
        "2025-03-25",
        "A structure was declared with the size of one field in the place of another's.",
    ),
    Incident(
        "F37",
        "A root that does not sign itself",
        "AMDESE/AMDSEV#17",
        "2019-02-16",
        "The published root of Naples had no signature, and was kept because it was in use.",
    ),
    Incident(
        "F38",
        "Current TCB in the place of the reported one",
        "google/go-sev-guest#72",
        "2023-08-31",
        "The signing key is made from the reported TCB, so its certificate is the one to ask for.",
    ),
    Incident(
        "F39",
        "TCB bytes reversed, hex for decimal",
        "AMDESE/sev-tool#48",
        "2021-10-14",
        "The key server wants each part of a TCB by name and in decimal.",
    ),
    Incident(
        "F40",
        "A Milan printed as a Turin",
        "virtee/snphost#125",
        "2025-04-30",
        "The eight bytes of a TCB mean other things on other products.",
    ),
    Incident(
        "F41",
        "Saving a report breaks its signature",
        "virtee/snpguest#98",
        "2025-06-09",
        "A report was taken apart and put together again in another form; its signature covers the bytes as they came.",
    ),
    Incident(
        "F42",
        "A chip id of 8 bytes",
        "AMDESE/AMDSEV#285",
        "2025-12-03",
        "A Turin's chip id fills 8 of 64 bytes, and only these 8 name it.",
    ),
    Incident(
        "F43",
        "The check of the chip that never ran",
        "virtee/snpguest#159",
        "2026-09-09",
        "Every leaf was taken for an intermediate certificate, so the chip id was not compared.",
    ),
    Incident(
        "F44",
        "Two truths at once",
        "virtee/snpguest#109",
        "2025-07-28",
        "One command found the certificate's signature wrong, the other found the report genuine.",
    ),
    Incident(
        "F45",
        "Offsets of an older firmware",
        "AMDESE/sev-tool#60",
        "2022-05",
        "The structure of an older ABI was laid over the report of a newer one.",
    ),
    Incident(
        "F46",
        "An ID block made by hand",
        "AMDESE/AMDSEV#212",
        "2024-04-18",
        "The firmware's answer does not say which of digest, policy and signatures is wrong.",
    ),
    Incident(
        "F47",
        "The measurement is not compared",
        "agentrust-io/cmcp#172",
        "2026-06-06",
        "Signature and chain were right, and nobody looked at the digest that they sign.",
    ),
    Incident(
        "F48",
        "A race for the measured registers",
        "CVE-2026-31591",
        "2026-04-24",
        "Virtual CPUs were not locked while their registers were taken for the launch.",
    ),
)

#: Every incident by its key.
INCIDENTS: dict[str, Incident] = {incident.key: incident for incident in _KNOWN}
