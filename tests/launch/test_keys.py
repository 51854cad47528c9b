"""Keys do not show themselves, do not travel, and compare in constant time."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab import SecretBytes
from sevlab.launch import keys

KEY = bytes(range(0x30, 0x40))


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, "{!r:>40}".format, ascii, lambda s: str([s])])
def test_a_secret_shows_its_size_only(show: object) -> None:
    shown = show(SecretBytes(KEY))
    assert "<16 bytes, hidden>" in shown
    assert KEY.hex() not in shown
    assert "0123456789" not in shown


def test_a_secret_is_hidden_in_logs_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    secret = SecretBytes(KEY)
    logging.getLogger("any").warning("key %s", secret)
    assert "<16 bytes, hidden>" in caplog.text
    try:
        raise ValueError(secret)
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "<16 bytes, hidden>" in told
    assert "0123456789" not in told


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy, hash, json.dumps, bytes])
def test_a_secret_does_not_travel(send: object) -> None:
    with pytest.raises(TypeError):
        send(SecretBytes(KEY))


def test_a_secret_has_no_room_for_more() -> None:
    assert not hasattr(SecretBytes(KEY), "__dict__")


@given(one=st.binary(max_size=40), two=st.binary(max_size=40))
def test_secrets_are_equal_when_their_bytes_are(one: bytes, two: bytes) -> None:
    assert (SecretBytes(one) == SecretBytes(two)) == (one == two)
    assert SecretBytes(one) == SecretBytes(one)
    assert SecretBytes(one).reveal() == one
    assert len(SecretBytes(one)) == len(one)


@pytest.mark.parametrize("other", [KEY, KEY.hex(), None, 0])
def test_a_secret_equals_nothing_else(other: object) -> None:
    assert SecretBytes(KEY) != other


def test_secrets_compare_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: asked.append((a, b)) or True)
    assert SecretBytes(b"one") == SecretBytes(b"two")
    assert asked == [(b"one", b"two")]


def test_a_secret_keeps_its_bytes_when_its_source_changes() -> None:
    source = bytearray(KEY)
    secret = SecretBytes(source)
    source[0] = 0
    assert secret.reveal() == KEY
