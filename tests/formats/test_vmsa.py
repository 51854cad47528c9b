"""The VMSA: declared once, parsed, shown and compared; and the command that works with it."""

from __future__ import annotations

import json
import os
import random
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sevlab import InputError, Vmsa, build_vmsa, compare, explain
from sevlab.attestation.byte_forms import read_page
from sevlab.cli import main
from sevlab.formats.vmsa import DIGEST, EFFECTS, HARMLESS, MEANING, UNHASHED, Segment, SevFeatures, VmsaComparison
from sevlab.launch.values import load_vmsa
from sevlab.layout.structure import Layout, at
from tests.shared_data import shared_data
from tests.soak import many

ZERO = Vmsa.from_bytes(bytes(4096))
# Some random bytes at a random place in zeros, or random bytes throughout (too many for hypothesis to draw itself).
SPARSE = st.tuples(st.binary(min_size=1, max_size=64), st.integers(0, 4032)).map(
    lambda drawn: (bytes(drawn[1]) + drawn[0]).ljust(4096, b"\0")
)
PAGES = SPARSE | st.integers(0, 1 << 32).map(lambda seed: random.Random(seed).randbytes(4096))
#: vmsa section 1, as offset of the first byte of each field.
OFFSETS = {
    "es": 0x000, "cs": 0x010, "ss": 0x020, "ds": 0x030, "fs": 0x040, "gs": 0x050, "gdtr": 0x060, "ldtr": 0x070,
    "idtr": 0x080, "tr": 0x090, "pl0_ssp": 0x0A0, "u_cet": 0x0C0, "vmpl": 0x0CA, "cpl": 0x0CB, "efer": 0x0D0,
    "xss": 0x140, "cr4": 0x148, "cr3": 0x150, "cr0": 0x158, "dr7": 0x160, "dr6": 0x168, "rflags": 0x170, "rip": 0x178,
    "dr0": 0x180, "dr0_addr_mask": 0x1A0, "rsp": 0x1D8, "s_cet": 0x1E0, "ssp": 0x1E8, "isst_addr": 0x1F0, "rax": 0x1F8,
    "star": 0x200, "lstar": 0x208, "cstar": 0x210, "sfmask": 0x218, "kernel_gs_base": 0x220, "sysenter_cs": 0x228,
    "sysenter_esp": 0x230, "sysenter_eip": 0x238, "cr2": 0x240, "g_pat": 0x268, "dbgctl": 0x270, "br_from": 0x278,
    "br_to": 0x280, "last_excp_from": 0x288, "last_excp_to": 0x290, "spec_ctrl": 0x2E0, "pkru": 0x2E8,
    "tsc_aux": 0x2EC, "guest_tsc_scale": 0x2F0, "guest_tsc_offset": 0x2F8, "reg_prot_nonce": 0x300, "rcx": 0x308,
    "rdx": 0x310, "rbx": 0x318, "rbp": 0x328, "rsi": 0x330, "rdi": 0x338, "r8": 0x340, "r15": 0x378,
    "guest_exit_info_1": 0x390, "guest_exit_info_2": 0x398, "guest_exit_int_info": 0x3A0, "guest_nrip": 0x3A8,
    "sev_features": 0x3B0, "vintr_ctrl": 0x3B8, "guest_exit_code": 0x3C0, "virtual_tom": 0x3C8, "tlb_id": 0x3D0,
    "pcpu_id": 0x3D8, "event_inj": 0x3E0, "xcr0": 0x3E8, "x87_dp": 0x400, "mxcsr": 0x408, "x87_ftw": 0x40C,
    "x87_fsw": 0x40E, "x87_fcw": 0x410, "x87_fop": 0x412, "x87_ds": 0x414, "x87_cs": 0x416, "x87_rip": 0x418,
    "fpreg_x87": 0x420, "fpreg_xmm": 0x470, "fpreg_ymm": 0x570, "padding": 0x670,
}  # fmt: skip
#: vmsa section 4.
FEATURES = {
    "snp_active": 0, "vtom": 1, "reflect_vc": 2, "restricted_injection": 3, "alternate_injection": 4, "debug_swap": 5,
    "prevent_host_ibs": 6, "btb_isolation": 7, "vmpl_sss": 8, "secure_tsc": 9, "vmgexit_parameter": 10,
    "pmc_virtualization": 11, "ibs_virtualization": 12, "guest_intercept_control": 13, "vmsa_reg_prot": 14,
    "smt_protection": 15, "secure_avic": 16, "ibpb_on_entry": 21, "allowed_features_enable": 63,
}  # fmt: skip


# The declaration


def test_fields_lie_where_the_sources_say() -> None:
    declared = {row.name: row.offset for row in Vmsa.rows}
    assert {name: declared[name] for name in OFFSETS} == OFFSETS


def test_feature_bits_lie_where_the_sources_say() -> None:
    assert {row.name: row.low for row in SevFeatures.rows if not row.reserved} == FEATURES


def test_segment_is_selector_attributes_limit_base() -> None:
    segment = Segment.from_bytes(bytes.fromhex("1000930cffffffff0000800000000000"))
    assert (segment.selector, segment.attrib, segment.limit, segment.base) == (0x10, 0xC93, 0xFFFFFFFF, 0x800000)
    assert segment.attrib.text == "0x0c93 (S, P, DB, G, TYPE=3)"


def test_every_row_says_what_it_is() -> None:
    assert [row.name for row in Vmsa.rows if not row.doc.endswith(".")] == []


@given(PAGES)
def test_any_page_parses_and_builds_back_to_itself(raw: bytes) -> None:
    vmsa = Vmsa.from_bytes(raw)
    assert vmsa.to_bytes() == raw
    assert b"".join(span.raw for span in vmsa.spans()) == raw


@given(SPARSE, st.integers(0, 8 * 4096 - 1))
@settings(max_examples=many(50, 10))
def test_one_flipped_bit_is_one_differing_field(raw: bytes, position: int) -> None:
    flipped = bytearray(raw)
    flipped[position // 8] ^= 1 << position % 8
    comparison = compare(Vmsa.from_bytes(raw), Vmsa.from_bytes(bytes(flipped)))
    assert isinstance(comparison, VmsaComparison)
    (difference,) = comparison.differences
    assert comparison.differing == [difference.reported.name]
    assert 0 <= position // 8 - difference.reported.offset < difference.reported.size
    assert comparison.marked == [position // 8]


def test_replace_takes_a_segment_or_a_field_of_one() -> None:
    segment = Segment(selector=0xF000, attrib=0x9B, limit=0xFFFF, base=0xFFFF0000)
    vmsa = ZERO.replace(cs=segment, rip=0xFFF0)
    assert vmsa.cs == segment
    moved = vmsa.replace(**{"cs.base": 0x800000, "cs.selector": 0x10})
    assert moved.cs == segment.replace(base=0x800000, selector=0x10)
    assert compare(vmsa, moved).differing == ["cs.selector", "cs.base"]


@pytest.mark.parametrize("name", ["cs.rip", "cs.base.x", "rip.base", "nothing", "nothing.base", "."])
def test_replace_refuses_an_unknown_name(name: str) -> None:
    with pytest.raises(TypeError, match="has no field named"):
        ZERO.replace(**{name: 0})


# What is shown


def test_a_page_is_shown_by_its_nonzero_fields() -> None:
    vmsa = build_vmsa("qemu-legacy", signature=0x00A00F11)
    text = str(explain(vmsa))
    assert text == str(vmsa)
    assert f"{vmsa.to_bytes().count(0)} of 4096 bytes are zero." in text
    fields = {line.split("  ")[0] for line in text.splitlines()}
    shown = {span.name for span in vmsa.spans() if any(span.raw)}
    hidden = {span.name for span in vmsa.spans()} - shown
    assert shown <= fields
    assert not hidden & fields
    assert len(text.splitlines()) < 100
    assert max(map(len, text.splitlines())) <= 100


def test_a_page_of_zeros_is_said_to_be_one() -> None:
    assert "4096 of 4096 bytes are zero." in str(ZERO)


def test_html_holds_what_the_text_holds_and_nothing_that_changes() -> None:
    vmsa = build_vmsa("qemu", signature=0x00A00F11, sev_features=0x21)
    html = explain(vmsa).html()
    assert html == explain(Vmsa.from_bytes(vmsa.to_bytes())).html()
    assert "DEBUG_SWAP" in html
    assert "bytes are zero" in html
    assert html.count("<tr>") == 1 + sum(any(span.raw) for span in vmsa.spans())
    assert "<script" not in html
    assert " id=" not in html


@given(PAGES)
@settings(max_examples=5)
def test_any_page_can_be_shown_and_compared(raw: bytes) -> None:
    vmsa = Vmsa.from_bytes(raw)
    comparison = compare(vmsa, ZERO)
    for view in (vmsa.explain(), comparison.explain()):
        assert len(view.text().splitlines()) < 700
        assert max(map(len, view.text().splitlines())) < 140
        assert len(view.html()) < 200_000
    json.dumps(comparison.as_dict())


def test_long_bytes_are_shown_where_they_are_not_zero() -> None:
    page = ZERO.replace(padding=bytes(1000) + b"\xab" + bytes(1447))
    text = str(page)
    assert "1 of 2448 bytes" in text
    assert f"at 0x{0x670 + 1000:x}" in text
    assert "ab 00 00 00" in text
    assert "FINDING: not 0, and not known to sevlab." in page.explain().html()


class Large(Layout, size=512, spec="made up"):
    """A large structure."""

    number: int = at(0, 8, "A number.")
    rest: bytes = at(8, 504, "Bytes.", type=bytes)


def test_any_large_structure_is_compared_by_what_differs() -> None:
    one = Large(number=1, rest=bytes(504))
    text = str(compare(one, Large(number=1, rest=bytes(500) + b"\xcd" + bytes(3))))
    assert "Fields that differ: rest" in text
    assert "at 0x1fc:" in text
    assert "cd 00 00 00" in text
    assert len(text.splitlines()) < 8
    assert str(compare(one, one)).strip() == "All fields match"


# What a difference does


IN_CONTROL = ["rip", "cs.base", "cr0", "cr4", "efer", "sev_features", "vmpl", "cpl", "idtr.base"]
IN_NO_CONTROL = [
    "rdx",
    "mxcsr",
    "x87_fcw",
    "g_pat",
    "r15",
    "tlb_id",
    "ss.attrib",
    "guest_tsc_scale",
    "guest_tsc_offset",
]


@pytest.mark.parametrize(
    ("field", "effect"), [*((name, MEANING) for name in IN_CONTROL), *((name, DIGEST) for name in IN_NO_CONTROL)]
)
def test_what_a_difference_does_under_sev_es(field: str, effect: str) -> None:
    (difference,) = ZERO.compare(ZERO.replace(**{field: 2})).differences
    assert (difference.reported.name, difference.effect) == (field, effect)


def test_a_reserved_byte_changes_the_digest() -> None:
    (difference,) = ZERO.compare(ZERO.replace(reserved_0c8=b"\1\0")).differences
    assert difference.effect == DIGEST


@pytest.mark.parametrize("field", ["guest_tsc_scale", "guest_tsc_offset"])
def test_time_stamp_fields_are_harmless_only_between_two_snp_pages(field: str) -> None:
    snp = ZERO.replace(sev_features=1)
    assert [d.effect for d in snp.compare(snp.replace(**{field: 1})).differences] == [HARMLESS]
    mixed = snp.compare(ZERO.replace(**{field: 1})).differences
    assert {d.reported.name: d.effect for d in mixed} == {field: DIGEST, "sev_features": MEANING}


def test_only_those_two_fields_are_ever_harmless() -> None:
    snp, harmless = ZERO.replace(sev_features=1), []
    for row in Vmsa.rows:
        if row.name != "sev_features":
            (difference, *_) = snp.compare(snp.from_bytes(flipped(snp.to_bytes(), row.offset))).differences
            harmless += [row.name] if difference.effect == HARMLESS else []
    assert harmless == ["guest_tsc_scale", "guest_tsc_offset"] == list(UNHASHED)


def flipped(raw: bytes, offset: int) -> bytes:
    return raw[:offset] + bytes([raw[offset] ^ 1]) + raw[offset + 1 :]


def test_a_comparison_explains_its_words() -> None:
    text = str(compare(ZERO, ZERO.replace(rip=1)))
    assert "Different: 1 field, 1 byte of 4096." in text
    assert [word for word in EFFECTS if f"{word}: " in text] == [MEANING]
    both = str(compare(ZERO, ZERO.replace(rip=1, r8=1)))
    assert [word for word in EFFECTS if f"{word}: " in both] == [MEANING, DIGEST]
    assert "The same: all 4096 bytes are equal." in str(compare(ZERO, ZERO))


# Files


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "nothing"),
        (bytes(4095), "4095 bytes"),
        (bytes(8192), "one page of the 2 at a time"),
        (bytes(4095).hex().encode() + b"\n", "hex text of 4095 bytes"),
        (b"AAA/" * 1366, "base64 text of 4098 bytes"),
        (bytes(70000), "more than 65536 bytes"),
    ],
)
def test_a_file_of_another_size_is_told_as_what_it_may_be(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "page"
    path.write_bytes(raw)
    with pytest.raises(InputError, match="a VMSA of 4096 bytes") as caught:
        read_page(str(path), "VMSA")
    assert words in str(caught.value)


@given(raw=st.binary(max_size=200))
def test_any_short_file_is_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "short"
    path.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        load_vmsa(str(path))
    with pytest.raises(InputError):
        read_page(str(path), "VMSA")
    assert "\n" not in str(caught.value)


# The command


def vmsa(*words: str) -> int:
    return main(["vmsa", *words])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


MILAN = ["--family", "25", "--model", "1", "--stepping", "1"]


def test_build_writes_what_build_vmsa_makes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vmsa("build", "a", *MILAN, "--cpu", "0") == 0
    assert (folder / "a").read_bytes() == build_vmsa("qemu-legacy", signature=0x00A00F11).to_bytes()
    assert "0xfffffff0" in capsys.readouterr().out
    assert (
        vmsa(
            "build", "b", "--vcpu-type", "EPYC-Milan-v2", "--cpu", "0x0", "--profile", "qemu", "--sev-features", "0x21"
        )
        == 0
    )
    assert (folder / "b").read_bytes() == build_vmsa("qemu", signature=0x00A00F11, sev_features=0x21).to_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]  # fmt: skip


def test_build_takes_the_start_address_from_the_firmware(folder: Path) -> None:
    firmware = str(shared_data("firmware", "ovmf_AmdSev_suffix.bin"))
    assert vmsa("build", "a", *MILAN, "--cpu", "1", "--firmware", firmware) == 0
    wanted = build_vmsa("qemu-legacy", cpu=1, signature=0x00A00F11, reset_address=0x0080B004)
    assert (folder / "a").read_bytes() == wanted.to_bytes()


def test_build_overwrites_only_when_forced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a").write_bytes(b"precious")
    (folder / "link").symlink_to("nowhere")
    for name in ("a", "link"):
        assert vmsa("build", name, *MILAN, "--cpu", "0") == 2
        assert "--force" in capsys.readouterr().err
    assert (folder / "a").read_bytes() == b"precious"
    (folder / "a").chmod(0o600)
    assert vmsa("build", "a", *MILAN, "--cpu", "0", "--force") == 0
    assert len((folder / "a").read_bytes()) == 4096
    assert stat.S_IMODE((folder / "a").stat().st_mode) == 0o600


def test_a_fixed_rdx_needs_no_cpu_and_a_given_one_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vmsa("build", "a", "--profile", "ec2", "--cpu", "0") == 0
    assert capsys.readouterr().err == ""
    assert vmsa("build", "b", "--profile", "ec2", "--cpu", "0", *MILAN) == 0
    assert "play no part" in capsys.readouterr().err
    assert load_vmsa("a") == load_vmsa("b")
    assert load_vmsa("a").rdx == 0x600


@given(page=SPARSE)
@settings(max_examples=many(10, 5))
def test_update_keeps_every_other_byte(tmp_path_factory: pytest.TempPathFactory, page: bytes) -> None:
    path = tmp_path_factory.mktemp("update") / "page"
    path.write_bytes(page)
    assert vmsa("update", str(path), *MILAN, "--cpu", "0") == 0
    assert path.read_bytes() == page[:0x310] + (0x00A00F11).to_bytes(8, "little") + page[0x318:]


def test_update_of_an_application_processor_moves_its_start(folder: Path) -> None:
    firmware = str(shared_data("firmware", "ovmf_AmdSev_suffix.bin"))
    before = Vmsa.from_bytes(bytes(range(256)) * 16)
    (folder / "a").write_bytes(before.to_bytes())
    assert vmsa("update", "a", "--cpu", "2", "--firmware", firmware) == 0
    assert load_vmsa("a") == before.replace(**{"cs.base": 0x800000}, rip=0xB004)
    assert vmsa("update", "a", "--cpu", "2", "--firmware", firmware, "--vcpu-type", "EPYC") == 0
    assert load_vmsa("a") == before.replace(**{"cs.base": 0x800000}, rip=0xB004, rdx=0x00800F12)


def test_show_names_the_profile(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a").write_bytes(build_vmsa("qemu", signature=0x00A00F11, sev_features=1).to_bytes())
    assert vmsa("show", "a") == 0
    out = capsys.readouterr().out
    assert "profile qemu for the boot processor" in out
    assert "QEMU's EPYC-Milan" in out
    (folder / "a").write_bytes(build_vmsa("qemu", signature=5).replace(mxcsr=1).to_bytes())
    assert vmsa("show", "a") == 0
    assert "Nearest: qemu for the boot processor; other values in mxcsr." in capsys.readouterr().out
    (folder / "a").write_bytes(b"\xff" * 4096)
    assert vmsa("show", "a") == 0
    assert "No known profile builds this page or one like it." in capsys.readouterr().out


def test_show_json_has_every_byte(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = build_vmsa("gce", sev_features=1).replace(reserved_3f0=b"\1" * 16)
    (folder / "a").write_bytes(page.to_bytes())
    assert vmsa("show", "a", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert bytes.fromhex("".join(field["hex"] for field in shown["fields"])) == page.to_bytes()
    assert shown["profile"] == {"name": "gce", "boot_processor": True, "differing": ["reserved_3f0"]}
    assert shown["findings"] == ["reserved_3f0: not 0, and not known to sevlab"]
    assert shown["zero_bytes"] == page.to_bytes().count(0)


def test_diff_tells_by_exit_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a").write_bytes(build_vmsa("qemu-legacy", signature=0x00A00F11).to_bytes())
    (folder / "b").write_bytes(build_vmsa("qemu", signature=0x00A00F11).to_bytes())
    assert vmsa("diff", "a", "a") == 0
    assert vmsa("diff", "a", "b") == 1
    out = capsys.readouterr().out
    assert "Different: 2 fields, 4 bytes of 4096." in out
    assert [word for word in EFFECTS if f"{word}: " in out] == [DIGEST]
    assert vmsa("diff", "a", "b", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert [(d["name"], d["effect"], d["a"]["text"], d["b"]["text"]) for d in found["differences"]] == [
        ("mxcsr", DIGEST, "0x0", "0x1f80"),
        ("x87_fcw", DIGEST, "0x0", "0x37f"),
    ]
    assert (found["status"], found["bytes"], set(found["effects"])) == ("mismatch", 4, set(EFFECTS))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["paint"],
        ["build"],
        ["build", "new"],
        ["build", "new", "--cpu", "0"],
        ["build", "new", "--cpu", "-1", *MILAN],
        ["build", "new", "--cpu", "x", *MILAN],
        ["build", "new", "--cpu", "1", *MILAN],
        ["build", "new", "--cpu", "0", "--family", "25"],
        ["build", "new", "--cpu", "0", "--family", "271", "--model", "0", "--stepping", "0"],
        ["build", "new", "--cpu", "0", "--family", "25", "--model", "256", "--stepping", "0"],
        ["build", "new", "--cpu", "0", "--family", "25", "--model", "0", "--stepping", "16"],
        ["build", "new", "--cpu", "0", "--vcpu-type", "EPIC"],
        ["build", "new", "--cpu", "0", "--vcpu-type", "EPYC", "--family", "25"],
        ["build", "new", "--cpu", "0", "--profile", "xen", *MILAN],
        ["build", "new", "--cpu", "0", "--sev-features", "0x10000000000000000", *MILAN],
        ["build", "new", "--cpu", "1", "--firmware", "missing", *MILAN],
        ["build", "new", "--cpu", "1", "--firmware", "junk", *MILAN],
        ["build", "missing/new", "--cpu", "0", *MILAN],
        ["build", "new\0", "--cpu", "0", *MILAN, "--force"],
        ["update", "missing", "--cpu", "0", *MILAN],
        ["update", "junk", "--cpu", "0", *MILAN],
        ["update", "page", "--cpu", "0"],
        ["update", "page", "--cpu", "1", *MILAN],
        ["show"],
        ["show", "missing"],
        ["show", "junk"],
        ["show", "."],
        ["diff", "page"],
        ["diff", "page", "junk"],
    ],
)
def test_misuse_exits_2_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    (folder / "junk").write_bytes(b"junk")
    (folder / "page").write_bytes(bytes(4096))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert vmsa(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ERROR: ")
    assert err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_device_is_written_to_and_not_replaced(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert vmsa("build", "pipe", *MILAN, "--cpu", "0", "--force") == 0
        assert len(os.read(reader, 8192)) == 4096
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    finally:
        os.close(reader)
