"""``sevlab measure``, and the readers of byte values that it shares."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.cli import main
from sevlab.cli.options import load_measurement, load_value
from sevlab.errors import InputError
from sevlab.launch.values import decode_base64, parse_bytes
from tests.paths import DOCS

# The published example of AMDESE/sev-tool (README and tests), as sev-launch 7.2 gives it.
SEV_TOOL = "--api-major 0 --api-minor 0x12 --build-id 15 --policy 0 --tik tik"
SEV_TOOL_TIK = "66320db73158a35a255d051758e95ed4"
SEV_TOOL_NONCE = "4fbe0bedbad6c86ae8f68971d103e554"
SEV_TOOL_MEASURE = "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea"
EMPTY = hashlib.sha256(b"").digest()
# The worked example of sev-launch 12.
OURS = "--api-major 1 --api-minor 55 --build-id 25 --policy 0x11000005 --tik tik"
OUR_DIGEST = hashlib.sha256(b"sevlab").hexdigest()
OUR_MEASURE = "215fa8ac20557a2092339434598120c739e150f8ff3235aeb5529cfdb62acc49"
OUR_NONCE = bytes(range(0xE0, 0xF0))


@pytest.fixture(autouse=True)
def _owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tik").write_bytes(bytes(range(0x70, 0x80)))
    Path("firmware").write_bytes(b"sevlab")


def measure(words: str) -> int:
    return main(["measure", *shlex.split(words)])


def printed(capsys: pytest.CaptureFixture[str]) -> bytes:
    return base64.b64decode(capsys.readouterr().out.strip(), validate=True)


@pytest.mark.parametrize("digest", [EMPTY.hex(), base64.b64encode(EMPTY).decode()])
@pytest.mark.parametrize("nonce", [SEV_TOOL_NONCE, base64.b64encode(bytes.fromhex(SEV_TOOL_NONCE)).decode()])
def test_published_example(capsys: pytest.CaptureFixture[str], digest: str, nonce: str) -> None:
    Path("tik").write_bytes(bytes.fromhex(SEV_TOOL_TIK))
    assert measure(f"{SEV_TOOL} --launch-digest {digest} --nonce {nonce}") == 0
    assert printed(capsys).hex() == SEV_TOOL_MEASURE + SEV_TOOL_NONCE


@pytest.mark.parametrize("loaded", [f"--launch-digest {OUR_DIGEST}", "--firmware firmware --policy 1"])
@pytest.mark.parametrize("nonce", ["--nonce", "--launch-measure-blob"])
def test_worked_example(capsys: pytest.CaptureFixture[str], loaded: str, nonce: str) -> None:
    raw = OUR_NONCE if nonce == "--nonce" else bytes(32) + OUR_NONCE
    for value in (raw.hex(), base64.b64encode(raw).decode()):
        assert measure(f"{OURS} {loaded} {nonce} {value}") == 0
        found = printed(capsys)
        assert found[32:] == OUR_NONCE
        assert (found[:32].hex() == OUR_MEASURE) == ("--launch-digest" in loaded)
    Path("nonce").write_bytes(raw)
    assert measure(f"{OURS} {loaded} {nonce} nonce --json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["digest"] == OUR_DIGEST
    assert bytes.fromhex(result["measure"] + result["mnonce"]) == found
    assert base64.b64decode(result["measurement"]) == found


def test_outfile(capsys: pytest.CaptureFixture[str]) -> None:
    words = f"{OURS} --launch-digest {OUR_DIGEST} --nonce {OUR_NONCE.hex()} --outfile"
    Path("out").write_bytes(b"old")
    assert measure(f"{words} out") == 2
    assert "which exists" in capsys.readouterr().err
    assert Path("out").read_bytes() == b"old"
    assert measure(f"{words} out --force") == 0
    assert Path("out").read_bytes().hex() == OUR_MEASURE + OUR_NONCE.hex()
    assert capsys.readouterr().out == "Wrote 48 bytes to out\n"
    assert measure(f"{words} tik --force") == 2
    assert measure(f"{words} nowhere/out") == 2
    assert len(Path("tik").read_bytes()) == 16


def test_measures_what_validate_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--api-major 1 --api-minor 55 --build-id 25 --policy 3 --tik tik --firmware firmware"
    assert measure(f"{words} --nonce {OUR_NONCE.hex()}") == 0
    text = capsys.readouterr().out.strip()
    Path("tek").write_bytes(bytes(16))
    assert main(["validate", *words.split(), "--tek", "tek", "--measurement", text]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"{OURS} --nonce {OUR_NONCE.hex()}", "--firmware: received neither it nor --launch-digest"),
        (f"{OURS} --launch-digest {OUR_DIGEST}", "--nonce"),
        (f"{OURS} --launch-digest {OUR_DIGEST} --nonce 00 --launch-measure-blob 00", "together with --nonce"),
        (f"{OURS} --launch-digest {OUR_DIGEST} --nonce 00", "'00', which is no file"),
        (f"{OURS} --launch-digest 00 --nonce {OUR_NONCE.hex()}", "32 bytes as base64 (44 characters) or hex (64"),
        (f"{OURS} --launch-digest {OUR_DIGEST} --firmware f --nonce {OUR_NONCE.hex()}", "together with --firmware"),
        (f"{OURS} --launch-digest {OUR_DIGEST} --kernel k --nonce {OUR_NONCE.hex()}", "together with --kernel"),
        (f"{OURS} --launch-digest {OUR_DIGEST} --nonce {OUR_NONCE.hex()} --api-major 256", "from 0 to 255"),
        (f"{OURS} --launch-digest {OUR_DIGEST} --nonce {OUR_NONCE.hex()} --tik firmware", "a key of 16 raw bytes"),
        (f"{OURS} --launch-digest {OUR_DIGEST} --nonce - --tik -", "already reads standard input"),
        (f"{OURS} --firmware nofile --policy 1 --nonce {OUR_NONCE.hex()}", "no such file"),
    ],
)
def test_one_line_for_every_misuse(capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    assert measure(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ERROR: ")
    assert said in err
    assert err.count("\n") == 1


def test_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tik").write_bytes(bytes(16))
    assert measure(f"{OURS} --launch-digest {OUR_DIGEST} --nonce {OUR_NONCE.hex()} --policy 0x41") == 0
    out, err = capsys.readouterr()
    assert len(out) == 65
    assert "reserved bits 15:6" in err
    assert "tik is all zero" in err


def test_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    """The examples of docs/measure.md give what they show."""
    page = (DOCS / "measure.md").read_text()
    examples = re.findall(r"^    \$ sevlab (measure (?:.*\\\n)*.*)\n    (\S+)$", page, re.MULTILINE)
    assert examples
    Path("vm_tik.bin").write_bytes(bytes.fromhex(SEV_TOOL_TIK))
    for words, result in examples:
        assert main(shlex.split(words.replace("\\\n", " "))) == 0
        assert capsys.readouterr().out.strip() == result


# Byte values


@given(raw=st.binary(min_size=3, max_size=64))
def test_every_form_is_read(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    for form in (raw.hex(), raw.hex().upper(), text, f" {text}\n", "\n".join(re.findall("..?", raw.hex()))):
        assert parse_bytes(form, "--x", len(raw)) == raw
    assert decode_base64(text) == raw


@given(
    text=st.text(max_size=60) | st.text("0123456789abcdef+/=ABC-_ \n", max_size=60), size=st.sampled_from([16, 32, 48])
)
def test_any_text_gives_bytes_or_one_line(text: str, size: int) -> None:
    raw, said = b"", ""
    try:
        raw = parse_bytes(text, "--x", size)
    except InputError as error:
        said = str(error)
    assert said.startswith("--x: received ") or len(raw) == size
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "received nothing"),
        ("0x" + "00" * 16, "Try: the digits without 0x"),
        ("00" * 15, "15 bytes of hex"),
        (base64.b64encode(bytes(32)).decode(), "32 bytes of base64"),
        ("-_" * 11 + "==", "URL-safe"),
        ("AAAAAAAAAAAAAAAAAAAAAB==", "received"),  # spare bits that are not zero: not canonical
        ("AAAAAAAAAAAAAAAAAAAAAA", "received"),  # without its padding
        ("\u0660" * 32, "received"),  # digits of another script
        ("0" * 5000, "5000 characters"),
    ],
)
def test_what_is_no_16_bytes(text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        parse_bytes(text, "--x", 16)


def test_a_file_or_its_content(tmp_path: Path) -> None:
    raw = bytes(range(48))
    file = tmp_path / "blob"
    for content in (raw, base64.b64encode(raw), base64.b64encode(raw) + b"\n", raw.hex().encode()):
        file.write_bytes(content)
        assert load_value(str(file), "--x", 48) == raw
        assert load_measurement(str(file)).to_bytes() == raw
    for content in (b"", b"\xff" * 47, b"hello", bytes(5000)):
        file.write_bytes(content)
        for read in (lambda: load_value(str(file), "--x", 48), lambda: load_measurement(str(file), "--x")):
            with pytest.raises(InputError, match=r"^--x: received"):
                read()
    for value in ("a\0b", "x" * 5000, str(tmp_path)):
        with pytest.raises(InputError, match=r"^--x: received"):
            load_value(value, "--x", 48)
