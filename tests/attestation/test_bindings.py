"""What REPORT_DATA and HOST_DATA are bound to: a hash of a file, or a short value, followed by zero bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.attestation.requirements import SIZES, parse_binding, parse_requirements
from sevlab.cli import main
from sevlab.errors import InputError
from tests.paths import SAMPLES

REPORT = SAMPLES / "report-snp.bin"


@pytest.mark.parametrize("name", ["report_data", "host_data"])
@pytest.mark.parametrize("form", ["sha256", "sha384", "sha512"])
def test_a_hash_is_padded_or_cut_to_its_field(form: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    path.write_bytes(b'{"keys": []}')
    made = hashlib.new(form, b'{"keys": []}').digest()
    size = SIZES[name]
    assert parse_binding(f"{form}:{path}", name) == made[:size] + bytes(max(0, size - len(made)))


@given(raw=st.binary(min_size=1, max_size=64))
def test_zeros_pads_any_value(raw: bytes) -> None:
    for text in (raw.hex(), raw.hex().upper(), f"0x{raw.hex()}"):
        assert parse_binding(f"zeros:{text}", "report_data") == raw.ljust(64, b"\0")


@pytest.mark.parametrize("text", ["zeros:", "zeros:abc", "zeros:" + "00" * 65, "sha256:/no/such/file", "sha512:"])
def test_what_cannot_be_bound_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_binding(text, "report_data")
    assert "\n" not in str(caught.value)


def test_other_text_comes_back_as_it_is() -> None:
    for text in ("00" * 64, "md5:file", "AAAA", ""):
        assert parse_binding(text, "report_data") == text


@pytest.mark.parametrize("size", [20, 32, 48])
def test_a_bare_short_value_is_refused_and_the_form_is_offered(size: int) -> None:
    with pytest.raises(InputError, match="zeros:HEX"):
        parse_requirements(report_data="ab" * size)


def test_the_command_binds_and_prints_all_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytearray(REPORT.read_bytes())
    claims = tmp_path / "claims"
    claims.write_bytes(b"runtime claims")
    raw[0x50:0x90] = hashlib.sha256(b"runtime claims").digest().ljust(64, b"\0")
    (tmp_path / "report").write_bytes(raw)
    main(["report", "verify", str(tmp_path / "report"), "--report-data", f"sha256:{claims}"])
    out = "".join(capsys.readouterr().out.split())
    assert "report_datamatch" in out
    assert hashlib.sha256(b"runtime claims").hexdigest() in out


def test_a_case_file_cannot_have_a_file_of_yours_hashed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_bytes(b"mine")
    (tmp_path / "case.toml").write_text(f'format = 2\n[snp]\nsnp-report-data = "sha256:{tmp_path / "secret"}"\n')
    assert main(["report", "verify", str(REPORT), "--case", str(tmp_path / "case.toml"), "--own-case"]) == 2
    err = capsys.readouterr().err
    assert hashlib.sha256(b"mine").hexdigest() not in err


def test_an_id_block_without_an_author_key_has_a_note_beside_its_ok(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(__file__).resolve().parents[3] / "shared" / "cases" / "id-block"
    if not folder.exists():
        pytest.skip("the inputs that go wrong are not at hand")
    block, auth = (folder / "block.bin").read_bytes(), folder / "auth-no-author-key.bin"
    words = ["id-block", "verify", str(folder / "block.bin"), str(auth), "--policy", "0xb0000"]
    assert main([*words, "--measurement", block[:48].hex()]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("OK:")
    assert "NOTE: there is no author key" in out
    assert "--authorkey" in out
