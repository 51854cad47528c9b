"""Recognize a pasted text, and read it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..data import read_table
from ..errors import InputError, quoted
from ..layout.arguments import checked
from .capture import COMMAND_LINE, DMESG, QMP, SECINFO, TEXT_LIMIT, XML, Capture, check_size, plain
from .domain_xml import IN_TEXT, parse_domain
from .qemu_cmdline import STARTED, parse_command_line
from .sources import parse_dmesg, parse_domlaunchsecinfo, parse_qmp

READERS = {
    SECINFO: parse_domlaunchsecinfo,
    QMP: parse_qmp,
    XML: parse_domain,
    COMMAND_LINE: parse_command_line,
    DMESG: parse_dmesg,
}


def recognize_text(text: str) -> str:
    """Return which source a text looks like, by its beginning and a few words; "" if none."""
    start = text.lstrip("\ufeff \t\r\n")[:TEXT_LIMIT]
    if start.startswith("<"):
        return XML
    if start.startswith("{"):
        return QMP
    if re.search(r"^[ \t]*sev-(measurement|api-m|build-id|policy)", start, re.MULTILINE):
        return SECINFO
    if re.search(r"\bSEV(-SNP)? API:", start):
        return DMESG
    if re.search(r"(^|/|\s)qemu(-system|-kvm)|[\s\"']-(object|machine|drive|kernel|bios)[\s\"']", start):
        return COMMAND_LINE
    return ""


#: Texts that are not evidence: what is in them, what they are, and what gives the evidence.
_NAMED: list[list[str]] = read_table("words")["texts"]


def named_text(text: str) -> tuple[str, str]:
    """Return what a text is that is no evidence, and what gives the evidence; "" where that is not known."""
    return next(((what, how) for form, what, how in _NAMED if re.search(form, text)), ("", ""))


@checked
def parse_anything(text: str) -> Capture:
    """Read a text of any of the sources, or of several together; they add up.

    Raises :class:`~sevlab.errors.InputError` for any other text, which it names where it knows it.
    """
    check_size(text, "pasted text")
    given, text = text, plain(text)
    if not (parts := list(_parts(text))):
        what, advice = named_text(given)
        received = what or (quoted(text.strip()) if text.strip() else "nothing")
        needed = "virsh domlaunchsecinfo, a domain XML, a QEMU command line, QMP answers, dmesg, or a case file"
        raise InputError("pasted text", received, needed, advice)
    if len(parts) == 1:
        return READERS[parts[0][0]](text)
    capture = Capture()
    for source, part in parts:
        capture += READERS[source](part)
    return capture


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a text consists of, each with its source."""
    rest = text
    if found := IN_TEXT.search(text):
        yield XML, found[0]
        rest = text[: found.start()] + "\n" + text[found.end() :]
    elif text.lstrip("\ufeff \t\r\n").startswith("<") and not re.match(r"(?i)\s*<!doctype html|\s*<html", text):
        yield XML, text
        return
    if STARTED.search(rest) or (rest is text and recognize_text(rest) == COMMAND_LINE):
        yield COMMAND_LINE, rest
        return
    if re.search(r"\bSEV(-SNP)? API", rest):
        yield DMESG, rest
    elif re.search(r'\{\s*"', rest):
        yield QMP, rest
    elif parse_domlaunchsecinfo(rest).found:
        yield SECINFO, rest
