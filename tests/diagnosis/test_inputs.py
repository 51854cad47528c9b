"""Every form in which measurements and keys are read."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import sevlab
from sevlab.labs import samples
from tests.diagnosis.sev_cases import (
    PLAIN,
    SPACES,
    diagnose,
    only,
    report,
    true_values,
)
from tests.soak import many

TIK, TEK = samples.TIK, samples.TEK


@pytest.mark.parametrize(
    ("form", "word"),
    [
        (lambda raw: raw.hex(), "hex"),
        (lambda raw: raw.hex().upper(), "hex"),
        (lambda raw: "0x" + raw.hex(), "hex"),
        (lambda raw: base64.b64encode(raw.hex().encode()).decode(), "hex"),
        (lambda raw: base64.b64encode(base64.b64encode(raw)).decode(), "twice"),
        (lambda raw: base64.b64encode(raw[32:] + raw[:32]).decode(), "nonce first"),
        (lambda raw: (raw[32:] + raw[:32]).hex(), "nonce first"),
    ],
)
def test_a_measurement_is_read_in_every_form(form: Any, word: str) -> None:
    raw = report(true_values(SPACES["plain"], {}))
    found = only(diagnose({**PLAIN, "measurement": form(raw)}))
    assert found.found == {"measurement": base64.b64encode(raw).decode()}
    assert found.as_dict()["changes"][0]["given"] == form(raw)


def test_url_safe_base64_is_read() -> None:
    for build in range(256):
        raw = report({**true_values(SPACES["plain"], {}), "build_id": build})
        text = base64.urlsafe_b64encode(raw).decode()
        if {"-", "_"} & set(text):
            found = only(diagnose({**PLAIN, "build_id": build, "measurement": text}))
            assert list(found.found) == ["measurement"]
            return
    pytest.fail("no measurement with a URL-safe letter")


@pytest.mark.parametrize("text", ["", "hello", "ab" * 40, "A" * 10_000_000, "\0" * 64])
def test_a_measurement_in_no_form_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(sevlab.InputError) as caught:
        diagnose({**PLAIN, "measurement": text})
    assert len(str(caught.value)) < 500
    assert "measurement" in str(caught.value)


BOTH = TEK + TIK


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (TIK + TEK, "halves swapped"),
        (BOTH.hex().encode(), "hex text"),
        (BOTH.hex().encode() + b"\n", "hex text"),
        (base64.b64encode(BOTH) + b"\n", "base64 text"),
        (BOTH + b"\n", "a line break at its end"),
        (TIK, "a single key"),
        ((TIK + TEK).hex().encode(), "hex text, halves swapped"),
    ],
)
def test_a_key_file_is_read_in_every_form(content: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "tk").write_bytes(content)
    given = {**PLAIN, "tk": str(tmp_path / "tk")}
    text = base64.b64encode(report(true_values(SPACES["plain"], {}))).decode()
    found = only(diagnose({**given, "measurement": text}))
    assert found.found == {"tk": word}
    assert TIK.hex() not in str(found.as_dict())


@pytest.mark.parametrize(
    ("tik", "tek", "word"),
    [
        (TEK, TIK, "halves swapped"),
        (TIK.hex().encode(), TEK, "hex text"),
        (BOTH, TEK, "second half of a file with both keys"),
        (TIK + b"\r\n", TEK, "a line break at its end"),
    ],
)
def test_keys_in_two_files_are_read_in_every_form(tik: bytes, tek: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "tik").write_bytes(tik)
    (tmp_path / "tek").write_bytes(tek)
    given = {name: value for name, value in PLAIN.items() if name != "tk"}
    given |= {"tik": str(tmp_path / "tik"), "tek": str(tmp_path / "tek")}
    text = base64.b64encode(report(true_values(SPACES["plain"], {}))).decode()
    assert only(diagnose({**given, "measurement": text})).found == {"tik": word}


@settings(max_examples=many(60, 12))
@drawn(content=st.binary(max_size=80))
def test_any_key_file_ends_in_an_answer(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("keys") / "tk"
    path.write_bytes(content)
    given = {**PLAIN, "tk": str(path), "measurement": base64.b64encode(bytes(48)).decode()}
    assert diagnose(given, max_changes=1).status == "unexplained"
