"""The owner's half of LAUNCH_START: agree on a secret with the platform, and send it the keys of one launch.

Each side multiplies its private number with the other's public point on the curve P-384 (ECDH, elliptic-curve
Diffie-Hellman), and both get the same point. Its x coordinate is Z. A master secret follows from Z, and from that a key
to encrypt (KEK) and one to authenticate (KIK), which protect TEK and TIK on their way. The host passes all of it on,
and has neither private number.

The key derivation is NIST SP 800-108 in counter mode, but with its two numbers little-endian, unlike in general-purpose
libraries. Sources: sev-launch 6.1 to 6.6.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError, checked
from ..formats.policy import Policy
from ..formats.sev_certs import ECDH_SHA256, INVALID, P384_BYTES, PDH, EccKey, SessionBlob, SevCertificate
from ..launch.keys import SecretBytes, check_key, hide_key, refuse_keys
from ..launch.verify import MATCH, MISMATCH, NOT_CHECKED, Check
from ..layout.bytemap import explain_spans
from ..layout.span import Explainable
from ..layout.views import Heading, Table, View
from .crypto import aes_ctr, ecc_key, load_point
from .verdict import Checklist, check_table

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


KEY_SIZE = 16
Z_SIZE = 48
#: The order of P-384's base point (FIPS 186-4, D.1.2.4).
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


@checked
def derive_key(key: bytes, label: str, context: bytes = b"") -> bytes:
    """Return 16 bytes derived from *key* (NIST SP 800-108, counter mode, HMAC-SHA256; numbers little-endian).

    *label* says what the key is for, *context* (any bytes) makes it a different one each time. The counter stays 1,
    because one hash is longer than a key.
    """
    message = struct.pack("<I", 1) + label.encode() + b"\0" + context + struct.pack("<I", 8 * KEY_SIZE)
    return hmac.digest(key, message, "sha256")[:KEY_SIZE]


@dataclass(frozen=True, repr=False)
class SessionKeys:
    """What both sides compute: Z (48 bytes, big-endian), the nonce, master secret, KEK and KIK (16 bytes each)."""

    z: bytes
    nonce: bytes
    master: bytes
    kek: bytes
    kik: bytes

    def __repr__(self) -> str:
        return "<session keys, hidden>"


def derive_session_keys(z: bytes, nonce: bytes) -> SessionKeys:
    """Return the keys that follow from Z (48 bytes) and the session's nonce (16 bytes).

    Raises :class:`~sevlab.errors.InputError` for other sizes.
    """
    z = hide_key(z)
    if len(nonce) != KEY_SIZE:
        raise InputError("nonce", f"{len(nonce)} bytes", f"{KEY_SIZE} bytes")
    raw = check_key(z, "z", Z_SIZE).reveal()
    master = derive_key(raw, "sev-master-secret", nonce)
    return SessionKeys(raw, nonce, master, derive_key(master, "sev-kek"), derive_key(master, "sev-kik"))


@checked
def wrap_keys(
    keys: SessionKeys, tek: SecretBytes | bytes, tik: SecretBytes | bytes, iv: bytes, policy: Policy
) -> SessionBlob:
    """Return the launch session that carries *tek* and *tik* (16 bytes each) and binds *policy*.

    *iv* has 16 bytes; raises :class:`~sevlab.errors.InputError` for another size.
    """
    tek, tik = check_key(tek, "tek"), check_key(tik, "tik")
    if len(iv) != KEY_SIZE:
        raise InputError("iv", f"{len(iv)} bytes", f"{KEY_SIZE} bytes")
    wrapped = aes_ctr(keys.kek, iv, tek.reveal() + tik.reveal())
    return SessionBlob(
        nonce=keys.nonce,
        wrap_tk=wrapped,
        wrap_iv=iv,
        wrap_mac=hmac.digest(keys.kik, wrapped, "sha256"),
        policy_mac=policy_mac(tik, policy),
    )


def policy_mac(tik: SecretBytes, policy: Policy) -> bytes:
    """Return the HMAC-SHA256 (32 bytes) of a policy under the TIK."""
    return hmac.digest(tik.reveal(), int(policy).to_bytes(4, "little"), "sha256")


def unwrap_keys(keys: SessionKeys, blob: SessionBlob) -> tuple[SecretBytes, SecretBytes] | None:
    """Return TEK and TIK of a launch session; None when wrap_mac is wrong, because then nothing is decrypted."""
    computed = hmac.digest(keys.kik, blob.wrap_tk, "sha256")
    if not hmac.compare_digest(computed, blob.wrap_mac):
        return None
    both = aes_ctr(keys.kek, blob.wrap_iv, blob.wrap_tk)
    return SecretBytes(both[:KEY_SIZE]), SecretBytes(both[KEY_SIZE:])


@dataclass(frozen=True, eq=False, repr=False)
class Session(Explainable):
    """A launch session from the owner's side, with every value on the way."""

    #: The owner's private number, which stays with the owner.
    private: SecretBytes
    #: The owner's certificate for this launch, for the host.
    godh: SevCertificate
    keys: SessionKeys
    #: The launch session, for the host.
    blob: SessionBlob
    tek: SecretBytes
    tik: SecretBytes
    policy: Policy

    def explain(self, *, show_keys: bool = False) -> View:
        """Walk from the shared point to the launch session. Keys are hidden unless *show_keys* is set."""
        return _walk(self, self.keys, show_keys)

    @property
    def godh_base64(self) -> str:
        """The owner's certificate as QEMU's ``dh-cert-file`` and libvirt's ``dhCert`` take it."""
        return base64.b64encode(self.godh.to_bytes()).decode()

    @property
    def blob_base64(self) -> str:
        """The launch session as QEMU's ``session-file`` and libvirt's ``session`` take it."""
        return base64.b64encode(self.blob.to_bytes()).decode()

    def __repr__(self) -> str:
        return f"<Session for policy {self.policy.text}, keys hidden>"


@checked
def make_session(
    pdh: SevCertificate, policy: Policy | int, *, random: Callable[[int], bytes] = secrets.token_bytes
) -> Session:
    """Make the keys of one launch and pack them for the platform that has *pdh*. Verify its chain first.

    *random* returns as many random bytes as it is asked for; give your own only to reproduce a session. Raises
    :class:`~sevlab.errors.InputError` for a certificate that is not a PDH with a point of P-384.
    """
    policy = Policy(policy)
    if pdh.key_usage != PDH:
        raise InputError("PDH", f"a certificate of usage {pdh.key_usage.text}", f"one of usage 0x{PDH:04x} (PDH)")
    private = make_private(random)
    godh = godh_certificate(private)
    nonce, iv = random(KEY_SIZE), random(KEY_SIZE)
    tek, tik = SecretBytes(random(KEY_SIZE)), SecretBytes(random(KEY_SIZE))
    keys = derive_session_keys(exchange(private, pdh.key), nonce)
    return Session(private, godh, keys, wrap_keys(keys, tek, tik, iv, policy), tek, tik, policy)


@checked
def exchange(private: SecretBytes, key: EccKey) -> bytes:
    """Return Z (48 bytes, big-endian): the x coordinate of the other side's point times the *private* number.

    Raises :class:`~sevlab.errors.InputError` for a key that is not a point on P-384. A platform without this check
    gives its private number away (CVE-2019-9836).
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    point = load_point(key)
    if point is None:
        raise InputError("public key", "a key that is not a point on P-384", "a point on the curve P-384")
    return bytes(load_private(private).exchange(ec.ECDH(), point))


def load_private(private: SecretBytes) -> EllipticCurvePrivateKey:
    """Return a private number of P-384 as cryptography takes it; raise InputError for any other number."""
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        return ec.derive_private_key(int.from_bytes(private.reveal(), "big"), ec.SECP384R1())
    except ValueError:
        pass  # and raised below, or the error would keep frames that hold the number
    raise InputError("private", "a number outside the order of P-384", "a private number of P-384")


@checked
def public_key(private: SecretBytes) -> EccKey:
    """Return the public point of a private number (48 bytes, big-endian), as a certificate holds it."""
    return ecc_key(load_private(private).public_key())


@checked
def godh_certificate(private: SecretBytes) -> SevCertificate:
    """Return the owner's certificate for one launch. As with sevctl it is not signed: the firmware does not check."""
    unused = {"usage": INVALID, "algorithm": 0}
    return SevCertificate(
        api_major=0, api_minor=0, key_usage=PDH, key_algorithm=ECDH_SHA256, key=public_key(private),
        sig1=bytes(512), sig2=bytes(512),
        **{f"sig{number}_{name}": value for number in (1, 2) for name, value in unused.items()},
    )  # fmt: skip


def is_godh(certificate: SevCertificate) -> bool:
    """Return whether the firmware takes a certificate for an owner's, before it looks at the key."""
    return (certificate.version, certificate.key_usage, certificate.key_algorithm) == (1, PDH, ECDH_SHA256)


class OpenedSession(Checklist):
    """A launch session from the platform's side, checked in the firmware's order.

    ``tek`` and ``tik`` are None where wrap_mac is wrong, because the firmware does not decrypt then.
    """

    checks: list[Check]

    def __init__(
        self, blob: SessionBlob, godh: SevCertificate, private: SecretBytes, policy: Policy | None = None
    ) -> None:
        self.blob, self.godh, self.policy = blob, godh, policy
        #: The private number of the platform's PDH.
        self.private = private
        self.checks = []
        self.keys: SessionKeys | None = None
        self.tek: SecretBytes | None = None
        self.tik: SecretBytes | None = None
        self._open()

    def _open(self) -> None:
        name, note = "GODH is a point of P-384", "HMAC of wrap_tk under the KIK"
        if not is_godh(self.godh):
            self.checks.append(Check("GODH is for ECDH", MISMATCH, "its version, usage or algorithm is not a PDH's"))
            return
        try:
            z = exchange(self.private, self.godh.key)
        except InputError as error:
            self.checks.append(Check(name, MISMATCH, f"received {error.received}"))
            return
        self.checks.append(Check(name, MATCH, "the shared secret can be computed"))
        self.keys = derive_session_keys(z, self.blob.nonce)
        found = unwrap_keys(self.keys, self.blob)
        self.checks.append(Check("wrap_mac", MATCH if found else MISMATCH, note))
        if found is None:
            return
        self.tek, self.tik = found
        if self.policy is None:
            self.checks.append(Check("policy_mac", NOT_CHECKED, "no policy was given"))
            return
        same = hmac.compare_digest(policy_mac(self.tik, self.policy), self.blob.policy_mac)
        self.checks.append(Check("policy_mac", MATCH if same else MISMATCH, "HMAC of the policy under the TIK"))
        if same and (faults := self.policy.findings()):
            self.checks.append(Check("policy", MISMATCH, "; ".join(faults)))

    @property
    def words(self) -> str:
        """The verdict in a line."""
        return "OK: The platform opens this session" if self.matches else "ERROR: The platform refuses this session"

    def explain(self, *, show_keys: bool = False) -> View:
        """Show the checks, then every value on the way."""
        view = View(self.banner(), check_table(self.checks))
        return view if self.keys is None else View(view, _walk(self, self.keys, show_keys))

    def as_dict(self) -> dict[str, object]:
        """Return the checks as JSON-ready data. Keys never appear."""
        found = super().as_dict()
        return {"status": found["status"], "steps": found["checks"]}


@checked
def open_session(
    blob: SessionBlob, godh: SevCertificate, private: SecretBytes, policy: Policy | int | None = None
) -> OpenedSession:
    """Open a launch session as the platform with the *private* number of its PDH (48 bytes, big-endian) does.

    Never raises on a session that does not open: see ``matches`` and ``checks``. Raises
    :class:`~sevlab.errors.InputError` for a number that is not a private one, and for a session or certificate that
    has it in it, because both are shown.
    """
    private = hide_key(private)
    private = check_key(private, "private", Z_SIZE)
    for public, name in ((blob.to_bytes(), "session"), (godh.to_bytes(), "godh")):
        refuse_keys(public, name, private)
    return OpenedSession(blob, godh, private, None if policy is None else Policy(policy))


def _walk(session: Session | OpenedSession, keys: SessionKeys, show_keys: bool) -> View:
    """Show every value from Z to the launch session. What is secret is hidden unless *show_keys* is set.

    What follows from a private number that shows itself, a sample's, is shown too.
    """
    policy, shown = session.policy, show_keys or type(session.private) is not SecretBytes

    def secret(raw: bytes | SecretBytes | None) -> str:
        raw = raw.reveal() if isinstance(raw, SecretBytes) else raw
        return "-" if raw is None else raw.hex() if shown else repr(SecretBytes(raw))

    rows = [
        ["Z", "x of the shared point, 48 bytes, big-endian", secret(keys.z)],
        ["nonce", "random, in the session", keys.nonce.hex()],
        ["master secret", "KDF(Z, 'sev-master-secret', nonce)", secret(keys.master)],
        ["KEK", "KDF(master secret, 'sev-kek')", secret(keys.kek)],
        ["KIK", "KDF(master secret, 'sev-kik')", secret(keys.kik)],
        ["TEK", "first half of wrap_tk, decrypted under the KEK", secret(session.tek)],
        ["TIK", "second half of wrap_tk, decrypted under the KEK", secret(session.tik)],
        ["policy", "its 4 bytes, little-endian", "-" if policy is None else int(policy).to_bytes(4, "little").hex()],
    ]
    return View(
        Heading("From the shared point to the keys"),
        Table(["value", "how", "bytes"], rows, mono=[2]),
        Heading("The launch session, 128 bytes"),
        explain_spans(session.blob.spans()),
    )


def make_private(random: Callable[[int], bytes] = secrets.token_bytes) -> SecretBytes:
    """Return a new private number (48 bytes, big-endian), from 56 random bytes (FIPS 186-5, A.2.1)."""
    number = int.from_bytes(random(P384_BYTES + 8), "big") % (_ORDER - 1) + 1
    return SecretBytes(number.to_bytes(P384_BYTES, "big"))


@checked
def seeded(seed: bytes) -> Callable[[int], bytes]:
    """Return a source of bytes that are the same for the same *seed*: to reproduce something, never to protect it."""
    state = {"count": 0}

    def read(size: int) -> bytes:
        made = b""
        while len(made) < size:
            made += hashlib.sha256(seed + struct.pack("<Q", state["count"])).digest()
            state["count"] += 1
        return made[:size]

    return read
