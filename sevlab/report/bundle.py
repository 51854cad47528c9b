"""The certificates for one report, put together from whatever files they came in."""

from __future__ import annotations

from ..arguments import checked
from ..errors import InputError, quoted
from ..formats.vcek import EXTENSIONS, read_cert_table
from ..inputs import check_standard_input, load_file
from .certificate import Certificate, RevocationList, parse_certificate, parse_chain, parse_crls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..layout.views import Block, View

#: Most bytes of one file.
LIMIT = 64 << 10
#: The files that certificates come in: one leaf, a chain or its two halves, a certificate table, a CRL.
FILES = ("vcek", "vlek", "chain", "ask", "ark", "certs", "crl")


class Certificates:
    """A leaf (``vcek`` or ``vlek``), what signs it (``ask``: ASK or ASVK), the root (``ark``); each may be None.

    ``crls`` are lists of revoked certificates; *crl* may be one or several. ``notes`` says what was odd about the files
    they came in.
    """

    def __init__(
        self,
        vcek: Certificate | None = None,
        vlek: Certificate | None = None,
        ask: Certificate | None = None,
        ark: Certificate | None = None,
        crl: RevocationList | Iterable[RevocationList] | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        self.vcek, self.vlek, self.ask, self.ark = vcek, vlek, ask, ark
        self.crls = (crl,) if isinstance(crl, RevocationList) else tuple(crl or ())
        self.notes = tuple(notes)

    def leaf(self, kind: str) -> Certificate | None:
        """Return the leaf of a kind ("VCEK" or "VLEK"); without one, the other, so that it can be told apart."""
        return (self.vlek or self.vcek) if kind == "VLEK" else (self.vcek or self.vlek)

    def as_dict(self) -> dict[str, object]:
        """Return the certificates as JSON-ready data."""
        return {name: one.as_dict() for name, one in self._named.items()}

    @property
    def _named(self) -> dict[str, Certificate]:
        places = {"vcek": self.vcek, "vlek": self.vlek, "ask": self.ask, "ark": self.ark}
        return {name: one for name, one in places.items() if one is not None}

    def explain(self) -> View:
        """Show every certificate, from the leaf up. Nothing is verified here."""
        from ..layout.views import Heading, Paragraph, Table, View

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

    def __str__(self) -> str:
        return self.explain().text()

    def _repr_html_(self) -> str:
        return self.explain().html()

    def __repr__(self) -> str:
        return f"<Certificates {' '.join(self._named)}>"


@checked
def parse_bundle(names: Callable[[str], str] = str, **raws: bytes | None) -> Certificates:
    """Put certificates together from the contents of files, by the names of :data:`FILES`.

    *vcek*, *vlek*, *ask* and *ark* are one certificate each (DER or PEM), *chain* has several in any order, *certs* is
    a certificate table, *crl* has lists of revoked certificates, which count beside those of a table. What is named by
    itself wins over what a table holds, and a note says so. *names* turns a name into what its user calls it. Raises
    :class:`~sevlab.errors.InputError` for what is none of this, for two certificates in one place, and for a chain
    beside its halves.
    """
    given = {name: raws.pop(name, None) for name in FILES}
    if raws:
        raise TypeError(f"no certificate is named {sorted(raws)[0]!r}")
    halves = [names(name) for name in ("ask", "ark") if given[name] is not None]
    if given["chain"] is not None and halves:
        raise InputError(names("chain"), f"together with {' and '.join(halves)}", "one of the two forms")
    found: dict[str, Certificate] = {}
    crls: list[RevocationList] = []
    notes: list[str] = []
    if given["certs"] is not None:
        found, crls, notes = _from_table(given["certs"], names("certs"))
    named: dict[str, Certificate] = {}
    if given["chain"] is not None:
        named = _from_chain(parse_chain(given["chain"], names("chain")), names("chain"))
    for name in ("vcek", "vlek", "ask", "ark"):
        if (raw := given[name]) is not None:
            one = parse_certificate(raw, names(name))
            if name in named and named[name].der != one.der:
                raise InputError(names(name), f"another {one.kind or name} than {names('chain')} has", "one of the two")
            named[name] = one
    notes += [
        f"{names('certs')}: its {name} is not used, because another one was given"
        for name, one in found.items()
        if name in named and named[name].der != one.der
    ]
    if given["crl"] is not None:
        crls += parse_crls(given["crl"], names("crl"))
    return Certificates(**(found | named), crl=crls, notes=notes)


def load_certificates(names: Callable[[str], str] = str, **paths: str | None) -> Certificates:
    """Read certificates from files and put them together; see :func:`parse_bundle` for the names."""
    if unknown := sorted(set(paths) - set(FILES)):
        raise TypeError(f"no certificate is named {unknown[0]!r}")
    check_standard_input([(names(name), path) for name, path in paths.items()])
    read = {name: load_file(path, names(name), LIMIT) for name, path in paths.items() if path is not None}
    return parse_bundle(names, **read)


#: Bytes of a file that no certificate fits into, and a key does, also as text.
_SHORT = 100


def _from_table(raw: bytes, name: str) -> tuple[dict[str, Certificate], list[RevocationList], list[str]]:
    table = read_cert_table(raw)
    if not table.certificates:
        # What so short a file holds may be a key, and is not told.
        why = "; ".join(table.findings if len(raw) > _SHORT else ()) or "only an end, or too short for one"
        raise InputError(name, f"{len(raw)} bytes without a certificate: {why}", "a certificate table")
    found: dict[str, Certificate] = {}
    crls: list[RevocationList] = []
    for kind, part in (*table.certificates.items(), *table.again):
        if kind == "crl":
            crls += parse_crls(part, f"{name}, {kind}")
        elif kind in found:
            raise InputError(name, f"two entries of the kind {kind}", "one of each")
        else:
            found[kind] = parse_certificate(part, f"{name}, {kind}")
    notes = [*table.findings, *(f"an entry of the unknown kind {guid}" for guid in table.unknown)]
    return found, crls, [f"{name}: {note}" for note in notes]


def _from_chain(certificates: list[Certificate], name: str) -> dict[str, Certificate]:
    """Sort certificates by what they are: a root signs itself, a leaf has a leaf's name, the rest is between."""
    found: dict[str, Certificate] = {}
    for one in certificates:
        place = "ark" if one.subject == one.issuer else one.kind.lower() if one.is_leaf else "ask"
        if place in found:
            received = f"two for one place: {quoted(found[place].common_name)} and {quoted(one.common_name)}"
            raise InputError(name, received, "ASK (or ASVK) and ARK of one product")
        found[place] = one
    return found
