"""The ID block: say what a SEV-SNP launch must be, sign it, and check it as the firmware does at LAUNCH_FINISH.

The firmware's answer does not say which part is wrong: some of its statuses mean several checks (incident F46). Here
every check has a name, and all are made, although the firmware stops at the first that fails.

Sources: snp-launch 1.4 and 5 (AMD 56860, SNP ABI, ID_BLOCK, ID_AUTH and SNP_LAUNCH_FINISH; AMD-ASPFW).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from ..errors import InputError, checked, quoted
from ..formats.id_block import ECDSA_P384_SHA384, IdAuth, IdBlock
from ..formats.policy import SnpPolicy
from ..formats.sev_certs import ECDSA_SHA384, P384_BYTES, EccKey, EccSignature
from ..formats.status import status_text
from ..launch.keys import SecretBytes, check_key, hide_key, refuse_keys
from ..launch.reading import load_file, load_hidden
from ..launch.values import decode_base64
from ..launch.verify import COLOURS, MISMATCH, NOT_CHECKED, Check
from ..layout.span import Explainable
from ..layout.views import Heading, Paragraph, Table, View, hex_lines
from .byte_forms import as_text, read_bytes, sized
from .certificates import is_pem, split_pem
from .crypto import ecdsa_fault, ecdsa_sign, load_point
from .session import load_private, public_key
from .verdict import Checklist, judged, names_of

#: The policy that QEMU, sev-snp-measure and the sev crate take when none is given.
DEFAULT_POLICY = 0x30000
#: The stages in the firmware's order: a name, how it answers when the stage fails ("" where the firmware of the facts
#: does not look), and what is said of one that passes.
_STAGES = (
    ("launch digest", "BAD_MEASUREMENT", "the digest of the launch is the one that the block names"),
    ("policy", "POLICY_FAILURE", "the policy of the launch is the one that the block names"),
    ("ID key algorithm", "INVALID_PARAM", "ECDSA on P-384 with SHA-384"),
    ("author key algorithm", "INVALID_PARAM", "ECDSA on P-384 with SHA-384"),
    ("ID key", "BAD_SIGNATURE", "a point of P-384"),
    ("ID block signature", "BAD_SIGNATURE", "the ID key signed all 96 bytes of the block"),
    ("author key", "BAD_SIGNATURE", "a point of P-384"),
    ("ID key signature", "BAD_SIGNATURE", "the author key signed all 1028 bytes of the ID key"),
    ("form", "", "version 1, and reserved bytes are zero"),
)
STAGES = {name: status for name, status, _ in _STAGES} | {"report": ""}  # the last is verify_case's own
#: How findings begin that no other check is about.
_FORM = ("version", "policy", "reserved")
_GIVE = {"launch digest": "no measurement was given", "policy": "no policy of the launch was given"}
_NO_AUTHOR = (
    "there is no author key. SEV firmware of 2022 failed every launch whose ID block came without one "
    "(https://github.com/AMDESE/sev-guest/issues/13): sign with a second key, id-block build --authorkey FILE"
)
#: Most bytes of a file that are read. Both parts take 4192 bytes, or 8384 as hex.
LIMIT = 64 << 10
_KINDS = {"id-block": IdBlock, "id-auth": IdAuth}
_PROPERTY = re.compile(r"""\b(id-block|id-auth)["']?\s*[=:]\s*["']?([^\s,"'}]*)""")


@dataclass(frozen=True, repr=False)
class SignedIdBlock(Explainable):
    """An ID block (96 bytes) and its authentication information (4096 bytes)."""

    block: IdBlock
    auth: IdAuth

    @property
    def properties(self) -> str:
        """Both as properties of QEMU's ``sev-snp-guest`` object, in base64."""
        block, auth = (base64.b64encode(one.to_bytes()).decode() for one in (self.block, self.auth))
        return f"id-block={block},id-auth={auth}"

    @property
    def key_digests(self) -> dict[str, bytes]:
        """The digests that a report will hold, by the names of its fields (48 bytes each; zeros without a key)."""
        return {"id_key_digest": self.auth.id_key_digest, "author_key_digest": self.auth.author_key_digest}

    def findings(self) -> list[str]:
        """Return a sentence for every field whose value is not allowed."""
        parts = (("ID block", self.block), ("ID authentication", self.auth))
        return [f"{name}, {finding}" for name, part in parts for finding in part.findings()]

    def explain(self) -> View:
        """Show both byte by byte, and the digests of the keys."""
        digests = [["ID key", hex_lines(self.auth.id_key_digest, 24)]]
        if self.auth.has_author:
            digests.append(["author key", hex_lines(self.auth.author_key_digest, 24)])
        return View(
            self.block.explain(),
            self.auth.explain(),
            *(Paragraph(f"FINDING: {finding}.") for finding in self.findings()),
            Heading("SHA-384 of the keys, as the report holds them"),
            Table(["key", "digest"], digests, mono=[1]),
        )


@checked
def build_id_block(
    measurement: bytes,
    id_key: SecretBytes,
    author_key: SecretBytes | None = None,
    *,
    policy: int = DEFAULT_POLICY,
    guest_svn: int = 0,
    family_id: bytes = bytes(16),
    image_id: bytes = bytes(16),
) -> SignedIdBlock:
    """Say what a launch must be, and sign it. The same inputs give the same bytes.

    *measurement* is the launch digest (48 bytes); keys are private numbers of P-384 (48 bytes, big-endian; see
    :func:`load_private_key`); *policy* is the guest policy (64 bits), *guest_svn* has 32 bits, *family_id* and
    *image_id* 16 bytes each. Raises :class:`~sevlab.errors.LayoutError` for values that do not fit, and
    :class:`~sevlab.errors.InputError` for numbers that are not private keys, and for a value that has a key in it,
    because the host sees the block.
    """
    id_key, author_key = hide_key(id_key), hide_key(author_key)
    id_key = check_key(id_key, "id_key", P384_BYTES)
    author_key = None if author_key is None else check_key(author_key, "author_key", P384_BYTES)
    for public, name in ((measurement, "measurement"), (family_id, "family_id"), (image_id, "image_id")):
        refuse_keys(public, name, id_key, author_key)
    block = IdBlock(
        launch_digest=measurement, family_id=family_id, image_id=image_id, guest_svn=guest_svn, policy=SnpPolicy(policy)
    )
    key, author = public_key(id_key), author_key and public_key(author_key)
    auth = IdAuth(
        auth_key_algo=ECDSA_P384_SHA384 if author else 0,
        id_block_sig=_sign(id_key, block.to_bytes()),
        id_key=key,
        id_key_sig=_sign(author_key, key.to_bytes()) if author_key else bytes(EccSignature.size),
        author_key=author or bytes(EccKey.size),
    )
    return SignedIdBlock(block, auth)


def _sign(private: SecretBytes, signed: bytes) -> EccSignature:
    return ecdsa_sign(load_private(private), signed, ECDSA_SHA384)


def load_id_block(*paths: str, name: str = "ID block") -> SignedIdBlock:
    """Read an ID block and its authentication information, from a file each in any order, or from one that has both.

    A file holds 96 or 4096 bytes, raw or as base64 or hex text, or it holds text with ``id-block=...`` and
    ``id-auth=...``, as ``sevlab id-block build`` and snp-create-id-block print it and QEMU's object takes it; ``-`` is
    standard input. Raises :class:`~sevlab.errors.InputError`, with *name*, for anything else, and for a part that is
    missing or comes twice.
    """
    found: dict[str, bytes] = {}
    for path in paths:
        for kind, raw in _parts(load_file(path, name, LIMIT), path, name):
            if kind in found:
                raise InputError(name, f"{quoted(path)}: a second {kind}", "one id-block and one id-auth")
            found[kind] = raw
    if missing := [kind for kind in _KINDS if kind not in found]:
        what = " and no ".join(missing)
        raise InputError(name, f"no {what}", "id-block (96 bytes) and id-auth (4096 bytes), in one file or two")
    return SignedIdBlock(IdBlock.from_bytes(found["id-block"]), IdAuth.from_bytes(found["id-auth"]))


def _parts(raw: bytes, path: str, name: str) -> list[tuple[str, bytes]]:
    if whole := _kind(raw):
        return [(whole, raw)]
    if properties := _PROPERTY.findall(as_text(raw)[0] or ""):
        return [(kind, _value(kind, value, path, name)) for kind, value in properties]
    needed = "96 or 4096 bytes, raw or as base64, hex or a dump, or text with id-block=... and id-auth=..."
    try:
        one = read_bytes(raw, lambda part: bool(_kind(part)), name, needed).raw
    except InputError as error:
        raise InputError(name, f"{quoted(path)}, {error.received}", error.needed, error.advice) from None
    return [(_kind(one), one)]


def _kind(raw: bytes) -> str:
    return next((kind for kind, declared in _KINDS.items() if sized(declared.size)(raw)), "")


def _value(kind: str, value: str, path: str, name: str) -> bytes:
    raw, size = decode_base64(value), _KINDS[kind].size
    if raw is None or len(raw) != size:
        received = f"{len(value)} characters that do not decode" if raw is None else f"base64 of {len(raw)} bytes"
        raise InputError(name, f"{quoted(path)}: {kind} with {received}", f"base64 of {size} bytes")
    return raw


def load_private_key(path: str, name: str = "key") -> SecretBytes:
    """Return the private number (48 bytes, big-endian) of a P-384 key in a PEM file; ``-`` is standard input.

    Raises :class:`~sevlab.errors.InputError`, with *name*, for any other key.
    """
    path, needed = hide_key(path), "a private key of P-384, in PEM and not encrypted"
    if not isinstance(path, str):
        raise InputError(name, repr(path), f"the path of a file with {needed}")
    pem = load_hidden(path, name, LIMIT)
    advice = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out FILE"
    if is_pem(pem.reveal()):
        _check_blocks([label for label, _ in split_pem(pem.reveal(), name, needed)], f"{name}: {quoted(path)}", needed)
    private = _read_key(pem)
    if isinstance(private, str):
        if "encrypted" in private:
            advice = "openssl pkey -in FILE -out NEW, which asks for the password"
        raise InputError(name, f"{quoted(path)}, {private}", needed, advice)
    return private


def _check_blocks(labels: list[str], where: str, needed: str) -> None:
    # openssl ecparam -genkey writes the curve's name before its key.
    others = [label for label in labels if label != "EC PARAMETERS"]
    if len(others) > 1 or len(labels) - len(others) > 1:
        raise InputError(where, f"{len(labels)} PEM blocks ({', '.join(labels[:4])})", f"one block: {needed}")


def _read_key(pem: SecretBytes) -> SecretBytes | str:
    """Return the private number of a P-384 key; for anything else what it is."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    raw = pem.reveal()
    if b"-----BEGIN " not in raw:
        return "a file that is not PEM" if raw else "an empty file"
    if b"PRIVATE KEY-----" not in raw:
        kind = raw.partition(b"-----BEGIN ")[2].partition(b"-----")[0][:40].decode("ascii", "replace")
        return f"a PEM of {quoted(kind)}"
    try:
        key = load_pem_private_key(raw, None)
    except TypeError:
        return "an encrypted key"
    except (ValueError, UnsupportedAlgorithm):
        return "a PEM that holds no key that can be read"
    if isinstance(key, rsa.RSAPrivateKey):
        return f"an RSA key of {key.key_size} bits"
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return f"a key of another kind ({type(key).__name__.removesuffix('PrivateKey')})"
    if not isinstance(key.curve, ec.SECP384R1):
        return f"a key of the curve {key.curve.name}"
    return SecretBytes(key.private_numbers().private_value.to_bytes(P384_BYTES, "big"))


@dataclass(frozen=True, eq=False, repr=False)
class IdBlockVerdict(Checklist):
    """What came of checking an ID block: ``checks`` in the firmware's order, and what a report would show."""

    #: Without a measurement, a signature says nothing about a launch.
    decisive = ("launch digest",)

    signed: SignedIdBlock
    author_key_enabled: bool
    checks: list[Check]

    @property
    def refusal(self) -> Check | None:
        """The first check that fails and at which the firmware stops; None when it goes through."""
        return next((check for check in self.checks if check.state == MISMATCH and STAGES[check.name]), None)

    @property
    def firmware_status(self) -> str:
        """What the firmware answers: "SUCCESS", or the status of the check at which it stops."""
        return STAGES[self.refusal.name] if self.refusal else "SUCCESS"

    @property
    def reported(self) -> dict[str, object]:
        """What the report of the guest will show of the ID block, by the names of the report's fields."""
        block, digests = self.signed.block, self.signed.key_digests
        if not self.author_key_enabled:
            digests["author_key_digest"] = bytes(len(digests["author_key_digest"]))
        ids = {"family_id": block.family_id, "image_id": block.image_id, "guest_svn": int(block.guest_svn)}
        return {"measurement": block.launch_digest, "policy": int(block.policy), **ids, **digests}

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready data; bytes are lower-case hex."""
        reported = {name: value.hex() if isinstance(value, bytes) else value for name, value in self.reported.items()}
        return {
            "status": self.status,
            "firmware_status": self.firmware_status,
            "author_key_enabled": self.author_key_enabled,
            "checks": [{**check.as_dict(), "status": STAGES[check.name]} for check in self.checks],
            "reported": reported,
            "notes": self.notes,
        }

    def explain(self) -> View:
        """Show the answer, every check, and what the report will show."""
        answers = {name: status_text(status) if status else "-" for name, status in STAGES.items()}
        rows = [[check.state, check.name, answers[check.name], check.note] for check in self.checks]
        shown = {**self.reported, "policy": self.signed.block.policy.text}
        incident = []
        if self.failed:
            from ..data import INCIDENTS  # not above: read only to be printed

            incident = [Paragraph(f"Compare incident {INCIDENTS['F46'].name}.")]
        lines = [[name, hex_lines(raw, 24) if isinstance(raw, bytes) else str(raw)] for name, raw in shown.items()]
        return View(
            self.banner(),
            Table(["state", "check", "answer if it fails", "note"], rows, colours=[COLOURS[row[0]] for row in rows]),
            Heading("What the guest's report shows of it, once the firmware takes it"),
            Table(["field", "value"], lines, mono=[0, 1]),
            *(Paragraph(f"NOTE: {note}.") for note in self.notes),
            *incident,
        )

    @property
    def notes(self) -> list[str]:
        """What a reader must not overlook beside a verdict."""
        return [] if self.signed.auth.has_author else [_NO_AUTHOR]

    @property
    def words(self) -> str:
        """The verdict in a line."""
        if self.refusal:
            answer = status_text(self.firmware_status)
            return f"ERROR: the firmware would answer {answer}, because of: {self.refusal.name}"
        if self.failed:
            return f"ERROR: failed: {names_of(self.failed)}"
        if not self.matches:
            return "NOT VALIDATED: no check fails, but the measurement was not compared"
        return "OK: the firmware would take this ID block for this launch"


@checked
def verify_id_block(
    signed: SignedIdBlock,
    measurement: bytes | None = None,
    policy: int | None = None,
    *,
    author_key_enabled: bool | None = None,
) -> IdBlockVerdict:
    """Make the checks of SNP_LAUNCH_FINISH; see :data:`STAGES`. Never raises on a check that fails.

    *measurement* is the digest of the launch (48 bytes), *policy* its guest policy; what is not given is not compared.
    *author_key_enabled* is the launch's AUTH_KEY_EN; when None, it is taken to be on if there is an author key.
    """
    block, auth = signed.block, signed.auth
    enabled = auth.has_author if author_key_enabled is None else author_key_enabled
    made, over = auth.id_key_sig.to_bytes(), auth.id_key.to_bytes()
    faults: dict[str, str | None] = {
        "launch digest": _differ(block.launch_digest, measurement),
        "policy": _differ(int(block.policy), policy),
        "ID key algorithm": _algorithm_fault(auth.id_key_algo),
        "author key algorithm": _algorithm_fault(auth.auth_key_algo) if enabled else None,
        "ID key": _key_fault(auth.id_key),
        "ID block signature": ecdsa_fault(auth.id_key, auth.id_block_sig.to_bytes(), block.to_bytes(), ECDSA_SHA384),
        "author key": _key_fault(auth.author_key) if enabled else None,
        "ID key signature": ecdsa_fault(auth.author_key, made, over, ECDSA_SHA384) if enabled else None,
        "form": "; ".join(one for one in (*block.findings(), *auth.findings()) if one.startswith(_FORM)),
    }
    checks = [_check(name, faults[name], good, auth.has_author) for name, _, good in _STAGES]
    return IdBlockVerdict(signed, enabled, checks)


def _check(name: str, fault: str | None, good: str, has_author: bool) -> Check:
    if fault is None:
        why = _GIVE.get(name) or ("AUTH_KEY_EN is off" if has_author else "there is no author key")
        return Check(name, NOT_CHECKED, why)
    if name == "form" and fault:
        fault += "; the firmware that sevlab knows does not look, another may"
    return judged(name, fault, good)


def _differ(named: bytes | int, launched: bytes | int | None) -> str | None:
    if launched is None or named == launched:
        return None if launched is None else ""
    shown = [hex(one) if isinstance(one, int) else f"{one[:8].hex()}..." for one in (named, launched)]
    return "the block names {}, the launch has {}".format(*shown)


def _algorithm_fault(algorithm: int) -> str:
    return "" if algorithm == ECDSA_P384_SHA384 else f"{int(algorithm)}; only {ECDSA_P384_SHA384} is known"


def _key_fault(key: EccKey) -> str:
    return "not a point on P-384" if load_point(key) is None else ""
