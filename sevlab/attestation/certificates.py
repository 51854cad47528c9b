"""X.509 certificates and lists of revoked ones: out of PEM or DER, one by one, as a chain, or as the files of a host.

A file is taken apart so that none of its bytes is skipped. What is broken in a certificate is not refused but
noted, because it must end as a check that fails. Sources: RFC 7468 (PEM); X.690, 8.1.3 (length of a DER element);
RFC 5280 (certificates and CRLs).
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..data.requirements import complaint
from ..errors import InputError, checked, named, quoted
from ..formats.vcek import CSP_ID, EXTENSIONS, HWID, PRODUCT_NAME, ROOTS, SPL, read_cert_table, tell_kind
from ..launch.reading import check_standard_input, load_file
from ..launch.values import decode_base64
from ..layout.span import Explainable
from ..layout.views import Heading, Paragraph, Table, View
from .byte_forms import ENDORSEMENT, describe, read_bytes, readings
from .crypto import ecc_key

if TYPE_CHECKING:
    from cryptography import x509

    from ..formats.sev_certs import EccKey
    from ..layout.views import Block


#: Most bytes of one file.
LIMIT = 256 << 10
#: Bytes of a file that no certificate fits into, and a key does, also as text.
SHORT = 100
#: The files that certificates come in: one leaf, a chain or its two halves, a certificate table, a CRL.
FILES = ("vcek", "vlek", "chain", "ask", "ark", "certs", "crl")
_MARK = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
#: What no text around blocks may hold: a broken mark, or a line of base64 whose marks are lost.
_STRAY = re.compile(r"-----|^[ \t]*[A-Za-z0-9+/]{48,}={0,2}[ \t\r]*$", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"
_SEQUENCE = 0x30
_CALLED = {"CERTIFICATE": "a certificate", "X509 CRL": "a CRL"}
#: Up to the length of the serial number: two SEQUENCEs, the version, an INTEGER.
_HEAD = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...)(?P<tbs>\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...))"
    rb"(?:\xa0\x03\x02\x01.)?\x02(?P<size>[\x01-\x7f])",
    re.DOTALL,
)
#: Critical extensions of a CRL, and of an entry, that are understood: the key's and the list's number; the reason and
#: since when. (Others that are understood limit a list; see _limits.)
_LIST_EXTENSIONS = {"2.5.29.20", "2.5.29.35"}
_ENTRY_EXTENSIONS = {"2.5.29.21", "2.5.29.24"}
#: Most reasons that are given why a CRL is not the whole list.
_MOST_FAULTS = 3


def is_pem(raw: bytes) -> bool:
    """Return whether bytes hold the beginning of a PEM block."""
    return b"-----BEGIN " in raw


def split_pem(raw: bytes, name: str, needed: str) -> list[tuple[str, bytes]]:
    """Return the label of every PEM block, and what is between its marks.

    Text around the blocks is allowed, as openssl prints it. Raises :class:`~sevlab.errors.InputError`, with *name* and
    *needed*, for anything else there, and for a block without its end.
    """
    marks = list(_MARK.finditer(raw))
    found, around, place = [], [], len(_BOM) if raw.startswith(_BOM) else 0
    for begin, end in zip(marks[::2], [*marks[1::2], None], strict=False):
        if end is None or (begin[1], end[1], end[2]) != (b"BEGIN", b"END", begin[2]):
            raise InputError(name, "PEM that breaks off", f"{needed}, each with its BEGIN and its END")
        found.append((begin[2].decode("ascii"), raw[begin.end() : end.start()]))
        around.append(raw[place : begin.start()])
        place = end.end()
    if not found:
        raise InputError(name, "PEM without a whole BEGIN", needed)
    for piece in (*around, raw[place:]):
        if not _is_text(piece):
            raise InputError(name, "PEM with bytes around its blocks that are not text", f"{needed}, and no more")
    return found


def pem_or_der(raw: bytes, name: str, label: str) -> list[bytes]:
    """Return the DER inside every PEM block of *raw*, all of which must have this *label*; or DER elements.

    Either may be in another form (:mod:`~sevlab.attestation.byte_forms`). Raises
    :class:`~sevlab.errors.InputError` with *name* for anything else.
    """
    if not _is_pem_or_der(raw):  # Azure's service has the leaf in one field of JSON, and its chain in another
        pems = [one.raw for one in readings(raw) if is_pem(one.raw) and _is_pem_or_der(one.raw)]
        wanted = f"{_CALLED.get(label, label)}, DER or PEM"
        raw = b"\n".join(pems) if len(pems) > 1 else read_bytes(raw, _is_pem_or_der, name, wanted).raw
    if not is_pem(raw):
        return split_der(raw)
    needed, found = f"PEM of {label}", []
    for words, text in split_pem(raw, name, needed):
        der = decode_base64("".join(text.decode("latin-1").replace("\\n", "").split()))
        if words != label:
            raise InputError(name, f"PEM of {words}", needed)
        if der is None:
            raise InputError(name, "PEM whose text is not base64", needed)
        found.append(der)
    return found


def _is_pem_or_der(raw: bytes) -> bool:
    """Return whether bytes begin as a certificate does; broken ones too, which must end as a check that fails."""
    # JSON, or a dump with its text beside.
    is_inside = re.match(rb"\s*[{\[\"]|[0-9a-fA-F]{4,16}:?[ \t]", raw)
    return (is_pem(raw) and not is_inside) or (raw[:1] == b"\x30" and raw[1:2] in (b"\x81", b"\x82", b"\x83"))


def split_der(raw: bytes) -> list[bytes]:
    """Return the DER SEQUENCEs in *raw*, one after the other; [*raw*] when something is left over."""
    found, place = [], 0
    while place < len(raw):
        size = _sequence_size(raw[place : place + 6])
        if not size or place + size > len(raw):
            return [raw]
        found.append(raw[place : place + size])
        place += size
    return found or [raw]


def _sequence_size(head: bytes) -> int:
    """Return the size of a whole SEQUENCE in bytes from its first six; 0 for anything else."""
    if len(head) < 2 or head[0] != _SEQUENCE:
        return 0
    count = head[1] - 0x80
    if count < 0:
        return 2 + head[1]
    if not 1 <= count <= 4 or len(head) < 2 + count:
        return 0
    return 2 + count + int.from_bytes(head[2 : 2 + count], "big")


def _is_text(raw: bytes) -> bool:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n" for char in text) and not _STRAY.search(text)


class _Signed:
    """What certificates and CRLs have in common: bytes that are signed, and how."""

    def __init__(self, der: bytes, signature: bytes, tbs: bytes, start: int) -> None:
        #: All bytes as they came, those of them that are signed, and the signature.
        self.der, self.tbs, self.signature = der, tbs, signature
        after = der[start + len(tbs) :]
        named = after[: 2 + after[1]]
        #: What is wrong with the names of the algorithm, "" for nothing.
        self.algorithm_fault = ""
        # Beside the signature the algorithm's name is not signed; the same name within is.
        if named not in tbs or der[-len(self.signature) - 1] != 0:
            self.algorithm_fault = "the algorithm named beside the signature is not the signed one"


class Certificate(_Signed):
    """An X.509 certificate. Its parts are read with pyca/cryptography; ``unread`` names those that cannot be."""

    def __init__(self, raw: bytes, name: str = "certificate") -> None:
        from cryptography import x509

        head = _HEAD.match(raw)
        size = head["size"][0] if head else 0
        if head is None or len(raw) < head.end() + size:
            raise _refused(raw, name)
        place = head.end()
        self.serial = int.from_bytes(raw[place : place + size], "big", signed=True)
        # A serial number that is not positive, as every VCEK has it, is one that the library may refuse.
        copy = raw if self.serial > 0 else raw[:place] + b"\x01" + raw[place + 1 :]
        library = _eager(lambda: x509.load_der_x509_certificate(copy))
        if library is None:
            raise _refused(raw, name)
        length, signature = _eager(lambda: len(library.tbs_certificate_bytes)), _eager(lambda: library.signature)
        if length is None or signature is None:
            raise _refused(raw, name)
        start = head.start("tbs")
        super().__init__(raw, signature, raw[start : start + length], start)
        self.unread: list[str] = []
        #: Whole names (DER), and the common name in the first.
        self.subject: bytes = self._read("subject", lambda: library.subject.public_bytes(), b"")
        self.issuer: bytes = self._read("issuer", lambda: library.issuer.public_bytes(), b"")
        self.common_name: str = self._read("common name", lambda: _common_name(library.subject), "")
        #: In UTC.
        self.not_before: datetime | None = self._read("beginning", lambda: library.not_valid_before_utc, None)
        self.not_after: datetime | None = self._read("end", lambda: library.not_valid_after_utc, None)
        #: The public key as the library has it, None for one that cannot be read.
        self.key = self._read("key", lambda: _key(library), None)
        found = self._read("extensions", lambda: list(library.extensions), [])
        #: The identifiers of critical extensions, and AMD's own extensions by theirs.
        self.critical: set[str] = {one.oid.dotted_string for one in found if one.critical}
        self.extensions = {
            one.oid.dotted_string: bytes(one.value.value)
            for one in found
            if isinstance(one.value, x509.UnrecognizedExtension)
        }
        known = {type(one.value): one.value for one in found}
        #: The basic constraints and the key usage, as the library has them.
        self.basic, self.usage = known.get(x509.BasicConstraints), known.get(x509.KeyUsage)
        #: "ARK", "ASK", "ASVK", "VCEK", "VLEK" or "", by the common name.
        self.kind, self._product = tell_kind(self.common_name)

    def _read(self, what: str, read: Callable[[], Any], otherwise: Any) -> Any:
        value = _eager(read)
        if value is None:
            self.unread.append(what)
        return otherwise if value is None else value

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole certificate as it came (DER), lower-case hex: roots are known by it."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def is_leaf(self) -> bool:
        """Whether it is for a key that signs reports."""
        return self.kind in ("VCEK", "VLEK")

    @property
    def product(self) -> str:
        """The product, such as "Milan": a leaf's by its extension productName, another's by its name; "" for none."""
        return self.product_name.partition("-")[0] if self.is_leaf else self._product

    @property
    def ecc_key(self) -> EccKey | None:
        """The public key in AMD's form (0x404 bytes); None when it is not one on P-384."""
        from cryptography.hazmat.primitives.asymmetric import ec

        if not isinstance(self.key, ec.EllipticCurvePublicKey) or not isinstance(self.key.curve, ec.SECP384R1):
            return None
        return ecc_key(self.key)

    @property
    def product_name(self) -> str:
        """The extension productName, such as "Milan-B0"; "" when it is missing or not text."""
        return _text(self.extensions.get(PRODUCT_NAME, b""))

    @property
    def csp_id(self) -> str:
        """The extension CSP_ID, which names the cloud of a VLEK; "" when it is missing or not text."""
        return _text(self.extensions.get(CSP_ID, b""))

    @property
    def hwid(self) -> bytes:
        """The extension HWID, which names the chip of a VCEK (64 or 8 bytes); b"" when it is missing.

        It is raw bytes; one that is wrapped in an OCTET STRING is accepted too. Only the length distinguishes the two,
        because a raw one may begin with any byte.
        """
        value = self.extensions.get(HWID, b"")
        wrapped = len(value) in (66, 10) and value[0] == 0x04 and value[1] == len(value) - 2
        return value[2:] if wrapped else value

    @property
    def parts(self) -> dict[str, int]:
        """The TCB that the certificate is for: every part whose extension is there and a number from 0 to 255."""
        found = {name: integer(self.extensions.get(oid, b"")) for name, oid in SPL.items()}
        return {name: value for name, value in found.items() if value is not None}

    def as_dict(self) -> dict[str, object]:
        """Return the certificate as JSON-ready data."""
        return {
            "kind": self.kind,
            "common_name": self.common_name,
            "product": self.product,
            "serial": self.serial,
            "not_before": self.not_before and self.not_before.isoformat(),
            "not_after": self.not_after and self.not_after.isoformat(),
            "sha256": self.sha256,
            "extensions": {EXTENSIONS[oid]: raw.hex() for oid, raw in self.extensions.items() if oid in EXTENSIONS},
        }

    def __repr__(self) -> str:
        return f"<Certificate {quoted(self.common_name)}, serial {self.serial:#x}>"


class RevocationList(_Signed):
    """A list of revoked certificates (CRL)."""

    def __init__(self, raw: bytes, name: str = "CRL") -> None:
        from cryptography import x509

        library = _eager(lambda: x509.load_der_x509_crl(raw))
        tbs = None if library is None else _eager(lambda: library.tbs_certlist_bytes)
        signature = None if library is None else _eager(lambda: library.signature)
        if tbs is None or tbs not in raw or signature is None:
            raise InputError(name, f"{len(raw)} bytes that are not a list of revoked certificates", "a CRL, DER or PEM")
        super().__init__(raw, signature, tbs, raw.index(tbs))
        #: The issuer's whole name (DER), and the common name in it.
        self.issuer: bytes = _eager(lambda: library.issuer.public_bytes()) or b""
        self.issuer_name: str = _eager(lambda: _common_name(library.issuer)) or ""
        #: From when to when it holds.
        self.this_update: datetime | None = _eager(lambda: library.last_update_utc)
        self.next_update: datetime | None = _eager(lambda: library.next_update_utc)
        #: Serial numbers, without entries of the reason removeFromCRL; None when it cannot be read to its end.
        self.revoked: frozenset[int] | None = _eager(lambda: frozenset(_revoked(library)))
        #: Why it is not the whole list of its issuer: then a certificate that it does not name may be revoked too.
        self.faults: list[str] = []
        if self.revoked is None or self.this_update is None or self.next_update is None:
            self.faults.append("cannot be read to its end, or lacks a date")
        limits = _eager(lambda: _limits(library))
        self.faults += ["has extensions that cannot be read"] if limits is None else limits


def _revoked(library: x509.CertificateRevocationList) -> Iterator[int]:
    from cryptography import x509

    for entry in library:
        reasons = [one.value.reason for one in entry.extensions if isinstance(one.value, x509.CRLReason)]
        if reasons != [x509.ReasonFlags.remove_from_crl]:
            yield entry.serial_number


def _limits(library: x509.CertificateRevocationList) -> list[str]:
    """Return why a CRL is not the whole list of its issuer, in words that follow "the CRL"."""
    from cryptography import x509

    found = []
    for one in library.extensions:
        value, oid = one.value, one.oid.dotted_string
        if isinstance(value, x509.DeltaCRLIndicator):
            found.append("is a delta list (deltaCRLIndicator), which has only what changed since a whole one")
        elif isinstance(value, x509.IssuingDistributionPoint):
            found += [
                f"is limited by its IssuingDistributionPoint: {words}"
                for words, limits in (
                    ("it is for user certificates only", value.only_contains_user_certs),
                    ("it is for attribute certificates only", value.only_contains_attribute_certs),
                    ("it names only some reasons", value.only_some_reasons),
                    ("it is an indirect list", value.indirect_crl),
                    ("it is that of one distribution point", value.full_name or value.relative_name),
                )
                if limits
            ]
        elif one.critical and oid not in _LIST_EXTENSIONS:
            found.append(f"has the critical extension {oid}, which is not known")
    for entry in library:
        for one in entry.extensions:
            oid = one.oid.dotted_string
            if isinstance(one.value, x509.CertificateIssuer):
                found.append(f"has an entry (0x{entry.serial_number:x}) for another issuer's certificate")
            elif one.critical and oid not in _ENTRY_EXTENSIONS:
                found.append(f"has an entry with the critical extension {oid}, which is not known")
    return list(dict.fromkeys(found))[:_MOST_FAULTS]


@checked
def parse_certificate(raw: bytes, name: str = "certificate") -> Certificate:
    """Return the one certificate that *raw* holds, as DER or PEM; raises InputError with *name* for anything else."""
    found = pem_or_der(raw, name, "CERTIFICATE")
    if len(found) > 1:
        advice = "the option for a chain, which takes several"
        raise InputError(name, f"{len(found)} certificates", "one certificate", advice)
    return Certificate(found[0], name)


@checked
def parse_chain(raw: bytes, name: str = "chain") -> list[Certificate]:
    """Return every certificate of a file, in PEM or in DER one after the other; raises InputError with *name*."""
    return [Certificate(one, name) for one in pem_or_der(raw, name, "CERTIFICATE")]


@checked
def parse_crls(raw: bytes, name: str = "CRL") -> list[RevocationList]:
    """Return every list of revoked certificates of a file; as :func:`parse_chain`."""
    return [RevocationList(one, name) for one in pem_or_der(raw, name, "X509 CRL")]


def integer(value: bytes) -> int | None:
    """Return a DER INTEGER from 0 to 255; None for anything else, also for one that is longer than it must be."""
    if len(value) == 3 and value[:2] == b"\x02\x01" and value[2] < 0x80:
        return value[2]
    return value[3] if len(value) == 4 and value[:3] == b"\x02\x02\x00" and value[3] >= 0x80 else None


def _text(value: bytes) -> str:
    """Return a DER IA5String of at most 127 printable characters; "" for anything else."""
    body = value[2:]
    right = value[:1] == b"\x16" and value[1:2] == bytes([min(len(body), 0x80)]) and len(body) < 0x80
    return body.decode("ascii") if right and all(0x20 <= byte < 0x7F for byte in body) else ""


def _eager(read: Callable[[], Any]) -> Any:
    """Return what *read* returns; None when it fails.

    For broken bytes the library raises ValueError, InvalidVersion, UnsupportedAlgorithm and more; what it tolerates,
    it warns of.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except AttributeError:  # an old library lacks a name, which says nothing about the bytes
            if found := complaint("cryptography"):
                raise found from None
            return None
        except Exception:
            return None


def _common_name(name: x509.Name) -> str:
    from cryptography.x509.oid import NameOID

    found = [one.value for one in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""


def _key(library: Any) -> object:
    key = library.public_key()
    key.public_numbers()  # a key off its curve is refused now, not later
    return key


def _refused(raw: bytes, name: str) -> InputError:
    received = f"{len(raw)} bytes that are not an X.509 certificate" if raw else "nothing"
    return InputError(name, received, "a certificate, DER or PEM")


class Certificates(Explainable):
    """A leaf (``vcek`` or ``vlek``), what signs it (``ask``: ASK or ASVK), the root (``ark``); each may be None.

    ``crls`` are lists of revoked certificates. ``notes`` are about the files they came in.
    """

    def __init__(
        self,
        vcek: Certificate | None = None,
        vlek: Certificate | None = None,
        ask: Certificate | None = None,
        ark: Certificate | None = None,
        crls: Iterable[RevocationList] = (),
        notes: Iterable[str] = (),
    ) -> None:
        self.vcek, self.vlek, self.ask, self.ark = vcek, vlek, ask, ark
        places = {"vcek": vcek, "vlek": vlek, "ask": ask, "ark": ark}
        self._named = {name: one for name, one in places.items() if one is not None}
        self.crls, self.notes = tuple(crls), tuple(notes)

    def leaf(self, kind: str) -> Certificate | None:
        """Return the leaf of a kind ("VCEK" or "VLEK"); without one, the other kind."""
        return (self.vlek or self.vcek) if kind == "VLEK" else (self.vcek or self.vlek)

    def as_dict(self) -> dict[str, object]:
        """Return the certificates as JSON-ready data."""
        return {name: one.as_dict() for name, one in self._named.items()}

    def explain(self) -> View:
        """Show every certificate, from the leaf up. Nothing is verified here."""
        blocks: list[Block] = []
        for name, one in self._named.items():
            dates = [f"{when:%Y-%m-%d}" if when is not None else "?" for when in (one.not_before, one.not_after)]
            rows = [["subject", quoted(one.common_name)], ["product", quoted(one.product)]]
            rows += [["serial number", f"0x{one.serial:x}"], ["valid", " to ".join(dates)], ["SHA-256", one.sha256]]
            rows += [[EXTENSIONS[oid], raw.hex()] for oid, raw in one.extensions.items() if oid in EXTENSIONS]
            if one.parts:
                rows.append(["TCB", ", ".join(f"{part} {value}" for part, value in one.parts.items())])
            blocks += [Heading(f"{one.kind or name}: {len(one.der)} bytes"), Table(["field", "value"], rows, mono=[1])]
        for crl in self.crls:
            count = "unreadable" if crl.revoked is None else str(len(crl.revoked))
            words = f"A list of revoked certificates of {quoted(crl.issuer_name)}; names: {count}."
            blocks += [Heading("CRL"), Paragraph(words), *(Paragraph(f"It {fault}.") for fault in crl.faults)]
        return View(*(blocks or [Paragraph("No certificates.")]), *(Paragraph(f"{note}.") for note in self.notes))

    def __repr__(self) -> str:
        return f"<Certificates {' '.join(self._named)}>"


@checked
def parse_bundle(**raws: bytes | None) -> Certificates:
    """Put certificates together from the contents of files, by the names of :data:`FILES`.

    *vcek*, *vlek*, *ask* and *ark* are one certificate each (DER or PEM), and *vcek* and *vlek* may have their chain
    with them, as Azure hands it out. *chain* has several in any order, *certs* is a certificate table, *crl* has lists
    of revoked certificates, which count beside those of a table. What is named by itself wins over what a table holds,
    and a note says so. Raises :class:`~sevlab.errors.InputError` for anything
    else, for two certificates in one place, and for a chain beside its halves.
    """
    _check_names(raws)
    given = {name: raws.get(name) for name in FILES}
    halves = [named(name) for name in ("ask", "ark") if given[name] is not None]
    if given["chain"] is not None and halves:
        raise InputError("chain", f"together with {' and '.join(halves)}", "one of the two forms")
    found, crls, notes = ({}, [], []) if given["certs"] is None else _from_table(given["certs"])
    own = {} if given["chain"] is None else _from_chain(parse_chain(given["chain"]))
    for name in ("vcek", "vlek"):
        if (raw := given[name]) is not None and len(whole := parse_chain(raw, name)) > 1:
            given[name], own = None, _with_chain(name, _from_chain(whole, name), own, halves)
    for name in ("vcek", "vlek", "ask", "ark"):
        if (raw := given[name]) is not None:
            one = parse_certificate(raw, name)
            if name in own and own[name].der != one.der:
                raise InputError(name, f"another {one.kind or name} than {named('chain')} has", "one of the two")
            own[name] = one
    notes += [
        f"certs: its {name} is not used, because another one was given"
        for name, one in found.items()
        if name in own and own[name].der != one.der
    ]
    if given["crl"] is not None:
        crls += parse_crls(given["crl"], "crl")
    return Certificates(**(found | own), crls=crls, notes=notes)


def _with_chain(
    name: str, found: dict[str, Certificate], own: dict[str, Certificate], halves: list[str]
) -> dict[str, Certificate]:
    """Return the certificates of a file that has the leaf *name* and what is above it, as Azure hands it out."""
    if name not in found:
        raise InputError(name, f"{len(found)} certificates, and no {name.upper()} among them", "the leaf, or its chain")
    if own or halves:
        beside = " and ".join(halves) or named("chain")
        raise InputError(name, f"a leaf with its chain, beside {beside}", "the chain once")
    return found


def load_certificates(**paths: str | None) -> Certificates:
    """Read certificates from files and put them together; see :func:`parse_bundle` for the names."""
    _check_names(paths)
    check_standard_input(paths.items())
    return parse_bundle(**{name: load_file(path, name, LIMIT) for name, path in paths.items() if path is not None})


def roots_with(given: Iterable[str | Certificate], name: str) -> dict[str, str]:
    """Return the roots to trust, by the SHA-256 (hex) of their DER: AMD's, and those *given*, themselves or by path."""
    read = (parse_certificate(load_file(one, name, LIMIT), name) if isinstance(one, str) else one for one in given)
    return ROOTS | {one.sha256: f"{one.product or 'unnamed'}, by {name}" for one in read}


def _check_names(given: Iterable[str]) -> None:
    if unknown := sorted(set(given) - set(FILES)):
        raise TypeError(f"no certificate is named {unknown[0]!r}")


def _from_table(raw: bytes) -> tuple[dict[str, Certificate], list[RevocationList], list[str]]:
    table = read_cert_table(_table_in(raw))
    if not table.certificates:
        # A file this short may hold a key, so nothing of it is shown.
        why = "; ".join(table.findings if len(raw) > SHORT else ()) or "only an end, or too short for one"
        why = "it is PEM" if is_pem(raw) else why
        why, advice = (f"only a {table.other[0]}", ENDORSEMENT) if table.other else (why, describe(raw, bool)[1])
        raise InputError("certs", f"{len(raw)} bytes without a certificate: {why}", "a certificate table", advice)
    found: dict[str, Certificate] = {}
    crls: list[RevocationList] = []
    for kind, part in (*table.certificates.items(), *table.again):
        if kind == "crl":
            crls += parse_crls(part, f"certs, {kind}")
        elif kind in found:
            raise InputError("certs", f"two entries of the kind {kind}", "one of each")
        else:
            found[kind] = parse_certificate(part, f"certs, {kind}")
    notes = [*table.findings, *(f"its {kind} is not read: {ENDORSEMENT}" for kind in table.other)]
    notes += [f"an entry of the unknown kind {guid}" for guid in table.unknown]
    return found, crls, [f"certs: {note}" for note in notes]


def _table_in(raw: bytes) -> bytes:
    """Return a certificate table out of whichever form it is in; the bytes themselves if they are none."""
    fitting = list(dict.fromkeys(one.raw for one in readings(raw) if read_cert_table(one.raw).certificates))
    if len(fitting) > 1 and raw not in fitting:
        raise InputError("certs", f"{len(fitting)} different certificate tables", "one of them")
    return raw if raw in fitting else (fitting or [raw])[0]


def _from_chain(certificates: list[Certificate], name: str = "chain") -> dict[str, Certificate]:
    """Sort certificates by what they are: a root signs itself, a leaf has a leaf's name, the rest is between."""
    found: dict[str, Certificate] = {}
    for one in certificates:
        place = "ark" if one.subject == one.issuer else one.kind.lower() if one.is_leaf else "ask"
        if place in found:
            received = f"two for one place: {quoted(found[place].common_name)} and {quoted(one.common_name)}"
            raise InputError(name, received, "one of each: leaf, ASK (or ASVK) and ARK of one product")
        found[place] = one
    return found
