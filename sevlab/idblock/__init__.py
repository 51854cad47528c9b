"""The ID block: say what a SEV-SNP launch must be, sign it, and check it as the firmware does at LAUNCH_FINISH."""

from .check import STAGES, IdBlockVerdict, verify_id_block
from .keyfile import load_private_key
from .read import load_id_block
from .signed import DEFAULT_POLICY, SignedIdBlock, build_id_block

__all__ = [
    "DEFAULT_POLICY",
    "STAGES",
    "IdBlockVerdict",
    "SignedIdBlock",
    "build_id_block",
    "load_id_block",
    "load_private_key",
    "verify_id_block",
]
