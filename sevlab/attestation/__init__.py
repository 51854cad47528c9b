"""Keys and signatures: chain, session, secret, ID block, certificates, report."""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "Certificates": "certificates",
    "Chain": "sev_chain",
    "SignedIdBlock": "id_block",
    "advise": "advisories",
    "build_id_block": "id_block",
    "build_secret": "secret",
    "derive_session_keys": "session",
    "exchange": "session",
    "godh_certificate": "session",
    "load_id_block": "id_block",
    "load_point": "crypto",
    "load_private_key": "id_block",
    "make_private": "session",
    "make_session": "session",
    "open_secret": "secret",
    "open_session": "session",
    "parse_bundle": "certificates",
    "public_key": "session",
    "seeded": "session",
    "verify_attestation": "sev_chain",
    "verify_id_block": "id_block",
    "wrap_keys": "session",
}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
