"""Bytes in every form that people have: read back equal, or refused by name. Never trimmed until they fit."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.byte_forms import read_bytes
from sevlab.attestation.certificates import parse_bundle, parse_chain
from sevlab.attestation.report import read_report
from sevlab.attestation.sev_chain import load_chain
from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.launch.vmm import build_vmsa
from sevlab.simulator.kds import KeyServer
from tests.paths import SAMPLES
from tests.shared_data import shared_data
from tests.snp_reports import one_line, table
from tests.soak import many

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def case(*parts: str) -> Path:
    path = CASES.joinpath(*parts)
    if not path.exists():
        pytest.skip("the inputs that go wrong are not at hand")
    return path


def hexdump(raw: bytes) -> str:
    """What ``hexdump -C`` prints, repeated lines folded into a star."""
    lines, before, folded = [], b"", False
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        if row == before and len(row) == 16:
            if not folded:
                lines.append("*")
            folded = True
            continue
        before, folded = row, False
        shown = "".join(chr(one) if 32 <= one < 127 else "." for one in row)
        halves = "  ".join(part.hex(" ") for part in (row[:8], row[8:]) if part)
        lines.append(f"{at:08x}  {halves:<48}  |{shown}|")
    return "\n".join([*lines, f"{len(raw):08x}"]) + "\n"


def xxd(raw: bytes) -> str:
    made = ""
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        shown = "".join(chr(one) if 32 < one < 127 else "." for one in row)  # a space is a dot, as in no xxd
        made += f"{at:08x}: {' '.join(row[i : i + 2].hex() for i in range(0, len(row), 2)):<39}  {shown}\n"
    return made


def od(raw: bytes, base: str = "07o") -> str:
    lines = [f"{at:{base}} {raw[at : at + 16].hex(' ')}" for at in range(0, len(raw), 16)]
    return "\n".join([*lines, f"{len(raw):{base}}"])


def words(raw: bytes) -> str:
    """What ``hexdump`` prints by default: words, the low byte first. The number of bytes must be even."""
    lines = []
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        lines.append(f"{at:07x} " + " ".join(row[i : i + 2][::-1].hex() for i in range(0, len(row), 2)))
    return "\n".join([*lines, f"{len(raw):07x}"])


FORMS: dict[str, Callable[[bytes], bytes | str]] = {
    "raw": bytes,
    "hex": bytes.hex,
    "HEX": lambda raw: raw.hex().upper() + "\n",
    "0x": lambda raw: "0x" + raw.hex(),
    "colons": lambda raw: raw.hex(":"),
    "spaces": lambda raw: raw.hex(" "),
    "lines": lambda raw: "\n".join(raw.hex()[at : at + 64] for at in range(0, 2 * len(raw), 64)),
    "escapes": lambda raw: '"' + "".join(f"\\x{one:02x}" for one in raw) + '"',
    "C": lambda raw: "{" + ", ".join(f"0x{one:02x}" for one in raw) + "};",
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64 in lines": base64.encodebytes,
    "base64 without padding": lambda raw: base64.b64encode(raw).decode().rstrip("="),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).decode(),
    "base64url without padding": lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
    "quoted": lambda raw: f'"{base64.b64encode(raw).decode()}"\n',
    "single quotes": lambda raw: f"'{raw.hex()}'",
    "byte order mark": lambda raw: b"\xef\xbb\xbf" + base64.b64encode(raw),
    "UTF-16": lambda raw: raw.hex().encode("utf-16"),
    "hexdump -C": hexdump,
    "xxd": xxd,
    "od": od,
    "od -A x": lambda raw: od(raw, "06x"),
    "od -A d": lambda raw: od(raw, "07d"),
    "JSON list": lambda raw: json.dumps(list(raw)),
    "Go": lambda raw: f"[{' '.join(map(str, raw))}]",
    "Python": lambda raw: f"bytes({list(raw)})",
    "JSON field": lambda raw: json.dumps({"a": 1, "b": [{"report": base64.b64encode(raw).decode()}], "c": "x"}),
    "JSON hex": lambda raw: json.dumps({"quote": raw.hex()}, indent=2),
    "JSON numbers": lambda raw: json.dumps({"attestation_report": list(raw)}),
    "JSON string": lambda raw: json.dumps(base64.b64encode(raw).decode()),
    "JSON in JSON": lambda raw: json.dumps({"body": json.dumps({"report": raw.hex()})}),
    "JSON lines": lambda raw: json.dumps({"n": 1}) + "\n" + json.dumps({"report": raw.hex()}) + "\nDone.\n",
    "JSON, odd numbers": lambda raw: f'{{"a": NaN, "b": {"9" * 5000}, "c": 1e999, "report": "{raw.hex()}"}}',
    "Rust": lambda raw: f"let report: [u8; {len(raw)}] = [{', '.join(f'0x{one:02x}u8' for one in raw)}];",
    "Rust, printed": lambda raw: "Report { bytes: " + str(list(raw)) + " }",
    "C, declared": lambda raw: f"static const uint8_t r[{len(raw)}] = {{\n{', '.join(map(hex, raw))},\n}};\n",
    "xxd -i": lambda raw: (
        f"unsigned char r[] = {{\n {', '.join(map(hex, raw))}\n}};\nunsigned int r_len = {len(raw)};\n"
    ),
    "Go, declared": lambda raw: f"[{len(raw)}]uint8{{{', '.join(map(hex, raw))}}}",
    "Java": lambda raw: str([one - 256 if one > 127 else one for one in raw]),
    "JavaScript": lambda raw: f"Uint8Array({len(raw)}) {list(raw)}",
    "Node": lambda raw: f"<Buffer {raw.hex(' ')}>",
    "Python, printed": repr,
    "Python, hex": lambda raw: f'bytes.fromhex("{raw.hex()}")',
    "od -An -tu1": lambda raw: "\n".join(
        "".join(f"{one:4d}" for one in raw[at : at + 16]) for at in range(0, len(raw), 16)
    ),
    "od -An -tx1": lambda raw: "\n".join(f" {raw[at : at + 16].hex(' ')}" for at in range(0, len(raw), 16)),
    "TOML": lambda raw: f'[attestation]\nreport = "{raw.hex()}"\n',
    "YAML": lambda raw: "report: |\n" + "".join(f"  {raw.hex()[at : at + 64]}\n" for at in range(0, 2 * len(raw), 64)),
    "a mail": lambda raw: "".join(f"> {line}\n" for line in xxd(raw).splitlines()),
    "Markdown": lambda raw: f"```text\n{xxd(raw)}```\n",
    "a terminal": lambda raw: f"$ xxd report.bin\n\x1b[1m{xxd(raw)}\x1b[0m",
    "an address": lambda raw: f"data:application/octet-stream;base64,{base64.b64encode(raw).decode()}",
    "percent signs": lambda raw: base64.b64encode(raw).decode().translate({43: "%2B", 47: "%2F", 61: "%3D"}),
    "Wireshark": lambda raw: od(raw, "04x"),
    "UTF-16 without a mark": lambda raw: raw.hex().encode("utf-16-le"),
    "gdb": lambda raw: "".join(
        f"0x7fffffffe{at:03x} <report+{at}>:\t" + "\t".join(f"0x{one:02x}" for one in raw[at : at + 8]) + "\n"
        for at in range(0, len(raw), 8)
    ),
    "lldb": lambda raw: "".join(
        f"0x7ffe{at:08x}: {raw[at : at + 16].hex(' ')}  ....\n" for at in range(0, len(raw), 16)
    ),
    "WinDbg": lambda raw: "".join(
        f"00000000`{at:08x}  {'-'.join(raw[i : i + 8].hex(' ') for i in (at, at + 8) if raw[i:])}  ....\n"
        for at in range(0, len(raw), 16)
    ),
    "a kernel's log": lambda raw: "".join(f"[   12.345678] report: {line}\n" for line in xxd(raw).splitlines()),
    "assigned in Python": lambda raw: f"report = {raw!r}\n",
    "exported in a shell": lambda raw: f"export REPORT='{base64.b64encode(raw).decode()}'\n",
    "XML": lambda raw: f"<a><report>{raw.hex()}</report></a>",
    "base64 twice": lambda raw: base64.b64encode(base64.b64encode(raw)),
    "base64 of hex": lambda raw: base64.b64encode(raw.hex().encode()),
    "JSON in base64": lambda raw: base64.b64encode(json.dumps({"report": raw.hex()}).encode()),
    "JWT": lambda raw: (
        "eyJhbGciOiJub25lIn0."
        + base64.urlsafe_b64encode(json.dumps({"a": [{"report": base64.b64encode(raw).decode()}]}).encode())
        .decode()
        .rstrip("=")
        + ".c2lnbmF0dXJl"
    ),
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=many(60, 12))
@given(raw=st.binary(min_size=1184, max_size=1184) | st.binary(min_size=40, max_size=40).map(lambda b: b * 30))
def test_any_bytes_in_any_form_are_read_back_equal(form: str, raw: bytes) -> None:
    made = FORMS[form](raw)
    found = read_bytes(made.encode() if isinstance(made, str) else made, lambda one: len(one) == len(raw), "x", "y")
    assert found.raw == raw


@given(raw=st.binary(min_size=48, max_size=96).filter(lambda raw: len(raw) % 2 == 0))
def test_words_are_turned(raw: bytes) -> None:
    found = read_bytes(words(raw).encode(), lambda one: len(one) == len(raw), "x", "y")
    assert found.raw == raw


def test_words_that_xxd_turned_are_read_by_the_text_beside_them() -> None:
    raw = bytes(range(32, 128)) * 8
    rows = (raw[at : at + 16] for at in range(0, len(raw), 16))
    made = "".join(
        f"{16 * number:08x}: {' '.join(row[i : i + 4][::-1].hex() for i in range(0, 16, 4))}  "
        f"{row.decode().replace(chr(127), '.')}\n"
        for number, row in enumerate(rows)
    )
    assert read_bytes(made.encode(), lambda one: len(one) == len(raw), "x", "y").raw == raw


@pytest.mark.parametrize("size", [2, 4, 8])
def test_numbers_in_a_kernel_s_log_are_turned_only_where_the_text_beside_them_shows_it(size: int) -> None:
    raw, bare, full = bytes(range(32, 128)) * 2, "", ""
    for at in range(0, len(raw), 16):
        row = raw[at : at + 16]
        bare += f"[    1.2] {at:08x}: {' '.join(row[i : i + size][::-1].hex() for i in range(0, 16, size))}\n"
        full += f"{bare.splitlines()[-1]}  {row.decode().replace(chr(127), '.')}\n"
    assert read_bytes(full.encode(), lambda one: len(one) == len(raw), "x", "y").raw == raw
    with pytest.raises(InputError):
        read_bytes(bare.encode(), lambda one: len(one) == len(raw), "x", "y")


def test_a_dump_that_left_lines_out_is_not_made_up() -> None:
    raw = b" 01 02 03 04\n*\n 05 06\n"
    with pytest.raises(InputError, match="od -v"):
        read_bytes(raw, lambda one: one != raw, "x", "y")


REPORT = (SAMPLES / "report-snp.bin").read_bytes()
#: What is signed in it is the hex of a digest, which is hex in a dump's text, too.
DIGITS = REPORT[:0x50] + hashlib.sha256(b"nonce").hexdigest().encode() + REPORT[0x90:]


def test_text_beside_bytes_is_no_number_where_it_looks_like_one() -> None:
    tagged = DIGITS.replace(DIGITS[0x60:0x70], b"<0123456789abcd>")
    for raw, form in itertools.product((DIGITS, tagged), ("xxd", "hexdump -C", "Markdown", "a kernel's log")):
        made = str(FORMS[form](raw))
        assert read_bytes(made.encode(), lambda one: len(one) == len(DIGITS), "x", "y").raw == raw


@pytest.mark.peer
@pytest.mark.parametrize(
    "command", [["hexdump", "-C"], ["hexdump"], ["xxd"], ["xxd", "-p"], ["xxd", "-g", "4"], ["xxd", "-i"], ["od"]]
    + [["od", "-A", base, "-t", kind] for base in "oxdn" for kind in ("x1", "x2", "x4", "o1", "o2")], ids=" ".join
)  # fmt: skip
def test_what_the_real_tools_print_is_read(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    raw = DIGITS
    text = subprocess.run(command, input=raw, capture_output=True, check=True).stdout
    try:
        assert read_report(text).report.to_bytes() == raw
    except InputError as error:
        # Without addresses nothing shows which way round words are, and xxd -i of a pipe has no brackets.
        assert "n" in command or "-i" in command, error  # noqa: PT017


@given(raw=st.binary(max_size=4000), form=st.sampled_from(sorted(FORMS)))
def test_what_does_not_fit_is_named_in_one_line(raw: bytes, form: str) -> None:
    made = FORMS[form](raw)
    with pytest.raises(InputError) as caught:
        read_bytes(made.encode() if isinstance(made, str) else made, lambda one: False, "x", "y")
    one_line(caught.value)


@pytest.mark.parametrize(
    ("raw", "words_"),
    [
        (REPORT.decode("latin-1").encode(), "converted to UTF-8"),
        (REPORT.decode("utf-8", "replace").encode(), "lost bytes"),
        (b"<!DOCTYPE html><html><body>429 Too Many Requests</body></html>", "an HTML page"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "CSR"),
        (KeyServer().ask("Milan"), "certificate"),
        (b"\x0a\xa0\x09" + REPORT, "a protobuf message"),
        (b"\xa1\x66report\x59\x04\xa0" + REPORT, "CBOR"),
        (b"\x04\x00\x02\x00\x81\x00\x00\x00" + bytes(600), "TDX"),
        (json.dumps({"error": "not found"}).encode(), "JSON without a field"),
        (b"[    0.1] Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP\n", "bytes of text"),
        (REPORT.hex()[:-1].encode(), "2367 hex digits, an odd number"),
        (bytes(8) + b"\x04\x82\x04\xa0" + REPORT, "tail -c +13 FILE | head -c 1184"),
        (REPORT.hex().encode() + b"0011", "head -c 1184 of the bytes"),
        (hexdump(REPORT).replace("\n00000090 ", "\n00000098 ").encode(), "lines are missing"),
        (xxd(REPORT).replace("00000020:", "00000030:").encode(), "lines are missing"),
        (json.dumps({"a": REPORT.hex()}).encode() + b'\n{"a": "00', "JSON without a field"),
        (json.dumps({"version": 3, "guest_svn": 0, "policy": 196608}).encode(), "the fields of a report as text"),
        (b"Attestation Report:\nVersion: 3\nGuest SVN: 0\n", "the fields of a report as text"),
        (bytes(40) + b"_FVH" + bytes(2000), "guest firmware"),
        (bytes(257) + b"ustar" + bytes(2000), "a tar archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", "git lfs pull"),
        (bytes(4) + (1184).to_bytes(4, "little") + bytes(24) + REPORT + bytes(4000 - 1216), "head -c 1184"),
    ],
)
def test_what_is_no_report_is_named(raw: bytes, words_: str) -> None:
    with pytest.raises(InputError) as caught:
        read_report(raw)
    assert words_ in str(caught.value)


def test_converted_line_ends_are_recognised_and_never_undone() -> None:
    raw = bytearray(REPORT)
    raw[0x60:0x64] = b"\n\x01\n\x02"
    with pytest.raises(InputError, match="LF to CRLF"):
        read_report(bytes(raw).replace(b"\n", b"\r\n"))


def test_two_fields_that_fit_and_differ_are_not_chosen_from() -> None:
    two = {"old": base64.b64encode(REPORT).decode(), "new": base64.b64encode(b"\x05" + REPORT[1:]).decode()}
    with pytest.raises(InputError, match="2 different values"):
        read_report(json.dumps(two).encode())


def test_elements_of_xml_are_not_joined_to_a_report() -> None:
    whole, half, rest = REPORT.hex(), REPORT.hex()[:-8], REPORT.hex()[-8:]
    assert read_report(f"<a><b>{whole}</b><c>{whole}</c><d>00</d></a>".encode()).report.to_bytes() == REPORT
    for text, words_ in (
        (f"<a><b>{half}</b><c>{rest}</c></a>", "breaks off"),
        (f"<a><b>{whole}</b><c>05{whole[2:]}</c></a>", "2 different values"),
    ):
        with pytest.raises(InputError, match=words_):
            read_report(text.encode())
    assert read_report(f"<pre><b>{xxd(REPORT)}</b></pre>".encode()).report.to_bytes() == REPORT


def test_a_report_in_pem_is_read() -> None:
    pem = f"-----BEGIN SEV-SNP REPORT-----\n{base64.encodebytes(REPORT).decode()}-----END SEV-SNP REPORT-----\n"
    assert read_report(pem.encode()).report.to_bytes() == REPORT


def test_azure_s_file_holds_the_report_behind_its_header() -> None:
    raw = b"HCLA" + bytes(28) + REPORT + bytes(20) + b'{"keys": []}'
    found = read_report(raw)
    assert found.report.to_bytes() == REPORT
    assert "Azure's HCLA file" in found.note
    assert read_report(raw.hex().encode()).report.to_bytes() == REPORT


@pytest.mark.parametrize("name", sorted(path.name for path in (CASES / "report-forms").glob("*")))
def test_the_forms_people_sent(name: str) -> None:
    raw = case("report-forms", name).read_bytes()
    if name == "utf8-mangled.bin":
        with pytest.raises(InputError, match="converted to UTF-8"):
            read_report(raw)
    else:
        assert read_report(raw).report.version in (2, 3, 5)


@pytest.mark.parametrize("name", ["vcek.hex", "vcek.b64"])
def test_a_certificate_as_text_is_read(name: str) -> None:
    assert parse_bundle(vcek=case("cert-forms", name).read_bytes()).vcek is not None


def test_certificates_in_every_form() -> None:
    server, der = KeyServer(), KeyServer().ask("Milan")
    for name, make in FORMS.items():
        made = make(der)
        found = parse_bundle(ask=made.encode() if isinstance(made, str) else made).ask
        assert found is not None, name
        assert found.der == der
    tabled = FORMS["base64"](table(ask=der, ark=server.ark("Milan")))
    assert isinstance(tabled, str)
    assert parse_bundle(certs=tabled.encode()).ark is not None


def test_a_leaf_with_its_chain_in_one_file_is_taken() -> None:
    server = KeyServer()
    sample = (SAMPLES / "vcek-snp.der").read_bytes()
    chain = (SAMPLES / "chain-snp.pem").read_bytes()
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(sample) + b"-----END CERTIFICATE-----\n"
    azure = json.dumps({"vcekCert": pem.decode(), "tcbm": "DB19", "certificateChain": chain.decode()}).encode()
    one_line = (pem + chain).replace(b"\n", b"\\n")
    with pytest.raises(InputError, match="it is PEM"):
        parse_bundle(certs=chain)
    for whole in (pem + chain, chain + pem, json.dumps({"x": (pem + chain).decode()}).encode(), azure, one_line):
        found = parse_bundle(vcek=whole)
        assert found.vcek is not None
        assert found.vcek.der == sample
        assert found.ask is not None
        assert found.ark is not None
        with pytest.raises(InputError, match="the chain once"):
            parse_bundle(vcek=whole, ark=server.ark("Milan"))
    with pytest.raises(InputError, match="no VCEK among them"):
        parse_bundle(vcek=chain)


@pytest.mark.parametrize("name", ["table-mixed-endian-guids.bin", "table-big-endian-guids.bin"])
def test_guids_of_a_table_are_read_in_either_order(name: str) -> None:
    found = parse_bundle(certs=case("cert-forms", name).read_bytes())
    assert [one.kind for one in (found.vcek, found.ask, found.ark) if one] == ["VCEK", "ASK", "ARK"]


def test_sev_s_own_format_is_named_where_x509_is_needed() -> None:
    with pytest.raises(InputError, match=r"SEV's own format.*X\.509"):
        parse_bundle(chain=case("cert-forms", "ask-ark-in-sev-format.cert").read_bytes())


def test_what_qemu_and_virsh_print_holds_a_chain(tmp_path: Path) -> None:
    text = case("chain-forms", "query-sev-capabilities.json").read_text()
    answer = json.loads(text)["return"]
    lines = "".join(f"{name:<15}: {answer[name]}\n" for name in ("cbitpos", "reduced-phys-bits", "pdh", "cert-chain"))
    for number, content in enumerate((text, lines)):
        path = tmp_path / str(number)
        path.write_text(content)
        chain = load_chain(str(path))
        assert len(chain.certificates) == 4
        verdict = chain.verify()
        assert verdict.status == "not_decided"
        assert "could not be checked" in verdict.words
        assert "ask_ark_PRODUCT.cert" in str(verdict.explain())


def test_x509_is_named_where_sev_s_own_format_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chain", "verify", str(case("chain-forms", "x509-chain.pem"))]) == 2
    assert "sevlab report verify" in capsys.readouterr().err


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message, of bytes."""
    size, low = divmod(len(content), 128)
    return bytes([number << 3 | 2, *([low | 128, size] if size else [low])]) + content


def test_a_launch_endorsement_of_gce_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = field(1, b"\x08\x01") + field(4, b"certificate") + field(5, bytes(48)) + field(7, field(2, b"\x08\x02"))
    raw = field(1, golden) + field(2, b"signature" * 20)
    for name, make in {"raw": bytes, **FORMS}.items():
        made = make(raw)
        (tmp_path / "e").write_bytes(made if isinstance(made, bytes) else made.encode())
        report, vcek = str(SAMPLES / "report-snp.bin"), ["--vcek", str(tmp_path / "e")]
        for words_ in (
            ["show", str(tmp_path / "e")],
            ["verify", report, *vcek],
            ["verify", report, "--certs", vcek[1]],
        ):
            assert main(["report", *words_]) == 2
            assert "gce-tcb-verifier" in capsys.readouterr().err, (name, words_)
    guid = bytes.fromhex("9f4116cdc5034f5a8f6ffb68882f4ce2")
    alone = guid + struct.pack("<II", 48, len(raw)) + bytes(24) + raw
    with pytest.raises(InputError, match=r"only a gce endorsement.*gce-tcb-verifier"):
        parse_bundle(certs=alone)


@pytest.mark.parametrize("form", ["hex", "xxd", "hexdump -C", "base64", "JSON list"])
def test_a_vmsa_and_an_id_block_are_read_in_other_forms(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (tmp_path / "page").as_posix()
    assert main(["vmsa", "build", page, "--vcpu-type", "EPYC-Milan", "--cpu", "0"]) == 0
    made = FORMS[form](Path(page).read_bytes())
    (tmp_path / "other").write_text(str(made))
    capsys.readouterr()
    assert main(["vmsa", "diff", page, str(tmp_path / "other")]) == 0
    update = ["--cpu", "0", "--vcpu-type", "EPYC-Genoa"]
    assert main(["vmsa", "update", str(tmp_path / "other"), *update]) == 0
    assert main(["vmsa", "update", page, *update]) == 0
    assert (tmp_path / "other").read_bytes() == Path(page).read_bytes()


def test_text_is_no_structure_of_its_own_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, digits = tmp_path / "page", tmp_path / "digits"
    for size, words_ in ((1184, ["report", "show"]), (4096, ["vmsa", "show"]), (96, ["id-block", "show"])):
        digits.write_text(REPORT.hex()[:size] if size < 4096 else "0" * size)
        assert main([*words_, str(digits)]) == 2
        said = capsys.readouterr().err
        assert f"hex text of {size // 2} bytes" in said, words_
        assert "one page of" not in said
    page.write_bytes(bytes(2 * 4096))
    assert main(["vmsa", "show", str(page)]) == 2
    assert "one page of the 2 at a time" in capsys.readouterr().err


def test_two_tables_that_differ_are_not_chosen_from() -> None:
    server = KeyServer()
    tables = [table(ask=server.ask(product), ark=server.ark(product)).hex() for product in ("Milan", "Genoa")]
    with pytest.raises(InputError, match="2 different certificate tables"):
        parse_bundle(certs=json.dumps(tables).encode())
    assert parse_bundle(certs=json.dumps(tables[:1] * 2).encode()).ask is not None


@pytest.mark.parametrize("name", ["turin-v5", "genoa-v5", "milan-v3"])
def test_real_reports_verify_and_show_without_an_alarm(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    product = name.split("-")[0]
    report = shared_data("snp", f"{name}-report.bin")
    measurement = report.read_bytes()[0x90:0xC0].hex()
    words_ = ["report", "verify", str(report), "--vcek", str(shared_data("snp", f"{name}-vcek.der"))]
    words_ += ["--ask", str(shared_data("snp", f"{product}-ask.pem")), "--ark"]
    words_ += [str(shared_data("snp", f"{product}-ark.pem")), "--measurement", measurement]
    assert main(words_) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].strip() == f"OK: a genuine {product.title()} reports the measurement that you required"
    assert "not known" not in out
    assert main(["report", "show", str(report)]) == 0
    shown = capsys.readouterr().out
    assert "Nothing: no reserved byte or bit is set." in shown
    assert "FINDING" not in shown
    assert f"from {product.title()}" in shown


def test_an_unknown_product_and_its_guessed_tcb_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "show", str(case("report-unknown-cpuid.bin"))]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "from a product that sevlab does not know" in shown
    assert "which is a guess" in shown
    assert "Milan or Genoa" not in shown


_REPORT = ["report", "verify", "report", "--trust-root", "ark", "--at", "2026-01-15"]
_CHAIN = ["--vcek", "vcek", "--chain", "chain"]
#: Every verb and option that reads evidence in bytes; a word that is the name of a file stands for the file.
READING = {
    "report show": ["report", "show", "report"],
    "report verify": [*_REPORT, *_CHAIN],
    "report verify --ask --ark": [*_REPORT, "--vcek", "vcek", "--ask", "ask", "--ark", "ark"],
    "report verify --certs": [*_REPORT, "--certs", "table"],
    "report verify --crl": [*_REPORT, *_CHAIN, "--crl", "crl"],
    "advise": ["advise", "--report", "report"],
    "diagnose": [
        *("diagnose", "--mode", "snp", "--ovmf", str(SAMPLES / "firmware-snp.fd"), "--vcpus", "4"),
        *("--vcpu-type", "EPYC-Milan", "--report", "report", "--max-changes", "1", "--json"),
    ],
    "id-block show": ["id-block", "show", "block", "auth"],
    "vmsa show": ["vmsa", "show", "vmsa"],
    "vmsa diff": ["vmsa", "diff", "vmsa", "vmsa"],
    "chain verify": ["chain", "verify", "sev-chain"],
}


@pytest.mark.parametrize("form", ["hex", "base64url without padding", "hexdump -C", "Rust", "JSON field"])
@pytest.mark.parametrize("verb", READING)
def test_every_verb_reads_every_form(
    verb: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = KeyServer()
    leaf, pem = (SAMPLES / "vcek-snp.der").read_bytes(), (SAMPLES / "chain-snp.pem").read_bytes()
    ask, ark = (one.der for one in parse_chain(pem))
    contents = {
        "report": REPORT,
        "vcek": leaf,
        "chain": pem,
        "ask": ask,
        "ark": ark,
        "crl": server.crl("Milan"),
        "table": table(vcek=leaf, ask=ask, ark=ark),
        "block": bytes(96),
        "auth": bytes(4096),
        "vmsa": build_vmsa("qemu", signature=0xA00F11).to_bytes(),
        "sev-chain": case("chain-forms", "exported-without-ask-ark.cert").read_bytes(),
    }

    def said(make: Callable[[bytes], bytes | str]) -> tuple[int, str]:
        for name, content in contents.items():
            made = make(content)
            (tmp_path / name).write_bytes(made if isinstance(made, bytes) else made.encode())
        status = main(READING[verb])
        text = re.sub(r'Read from .*?\.\n|"(seconds|rate|tried)": .*', "", capsys.readouterr().out)
        return status, re.sub(r"\d+\.\d+ seconds", "", text)

    monkeypatch.chdir(tmp_path)
    raw = said(bytes)
    assert raw[1]
    assert said(FORMS[form]) == raw


_ES = ["--api-major", "0", "--api-minor", "22", "--build-id", "13", "--policy", "5", "--num-cpus", "2"]
_ES += ["--firmware", str(SAMPLES / "firmware.fd"), "--vmsa-cpu0", "boot", "--vmsa-cpu1", "further"]
_KEYS = ["--tk", str(SAMPLES / "tk.bin")]
#: Every verb that computes a launch from registers; "measured" stands for the measurement.
FROM_REGISTERS = {
    "measure": ["measure", *_ES, "--tik", str(SAMPLES / "tik.bin"), "--nonce", "00" * 16],
    "explain": ["explain", *_ES, *_KEYS, "--measurement", "measured"],
    "diagnose": ["diagnose", *_ES, *_KEYS, "--measurement", "measured", "--max-changes", "1"],
    "explain --case": ["explain", "--case", "c.toml"],
    "diagnose --case": ["diagnose", "--case", "c.toml"],
    "digest --case": ["digest", "--case", "c.toml"],
    "case verify": ["case", "verify", "c.toml", "--own-case"],
}


@pytest.fixture
def measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, Callable[[bytes], bytes | str]], tuple[int, str, str]]:
    """Run a verb on a launch with registers in this form; return its status and what it printed."""
    monkeypatch.chdir(tmp_path)
    pages = {name: build_vmsa("qemu", cpu=n, signature=0xA00F11, reset_address=n << 16).to_bytes() for n, name in
             enumerate(("boot", "further"))}  # fmt: skip
    for name, page in pages.items():
        Path(name).write_bytes(page)
    assert main(FROM_REGISTERS["measure"]) == 0
    text = capsys.readouterr().out.strip()

    def run(verb: str, make: Callable[[bytes], bytes | str]) -> tuple[int, str, str]:
        for name, page in pages.items():
            made = make(page)
            Path(name).write_bytes(made if isinstance(made, bytes) else made.encode())
        if "case" in verb:
            new = ["case", "new", *_ES, *_KEYS, "--measurement", text, "-o", "c.toml", "--force"]
            assert main(new) == 0, capsys.readouterr()
            capsys.readouterr()
        status = main([text if word == "measured" else word for word in FROM_REGISTERS[verb]])
        out, err = capsys.readouterr()
        lines = [line for line in re.sub(r"[\d.]+ seconds", "", out).splitlines() if "NOTE: --vmsa" not in line]
        return status, " ".join(" ".join(lines).split()), out + err

    return run


@pytest.mark.parametrize("verb", FROM_REGISTERS)
def test_registers_in_any_form_give_what_the_bytes_give(
    verb: str, measured: Callable[[str, Callable[[bytes], bytes | str]], tuple[int, str, str]]
) -> None:
    status, plain, _ = measured(verb, bytes)
    assert status == 0
    for form, make in FORMS.items():
        found, out, said = measured(verb, make)
        assert (found, out) == (0, plain), (form, said)
        told = re.findall(r"NOTE: --vmsa-cpu(\d): read from", said)
        assert told == ([] if form == "raw" or verb == "case verify" else ["0", "1"]), (form, said)
        if verb == "case verify":
            assert sevlab.compare_measure(sevlab.load_case("c.toml", own=True)).matches, form


def test_a_case_of_snp_has_registers_in_any_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, found = build_vmsa("qemu", signature=0xA00F11).to_bytes(), set[str]()
    for form in ("raw", "xxd", "JSON field"):
        made = FORMS[form](page)
        (tmp_path / "page").write_bytes(made if isinstance(made, bytes) else made.encode())
        files = {"firmware": SAMPLES / "firmware-snp.fd", "vmsa-cpu0": tmp_path / "page"}
        rows = [
            f"{name} = {{ path = '{path}', sha256 = '{hashlib.sha256(path.read_bytes()).hexdigest()}' }}"
            for name, path in files.items()
        ]
        words_ = ["format = 2", "[owner]", *rows, "num-cpus = 1", "[launch]", 'mode = "snp"']
        (tmp_path / "c.toml").write_text("\n".join(words_))
        assert main(["digest", "--case", str(tmp_path / "c.toml"), "--own-case"]) == 0, form
        found.add(capsys.readouterr().out)
    assert len(found) == 1


def test_the_debugger_reads_registers_in_any_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {
        "api_major": 0,
        "api_minor": 22,
        "build_id": 13,
        "policy": 5,
        "num_cpus": 1,
        "tik": str(SAMPLES / "tik.bin"),
    }
    page, path = build_vmsa("qemu", signature=0xA00F11).to_bytes(), tmp_path / "page"
    path.write_bytes(page)
    inputs = {**given, "firmware": str(SAMPLES / "firmware.fd"), "vmsa_cpu0": str(path)}
    words_ = [word for name, value in inputs.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["measure", *words_, "--nonce", "00" * 16]) == 0
    inputs["measurement"] = capsys.readouterr().out.strip()
    for form in ("raw", "hexdump -C", "base64", "JSON field"):
        made = FORMS[form](page)
        path.write_bytes(made if isinstance(made, bytes) else made.encode())
        verdict = sevlab.debugger(inputs).verdict
        assert verdict is not None, form
        assert verdict.matches, form
    path.write_bytes(page.decode("latin-1").encode()[:-1] + b"\xc3\xbf")
    assert sevlab.debugger(inputs).verdict is None


def test_validate_takes_registers_as_libvirt_s_tool_does(
    measured: Callable[[str, Callable[[bytes], bytes | str]], tuple[int, str, str]],
) -> None:
    FROM_REGISTERS["validate"] = ["validate", *FROM_REGISTERS["explain"][1:]]
    assert measured("validate", bytes)[0] == 0
    for form in ("hex", "xxd", "hexdump -C", "JSON field"):
        status, _, said = measured("validate", FORMS[form])
        assert status == 2
        assert "--vmsa-cpu0: received 'boot', " in said
        assert "needed a VMSA of 4096 raw bytes" in said


@pytest.mark.parametrize(
    ("make", "words_"),
    [
        (lambda page: page.replace(b"\n", b"\r\n"), "LF to CRLF"),
        (lambda page: page.decode("latin-1").encode(), "converted to UTF-8"),
        (lambda page: page.decode("utf-8", "replace").encode(), "lost bytes"),
        (lambda page: page * 2, "one page of the 2 at a time"),
        (lambda page: page + b"\n", "4097 bytes"),
        (lambda page: page.hex()[:-2], "4095 bytes"),
        (lambda page: REPORT, "an attestation report"),
        (lambda page: b"IGVM" + bytes(100_000), "IGVM"),
        (lambda page: bytes(100_000), "more than 65536 bytes"),
        (lambda page: b"<html><body>404</body></html>", "an HTML page"),
    ],
)
@pytest.mark.parametrize("verb", ["measure", "explain", "diagnose"])
def test_registers_that_were_spoiled_or_are_something_else_are_named(
    make: Callable[[bytes], bytes | str],
    words_: str,
    verb: str,
    measured: Callable[[str, Callable[[bytes], bytes | str]], tuple[int, str, str]],
) -> None:
    def spoiled(page: bytes) -> bytes | str:
        return make(page[:16] + b"\n\x93\n\xff" + page[20:])

    status, _, said = measured(verb, spoiled)
    assert status == 2
    assert "--vmsa-cpu0: received 'boot', " in said
    assert words_ in said
