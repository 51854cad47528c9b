"""A report in a file, in every form; any other file is refused in one line."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings

from sevlab.attestation.report import read_report, verify_report
from sevlab.errors import InputError, LayoutError
from sevlab.formats.report import SIZE
from sevlab.simulator.kds import MOMENT
from tests.snp_reports import anything, make, one_line, real, real_ders
from tests.soak import many


def test_reports_in_every_form() -> None:
    raw = real("milan-v2-report.bin")
    header = (0).to_bytes(4, "little") + SIZE.to_bytes(4, "little") + bytes(24)
    for whole, headed in ((raw, False), (header + raw, True)):
        forms = {
            "binary": whole,
            "hex text": whole.hex().encode() + b"\n",
            "base64 text": base64.encodebytes(whole),
        }
        for form, content in forms.items():
            found = read_report(content)
            assert (found.report.to_bytes(), found.form, found.header is not None) == (raw, form, headed)
            assert ("header of the firmware's answer" in found.note) == headed
    assert "FINDING: it says" in read_report(b"\x16" + header[1:] + raw).note
    guesses = {
        b"": "nothing",
        raw[:-1]: "breaks off after 1183 bytes",
        raw + b"\n": "head -c 1184",
        bytes(32) + raw + bytes(400): r"tail -c \+33 FILE | head -c 1184",
        real_ders()["vcek"]: "such as a certificate",
        raw.hex()[:-2].encode(): "hex text of 1183 bytes",
        b"\xff" * 500: "500 bytes",
    }
    for content, words in guesses.items():
        with pytest.raises(InputError, match=words):
            read_report(content)
    with pytest.raises(LayoutError):
        verify_report(raw[:-1])


@settings(max_examples=many(150, 30))
@given(raw=anything(make()) | anything(make().hex().encode()))
def test_any_file_is_a_report_or_one_line(raw: bytes) -> None:
    try:
        found = read_report(raw)
    except InputError as error:
        one_line(error)
        return
    verdict = verify_report(found.report, at=MOMENT)
    assert not verdict.matches
    assert str(found.report.explain(note=found.note))
    assert json.dumps(found.report.as_dict())
