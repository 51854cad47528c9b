"""What the firmware answers: status codes, the same for legacy SEV and SEV-SNP.

Source: sev-launch 4 (AMD 55766 and 56860, status codes; AMD-ASPFW). Codes from 0x28 on, most of them about trusted
devices, are from patches to Linux's psp-sev.h of 2025 and 2026.
"""

from __future__ import annotations

#: Names of status codes in the order of their numbers, by the number of the first in a row.
_ROWS = {
    0x00: "SUCCESS INVALID_PLATFORM_STATE INVALID_GUEST_STATE INVALID_CONFIG",
    0x04: "INVALID_LENGTH ALREADY_OWNED INVALID_CERTIFICATE POLICY_FAILURE",
    0x08: "INACTIVE INVALID_ADDRESS BAD_SIGNATURE BAD_MEASUREMENT",
    0x0C: "ASID_OWNED INVALID_ASID WBINVD_REQUIRED DF_FLUSH_REQUIRED",
    0x10: "INVALID_GUEST INVALID_COMMAND ACTIVE HWERROR_PLATFORM",
    0x14: "HWERROR_UNSAFE UNSUPPORTED INVALID_PARAM RESOURCE_LIMIT",
    0x18: "SECURE_DATA_INVALID INVALID_PAGE_SIZE INVALID_PAGE_STATE INVALID_MDATA_ENTRY",
    0x1C: "INVALID_PAGE_OWNER AEAD_OFLOW",
    0x1F: "RING_BUFFER_EXIT RMP_INIT_REQUIRED BAD_SVN BAD_VERSION",
    0x23: "SHUTDOWN_REQUIRED UPDATE_FAILED RESTORE_REQUIRED RMP_INIT_FAILED",
    0x27: "INVALID_KEY SHUTDOWN_INCOMPLETE",
    0x30: "INCORRECT_BUFFER_LENGTH EXPAND_BUFFER_LENGTH_REQUEST SPDM_REQUEST SPDM_ERROR",
    0x35: "IN_DEV_CONN INVALID_DEV_CTX INVALID_TDI_CTX INVALID_TDI",
    0x39: "RECLAIM_REQUIRED IN_USE INVALID_DEV_STATE INVALID_TDI_STATE",
    0x3D: "DEV_CERT_CHANGED RESYNC_REQ RESPONSE_TOO_LARGE",
}
#: Every status code of the firmware and its name.
STATUS = {first + place: name for first, row in _ROWS.items() for place, name in enumerate(row.split())}
#: Every name and its number.
NUMBER = {name: number for number, name in STATUS.items()}


def status_text(name: str) -> str:
    """Return a status for people: its number in hex, and its name."""
    return f"0x{NUMBER[name]:02x} {name}"
