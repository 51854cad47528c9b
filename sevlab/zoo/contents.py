"""Bad contents: everything about the report is genuine, and it is not what its owner asked for."""

from __future__ import annotations

from .animal import Animal, bad
from .platform import DEBUG, MIGRATE, OTHER_MEASUREMENT, given, tcb_of

_OLD = {"bl": 3, "tee": 0, "snp": 8, "ucode": 115}


def wrong_contents() -> list[Animal]:
    """Return them."""
    old, newer = tcb_of("Milan", **_OLD), tcb_of("Milan", snp=8)
    return [
        bad(
            "other-measurement",
            "the report of another guest",
            "somebody else's guest was started",
            "MEASUREMENT is another",
            "measurement",
            given(measurement=OTHER_MEASUREMENT),
            "F47",
        ),
        bad(
            "debug-policy",
            "the policy allows debugging",
            "the host may read the guest's memory",
            "debugging is allowed",
            "debug",
            given(policy=DEBUG),
            "A07",
        ),
        bad(
            "migration-policy",
            "the policy allows a migration agent",
            "an agent may move the guest elsewhere",
            "migration is allowed",
            "migration",
            given(policy=MIGRATE),
        ),
        bad(
            "wrong-vmpl",
            "asked for by VMPL 3",
            "software with the fewest rights in the guest asked, not the guest itself",
            "VMPL is 3, not 0",
            "vmpl",
            given(vmpl=3),
        ),
        bad(
            "replayed",
            "the report that answered another nonce",
            "the report is an old one, sent again",
            "REPORT_DATA is another",
            "report-data",
            given(report_data=bytes(range(0x01, 0x41))),
        ),
        bad(
            "other-host-data",
            "HOST_DATA is another",
            "the host started the guest with other data",
            "HOST_DATA is another",
            "host-data",
            given(host_data=bytes(range(32))),
        ),
        bad(
            "other-id-key",
            "another key signed the ID block",
            "somebody else is the owner of the guest",
            "ID_KEY_DIGEST is another",
            "id-key",
            given(id_key_digest=bytes(range(0x70, 0xA0))),
        ),
        bad(
            "old-tcb",
            "an old platform",
            "holes that are known and closed are open on it",
            "REPORTED_TCB is too old",
            "min-tcb",
            given(reported_tcb=old, launch_tcb=old, committed_tcb=old, current_tcb=old),
            "A17",
        ),
        bad(
            "old-below-new",
            "an old SNP firmware below a new microcode",
            "as one number the TCB is high enough, part by part it is not",
            "the SNP firmware is too old",
            "tcb-number",
            given(reported_tcb=newer, launch_tcb=newer, committed_tcb=newer),
        ),
    ]
