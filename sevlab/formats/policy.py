"""The guest policy: what the host may do with this guest. SEV and SEV-ES have one, SEV-SNP has another.

Put side by side: the two version bytes are in opposite order, and the debug bit means the opposite.
"""

from __future__ import annotations

from ..layout.bits import Bits, bit, reserved_bits


class Policy(Bits, size=4, spec="AMD 55766 (SEV API), guest policy; LAUNCH_START, SEND_START, DBG_DECRYPT"):
    """Guest policy of SEV and SEV-ES.

    Four bytes, little-endian: flags, a zero byte, API_MAJOR, API_MINOR. The owner fixes it in the launch session, the
    firmware enforces it, and it is part of the measured message. SEV-SNP swaps the version bytes, and the meaning of
    its debug bit is the opposite.
    """

    nodbg = bit(
        0,
        "Debugging is refused.",
        governs="DBG_DECRYPT, DBG_ENCRYPT",
        clear="the host may read and change the guest's memory in clear text.",
    )
    noks = bit(
        1,
        "Sharing the memory key with another guest is refused.",
        governs="LAUNCH_START (of the other guest)",
        clear="the host may start another guest under this guest's memory key.",
    )
    es = bit(
        2,
        "The guest must be an SEV-ES guest: its registers are encrypted and measured.",
        governs="LAUNCH_START, LAUNCH_UPDATE_VMSA",
        clear="the host may run it as plain SEV, and sees and can change its registers whenever it stops.",
    )
    nosend = bit(
        3,
        "Migration to another platform is refused.",
        governs="SEND_START",
        clear="the host may send the guest, with its keys, to another platform.",
    )
    domain = bit(
        4,
        "Migration only to a platform of the same owner (the same OCA, owner certificate authority).",
        governs="SEND_START",
        clear="a migration may leave the owner's own platforms.",
    )
    sev = bit(
        5,
        "Migration only to a genuine SEV platform, by AMD's certificate chain.",
        governs="SEND_START",
        clear="AMD's chain of the receiver is not checked; with DOMAIN clear too, no certificate is.",
    )
    reserved_6 = reserved_bits(6, 10)
    api_major = bit(
        16,
        "Minimum major version of the SEV API (the firmware's interface) that may launch the guest.",
        width=8,
        governs="LAUNCH_START, SEND_START, RECEIVE_START",
        clear="firmware of any major version may launch it.",
    )
    api_minor = bit(
        24,
        "Minimum minor version, when the major version is the same.",
        width=8,
        governs="LAUNCH_START, SEND_START, RECEIVE_START",
        clear="any minor version will do.",
    )


class SnpPolicy(Bits, size=8, spec="AMD 56860 (SNP ABI), guest policy; SNP_LAUNCH_START"):
    """Guest policy of SEV-SNP.

    Eight bytes, little-endian: ABI_MINOR, ABI_MAJOR, flags. The host passes it at launch, the firmware enforces it, and
    the report contains it. Firmware older than the meaning of bits 21 to 25 refuses them.
    """

    abi_minor = bit(0, "Minimum minor version of the firmware's ABI.", width=8, governs="SNP_LAUNCH_START")
    abi_major = bit(8, "Minimum major version of the firmware's ABI.", width=8, governs="SNP_LAUNCH_START")
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
        found = super().findings()
        return found if self.must_be_one else [*found, "bit 17 must be 1"]
