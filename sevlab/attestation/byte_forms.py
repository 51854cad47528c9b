"""The forms in which people have bytes: raw, hex, base64, a dump, a list of numbers, one field of a JSON object.

Text is never trimmed or mended until it fits. Either a file is one of these forms from its first to its last byte, or
it is named, with a way on: a file that was converted (line ends, character set) cannot verify any more.
"""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from ..errors import InputError, LayoutError, quoted
from ..formats.sev_certs import AmdCertificate, SevCertificate, parse_certificates
from ..launch.reading import ReadPath, open_input

#: Most bytes that are looked at as text, and most values of one JSON document.
TEXT_LIMIT, VALUE_LIMIT = 1 << 20, 10_000
#: Most bytes of a file that may hold a page: a dump takes five times as many.
_PAGE_LIMIT = 64 << 10
BINARY, HCLA = "binary", "Azure's HCLA file"
#: Where the report is in what Azure's paravisor hands out, and its size.
_HCLA_AT, _REPORT = 0x20, 0x4A0
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_QUOTES = re.compile(r"""(?:[\w.]+\()?[bhxX]?(["'`])(.*)\1\)?[,;]?""", re.DOTALL)
_LITERAL = re.compile(r"""(?:bytearray\()?(b(["'])(?:[^\\]|\\.)*\2)\)?""")
_DUMP = re.compile(r"([0-9a-fA-F]{4,16})(:?)((?:[ \t]+[0-9a-fA-F]{2,16})*)(?:[ \t]*[ \t][|>].*|[ \t]{2,}(\S.*))?[ \t]*")
#: Numbers of a byte: in brackets, in whatever they are assigned or handed to, or alone.
_NUMBER = r"-?(?:0[xX][0-9a-fA-F]{1,2}|\d{1,3})(?:u8|i8|U|u)?"
_NUMBERS = re.compile(rf"(?:^|[\[{{(])\s*({_NUMBER}(?:[\s,;]+{_NUMBER}){{15,}})[\s,;]*(?:$|[\])}}])")
#: What is around text in a mail, in Markdown, on a terminal or in a page's address, and at the end of broken lines.
_MARKS = re.compile(
    r"\x1b\[[0-?]*[@-~]|^[ \t]*(?:>[ \t]?)+|^[ \t]*```.*$|^[$#] .*$|\\$|^<Buffer |(?<=[0-9a-f])>$"
    r"|^-----(?:BEGIN|END) [\w -]*(?:REPORT|EVIDENCE|QUOTE)[\w -]*-----$"
    r"|^data:[\w/.+-]*;base64,|^[ \t]+00 01 02 03 .*0F[ \t]*$",
    re.MULTILINE,
)
#: A name and its value, as virsh prints them.
_LINE = re.compile(
    r"""^[ \t]*([A-Za-z][\w-]{1,40})[ \t]*[:=][ \t]*(?:["']?([^\s"']{40,})["']?[,;]?[ \t]*$"""
    r"""|(?:!!binary )?[|>]-?\n((?:[ \t]+\S+(?:\n|\Z))+))""",
    re.MULTILINE,
)
#: What a value is assigned to in a program or a shell.
_NAMED = re.compile(r"""^(?:(?:export|let|const|var|static)[ ]+)*[A-Za-z_]\w*[ ]*=[ ]*(?=[b"'`\[])""")
#: What is around the numbers of a dump by gdb, lldb, WinDbg, tcpdump or a kernel.
_AROUND = re.compile(
    r"(?m)^\[ *\d+\.\d+\] (?:[\w-]*[g-zG-Z_][\w-]*: )?|\b0[xX]"
    r"|(?<=[0-9a-f]) <[^<>\n]*>(?=:)|(?<=[0-9a-f]{8})`(?=[0-9a-f]{8})"
)
_HEX_MARKS = re.compile(r"\\x|0[xX]|[\s:,;-]")
#: What helps with the digests that Google signs for its guests, one for each number of CPUs.
ENDORSEMENT = "https://github.com/google/gce-tcb-verifier verifies it and prints its digests"
_DER = "DER, such as a certificate"
_AGAIN = "base64 FILE, or xxd -p FILE, of the original"
_X509 = "AMD's certificates for SEV-SNP are X.509: https://kdsintf.amd.com/vcek/v1/PRODUCT/cert_chain"


@dataclass(frozen=True)
class Reading:
    """Bytes, and the form they were found in, such as "hex text" or "base64 text in the JSON field report"."""

    raw: bytes
    form: str


def read_bytes(raw: bytes, fits: Callable[[bytes], bool], name: str, needed: str) -> Reading:
    """Return the reading of a file's bytes that *fits*; the bytes themselves first.

    Raises :class:`~sevlab.errors.InputError`, with *name* and *needed*, where none does or where two differ: it says
    what the bytes are, and what helps.
    """
    found = {one.raw: one for one in readings(raw) if fits(one.raw)}
    if raw in found:
        return found[raw]
    if len(found) > 1:
        forms = " and ".join(one.form for one in list(found.values())[:3])
        raise InputError(name, f"{len(found)} different values: {forms}", "one of them")
    if found:
        return next(iter(found.values()))
    what, advice = describe(raw, fits)
    raise InputError(name, what, needed, advice)


def sized(*sizes: int) -> Callable[[bytes], bool]:
    """Return a test for structures of some sizes. No text is one, also where a part of a dump is just as long."""
    return lambda raw: len(raw) in sizes and as_text(raw)[0] is None


def read_page(path: str, name: str) -> ReadPath:
    """Read the registers of a virtual CPU (a VMSA, 4096 bytes) from a file in any form; ``-`` is standard input."""
    from ..formats.vmsa import Vmsa  # not above: few commands read registers

    with open_input(path, name) as stream:
        raw = stream.read_up_to(_PAGE_LIMIT)
    found = ReadPath(path, getattr(path, "folder", "/"), getattr(path, "sha256", ""))
    needed = f"a VMSA of {Vmsa.size} bytes"
    try:
        one = read_bytes(raw, sized(Vmsa.size), name, needed)
    except InputError as error:
        what = error.received.removesuffix(f", {BINARY}")
        advice = error.advice or "sevlab vmsa build, which writes such a file"
        if len(raw) > _PAGE_LIMIT:
            what = what.replace(str(len(raw)), f"more than {_PAGE_LIMIT}", 1)
        elif len(raw) > Vmsa.size and len(raw) % Vmsa.size == 0:
            advice = f"one page of the {len(raw) // Vmsa.size} at a time: head -c {Vmsa.size} FILE > NEW"
        raise InputError(name, f"{quoted(path)}, {what}", needed, advice) from None
    found.raw, found.form = one.raw, one.form
    return found


def readings(raw: bytes) -> Iterator[Reading]:
    """Yield every way to read bytes, the bytes themselves first; of what was encoded twice, also what is in it."""
    seen = set[bytes]()
    for one in _readings(raw, 2):
        if one.raw not in seen:
            seen.add(one.raw)
            yield one


def _readings(raw: bytes, depth: int) -> Iterator[Reading]:
    yield Reading(raw, BINARY)
    if raw.startswith(b"HCLA") and len(raw) >= _HCLA_AT + _REPORT:
        yield Reading(raw[_HCLA_AT : _HCLA_AT + _REPORT], HCLA)
    text, coded = as_text(raw)
    if text is not None:
        if coded:
            yield Reading(text.encode(), f"text in {coded}")
        for one in _of_text(text):
            form = f"{one.form} in {coded}" if coded else one.form
            yield Reading(one.raw, form)
            inner = _readings(one.raw, depth - 1) if depth and len(one.raw) > 60 and one.raw != raw else ()
            yield from (Reading(part.raw, f"{part.form} in {form}") for part in islice(inner, 1, 200))


def as_text(raw: bytes) -> tuple[str | None, str]:
    """Return bytes as text (None when they are not), and how they were coded if not in plain UTF-8."""
    if len(raw) > TEXT_LIMIT:
        return None, ""
    codec, words = coding_of(raw)
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        return None, ""
    return (text, words) if all(char.isprintable() or char in "\t\r\n\f\v\x1b" for char in text) else (None, "")


def coding_of(raw: bytes) -> tuple[str, str]:
    """Return how text is coded, for Python and in words ("" for plain UTF-8)."""
    for mark, codec, words in _BOMS:
        if raw.startswith(mark):
            return codec, words
    for zeros, codec in ((raw[1::2], "utf-16-le"), (raw[::2], "utf-16-be")):
        if len(raw) > 2 and len(raw) % 2 == 0 and not any(zeros) and any(raw):  # ASCII, without a mark
            return codec, "UTF-16"
    return "utf-8", ""


def _of_text(text: str) -> Iterator[Reading]:
    bare = _MARKS.sub("", text).strip("\r\n\t \v\f")
    bare = unquote(bare) if re.search("%2[BF]|%3D", bare) else bare
    if bare[:1] in ("{", "["):
        yield from _of_json(bare)
    bare = _NAMED.sub("", bare)
    if re.fullmatch(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]*", bare) and (payload := _of_base64(bare.split(".")[1])):
        yield Reading(payload, "the payload of a JSON web token")
    elements = re.split("<[^<>]*>?", bare) if bare[:1] == "<" else []
    bare = " ".join(elements).strip() or bare
    if literal := _LITERAL.fullmatch(bare):
        with suppress(ValueError, SyntaxError):
            yield Reading(ast.literal_eval(literal[1]), "bytes as Python prints them")
    if quote := _QUOTES.fullmatch(bare):
        bare = quote[2].strip()
    for key, value, block in _LINE.findall(bare):
        yield from (Reading(one.raw, f"{one.form} in the line {quoted(key)}") for one in _of_word(value or block))
    if (dumped := _of_dump(bare)) is not None:
        yield Reading(dumped, "a hex dump")
    yield from (Reading(numbers, "a list of numbers") for numbers in _of_numbers(bare))
    for one in elements or [bare]:  # not joined: a part may be lost, and another as long
        yield from _of_word(one)


def _of_word(text: str) -> Iterator[Reading]:
    """Yield text read as hex and as base64."""
    digits = _HEX_MARKS.sub("", text)
    if digits and len(digits) % 2 == 0 and re.fullmatch("[0-9a-fA-F]+", digits):
        yield Reading(bytes.fromhex(digits), "hex text")
    letters = "".join(text.split())
    for form, other in (("base64 text", "+/"), ("base64url text", "_-")):
        if re.fullmatch(rf"[A-Za-z0-9{other}]+={{0,2}}", letters) and (decoded := _of_base64(letters)):
            yield Reading(decoded, form)


def _of_base64(letters: str) -> bytes | None:
    """Return canonical base64 or base64url, with or without its padding; None for anything else."""
    letters = letters.translate({45: "+", 95: "/"})
    bare = letters.rstrip("=")
    whole = bare + "=" * (-len(bare) % 4)
    try:
        raw = base64.b64decode(whole, validate=True)
    except binascii.Error:
        return None
    return raw if letters in (bare, whole) and base64.b64encode(raw).decode() == whole else None


def _of_numbers(text: str) -> Iterator[bytes]:
    """Yield the lists of numbers in text, from -128 to 255, as bytes: of Python, Go, Rust, C, Java or JavaScript."""
    for listed in _NUMBERS.findall(text):
        words = re.sub(r"(?:u8|i8|[uU])(?=[\s,;]|$)", "", listed)
        numbers = [int(word, 16 if "x" in word.lower() else 10) for word in re.split(r"[\s,;]+", words)]
        if not re.fullmatch(r"(?:\s*\d\d)+", listed) and all(-129 < one < 256 for one in numbers):
            yield bytes(one % 256 for one in numbers)


def _of_dump(text: str) -> bytes | None:
    """Return the bytes of a dump by hexdump, xxd or od, whose offsets must agree with what they count.

    A line with ``*`` stands for repetitions of the line before it. Words of four digits are two bytes: in their order
    after a colon (xxd), else the low byte first (hexdump, od -x). Three or six digits are octal (od).
    """
    is_gdb = bool(re.search(r":\s+0[xX]", text))  # whose words are numbers, the low byte last
    text = re.sub("(?<= [0-9a-f]{2})-(?=[0-9a-f]{2} )", " ", _AROUND.sub("", text))
    rows: list[tuple[str, ...]] = []  # offset, colon, words, text beside them; nothing for a star
    for line in filter(None, map(str.strip, text.splitlines())):
        if not (found := _DUMP.fullmatch(line)) and line != "*":
            return None
        rows.append(_row(*found.groups("")) if found else ())
    flipped = is_gdb or any(map(_is_flipped, rows))
    has_words = any(row and row[1] and re.search(r"\w{4}", row[2]) for row in rows)
    if len(rows) < 2 or (has_words and not flipped and not any(row and row[3] for row in rows)):
        return None  # xxd has the bytes in their order and a kernel has numbers: only the text beside them tells
    for base in (16, 8, 10):
        if (raw := _counted(rows, base, flipped)) is not None:
            return raw
    return None


def _row(offset: str, colon: str, words: str, text: str) -> tuple[str, ...]:
    """Return the parts of a row. What is as long as the bytes before it is the text beside them, not a word."""
    before, _, last = words.rpartition("  ")
    is_text = not text and " " not in last and 2 * len(last) == len("".join(before.split()))
    return offset, colon, *((before, last) if is_text else (words, text))


def _is_flipped(row: tuple[str, ...]) -> bool:
    """Return whether the text beside the words shows that they have the low byte first, as xxd -e writes them."""
    if not row or not row[1] or not row[3] or any(len(word) % 2 for word in row[2].split()):
        return False
    words = [bytes.fromhex(word) for word in row[2].split()]
    both = [b"".join(words), b"".join(word[::-1] for word in words)]
    straight, back = ("".join(chr(one) if 32 <= one < 127 else "." for one in raw).strip() for raw in both)
    return back == row[3].strip() != straight


def _counted(rows: list[tuple[str, ...]], base: int, flipped: bool) -> bytes | None:
    raw, row, repeated, first = bytearray(), b"", False, -1
    for line in rows:
        if not line:
            repeated = True
            continue
        order = 1 if line[1] and not flipped else -1
        try:
            at, words = int(line[0], base), line[2].split()
            if all(len(word) in (3, 6) for word in words):  # as od prints them by default
                new = [int(word, 8).to_bytes(len(word) // 3, "little") for word in words]
            else:
                new = [bytes.fromhex(word)[::order] for word in words]
        except (ValueError, OverflowError):
            return None
        first = at if first < 0 else first
        at -= first
        if repeated:
            if not row or not len(raw) <= at <= TEXT_LIMIT or (at - len(raw)) % len(row):
                return None
            raw += row * ((at - len(raw)) // len(row))
            repeated = False
        if at != len(raw):
            return None
        row = b"".join(new)
        raw += row
    return None if repeated else bytes(raw)


def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON. A key that comes twice is refused: readers differ about which value counts."""
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _of_json(text: str) -> Iterator[Reading]:
    """Yield what the strings and lists of numbers in a JSON document read as, each with the name of its field."""
    decoder, at = json.JSONDecoder(object_pairs_hook=once, parse_int=lambda digits: int(digits[:20])), 0
    left, waiting = VALUE_LIMIT, list[tuple[str, object]]()
    while text[at : at + 1] and text[at] in "{[":  # one document after the other, as logs have them
        try:
            document, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            waiting *= text[at] == "["  # a line of a log; but half an object may hold another value
            break
        waiting.append(("", document))
        at += len(text) - at - len(text[at:].lstrip())
    while waiting and left:
        left -= 1
        path, value = waiting.pop()
        where = f" in the JSON field {quoted(path, 60)}" if path else ""
        if isinstance(value, dict):
            waiting += [(f"{path}.{key}" if path else str(key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            if value and all(type(one) is int and 0 <= one < 256 for one in value):
                yield Reading(bytes(value), f"a list of numbers{where}")
            else:
                waiting += [(f"{path}[{number}]", inner) for number, inner in enumerate(value[:VALUE_LIMIT])]
        elif isinstance(value, str):
            yield Reading(value.encode("utf-8", "replace"), f"text{where}")
            inner = _of_json(value.strip()) if value.strip()[:1] in ("{", "[") else _of_word(value.strip())
            yield from (Reading(one.raw, f"{one.form}{where}") for one in inner)


def describe(raw: bytes, fits: Callable[[bytes], bool]) -> tuple[str, str]:
    """Return what bytes are that do not fit, in words, and what helps ("" for nothing)."""
    from ..data import LABELS, STARTS  # not above: read for what does not fit alone

    if not raw:
        return "nothing", "check how it was copied"
    if converted := _converted(raw, fits):
        return f"{len(raw)} bytes {converted}", "copying it again, as bytes: what was changed cannot be told for sure"
    for place, start, what, advice in STARTS:
        if raw.startswith(start, place):
            return f"{len(raw)} bytes, {what}", advice
    if mark := re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", raw[:4096]):
        label = mark[1].decode("ascii")
        what, advice = LABELS.get(label, [f"PEM of {label}", ""])
        return f"{len(raw)} bytes, {what}", advice
    if advice := _near_report(raw):
        what = "an attestation report" if len(raw) == _REPORT else f"{_binary_kind(raw)}, and like a report"
        return f"{len(raw)} bytes, {what}", advice
    if certificates_in(raw):
        return f"{len(raw)} bytes, certificates in SEV's own format", _X509
    if is_endorsement(raw):
        return f"{len(raw)} bytes, a launch endorsement of GCE", ENDORSEMENT
    text, coded = as_text(raw)
    if text is None:
        kind = _binary_kind(raw)
        return f"{len(raw)} bytes, {kind}", LABELS["CERTIFICATE"][1] if kind == _DER else ""
    bare, found = text.strip(), []
    for one in islice(_of_text(text), 8):
        what, advice = describe(one.raw, fits)
        found.append((f"{len(raw)} bytes, {one.form} of {what.removesuffix(f', {BINARY}')}", advice))
        if advice and advice != _AGAIN:
            return found[-1][0], advice.replace("FILE", "of the bytes")
    if re.match(r"(?i)<!doctype html|<html", bare):
        return f"{len(raw)} bytes, an HTML page", "what the page says: often it is a server's error, or a login"
    if re.search(r"(?i)\bguest[ _]?svn\b", text):
        return f"{len(raw)} bytes, the fields of a report as text", "the report itself, which is signed as bytes"
    with suppress(ValueError, RecursionError):
        document, end = json.JSONDecoder(parse_int=len).raw_decode(bare)
        if isinstance(document, dict) or (isinstance(document, list) and end == len(bare)):
            return f"{len(raw)} bytes, JSON without a field that holds it", ""
    if len(bare) % 2 and re.fullmatch("[0-9a-fA-F]{32,}", bare):
        return f"{len(bare)} hex digits, an odd number", "copying it again: a digit is missing"
    if bare[:1] == "<":
        return f"{len(raw)} bytes, XML", ""
    if re.search(r"\A0{4,16}:[ \t]|\A0{6,16}[ \t]|^\*$", bare, re.MULTILINE):
        words = "a dump in which lines are missing, or numbers are not bytes in hex"
        return f"{len(raw)} bytes, {words}", "xxd -p, or od -v -A x -t x1, of the original"
    if found:
        return found[0]
    return f"{len(raw)} bytes of text{f' in {coded}' if coded else ''}", _AGAIN


def _near_report(raw: bytes) -> str:
    """Return what helps with bytes that are a report, or hold the beginning of one; "" for other bytes."""

    def begins(at: int) -> bool:
        return 0 < (raw[at : at + 1] or b"\0")[0] < 16 and raw[at + 1 : at + 4] == bytes(3) and raw[at + 52] == 1

    last = len(raw) - _REPORT
    at = next((at for at in range(min(last, 4096) + 1) if begins(at) and raw[at + 53 : at + 56] == bytes(3)), -1)
    if at > 0:
        return f"what begins at byte {at}, which looks like a report: tail -c +{at + 1} FILE | head -c {_REPORT}"
    if at == 0 and last:
        return f"its beginning, which looks like a report: head -c {_REPORT} FILE"
    if 56 < len(raw) < _REPORT and begins(0) and raw[53:56] == bytes(3):
        return f"copying it again: it looks like a report that breaks off after {len(raw)} bytes"
    return "sevlab report show" if at == 0 else ""


def _converted(raw: bytes, fits: Callable[[bytes], bool]) -> str:
    """Return how a copy was spoiled on its way, "" where nothing shows it."""
    if b"\r\n" in raw and fits(raw.replace(b"\r\n", b"\n")):
        return "whose line ends were converted (LF to CRLF)"
    try:
        once = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    if "\ufffd" in once and (fits(bytes(len(once))) or len(once) > 500):
        return "in which a conversion to UTF-8 has lost bytes (U+FFFD)"
    for codec in ("latin-1", "cp1252"):
        try:
            if (back := once.encode(codec)) != raw and fits(back):
                return "that were converted to UTF-8 as if they were text"
        except UnicodeEncodeError:
            continue
    return ""


def _binary_kind(raw: bytes) -> str:
    if raw[:1] == b"\x30" and len(raw) > 4 and raw[1] in (*range(0x10, 0x80), 0x81, 0x82, 0x83):
        inner = raw[2 + (raw[1] & 0x7F if raw[1] & 0x80 else 0) :]
        inner_inner = inner[2 + (inner[1] & 0x7F if len(inner) > 1 and inner[1] & 0x80 else 0) :][:1]
        if inner[:1] == b"\x30" and inner_inner == b"\x30":
            return "DER, certificates in one SEQUENCE (a PkiPath)"
        return _DER
    if raw[0] in (0xD2, 0xD8, 0xD9) or 0xA1 <= raw[0] <= 0xBF or 0x81 <= raw[0] <= 0x97:
        return "binary, perhaps CBOR"
    if _protobuf(raw):
        return "a protobuf message"
    return BINARY


def certificates_in(raw: bytes) -> list[SevCertificate | AmdCertificate]:
    """Return the certificates in SEV's own format that bytes consist of; [] for anything else."""
    try:
        return parse_certificates(raw)
    except LayoutError:
        return []


def is_endorsement(raw: bytes) -> bool:
    """Return whether bytes are a launch endorsement of GCE: a signed list of launch digests, and its signature."""
    fields = _protobuf(raw)
    inner = _protobuf(fields[1]) if fields.keys() == {1, 2} else {}
    return len(inner.get(5, b"")) == 48 and bool({4, 7} & inner.keys())  # the digest of the UEFI; certificate, SEV-SNP


def _protobuf(raw: bytes) -> dict[int, bytes]:
    """Return the fields of a protobuf message by number, the last of each; {} for what is none."""
    place, fields = 0, dict[int, bytes]()

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while place < len(raw) and shift < 64:
            byte = raw[place]
            place, value, shift = place + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value
        return -1

    while place < len(raw):
        key = varint()
        kind = key & 7
        if key < 8 or key >> 3 > 1000 or kind not in (0, 1, 2, 5):
            return {}
        size = varint() if kind in (0, 2) else 0
        if size < 0:
            return {}
        start, place = place, place + {0: 0, 1: 8, 2: size, 5: 4}[kind]
        fields[key >> 3] = raw[start:place]
    return fields if place == len(raw) else {}
