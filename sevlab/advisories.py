"""Public vulnerabilities of SEV, as data with sources: what they need, what cures them, and how sure that is.

Only what an opened source says is here. What no source at hand tells is :data:`UNKNOWN`, and :mod:`~sevlab.advice`
says so; it never takes silence for safety. An entry, a number or a cure that was not checked at its source is marked
:data:`UNVERIFIED`, and decides nothing by itself.

Sources: incidents 4 and 7 (A01 to A21, A23), F48; snp-launch 4 and 6.4. Left out is Heracles (AMD-SB-3021): no source
of it was opened.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERIFIED, UNVERIFIED, UNKNOWN = "verified", "unverified", "unknown"
#: The products in AMD's order: EPYC of the 1st to the 5th generation, Zen 1 to Zen 5. Sources often give the number.
PRODUCTS = ("Naples", "Rome", "Milan", "Genoa", "Turin")
#: Those that can do SEV-SNP.
SNP_PRODUCTS = PRODUCTS[2:]
SEV, SEV_ES, SEV_SNP = "SEV", "SEV-ES", "SEV-SNP"
TECHNOLOGIES = (SEV, SEV_ES, SEV_SNP)
LEGACY = (SEV, SEV_ES)
#: What has the fault: what AMD makes, what the host runs, or what the owner chose.
PLATFORM, HOST_KERNEL, GUEST_FIRMWARE = "platform", "host's kernel", "guest's firmware"
#: What is said of cures where those listed do not decide: there are none, or the sources do not tell.
NO_CURE = "none"


class Firmware(namedtuple("Firmware", "product fixed broken mark", defaults=(None, VERIFIED))):
    """Cured from a version of AMD's firmware on: ``fixed`` is (API major, API minor, build).

    ``broken`` is the last version known to have the fault, None where that is the one before ``fixed``.
    """

    __slots__ = ()

    @property
    def words(self) -> str:
        """The cure in words."""
        return f"firmware {'.'.join(map(str, self.fixed))} or newer on {self.product}"


class Svn(namedtuple("Svn", "product part least mark", defaults=(VERIFIED,))):
    """Cured from a security version number on: ``part`` of REPORTED_TCB is at least ``least``."""

    __slots__ = ()

    @property
    def words(self) -> str:
        """The cure in words."""
        return f"{self.part} {self.least} or above in REPORTED_TCB on {self.product}"


class PolicyBit(namedtuple("PolicyBit", "technologies name value mark", defaults=(VERIFIED,))):
    """Cured by a bit of the guest policy (``name`` as in the policy's layout) with this value."""

    __slots__ = ()

    @property
    def words(self) -> str:
        """The cure in words."""
        return f"policy bit {self.name.upper()} = {self.value}"


class PlatformBit(namedtuple("PlatformBit", "name since mark", defaults=(VERIFIED,))):
    """Cured where a bit of a report's PLATFORM_INFO is set; reports have it from version ``since`` on."""

    __slots__ = ()

    @property
    def words(self) -> str:
        """The cure in words."""
        return f"{self.name.upper()} in PLATFORM_INFO"


class Advisory(
    namedtuple(
        "Advisory",
        "key title ids date products technologies cures check source part open doubts mark",
        defaults=(PLATFORM, UNKNOWN, (), VERIFIED),
    )
):
    """One vulnerability.

    ``ids`` maps numbers (CVE, AMD bulletin) to their mark. ``products`` maps those that a source names to their mark,
    and is empty where none does; ``technologies`` are those it can hit. ``cures`` are any of :class:`Firmware`,
    :class:`Svn`, :class:`PolicyBit` and :class:`PlatformBit`, each enough by itself; ``open`` says what holds where
    none of them decides: :data:`NO_CURE` or :data:`UNKNOWN`. ``doubts`` are what must not be missing beside a cure.
    ``check`` is what a guest's owner can look at, ``part`` what has the fault, ``mark`` how sure the entry is.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """Key, title and numbers in one phrase."""
        known = ", ".join(one if mark == VERIFIED else f"{one} ({mark})" for one, mark in self.ids.items())
        return f"{self.key} {self.title}" + (f" ({known})" if known else "")

    @property
    def short(self) -> str:
        """Key, title and the first number, for one line."""
        first = next(iter(self.ids), "")
        return f"{self.key} {self.title}" + (f" ({first})" if first else "")

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON-ready data."""
        cures = [{"kind": type(cure).__name__, "words": cure.words, **cure._asdict()} for cure in self.cures]
        doubts = [{"kind": type(one).__name__, "words": one.words, **one._asdict()} for one in self.doubts]
        return {**self._asdict(), "cures": cures, "doubts": doubts}


def _all(*names: str) -> dict[str, str]:
    """Return names that were all verified."""
    return dict.fromkeys(names, VERIFIED)


_KNOWN = (
    Advisory(
        "A01",
        "Invalid curve attack on the platform's key",
        _all("CVE-2019-9836"),
        "2019-06-25",
        _all("Naples"),
        LEGACY,
        (Firmware("Naples", (0, 17, 22), (0, 17, 11)),),
        "API version and build, which the measurement covers",
        "CVE-2019-9836 record; C. Cohen's advisory",
    ),
    Advisory(
        "A01b",
        "Points that are not checked when a guest migrates",
        _all("CVE-2021-26408"),
        "2022",
        _all("Naples", "Rome"),
        LEGACY,
        (),
        "the version of the firmware, against the CVE record",
        "CVE-2021-26408 record",
    ),
    Advisory(
        "A02",
        "Insecure Until Proven Updated: one chip's key takes any guest by migration",
        {},
        "2019",
        _all("Naples"),
        LEGACY,
        (PolicyBit(LEGACY, "nosend", 1),),
        "the policy: NOSEND forbids migration, and with it the attack",
        "Buhren, Werling, Seifert, CCS 2019 (arXiv 1908.11680)",
        open=NO_CURE,
    ),
    Advisory(
        "A03",
        "One Glitch to Rule Them All: a voltage glitch gives the chip's keys",
        {},
        "2021",
        _all(*PRODUCTS[:3]),
        TECHNOLOGIES,
        (),
        "who can touch the machine; no version or bit helps",
        "Buhren, Jacob, Krachenfels, Seifert, CCS 2021 (arXiv 2108.04575): abstract and repository",
        open=NO_CURE,
    ),
    Advisory(
        "A04",
        "undeSErVed trust: blocks of firmware at other addresses, one digest",
        _all("CVE-2021-26311", "AMD-SB-1004"),
        "2021-05-11",
        _all(*PRODUCTS),
        LEGACY,
        (),
        "the technology: the digest of SEV-SNP binds every address",
        "CVE-2021-26311 record; AMD-ASPFW",
        open=NO_CURE,
    ),
    Advisory(
        "A05",
        "SEVered: the host exchanges the guest's pages after launch",
        _all("CVE-2020-12967", "AMD-SB-1004"),
        "2021-05-11",
        _all(*PRODUCTS),
        LEGACY,
        (),
        "the technology: the reverse map table of SEV-SNP gives each page one place",
        "CVE-2020-12967 record",
        open=NO_CURE,
    ),
    Advisory(
        "A06",
        "Launch secret disclosed",
        _all("CVE-2021-26403", "AMD-SB-1032"),
        "2023-01-10",
        _all("Naples", "Rome"),
        LEGACY,
        (),
        "the version of the firmware, against AMD-SB-1032",
        "CVE-2021-26403 record",
    ),
    Advisory(
        "A07",
        "Debug policy: the host may read the guest's memory",
        {},
        "2016",
        _all(*PRODUCTS),
        TECHNOLOGIES,
        (PolicyBit(LEGACY, "nodbg", 1), PolicyBit((SEV_SNP,), "debug", 0)),
        "the policy, which measurement and report cover",
        "AMD 55766 and 56860; go-sev-guest, sev-tool (bits). A property of the design",
        open=NO_CURE,
    ),
    Advisory(
        "A10",
        "OVMF tells a wrong kernel hash and goes on",
        {},
        "2024-06-12",
        _all(*PRODUCTS),
        TECHNOLOGIES,
        (),
        "the edk2 that your OVMF was built from: with pull request 5769",
        "tianocore/edk2#5769",
        part=GUEST_FIRMWARE,
    ),
    Advisory(
        "A11",
        "OVMF's old Linux loader skips Secure Boot",
        _all("CVE-2025-2296", "GHSA-6pp6-cm5h-86g5"),
        "2025-12",
        _all(*PRODUCTS),
        TECHNOLOGIES,
        (),
        "the edk2 that your OVMF was built from: with pull request 11568 no confidential guest uses that loader",
        "tianocore/edk2#6211, #10628, #11568, #11873",
        part=GUEST_FIRMWARE,
    ),
    Advisory(
        "A12",
        "Google's review of the secure processor: 19 issues",
        {},
        "2022-05-10",
        _all("Milan"),
        TECHNOLOGIES,
        (),
        "the version of the firmware, against AMD's bulletins",
        "Google and Project Zero, announcement of 2022-05-10",
    ),
    Advisory(
        "A13",
        "Stale firmware memory in answers to CPUID questions",
        _all("CVE-2023-31346", "AMD-SB-3007"),
        "2024-02-13",
        _all("Milan", "Genoa"),
        (SEV_SNP,),
        (),
        "the version of the firmware, against AMD-SB-3007",
        "CVE-2023-31346 record; the finder's description",
    ),
    Advisory(
        "A14",
        "Address check in the firmware",
        _all("CVE-2023-20566", "AMD-SB-3002"),
        "2023-11-14",
        _all("Milan", "Genoa"),
        (SEV_SNP,),
        (),
        "the version of the firmware, against AMD-SB-3002",
        "CVE-2023-20566 record",
    ),
    Advisory(
        "A15",
        "CacheWarp: writes of the guest are dropped",
        _all("CVE-2023-20592", "AMD-SB-3005"),
        "2023-11-14",
        _all(*PRODUCTS[:3]),
        TECHNOLOGIES,
        (),
        "the microcode's SVN in the report's TCB, against AMD-SB-3005",
        "CVE-2023-20592 record",
    ),
    Advisory(
        "A16",
        "BadRAM: two addresses, one memory cell",
        _all("CVE-2024-21944", "AMD-SB-3015"),
        "2025",
        _all("Milan", "Genoa"),
        (SEV_SNP,),
        (Firmware("Milan", (1, 55, 22)), Firmware("Genoa", (1, 55, 38))),
        "the firmware's version in the report; ALIAS_CHECK_COMPLETE in PLATFORM_INFO (from version 3; unverified)",
        "CVE-2024-21944 record; badramattack/badram; virtee/snphost#127",
        doubts=(PlatformBit("alias_check_complete", 3, UNVERIFIED),),
    ),
    Advisory(
        "A17",
        "EntrySign: microcode that AMD did not sign",
        {**_all("CVE-2024-56161", "AMD-SB-3019", "AMD-SB-7033"), "CVE-2024-36347": UNVERIFIED},
        "2025-02-03",
        _all(*PRODUCTS),
        TECHNOLOGIES,
        (Svn("Milan", "snp", 0x18), Svn("Genoa", "snp", 0x17)),
        "REPORTED_TCB, with report verify --min-tcb",
        "CVE-2024-56161 record; microsoft/CCF#6812; Google's description of 2025-03-05",
    ),
    Advisory(
        "A18",
        "RMPocalypse: the reverse map table is written while it is set up",
        _all("CVE-2025-0033", "AMD-SB-3020"),
        "2025-10-14",
        {**_all("Milan", "Turin"), "Genoa": UNVERIFIED},
        (SEV_SNP,),
        (),
        "the version of the firmware and the TCB, against AMD-SB-3020",
        "CVE-2025-0033 record",
    ),
    Advisory(
        "A19",
        "StackWarp: the guest's stack pointer is shifted",
        _all("CVE-2025-29943", "AMD-SB-3027"),
        "2026-01-16",
        {},
        TECHNOLOGIES,
        (),
        "the processor and its microcode, against AMD-SB-3027",
        "CVE-2025-29943 record (several generations)",
    ),
    Advisory(
        "A20",
        "Battering RAM, TEE.fail: a device on the memory bus",
        {},
        "2025",
        {},
        (SEV_SNP,),
        (),
        "who can touch the machine; hiding ciphertext is reported not to help against TEE.fail",
        "second-hand pages; the papers were not opened",
        open=NO_CURE,
        mark=UNVERIFIED,
    ),
    Advisory(
        "A21",
        "CIPHERLEAKS: equal ciphertext tells of equal values",
        {},
        "2021",
        _all(*PRODUCTS),
        (SEV_ES, SEV_SNP),
        (PolicyBit((SEV_SNP,), "ciphertext_hiding_dram", 1), PlatformBit("ciphertext_hiding_dram_en", 2)),
        "the policy or PLATFORM_INFO: whether ciphertext is hidden from the host",
        "Li et al., USENIX Security 2021: abstract",
    ),
    Advisory(
        "A23",
        "BadFuse: a chip's seed is read, so its reports can claim any firmware",
        {},
        "2026-05-13",
        _all("Milan"),
        (SEV_SNP,),
        (),
        "who can touch the machine; no rule about the TCB helps, only revoking chips",
        "arXiv 2605.12990: abstract",
        open=NO_CURE,
    ),
    Advisory(
        "F48",
        "KVM races on the registers it measures",
        _all("CVE-2026-31591"),
        "2026-04-24",
        _all(*PRODUCTS),
        (SEV_SNP,),
        (),
        "the host's kernel, against the CVE record; a guest cannot see it. Impact told: corrupted state, host crash",
        "CVE-2026-31591 record",
        part=HOST_KERNEL,
    ),
)

#: Every advisory by its key.
ADVISORIES: dict[str, Advisory] = {advisory.key: advisory for advisory in _KNOWN}
