"""Every parser, fed with what people type, what files hold, and what attackers try."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.errors import InputError, named, renaming
from sevlab.labs import samples
from sevlab.launch import values as inputs
from sevlab.launch.reading import check_standard_input
from tests.soak import many

RAW = bytes(range(48))
TEXT = base64.b64encode(RAW).decode()
#: Text with lone surrogates too, as file names and broken terminals give it.
ANY_TEXT = st.text(st.characters(codec=None), max_size=120)
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=many(60, 12))


def parsed(parse: Callable[..., object], *given: object) -> object:
    """What a parser returns; None when it refuses, as it should: one line that names the input."""
    try:
        return parse(*given)
    except sevlab.InputError as error:
        refused = error
    assert str(refused).isprintable()
    assert len(str(refused)) < 600
    assert refused.received
    assert refused.needed
    assert str(refused).startswith(f"{refused.input}: received ")
    return None


@given(text=ANY_TEXT)
@example(text="0x")
@example(text="\ud800")
@example(text="٣")
@example(text="²")
@example(text="1\n")
@example(text="9" * 5000)
@example(text="0x" + "f" * 5000)
def test_any_text_as_a_number(text: str) -> None:
    number = parsed(inputs.parse_number, text, "--build-id", 255)
    if number is not None:
        assert 0 <= number <= 255
        assert text.isascii()
        assert number == int(text, 16 if text[:2].lower() == "0x" else 10)


@given(number=st.integers(0, 0xFFFFFFFF), zeros=st.integers(0, 3))
def test_decimal_and_hex_are_the_same_number(number: int, zeros: int) -> None:
    for text in (f"{number}", f"0x{number:x}", f"0X{number:X}", f"0x{number:016x}", f"{'0' * zeros}{number}"):
        assert inputs.parse_number(text, "n", 0xFFFFFFFF) == number
        assert int(sevlab.launch.values.parse_policy(text)) == number


@pytest.mark.parametrize(
    "number", [-1, 256, 1 << 33, -(1 << 20000), 1 << 20000, True, 1.0, None, b"1", [1]], ids=lambda n: type(n).__name__
)
def test_numbers_that_do_not_fit(number: object) -> None:
    assert parsed(inputs.parse_number, number, "n", 255) is None


def test_a_leading_zero_is_decimal_not_octal() -> None:
    assert inputs.parse_number("010", "n", 255) == 10


@pytest.mark.parametrize(
    ("text", "advice"), [("1f", "0x1f if that is hex"), ("ff", "0xff if that is hex"), ("-1", ""), ("300", "")]
)
def test_a_number_in_bare_hex_is_guessed(text: str, advice: str) -> None:
    with pytest.raises(sevlab.InputError) as caught:
        inputs.parse_number(text, "n", 255)
    assert caught.value.advice == advice


@given(text=ANY_TEXT | st.text("ABCabc0189+/=-_ \r\n\t", max_size=200))
@example(text=TEXT + "=")
@example(text="\ud800" * 64)
@example(text="é" * 64)
@example(text="A" * 10_000)
def test_any_text_as_a_measurement(text: str) -> None:
    measurement = parsed(sevlab.launch.values.parse_measurement, text)
    if measurement is not None:
        assert base64.b64decode("".join(text.split()), validate=True) == measurement.to_bytes()


@given(raw=st.binary(min_size=48, max_size=48), data=st.data())
def test_white_space_anywhere_is_fine(raw: bytes, data: st.DataObject) -> None:
    text = base64.b64encode(raw).decode()
    for _ in range(3):
        place = data.draw(st.integers(0, len(text)))
        text = text[:place] + data.draw(st.sampled_from([" ", "\n", "\r\n", "\t"])) + text[place:]
    assert sevlab.launch.values.parse_measurement(text).to_bytes() == raw


@given(raw=st.binary(min_size=48, max_size=48))
def test_hex_is_taken_only_where_it_is_allowed(raw: bytes) -> None:
    assert sevlab.launch.values.parse_measurement(raw.hex(), allow_hex=True).to_bytes() == raw
    assert sevlab.launch.values.parse_measurement(raw.hex().upper(), allow_hex=True).to_bytes() == raw
    with pytest.raises(sevlab.InputError, match="96 hex digits"):
        sevlab.launch.values.parse_measurement(raw.hex())


@pytest.mark.parametrize("allow_hex", [False, True])
def test_a_measure_in_hex_is_no_base64(allow_hex: bool) -> None:
    """Its 64 digits are also base64 of 48 bytes, and no digest or measure is that by chance."""
    with pytest.raises(sevlab.InputError, match="received 64 hex digits"):
        sevlab.launch.values.parse_measurement(hashlib.sha256(b"").hexdigest(), allow_hex=allow_hex)


@pytest.mark.parametrize("size", [0, 1, 16, 32, 45, 46, 47, 49, 50, 51, 96])
def test_a_measurement_of_another_size_is_told(size: int) -> None:
    with pytest.raises(sevlab.InputError) as caught:
        sevlab.launch.values.parse_measurement(base64.b64encode(bytes(size)).decode(), "--measurement")
    assert caught.value.input == "--measurement"
    if size and base64.b64encode(bytes(size))[-1:] != b"=":
        assert caught.value.received == f"{size} bytes"


def test_a_measure_without_its_nonce_is_guessed() -> None:
    with pytest.raises(sevlab.InputError, match="may be the measure without its 16-byte nonce"):
        sevlab.launch.values.parse_measurement(base64.b64encode(bytes(32)).decode())


@pytest.mark.parametrize("character", list("-_.,;:!*'\"\\%$#@~|<>(){}[]=\0\x1b\x7fé٣\u00a0\u200b\u2028\ud800"))
@pytest.mark.parametrize("place", [0, 30, 64])
def test_a_stray_character_is_refused(character: str, place: int) -> None:
    assert parsed(sevlab.launch.values.parse_measurement, TEXT[:place] + character + TEXT[place:]) is None
    assert (
        parsed(
            sevlab.launch.values.parse_measurement,
            TEXT[: place - 1 if place else 0] + character + TEXT[max(place, 1) :],
        )
        is None
    )


@pytest.mark.parametrize("thing", [None, 48, RAW, bytearray(RAW), [TEXT]], ids=lambda thing: type(thing).__name__)
def test_a_measurement_is_text(thing: object) -> None:
    assert parsed(sevlab.launch.values.parse_measurement, thing) is None


@given(text=ANY_TEXT, size=st.sampled_from([16, 32, 48]))
def test_any_text_as_bytes(text: str, size: int) -> None:
    raw = parsed(inputs.parse_bytes, text, "tik", size)
    assert raw is None or len(raw) == size


@given(raw=st.binary(min_size=1, max_size=60))
def test_bytes_come_back_from_base64_and_hex(raw: bytes) -> None:
    for text in (base64.b64encode(raw).decode(), raw.hex(), f" {raw.hex()}\n"):
        assert inputs.parse_bytes(text, "value", len(raw)) == raw


@FILES
@given(raw=st.binary(max_size=80))
def test_any_file_as_a_key(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(raw)
    for size in (16, 32):
        key = parsed(sevlab.launch.values.load_key, str(path), "--tik", size)
        assert (key is not None) == (len(raw) == size)
        assert key is None or key.reveal() == raw


KEY = samples.TIK
WRONG_KEYS = {
    "hex": (KEY.hex().encode(), "look like hex text"),
    "hex and a line break": (KEY.hex().encode() + b"\n", "look like hex text"),
    "base64": (base64.b64encode(KEY), "look like base64 text"),
    "base64 and a line break": (base64.b64encode(KEY) + b"\r\n", "look like base64 text"),
    "line break": (KEY + b"\n", "end in a line break"),
    "two keys": (bytes(range(32)), "TEK and TIK in one file"),
    "empty": (b"", "an empty file"),
    "short": (KEY[:-1], "15 bytes"),
    "endless": (bytes(5000), "more than 4096 bytes"),
}


@pytest.mark.parametrize(("content", "guess"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_wrong_key_file_is_guessed_and_not_shown(tmp_path: Path, content: bytes, guess: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(sevlab.InputError) as caught:
        sevlab.launch.values.load_key(str(path), "--tik")
    assert guess in str(caught.value)
    assert caught.value.needed == "a key of 16 raw bytes"
    for form in (KEY.hex(), base64.b64encode(KEY).decode(), repr(KEY)[2:-1]):
        assert form not in str(caught.value) + repr(caught.value)


def test_one_key_where_two_are_needed_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY)
    with pytest.raises(sevlab.InputError, match="may be a single key"):
        sevlab.launch.values.load_key(str(tmp_path / "key"), "--tk", 32)


NO_FILES = {
    "missing": ("none", "no such file"),
    "folder": (".", "a folder"),
    "empty name": ("", "no such file"),
    "NUL": ("a\0b", "not a file name"),
    "too long": ("x" * 5000, "file name too long"),
    "surrogate": ("\udcff", "no such file"),
    "lone surrogate": ("\ud800", "not a file name"),
    "below a file": ("/dev/null/x", "not a directory"),
}


@pytest.mark.parametrize(("path", "told"), NO_FILES.values(), ids=NO_FILES)
@pytest.mark.parametrize(
    "load",
    [sevlab.launch.values.load_key, sevlab.launch.inputs.load_hashed, sevlab.load_ovmf, sevlab.launch.values.load_vmsa],
)
def test_what_is_no_file_is_told(load: Callable[..., object], path: str, told: str) -> None:
    with pytest.raises(sevlab.InputError) as caught:
        load(path, "--option")
    assert told in caught.value.received
    assert caught.value.input == "--option"
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "load",
    [sevlab.launch.values.load_key, sevlab.launch.inputs.load_hashed, sevlab.load_ovmf, sevlab.launch.values.load_vmsa],
)
def test_a_pipe_nobody_writes_to_does_not_hang(load: Callable[..., object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert parsed(load, str(tmp_path / "pipe"), "--option") is None


@pytest.mark.parametrize(
    "load", [sevlab.launch.values.load_key, sevlab.launch.inputs.load_hashed, sevlab.launch.values.load_vmsa]
)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/full"])
def test_devices_end(load: Callable[..., object], device: str) -> None:
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    assert parsed(load, device, "--option") is None


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(sevlab.InputError, match="standard input closed"):
        sevlab.launch.values.load_key("-", "--tik")


def test_a_key_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(KEY)))
    assert sevlab.launch.values.load_key("-", "--tik").reveal() == KEY


def test_only_one_input_reads_standard_input() -> None:
    check_standard_input([("--tik", "-"), ("--tek", "tek.bin"), ("--firmware", None)])
    with pytest.raises(sevlab.InputError, match="--tek: received '-' when --tik already reads standard input"):
        check_standard_input([("--tik", "-"), ("--tek", "-")])


@given(thing=ANY_TEXT | st.integers() | st.binary())
def test_what_is_quoted_stays_on_one_line(thing: object) -> None:
    from sevlab.errors import quoted

    assert quoted(thing).isascii()
    assert quoted(thing).isprintable()
    assert len(quoted(thing)) < 60 * 10 + 40


def test_errors_carry_their_data() -> None:
    error = sevlab.InputError("--tik", "this", "that", "something")
    assert (error.input, error.received, error.needed, error.advice) == ("--tik", "this", "that", "something")
    assert str(error) == "--tik: received this; needed that. Try: something"
    assert isinstance(error, sevlab.SevlabError)
    assert str(sevlab.UnsupportedError("x", "y")) == "x is not supported; supported: y"


def test_an_error_is_renamed_once_with_every_input_that_it_mentions() -> None:
    error = InputError("tk", f"together with {named('tik')}", f"one of {named('tk')} and {named('tik')}", "another")
    assert str(error) == "tk: received together with tik; needed one of tk and tik. Try: another"
    with pytest.raises(InputError) as caught, renaming(lambda name: f"--{name}"):
        raise error
    assert str(caught.value) == "--tk: received together with --tik; needed one of --tk and --tik. Try: another"


@pytest.mark.parametrize("name", ["--tk", "/tmp/tk", "Python package x", "'tk'"])
def test_what_is_no_name_of_an_input_is_not_renamed(name: str) -> None:
    assert InputError(name, "nothing", "it").renamed(lambda name: "another").input == name
