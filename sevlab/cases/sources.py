"""Short texts from a host: ``virsh domlaunchsecinfo``, a QMP transcript, the log of its kernel."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import suppress

from ..attestation.byte_forms import once
from ..data import read_table
from ..errors import checked
from ..launch.inputs import REPORTED
from .capture import DMESG, QMP, SECINFO, Capture, Collector, shown

#: Most JSON objects looked at, and most pieces that look like JSON and are not, so that no text costs much.
COUNT_LIMIT, BROKEN_LIMIT = 10_000, 8
#: Inputs by their names in the answer to query-sev, and by those of domlaunchsecinfo.
_NUMBERS = {name.replace("_", "-"): name for name in REPORTED[1:]}
_PARAMETERS = {"sev-" + name.replace("_", "-"): name for name in REPORTED}
#: States of QEMU's launch before the measurement.
_BEFORE_MEASURING = ("uninit", "launch-update")
_NAME = re.compile("sev-[a-z0-9-]{1,60}")
#: What a value is called, in whichever case and however its words are joined.
_CALLED: dict[str, str] = read_table("words")["reported"]
#: A name and its value: of JSON, YAML, a Python dictionary, Go, or lines of a table.
_PAIR = re.compile(
    r"""\b([A-Za-z][\w-]{2,30}(?: (?:api|version|major|minor|id|measurement|policy))*)["'`*]{0,2}"""
    r"""(?: *+\t[ \t]*+|[ \t]*+[:=|][ \t]*+)"""
    r"""["'`*]{0,2}([\w+/=.-]{1,200})""",
    re.IGNORECASE | re.ASCII,
)
#: The continuation of a measurement that broke over a line.
_REST = re.compile(r"[ \t\r]*\n[ \t\r]*\n?[ \t]*([A-Za-z0-9+/]{1,63}={0,2})[ \t\r]*(?:\n|$)")
#: A measurement alone. Text of hex digits may be a key, and is not taken for one.
_BARE = re.compile(r"(?![0-9a-fA-F]{64})[A-Za-z0-9+/]{64}")
_MEASUREMENT_TEXT = 64
_API = re.compile(r"SEV(?:-SNP)? API:?\s?([0-9]{1,3})\.([0-9]{1,3}) build:?\s?([0-9]{1,3})(?![0-9])")
_ENABLED = re.compile(r"kvm_amd: (SEV(?:-ES|-SNP)?) (enabled|disabled|supported)")
_ABOUT_SEV = re.compile("ccp|kvm_amd|SEV")
_TROUBLE = re.compile("fail|error|timed out", re.IGNORECASE)


@checked
def parse_domlaunchsecinfo(text: str) -> Capture:
    """Read what ``virsh domlaunchsecinfo DOMAIN`` prints: ``name : value`` lines, numbers in decimal.

    Source: virsh 9.0, format ``%-15s: %s``; older ones print the measurement alone.
    """
    found, strange = Collector(SECINFO, text), 0
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _NAME.fullmatch(name):
            strange += bool(line.strip())
        elif name in _PARAMETERS:
            found.add(_PARAMETERS[name], value, name)
        elif name.startswith("sev-snp-"):
            found.add("guest", "sev-snp", name)
            found.add("mode", "snp", name)
            if name == "sev-snp-policy":
                found.add("snp_guest_policy", value, name)
        elif name != "sev-secret-set-address":
            found.remark(f"{name} is not known and was left out")
    lacks = all(one.name != "measurement" for one in found.found)
    if not found.found:
        read_values(text, found)
    elif lacks and "sev-measurement" in text:  # it broke over a line
        broken = Collector(SECINFO)
        read_values(text, broken)
        again = [one for one in broken.found if one.name == "measurement"]
        found.remarks = [one for one in found.remarks if not again or "measurement" not in one.words]
        found.found += again
    elif strange:
        found.remark(f"{strange} other line(s) were left out")
    return found.capture()


def read_values(text: str, found: Collector) -> None:
    """Find the reported values by name in text of any form, or a measurement alone.

    That is what dictionaries of Python, YAML, logs of Go programs and QEMU's monitor (``info sev``) look like.
    """
    bare = text.strip().strip("\"'`")
    if _BARE.fullmatch(bare):
        found.add("measurement", bare, "the whole text")
        return
    if re.search(r"(?i)\bguest[ _-]?svn\b", text):  # a report's fields, in which policy and build mean others
        return
    values: list[tuple[str, str, str]] = []
    text = re.sub(r"--([a-z-]{5,20})[ \t]+(?=\w)", r" \1=", text)  # options of a tool that checks
    for pair in _PAIR.finditer(text):
        called = re.sub(r"[\W_]", "", pair[1].lower()).removeprefix("sev")
        if called == "apiversion" and (version := re.fullmatch(r"(\d{1,3})\.(\d{1,3})", pair[2])):
            values += [("api_major", version[1], pair[1]), ("api_minor", version[2], pair[1])]
        elif name := _CALLED.get(called):
            values.append((name, _joined(pair, text) if name == "measurement" else pair[2], pair[1]))
    said: dict[str, set[str]] = {}
    for name, value, _ in values:
        said.setdefault(name, set()).add(value)
    if twice := [name for name in said if len(said[name]) > 1]:
        found.remark(f"{twice[0].replace('_', '-')} with two values, so nothing is taken")
        return
    if len(values) > 1 or any(name == "measurement" for name, _, _ in values):  # one number alone may be anything's
        for one in values:
            found.add(*one)
        if "snp_guest_policy" in said:
            found.add("guest", "sev-snp", "SNP policy")
            found.add("mode", "snp", "SNP policy")
    if re.search(r"(?m)^[ \t]*SEV type: sev\s|\binfo sev\b", text) and "snp_guest_policy" not in said:
        found.remark("info sev of QEMU's monitor does not print the policy: query-sev of QMP does")


def _joined(pair: re.Match[str], text: str) -> str:
    """Return a measurement, with the rest of it where it broke over a line."""
    value, rest = pair[2], _REST.match(text, pair.end())
    return value + rest[1] if rest and len(value) + len(rest[1]) == _MEASUREMENT_TEXT else value


@checked
def parse_dmesg(text: str) -> Capture:
    """Read the SEV lines of the host kernel's log: API version, build, what is enabled. Numbers are decimal.

    The log is about the SEV firmware of this boot, not the one that measured the guest: any other source comes first.
    """
    found = Collector(DMESG, text)
    for line in text.splitlines():
        line = line[:1000]
        if match := _API.search(line):
            for name, value in zip(REPORTED[1:4], match.groups(), strict=True):
                found.add(name, value, "line 'SEV API'")
        elif match := _ENABLED.search(line):
            found.remark(f"the host's kernel says: {match[1]} {match[2]}")
        elif _ABOUT_SEV.search(line) and _TROUBLE.search(line):
            found.remark(f"the host's kernel says: {shown(line.strip(), 160)}")
        elif "Memory Encryption Features active" in line:
            found.remark("this line is from a guest's kernel; the host's has lines of ccp")
    return found.capture()


@checked
def parse_qmp(text: str) -> Capture:
    """Read the answers to ``query-sev`` and ``query-sev-launch-measure`` in a transcript.

    Answers may be repeated, in any order, on one line or many, among greetings, events, commands, prompts and other
    answers. The last one counts.
    """
    found = Collector(QMP, text)
    for document in _documents(text, found):
        if "error" in document:
            error = document["error"]
            words = error.get("desc", "") if isinstance(error, dict) else error
            found.remark(f"QEMU answered with an error: {shown(words, 160)}")
            continue
        # `virsh qemu-monitor-command --return-value` omits the outer part.
        answer = document.get("return", document)
        if isinstance(answer, dict):
            _answer(answer, found)
        elif isinstance(answer, str):  # of the human monitor, by way of virsh
            read_values(answer, found)
    if not found.found:
        named = Collector(QMP)
        read_values(text, named)
        if named.found:
            found.found += named.found
            # A dictionary of Python begins like JSON and is none; many such pieces, or half of one, are something else.
            is_whole = len(found.remarks) < BROKEN_LIMIT and text.count("{") <= text.count("}")
            found.remarks = named.remarks if is_whole else found.remarks + named.remarks
    return found.capture()


def _answer(answer: dict[str, object], found: Collector) -> None:
    if "api-major" in answer or "enabled" in answer:
        kind = answer.get("sev-type")
        if kind == "sev-snp" or "snp-policy" in answer:
            found.add("guest", "sev-snp", "query-sev")
            found.add("mode", "snp", "query-sev")
            if "snp-policy" in answer:
                found.add("snp_guest_policy", printable(answer["snp-policy"]), "query-sev snp-policy")
        elif kind == "sev":
            found.add("guest", "sev", "query-sev")
        if answer.get("enabled") is False:
            found.remark("query-sev: SEV is not enabled for this guest")
            return
        for key, name in _NUMBERS.items():
            if key in answer:
                found.add(name, printable(answer[key]), f"query-sev {key}")
        if answer.get("state") in _BEFORE_MEASURING:
            found.remark(f"query-sev: state {answer['state']}: the launch was not measured yet")
    elif isinstance(data := answer.get("data"), str) and "qom-type" not in answer:  # that is a secret's
        size = 0
        with suppress(ValueError):
            size = len(base64.b64decode(data))
        # Answers don't name their question, and query-sev-attestation-report has "data", too: its size differs.
        if size in (208, 1184):
            found.remark(f"an attestation report of {size} bytes was left out: it is not the launch measurement")
        else:
            found.add("measurement", data, "query-sev-launch-measure data")


def _documents(text: str, found: Collector) -> Iterator[dict[str, object]]:
    """Yield the JSON objects in *text*, skipping whatever is between them."""
    position, broken, count = 0, 0, 0
    while (start := text.find("{", position)) >= 0:
        try:
            document, position = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            document = None
        if document is not None and count < COUNT_LIMIT:
            yield document
            count += 1
            continue
        broken += 1
        line = text.count("\n", 0, start) + 1
        if broken > BROKEN_LIMIT or count == COUNT_LIMIT:
            found.remark(f"line {line}: too much, or too much that is not JSON; what follows was left out")
            return
        found.remark(f"line {line}: what starts with a brace is not a JSON object: {shown(text[start : start + 40])}")
        position = text.find("\n", start) + 1 or len(text)


def printable(value: object) -> object:
    """Return a value of JSON, unless it is a number that Python refuses to print."""
    return "a huge number" if isinstance(value, int) and abs(value) >= 1 << 128 else value


# QEMU refuses such a key, too.
_DECODER = json.JSONDecoder(object_pairs_hook=once)


def load_json(text: str) -> object:
    """Return the content of JSON text; None if it is not JSON, or has a duplicate key."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):  # ValueError is also what a number of more than 4300 digits raises
        return None
