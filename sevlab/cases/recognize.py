"""Recognize a pasted text, and read it; recognize a file."""

from __future__ import annotations

import contextlib
import os
import re

from ..data import read_table
from ..errors import InputError, SevlabError, checked, quoted
from ..launch.inputs import KEYS
from ..launch.values import KEY_SIZE
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


#: A line of virsh, and what a command line without its program has.
_SECINFO = re.compile(r"^[ \t]*sev-(?:measurement|api-m|build-id|policy)", re.MULTILINE)
_OPTION = re.compile(r"(?:^|/|\s)qemu(?:-system|-kvm)|[\s\"']-(?:object|machine|drive|kernel|bios)[\s\"']")


#: Texts that are not evidence: what is in them, what they are, and what gives the evidence.
_NAMED: list[list[str]] = read_table("words")["texts"]


def named_text(text: str, capture: Capture) -> tuple[str, str]:
    """Return what a text is of which nothing was taken, and what gives the evidence; "" where that is not known."""
    told = (one.words for one in capture.remarks if re.search("kernel says|with two values", one.words))
    named = ((what, how) for form, what, how in _NAMED if re.search(form, text))
    return next(named, (next(told, ""), ""))


@checked
def parse_anything(text: str) -> Capture:
    """Read a text of any of the sources, or of several together; they add up.

    Raises :class:`~sevlab.errors.InputError` for any other text, which it names where it knows it.
    """
    check_size(text, "pasted text")
    given, text = text, plain(text)
    if not (parts := _parts(text)):
        what, advice = named_text(given, parse_domlaunchsecinfo(text))
        received = what or (quoted(text.strip()) if text.strip() else "nothing")
        needed = "virsh domlaunchsecinfo, a domain XML, a QEMU command line, QMP answers, dmesg, or a case file"
        raise InputError("pasted text", received, needed, advice)
    first, *others = (READERS[source](part) for source, part in parts)
    return sum(others, first)


def _parts(text: str) -> list[tuple[str, str]]:
    """Return what a text consists of, each with its source."""
    start = text.strip("\ufeff \t\r\n")
    domains, rest = [one[0] for one in IN_TEXT.finditer(text)], IN_TEXT.sub("\n", text)
    is_xml = start[:1] == "<" and (not domains or start[-1:] == ">")
    if is_xml and not re.match("(?i)<!doctype html|<html", start):
        return [(XML, text)]
    parts = [(XML, "\n".join(domains))] if domains else []
    if re.search(r"\bSEV(-SNP)? API", rest):
        parts.append((DMESG, rest))
    if _SECINFO.search(rest):
        parts.append((SECINFO, rest))
    if is_command := STARTED.search(rest) or (not parts and start[:1] != "{" and _OPTION.search(rest)):
        parts.append((COMMAND_LINE, rest))
    if re.search(r'\{\s*"return"' if is_command else r'\{\s*"', rest):
        parts.append((QMP, rest))
    if len(parts) == bool(domains) and parse_domlaunchsecinfo(rest).found:
        parts.append((SECINFO, rest))
    return parts


#: What the names of files say, and their first bytes, at a place; the first that fits counts.
_NAMES = {"initr": "initrd", "vmlinu|bzimage|kernel(?!.*fd$)": "kernel", "svsm": "svsm", "vars": "vars_file"}
_NAMES |= {r"ovmf|firmware|\.fd$": "firmware", "vmsa.*1": "vmsa_cpu1", "vmsa": "vmsa_cpu0", "id.?block": "id_block"}
_NAMES |= {rf"\b{name}\b": name for name in KEYS}
_BEGINNINGS = [(40, b"_FVH", "firmware"), (0x202, b"HdrS", "kernel"), (0, b"070701", "initrd")]
_BEGINNINGS += [(0, begin, "initrd") for begin in (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"\x02\x21\x4c\x18")]


def recognize_file(name: str, raw: bytes) -> str:
    """Return which input a file is, by its content, or else by its name; "" for none."""
    # Not above: a pasted text needs none of it.
    from ..attestation.certificates import parse_chain, parse_crls
    from ..attestation.report import read_report
    from ..formats.vcek import read_cert_table

    called = next((one for form, one in _NAMES.items() if re.search(form, os.path.basename(name.lower()))), "")
    if len(raw) in (KEY_SIZE, 2 * KEY_SIZE):
        return called if called in KEYS else "tk" if len(raw) > KEY_SIZE else "tik"
    if len(raw) <= TEXT_LIMIT:
        with contextlib.suppress(SevlabError):
            read_report(raw)
            return "report"
        with contextlib.suppress(SevlabError):
            kinds = [one.kind.lower().replace("asvk", "ask") for one in parse_chain(raw)]
            return next((one for one in kinds if one in ("vcek", "vlek") or kinds == [one]), "chain")
        with contextlib.suppress(SevlabError):
            return "crl" if parse_crls(raw) else ""
        if read_cert_table(raw).certificates:
            return "certs"
    begun = next((one for place, begin, one in _BEGINNINGS if raw.startswith(begin, place)), "")
    return called or begun or "vmsa_cpu0" * (len(raw) == 4096)
