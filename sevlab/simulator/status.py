"""What the firmware answers, and the states it knows.

Sources: sev-launch 1.1, 1.2 and 4.
"""

from __future__ import annotations

from ..errors import SevlabError

#: Every status code of the firmware and its name.
STATUS = {
    0x00: "SUCCESS",
    0x01: "INVALID_PLATFORM_STATE",
    0x02: "INVALID_GUEST_STATE",
    0x03: "INVALID_CONFIG",
    0x04: "INVALID_LENGTH",
    0x05: "ALREADY_OWNED",
    0x06: "INVALID_CERTIFICATE",
    0x07: "POLICY_FAILURE",
    0x08: "INACTIVE",
    0x09: "INVALID_ADDRESS",
    0x0A: "BAD_SIGNATURE",
    0x0B: "BAD_MEASUREMENT",
    0x0C: "ASID_OWNED",
    0x0D: "INVALID_ASID",
    0x0E: "WBINVD_REQUIRED",
    0x0F: "DF_FLUSH_REQUIRED",
    0x10: "INVALID_GUEST",
    0x11: "INVALID_COMMAND",
    0x12: "ACTIVE",
    0x13: "HWERROR_PLATFORM",
    0x14: "HWERROR_UNSAFE",
    0x15: "UNSUPPORTED",
    0x16: "INVALID_PARAM",
    0x17: "RESOURCE_LIMIT",
    0x18: "SECURE_DATA_INVALID",
    0x19: "INVALID_PAGE_SIZE",
    0x1A: "INVALID_PAGE_STATE",
    0x1B: "INVALID_MDATA_ENTRY",
    0x1C: "INVALID_PAGE_OWNER",
    0x1D: "AEAD_OFLOW",
    0x1F: "RING_BUFFER_EXIT",
    0x20: "RMP_INIT_REQUIRED",
    0x21: "BAD_SVN",
    0x22: "BAD_VERSION",
    0x23: "SHUTDOWN_REQUIRED",
    0x24: "UPDATE_FAILED",
    0x25: "RESTORE_REQUIRED",
    0x26: "RMP_INIT_FAILED",
    0x27: "INVALID_KEY",
}
NUMBER = {name: number for number, name in STATUS.items()}

#: The first API whose measure has a context byte and a version, and whose secret's MAC covers the measure.
NEW_MESSAGES = (0, 17)
PLATFORM_STATES = ("UNINIT", "INIT", "WORKING")
GUEST_STATES = ("UNINIT", "LUPDATE", "LSECRET", "RUNNING", "SUPDATE", "RUPDATE", "SENT")


class FirmwareError(SevlabError):
    """The firmware refused a command. ``name`` and ``status`` (a number) are its answer; ``why`` is for people."""

    def __init__(self, name: str, why: str = "") -> None:
        super().__init__(name, why)
        self.name, self.status, self.why = name, NUMBER[name], why

    def __str__(self) -> str:
        return f"0x{self.status:02x} {self.name}" + (f": {self.why}" if self.why else "")


def demand(right: object, name: str, why: str = "") -> None:
    """Raise :class:`FirmwareError` unless *right*."""
    if not right:
        raise FirmwareError(name, why)
