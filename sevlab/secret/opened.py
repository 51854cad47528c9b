"""Opening a packet, as the firmware does it and the guest after it, with every step to look at."""

from __future__ import annotations

import base64
import hashlib
import hmac

from ..arguments import checked
from ..errors import InputError, shell_word
from ..formats.guid import Guid
from ..formats.secret import BLOCK, SecretHeader, SecretTable
from ..inputs import decode_base64, load_file
from ..keys import Secret, check_key, hide_key, refuse_keys
from ..layout.span import Explainable
from ..measure import KEY_IS_SHOWN, HmacSteps
from ..outcome import MATCH, MISMATCH, NOT_CHECKED
from ..verify import Check, check_table
from .packet import HOST_LIMIT, MEASURE_SIZE, SecretMessage, apply_keystream, check_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..layout.views import Table, View


@checked
def open_secret(
    header: SecretHeader | bytes,
    payload: bytes,
    tik: Secret | bytes,
    tek: Secret | bytes,
    measure: bytes,
    *,
    files: dict[str, str] | None = None,
) -> OpenedSecret:
    """Open a packet as the firmware does: lengths, MAC, flags, and only then decryption. Never raises on a difference.

    *files* names the files that inputs were read from (``tik``, ``tek``, ``tk``, and ``payload`` or, when that is
    base64, ``payload_base64``), for showing.

    Raises :class:`~sevlab.errors.InputError` when a key, the header (52 bytes), the measure (32 bytes) or the payload
    (16 bytes to 16 KiB, in whole blocks of 16) has another size.
    """
    tik, tek = hide_key(tik), hide_key(tek)
    tik, tek = check_key(tik, "tik"), check_key(tek, "tek")
    raw = header.to_bytes() if isinstance(header, SecretHeader) else header
    swapped = "the two files the other way round" if len(payload) == SecretHeader.size else ""
    header = SecretHeader.from_bytes(check_size(raw, SecretHeader.size, "header", swapped))
    if not payload or len(payload) % BLOCK or len(payload) > HOST_LIMIT:
        needed = f"{BLOCK} to {HOST_LIMIT} bytes, a multiple of {BLOCK}"
        raise InputError("payload", f"{len(payload)} bytes", needed, "a copy of the whole file, made in binary mode")
    check_size(
        measure, MEASURE_SIZE, "measure", "the first 32 of the measurement's 48 bytes" if len(measure) == 48 else ""
    )
    refuse_keys(measure, "measure", tik, tek)
    return OpenedSecret(header, bytes(payload), tik, tek, bytes(measure), dict(files or {}))


def load_packet_part(path: str, name: str) -> tuple[bytes, bool]:
    """Return the bytes of a header or payload from a file, and whether it was base64 text.

    sevctl writes raw bytes, libvirt base64. What can be read as both counts as base64. Sizes are left for
    :func:`open_secret` to check.
    """
    raw = load_file(path, name, 2 * HOST_LIMIT)
    text = raw.translate(None, b" \t\r\n")
    decoded = decode_base64(text.decode("ascii")) if text.isascii() else None
    if decoded and (len(decoded) == SecretHeader.size or len(decoded) % BLOCK == 0):
        return decoded, True
    return raw, False


class OpenedSecret(Explainable):
    """What comes of opening a packet. Make it with :func:`open_secret`.

    ``mac`` is the computed MAC, ``mac_matches`` says whether it is the header's. ``table`` is the decrypted table; None
    when the firmware would not have decrypted. ``opens`` is True when a guest would find its table.
    """

    def __init__(
        self, header: SecretHeader, payload: bytes, tik: Secret, tek: Secret, measure: bytes, files: dict[str, str]
    ) -> None:
        self.files = files
        self.header, self.payload, self.measure = header, payload, measure
        self._tik, self._tek = tik, tek
        self.message = SecretMessage(header, payload, measure)
        self.mac = self.message.mac(tik)
        self.mac_matches = hmac.compare_digest(self.mac, header.mac)
        self.table: SecretTable | None = None
        if self.mac_matches and not header.flags.compressed:
            self.table = SecretTable(apply_keystream(tek, header.iv, payload))

    @property
    def opens(self) -> bool:
        """True when every check matches."""
        return self.table is not None and self.table.is_table

    @property
    def status(self) -> str:
        """ "match" when every check matches, else "mismatch"."""
        return MATCH if self.opens else MISMATCH

    @property
    def secrets(self) -> list[tuple[Guid, Secret]]:
        """The secrets, in their order; none when the packet does not open."""
        return [(entry.guid, Secret(entry.data)) for entry in (self.table.entries if self.table else [])]

    @property
    def stages(self) -> list[Check]:
        """The firmware's checks in its order, and at last the guest's."""
        table, compressed = self.table, bool(self.header.flags.compressed)
        mac = "HMAC-SHA256 of the message under the TIK"
        if not self.mac_matches:
            mac = f"The firmware answers BAD_MEASUREMENT. {self._mac_hint()}"
        flags = self.header.flags.text + (": the firmware answers UNSUPPORTED" if compressed else "")
        found = "what the guest would find"
        if table is not None and not table.is_table:
            found = self._table_hint(table)
        elif table is not None:
            found = f"{_count(table.entries)}; {'; '.join(table.findings()) or 'nothing odd'}"
        return [
            Check("lengths", MATCH, f"header {SecretHeader.size} bytes, payload {len(self.payload)} bytes"),
            Check("MAC", MATCH if self.mac_matches else MISMATCH, mac),
            Check("flags", _state(self.mac_matches, not compressed), flags),
            Check("table", _state(table is not None, self.opens), found),
        ]

    def _mac_hint(self) -> str:
        """Say what a MAC that does not match may come from."""
        if hmac.compare_digest(self.message.mac(self._tek), self.header.mac):
            return "It is right under the TEK: TEK and TIK are swapped, here or where the packet was built."
        old = self.message.head.to_bytes() + self.payload
        if hmac.compare_digest(hmac.digest(self._tik.reveal(), old, "sha256"), self.header.mac):
            return "It is right without the measure, as firmware older than API 0.17 made it."
        return (
            "At least one of these differs: the TIK, the measure (every launch has another one, so a packet is good "
            "for one launch), or a byte of header or payload. The MAC does not say which."
        )

    def _table_hint(self, table: SecretTable) -> str:
        """Say why a packet with the right MAC may decrypt to garbage."""
        if SecretTable(apply_keystream(self._tik, self.header.iv, self.payload)).is_table:
            return "It is encrypted under the TIK: whoever built it gave the TIK as the TEK. The guest gets garbage."
        return (
            f"{'; '.join(table.findings())}. Either the TEK is not the one the packet was encrypted under (the MAC "
            "cannot tell: it depends on the TIK alone), or what was sent is no table (sev-tool encrypts a bare file)."
        )

    def explain(self, *, show_secret: bool = False, show_keys: bool = False) -> View:
        """Show the checks, header, message, MAC and table, byte by byte.

        Secrets are hidden unless *show_secret* is set; what is made from the TIK, unless *show_keys* is.
        """
        from ..layout.bytemap import explain_spans
        from ..layout.views import Banner, Code, Heading, Paragraph, Table, View, hex_lines

        stages, size = self.stages, len(self.payload)
        bad = next((stage for stage in stages if stage.state == MISMATCH), None)
        words = f"OK: The packet opens and holds {_count(self.secrets)}"
        if bad:
            words = f"ERROR: The packet does not open (bad: {bad.name})"
        last = [f"payload, {size} bytes", f"SHA-256 {hashlib.sha256(self.payload).hexdigest()}"]
        view = View(
            Banner(words, "pink" if bad else "green"),
            check_table(stages),
            Heading("1. What travels beside the payload: the header, 52 bytes"),
            explain_spans(self.header.spans()),
            Heading(f"2. What the MAC is made of: the message, {len(self.message.to_bytes())} bytes"),
            explain_spans(self.message.head.spans()),
            Table(["then", "value"], [last, [f"measure, {MEASURE_SIZE} bytes", hex_lines(self.measure)]], mono=[1]),
            Heading("3. The MAC, step by step"),
            HmacSteps(self.message, self._tik).explain("MAC", show_keys=show_keys),
            Table(["MAC", "value"], [["reported", self.header.mac.hex()], ["computed", self.mac.hex()]], mono=[1]),
            Heading("4. What the guest finds: the payload, decrypted"),
        )
        if self.table is None:
            return View(view, Paragraph("Nothing: the firmware stops before it decrypts."))
        return View(
            view,
            Paragraph(
                "AES-128-CTR: a counter is encrypted under the TEK, and 16 bytes of the payload are exclusive-ored "
                "with the result. The counter starts as the IV and goes up by one, as a big-endian number of 16 bytes."
            ),
            self._counters(),
            self.table.explain(show_secret=show_secret),
            Heading("5. The same by a second route"),
            Paragraph("With OpenSSL, in a shell. The first line gives the MAC, the last the table, secrets and all:"),
            Code(self.openssl_route()),
        )

    def _counters(self) -> Table:
        """Show the counters of the first blocks and of the last."""
        from ..layout.views import Table

        first, blocks = int.from_bytes(self.header.iv, "big"), len(self.payload) // BLOCK
        rows = []
        for block in range(blocks):
            if 2 < block < blocks - 1:
                continue
            if block == blocks - 1 > 3:
                rows.append(["...", "...", "..."])
            counter = (first + block) % (1 << 8 * BLOCK)
            at = BLOCK * block
            rows.append([f"0x{at:02x}", counter.to_bytes(BLOCK, "big").hex(), self.payload[at : at + BLOCK].hex()])
        return Table(["bytes from", "counter", "payload"], rows, mono=[0, 1, 2])

    def openssl_route(self) -> str:
        """Return shell lines that compute the MAC and the table with OpenSSL alone, which takes keys as arguments."""
        text = "payload_base64" in self.files

        path = shell_word(self.files.get("payload_base64") or self.files.get("payload") or "PAYLOAD")
        read = f"base64 -d {path}" if text else f"cat {path}"

        def key(name: str, offset: int) -> str:
            both = "tk" in self.files
            file = self.files["tk"] if both else self.files.get(name, f"{name.upper()}_FILE")
            return f"$(od -An -v -tx1 {f'-j{offset} -N16 ' if both else ''}{shell_word(file)} | tr -d ' \\n')"

        head, measure = (base64.b64encode(raw).decode() for raw in (self.message.head.to_bytes(), self.measure))
        return (
            f"{KEY_IS_SHOWN}\n"
            f"{{ echo {head} | base64 -d; {read}; echo {measure} | base64 -d; }} |\n"
            f"  openssl dgst -sha256 -mac HMAC -macopt hexkey:{key('tik', 16)}\n"
            f"{read} |\n"
            f"  openssl enc -d -aes-128-ctr -K {key('tek', 0)} -iv {self.header.iv.hex()} | od -A x -t x1z"
        )

    def as_dict(self, *, show_secret: bool = False) -> dict[str, object]:
        """Return the same as JSON-ready data; bytes are lower-case hex, hidden ones None, keys never appear."""
        return {
            "status": self.status,
            "checks": [{"name": one.name, "state": one.state, "words": one.note} for one in self.stages],
            "header": [span.as_dict() for span in self.header.spans()],
            "message": [span.as_dict() for span in self.message.head.spans()],
            "measure": self.measure.hex(),
            "mac": {"reported": self.header.mac.hex(), "computed": self.mac.hex()},
            "table": [span.as_dict() for span in self.table.spans(show_secret=show_secret)] if self.table else None,
            "secrets": [
                {
                    "guid": str(guid),
                    "name": guid.name,
                    "size": len(data),
                    "hex": data.reveal().hex() if show_secret else None,
                }
                for guid, data in self.secrets
            ],
            "findings": self.table.findings() if self.table else [],
        }


def _count(secrets: Sequence[object]) -> str:
    return f"{len(secrets)} secret{'s' * (len(secrets) != 1)}"


def _state(reached: bool, good: bool) -> str:
    return NOT_CHECKED if not reached else MATCH if good else MISMATCH
