"""A QMP transcript: what was typed to QEMU's machine protocol and what it answered, in any order and shape."""

from __future__ import annotations

import base64
import binascii
import json
import re

from ..arguments import checked
from ..inputs import once
from .found import QMP, Capture, check_size, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: Pieces that look like JSON and are not: after this many the rest is left alone, so that no text costs much.
BROKEN_LIMIT = 8
DEPTH_LIMIT = 64
#: Longest JSON object looked at, in characters, and most objects. A real answer has some hundred characters.
OBJECT_LIMIT = 256 << 10
COUNT_LIMIT = 10_000

# A text runs to its closing quote or, when that is missing, to the end of the line. Possessive, so never tried twice.
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*+"?|[{}\[\]]')
_NUMBERS = {"api-major": "api_major", "api-minor": "api_minor", "build-id": "build_id", "policy": "policy"}
_BEFORE_MEASURING = ("uninit", "launch-update")


@checked
def parse_qmp(text: str) -> Capture:
    """Read the answers to ``query-sev`` and ``query-sev-launch-measure`` out of a transcript.

    Answers may come several times, in any order, on one line or spread over many, with greetings, events, commands,
    prompts and other answers between. Of several answers the last one counts.
    """
    check_size(text, QMP)
    capture = Capture(QMP)
    for document in _documents(text, capture):
        if "error" in document:
            error = document["error"]
            words = error.get("desc", "") if isinstance(error, dict) else error
            capture.remark(f"QEMU answered with an error: {shown(words, 160)}")
            continue
        # `virsh qemu-monitor-command --return-value` leaves the outer part away.
        answer = document.get("return", document)
        if isinstance(answer, dict):
            _answer(answer, capture)
    capture.remark_if_empty()
    return capture


def _answer(answer: dict[str, Any], capture: Capture) -> None:
    if "api-major" in answer or "enabled" in answer:
        kind = answer.get("sev-type")
        if kind == "sev-snp" or "snp-policy" in answer:
            capture.add("guest", "sev-snp", "query-sev")
            capture.remark("query-sev: this is an SEV-SNP guest, which has no measurement of this kind")
        elif kind == "sev":
            capture.add("guest", "sev", "query-sev")
        if answer.get("enabled") is False:
            capture.remark("query-sev: SEV is not enabled for this guest")
            return
        for key, name in _NUMBERS.items():
            if key in answer:
                capture.add(name, _small(answer[key]), f"query-sev {key}")
        if answer.get("state") in _BEFORE_MEASURING:
            capture.remark(f"query-sev: state {answer['state']}: the launch was not measured yet")
    elif isinstance(answer.get("data"), str):
        # Answers don't name their question, and query-sev-attestation-report has "data" too: its size tells.
        size = _decoded_size(answer["data"])
        if size in (208, 1184):
            capture.remark(f"an attestation report of {size} bytes was left out: it is not the launch measurement")
        else:
            capture.add("measurement", answer["data"], "query-sev-launch-measure data")


def _small(value: Any) -> Any:
    """Return a number, unless it is one that Python refuses to print."""
    return "a huge number" if isinstance(value, int) and abs(value) >= 1 << 128 else value


def _decoded_size(text: str) -> int:
    try:
        return len(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return 0


def _documents(text: str, capture: Capture) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in *text*, skipping whatever is between them."""
    position, broken, count = 0, 0, 0
    while (start := text.find("{", position)) >= 0:
        end = _closing(text, start)
        document = load_json(text[start:end]) if end else None
        if isinstance(document, dict) and count < COUNT_LIMIT:
            yield document
            position, count = end, count + 1
            continue
        broken += 1
        line = text.count("\n", 0, start) + 1
        if broken > BROKEN_LIMIT or count == COUNT_LIMIT:
            capture.remark(f"line {line}: too much, or too much that is not JSON; what follows was left out")
            return
        capture.remark(f"line {line}: what starts with a brace is not a JSON object: {shown(text[start : start + 40])}")
        newline = text.find("\n", start)
        position = newline + 1 if newline >= 0 else len(text)


def _closing(text: str, start: int) -> int:
    """Return where the object that starts at *start* ends; 0 when it does not, or nests too deeply."""
    depth = 0
    for match in _TOKEN.finditer(text, start, start + OBJECT_LIMIT):
        if match[0] in "{[":
            depth += 1
            if depth > DEPTH_LIMIT:
                return 0
        elif match[0] in "}]":
            depth -= 1
            if not depth:
                return match.end()
    return 0


def load_json(text: str) -> Any:
    """Return what JSON text holds, None when it is not JSON, or has a key twice (which QEMU refuses, too)."""
    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):  # ValueError is also what a number of more than 4300 digits raises
        return None
