"""The guest policy of SEV-SNP: another one than legacy SEV's, with other bits and the version bytes exchanged."""

from __future__ import annotations

from ..layout.bits import Bits, bit, reserved_bits


class SnpPolicy(Bits, size=8, spec="AMD 56860 (SNP ABI), guest policy; SNP_LAUNCH_START"):
    """Guest policy of SEV-SNP.

    Eight bytes, little-endian: ABI_MINOR, ABI_MAJOR, flags. The host passes it at launch, the firmware enforces it, and
    the report tells it. Firmware before the bits 21 to 25 were given a meaning refuses them. (In the policy of legacy
    SEV the version bytes are the other way round, and its debug bit means the opposite.)
    """

    abi_minor = bit(0, "Least minor version of the firmware's ABI.", width=8, governs="SNP_LAUNCH_START")
    abi_major = bit(8, "Least major version of the firmware's ABI.", width=8, governs="SNP_LAUNCH_START")
    smt = bit(
        16,
        "The host may use SMT, two threads to a core.",
        governs="SNP_LAUNCH_START",
        clear="a host on which SMT is on cannot launch the guest.",
    )
    must_be_one = bit(17, "Reserved, must be 1.", governs="SNP_LAUNCH_START", clear="no firmware launches the guest.")
    migrate_ma = bit(
        18,
        "A migration agent may take the guest to other platforms.",
        governs="SNP_LAUNCH_START",
        clear="the guest stays where it is.",
    )
    debug = bit(
        19,
        "The host may read and change the guest's memory in clear text.",
        governs="SNP_DBG_DECRYPT, SNP_DBG_ENCRYPT",
        clear="debugging is refused.",
    )
    single_socket = bit(
        20, "Only one socket may run the guest.", governs="SNP_ACTIVATE", clear="any number of sockets may."
    )
    cxl_allow = bit(
        21, "CXL devices and memory (attached over PCI Express) may be there.", clear="they must not be there."
    )
    mem_aes_256_xts = bit(22, "Memory must be encrypted with AES-256-XTS.", clear="AES-128-XTS will do as well.")
    rapl_dis = bit(
        23, "RAPL, the processor's power meter, must be off: it leaks what the guest computes.", clear="it may be on."
    )
    ciphertext_hiding_dram = bit(
        24, "The host must not see ciphertext of the guest's memory.", clear="it may see it, and see it change."
    )
    page_swap_disable = bit(
        25,
        "The host must not move or swap the guest's pages.",
        governs="SNP_PAGE_MOVE, SNP_SWAP_OUT, SNP_SWAP_IN",
        clear="it may, under the firmware's control.",
    )
    reserved_26 = reserved_bits(26, 38)

    def findings(self) -> list[str]:
        """Return a sentence for every reserved bit that is not what it must be."""
        found = super().findings()
        return found if self.must_be_one else [*found, "bit 17 must be 1"]
