"""Recognize a pasted text, and read it."""

from __future__ import annotations

import re

from ..errors import InputError, quoted
from ..layout.arguments import checked
from .capture import COMMAND_LINE, DMESG, QMP, SECINFO, TEXT_LIMIT, XML, Capture, check_size
from .domain_xml import parse_domain
from .qemu_cmdline import parse_command_line
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
    if re.search(r"^\s*sev-(measurement|api-m|build-id|policy)", start, re.MULTILINE):
        return SECINFO
    if re.search(r"\bSEV(-SNP)? API:", start):
        return DMESG
    if re.search(r"(^|/|\s)qemu(-system|-kvm)|\s-(object|machine|drive|kernel|bios)\s", start):
        return COMMAND_LINE
    return ""


@checked
def parse_anything(text: str) -> Capture:
    """Read a text of any of the sources. Raises :class:`~sevlab.errors.InputError` for any other text."""
    check_size(text, "pasted text")
    source = recognize_text(text)
    if not source:
        needed = "virsh domlaunchsecinfo, a domain XML, a QEMU command line, QMP answers, dmesg, or a case file"
        raise InputError("pasted text", quoted(text.strip()) if text.strip() else "nothing", needed)
    return READERS[source](text)
