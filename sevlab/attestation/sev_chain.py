"""The chain of SEV's certificates: it says that a platform's key is a genuine AMD processor's, and who its owner is.

::

    ARK (AMD root) -> ASK (AMD signing) -> CEK (chip) -> PEK (platform) -> PDH (for the session)
                                           OCA (owner) -> PEK

Every link is a check of its own, and a chain is good when every link is. The ARK is known by its SHA-256, because
nothing above it could vouch for it.

Sources: sev-launch 10.5 to 11.3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InputError, LayoutError, checked, quoted
from ..formats.sev_certs import (
    ARK,
    ASK,
    CEK,
    ECDSA_SHA256,
    INVALID,
    OCA,
    PDH,
    PEK,
    RSA_SHA256,
    RSA_SHA384,
    AmdCertificate,
    AttestationReport,
    EccSignature,
    SevCertificate,
    Usage,
    parse_certificates,
)
from ..launch.reading import load_file
from ..launch.verify import CANNOT_TELL, MATCH, MISMATCH, NOT_CHECKED, NOT_DECIDED, Check
from ..layout.bits import title
from ..layout.span import Explainable
from ..layout.views import Heading, Paragraph, Table, View, narrow
from .byte_forms import certificates_in, describe, readings
from .crypto import ecdsa_fault, rsa_fault
from .verdict import Checklist, check_table, judged, names_of

if TYPE_CHECKING:
    from ..layout.views import Block

    Certificate = SevCertificate | AmdCertificate


#: Most bytes of certificates that are read from one file.
LIMIT = 256 << 10
_NEEDED = "SEV certificates (2084 bytes) and AMD's (832 or 1600), raw or as text, or query-sev-capabilities' answer"
#: Where AMD's part of a chain is had.
_AMD_PART = (
    "AMD's ASK and ARK are in what 'sevctl export --full FILE' writes, and, as ask_ark_PRODUCT.cert, at "
    "https://www.amd.com/en/developer/sev.html"
)
#: AMD's root keys by the SHA-256 of the whole certificate, and the products below them (sev-launch 11.2).
ROOTS = {
    "dedabca561e1dece8cc00b7bda864cf5f20b95017864408cfe18eaee0dce24b9": "Naples",
    "865977b268c16d5b27772b00aaefb4e737ba9499e818ed8e9f65b0cecefbc529": "Rome",
    "1246469862b78a7a8625579b0378d1f8e975eb8b82a1623b579d7968a5969888": "Milan",
    "8f4e3fd36589c23f1fe0c8338465bac7e2e066d97fc92f228bbee4fd356fb674": "Genoa",
    "f6405e5096a6eee1eb7d5df75c49f9b9f7c8357a31c7fff150149d68588a7bf7": "Turin",
}
#: Who signs whom, from the root down: certificate and signer. The OCA is the owner's.
LINKS = ((ARK, ARK), (ASK, ARK), (CEK, ASK), (PEK, CEK), (OCA, OCA), (PEK, OCA), (PDH, PEK))


class Chain(Explainable):
    """Certificates by what their key is for. ``extra`` are those that came twice."""

    def __init__(self, certificates: Iterable[Certificate]) -> None:
        self.certificates: dict[int, Any] = {}
        self.extra: list[Certificate] = []
        for certificate in certificates:
            if int(certificate.key_usage) in self.certificates:
                self.extra.append(certificate)
            else:
                self.certificates[int(certificate.key_usage)] = certificate

    def __getitem__(self, usage: int) -> Any:
        return self.certificates[usage]

    def __contains__(self, usage: int) -> bool:
        return usage in self.certificates

    def to_bytes(self) -> bytes:
        """Return the certificates one after the other, as ``sevctl export --full`` writes them."""
        return b"".join(one.to_bytes() for one in self._ordered)

    @property
    def _ordered(self) -> list[Certificate]:
        return [self[usage] for usage in (PDH, PEK, OCA, CEK, ASK, ARK) if usage in self]

    def verify(self, roots: dict[str, str] = ROOTS) -> ChainVerdict:
        """Check every link; *roots* are the root keys to trust, by the SHA-256 (hex) of their certificates."""
        links = [_root(self, roots)]
        links += [_signed(self, usage, signer) for usage, signer in LINKS]
        links += [Check("one of each", MISMATCH, f"{Usage(one.key_usage).short} came twice") for one in self.extra]
        return ChainVerdict(self, links)

    def as_dict(self) -> dict[str, object]:
        """Return every certificate as JSON-ready data: its fields by name, bytes as lower-case hex.

        A second PDH is called ``PDH 2``.
        """
        found: dict[str, object] = {}
        for one in (*self.certificates.values(), *self.extra):
            short = Usage(one.key_usage).short
            again = sum(name.partition(" ")[0] == short for name in found)
            name = f"{short} {again + 1}" if again else short
            found[name] = {
                span.name: int(span.value) if isinstance(span.value, int) else span.raw.hex() for span in one.spans()
            }
        return found

    def explain(self) -> View:
        """Show every certificate, from the platform's key up."""
        blocks: list[Block] = []
        for one in (*self._ordered, *self.extra):
            again = ", again" if any(one is other for other in self.extra) else ""
            rows = [
                [
                    span.name,
                    f"0x{span.offset:03x}",
                    str(span.size),
                    narrow(span.text if span.size <= 16 else f"{span.raw[:8].hex()}... ({span.size} bytes)"),
                    f"{span.doc} FINDING: {span.finding}." if span.finding else span.doc,
                ]
                for span in one.spans()
                if any(span.raw) or span.finding
            ]
            blocks += [Heading(f"{Usage(one.key_usage).text}{again}: {title(type(one))} ({one.size} bytes)")]
            blocks += [Table(["field", "offset", "size", "value", "meaning"], rows, mono=[0, 1, 2, 3])]
        return View(*blocks)

    def __repr__(self) -> str:
        return f"<Chain {' '.join(Usage(usage).short for usage in self.certificates)}>"


class ChainVerdict(Checklist):
    """What came of checking a chain. ``checks`` in order from the root; ``product`` names the root, "" for none."""

    checks: list[Check]

    def __init__(self, chain: Chain, checks: list[Check]) -> None:
        self.chain, self.checks = chain, checks
        self.product = checks[0].note.partition(":")[0] if checks[0].state == MATCH else ""

    @property
    def words(self) -> str:
        """The verdict in a line."""
        if self.matches:
            return f"OK: a genuine {self.product} platform, and every link is signed"
        open_, count = [one for one in self.failed if one.state == CANNOT_TELL], len(self.checks)
        unchecked = f"{len(open_)} of {count} links could not be checked: {names_of(open_)}"
        if self.status == NOT_DECIDED:
            return f"NOT DECIDED: {unchecked}"
        broken = [one for one in self.failed if one.state == MISMATCH]
        words = f"ERROR: {len(broken)} of {count} links {'does' if len(broken) == 1 else 'do'} not hold"
        return f"{words}: {names_of(broken)}{f'; {unchecked}' if open_ else ''}"

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON-ready data."""
        found = super().as_dict()
        return {"status": found["status"], "product": self.product, "links": found["checks"]}

    def explain(self) -> View:
        """Show the answer, then every link."""
        lacks_amd = ASK not in self.chain or ARK not in self.chain
        advice = [Paragraph(f"To check the others: {_AMD_PART}.")] if lacks_amd else []
        return View(self.banner(), check_table(self.checks, "link"), *advice)


def load_chain(*paths: str, name: str = "certificates") -> Chain:
    """Read certificates from files: one or several in each, in any form of :mod:`~sevlab.attestation.byte_forms`.

    The answer of query-sev-capabilities and the output of virsh nodesevinfo hold the PDH and what is above it; both
    are taken. Raises :class:`~sevlab.errors.InputError` with *name* for a file that holds anything else.
    """
    found: list[Certificate] = []
    for path in paths:
        raw = load_file(path, name, LIMIT)
        fitting = [one for part in readings(raw) if (one := certificates_in(part.raw))]
        if fitting:
            found += fitting[0] if certificates_in(raw) else [one for part in fitting for one in part]
            continue
        received, advice = describe(raw, lambda part: False)
        try:
            parse_certificates(raw)
        except LayoutError as error:
            received = received if advice else error.received
        raise InputError(name, f"{quoted(path)}: {received}", _NEEDED, advice or "sevctl export FILE")
    return Chain(found)


@checked
def verify_chain(chain: Chain, roots: dict[str, str] = ROOTS) -> ChainVerdict:
    """Check every link of a chain; see :meth:`Chain.verify`. Never raises on a link that does not hold."""
    return chain.verify(roots)


@checked
def verify_attestation(report: AttestationReport, pek: SevCertificate, mnonce: bytes | None = None) -> list[Check]:
    """Check a legacy attestation report under a platform's PEK. Verify the PEK's chain first.

    *mnonce* is the nonce that was asked with (16 bytes): without it an old report would do. Returns the checks; never
    raises on one that fails.
    """
    usage = f"the certificate is of usage {pek.key_usage.text}"
    signature = EccSignature(r=report.r, s=report.s).to_bytes()
    fault = next(iter(report.findings()), "") or ecdsa_fault(pek.key, signature, report.signed, ECDSA_SHA256)
    checks = [
        judged("key", "" if pek.key_usage == PEK else usage, usage),
        judged("signature", fault, "the signature is right"),
    ]
    if mnonce is None:
        return [*checks, Check("mnonce", NOT_CHECKED, "no nonce was given: the report may be an old one")]
    other = "" if report.mnonce == mnonce else "another nonce"
    return [*checks, judged("mnonce", other, "the nonce that was asked with")]


def _root(chain: Chain, roots: dict[str, str]) -> Check:
    name = "ARK is a known root"
    if ARK not in chain:
        return Check(name, CANNOT_TELL, "no ARK was given")
    digest = hashlib.sha256(chain[ARK].to_bytes()).hexdigest()
    fault = "" if digest in roots else f"SHA-256 {digest} is not that of a known root"
    return judged(name, fault, f"{roots.get(digest)}: SHA-256 {digest}")


def _signed(chain: Chain, usage: int, signer: int) -> Check:
    by, of = Usage(signer).short, Usage(usage).short
    name = f"{of} signed by {'itself' if usage == signer else by}"
    if missing := [Usage(one).short for one in dict.fromkeys((usage, signer)) if one not in chain]:
        return Check(name, CANNOT_TELL, f"no {' and no '.join(missing)} was given")
    return judged(name, _fault(chain[usage], chain[signer], signer), "the signature is right")


def _fault(certificate: Any, key: Any, signer: int) -> str:
    """Return what is wrong with the signature of *key* on *certificate*; "" when it is right."""
    if findings := certificate.findings():
        return str(findings[0])
    if isinstance(certificate, AmdCertificate):
        if not isinstance(key, AmdCertificate):
            return "the signer is not a key of AMD"
        if certificate.certifying_key_id != key.key_id:
            return f"it names the key {certificate.certifying_key_id.hex()}, not {key.key_id.hex()}"
        algorithm = RSA_SHA256 if key.BITS == 2048 else RSA_SHA384
        return rsa_fault(key, certificate.signature, certificate.signed, algorithm)
    unused = [slot for slot in certificate.signatures if slot[0] == INVALID]
    if any(algorithm or any(raw) for _, algorithm, raw in unused):
        return "an unused signature slot is not zero"
    used = {int(usage): (int(algorithm), raw) for usage, algorithm, raw in certificate.signatures if usage != INVALID}
    signers = {by for usage, by in LINKS if usage == certificate.key_usage}
    if signer not in used or len(used) + len(unused) != 2 or not signers.issuperset(used):
        return "it has other signatures than it should"
    algorithm, raw = used[signer]
    if not isinstance(key, AmdCertificate):
        return ecdsa_fault(key.key, raw, certificate.signed, algorithm)
    size = key.BITS // 8
    if any(raw[size:]):
        return "bytes after the signature are not zero"
    return rsa_fault(key, raw[:size], certificate.signed, algorithm)
