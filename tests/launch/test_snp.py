"""The launch of a SEV-SNP guest: worked examples, published digests, the order of pages, and any input."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sevlab.cli import main
from sevlab.errors import InputError
from sevlab.formats import page_info as pageinfo
from sevlab.formats.kernel_hashes import build_kernel_hashes
from sevlab.formats.policy import Policy
from sevlab.formats.vmsa import Vmsa
from sevlab.launch import snp
from sevlab.launch.compare import compare_launch
from sevlab.launch.inputs import load_launch
from sevlab.launch.pages import Region, blank_region, cpu_region, hash_pages, hash_vmsa
from sevlab.launch.snp import SnpLaunch, load_ovmf_digest, load_snp_launch
from sevlab.launch.vmm import SNP_PROFILES, build_vmsa
from tests.made_images import AMD_SEV, RESET, metadata, snp_image, svsm_image, with_metadata
from tests.shared_data import shared_data
from tests.soak import many

EPYC = 0x800F12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fw.fd").write_bytes(snp_image())
    (tmp_path / "kernel").write_bytes(b"a kernel")
    (tmp_path / "initrd").write_bytes(b"an initrd")
    return tmp_path


def launch(folder: Path, **changes: Any) -> SnpLaunch:
    inputs = {"firmware": folder / "fw.fd", "num_cpus": 1, "cpu_signature": EPYC, **changes}
    return load_snp_launch(**inputs)


def test_the_worked_example_of_the_facts() -> None:
    """snp-launch 10, row by row."""
    page = bytes(range(256)) * 16
    vmsa = build_vmsa("qemu", signature=0x00B00F00, sev_features=1)
    regions = [
        Region("page", pageinfo.NORMAL, 0xFFFFF000, hash_pages(page)),
        blank_region("zero", pageinfo.ZERO, 0x800000, 4096, ""),
        blank_region("unmeasured", pageinfo.UNMEASURED, 0x801000, 4096, ""),
        blank_region("secrets", pageinfo.SECRETS, 0x80D000, 4096, ""),
        blank_region("cpuid", pageinfo.CPUID, 0x80E000, 4096, ""),
        cpu_region(vmsa, 0, 1, ""),
    ]
    known = (
        "79d7e453f7b541d04f7f51cccc6f4acca624b7a97430595dd7c98bd8c7a897656a91c611473f137680bd00e9e72e47c4",
        "03ea82864e5aabf492f7e714db72aa7ac044e036de818a2067873e00972e6db038604ddf109687df6c1b7433021c8a9f",
        "d445a6e7c5710553c83e143f71d57ee95ff1bbc5c965b4e82ac3d929838073722fdf4dcd8c3309378057546309db44fe",
        "e90274e28b00a3062fc9646d226ff99d27dbc1bdd362c83b6f840e10d007720c0ca57e1352b23aaa52912191ad7b018e",
        "e56a62de317f87a1595358183cb11a2b37d25433ee63893c13ca3aef5baf8f2e74f273096415723d3587060a46bc9562",
        "213e98bfc649a2c6b381de2b76b884ced62e0080d68884a17e74be33837d9e9dfd13c4a5387b4577050a29e8dbdc97a9",
    )
    assert [digest.hex() for digest in SnpLaunch(regions).after] == list(known)


#: incidents.md, section 2: what is changed against the baseline, and the launch digest.
GOLDEN: list[tuple[dict[str, Any], str]] = [
    ({}, "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa"),
    (
        {"guest_features": 0x21},
        "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228977",
    ),
    (
        {"profile": "qemu-legacy"},
        "4893f43d1eca6df6509f37d130aba0d5da227b717f43a76def511e4de7aeffeb991d9a578093103754032d1c87afc1dd",
    ),
    (
        {"profile": "qemu-debug-swap"},
        "e899d4f99f117865ebb60cb7a47c4c592505154fb3a5085ca7738607294649bcb5b2dcd5209e5f9d5ca248b5f5cb6c37",
    ),
    (
        {"num_cpus": 2},
        "3b19810237c822c8093beb6acb50c78e3c3b0289ba07c1c8a245d68168bb6f017063252c57a7192e214bfe2f105fe6ad",
    ),
    (
        {"num_cpus": 4},
        "ef493c232fc8fac47f485398e3873a84ac5c45570bcd8a34aba093c084060534d633824df94b9eba33dc3a3052ae565a",
    ),
    (
        {"cpu_signature": 0x830F10},
        "35119fbd08f6e173819451d96160b6a3d99f0e52032c68261655f5708e4e7557e8d891c772a39f2939281057a1e6f701",
    ),
    (
        {"cpu_signature": 0xA00F11},
        "5dd46406b6e3d1f1c7dda1148d337b07a138f32a6c56439b543dd4b5febdbc7f9aee169b27d0b5a705af2eb2b59f247f",
    ),
    (
        {"cpu_signature": 0xA10F10},
        "3509587b3d3cffdc868eda25d7da6804d5802aeaee741640e17997720e03a499ac59f3d78c27b5f6f42de5fcfc86b095",
    ),
    (
        {"cpu_signature": 0xB00F00},
        "b377cff70182f1ec33ade8471de40c2c69e2b624aacd3887df23050619f4950fcc34975016c53701cd86fc01837668f4",
    ),
    (
        {"cpu_signature": 0},
        "facc343bb56eef18edde7c348c1135da07563817dcc0ba38f2bd722774c08fcca8988d69226c774b817f9eee9bab1a22",
    ),
    (
        {"profile": "ec2", "cpu_signature": None},
        "dd7f10feca67280894cb2f7ae7dcec653fdc17d959c9fe11aa8cb2a7d70af4bfaff989d810c3fe9e034a0fd61544a963",
    ),
    (
        {"profile": "gce", "cpu_signature": None},
        "58801f662c9ed5e7159aa42de6dd6fba76e2595bad9ace1237a4e1e3f6c806c71439d0d987bdcce207cf6d546ddfc418",
    ),
    (
        {"cmdline": "console=ttyS0 loglevel=7 "},
        "09a9a47f3dce6eda01d98b55938c0f0d2f78ea7316e411989de19988790902e8b4d7fa96f3d745a5f9dd3f4fe142a4a8",
    ),
    (
        {"cmdline": "console=ttyS0 loglevel=7\n"},
        "ae6edbe98ad1b53baf8c4065872318ffe560bba8009479e59979a5da687f018d1ea1fbf9d774acced433d22cf34e526a",
    ),
    (
        {"cmdline": "console=ttyS0  loglevel=7"},
        "5b048108e7446f21b4b1331698dfe6ab8e8408af1adc8227bdac5b8377e9b4613fe73f4299f3b7d6b42e26e531badda8",
    ),
    (
        {"cmdline": ""},
        "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b5",
    ),
    (
        {"kernel": None, "initrd": None, "cmdline": None},
        "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d",
    ),
    (
        {"kernel": None, "initrd": None, "cmdline": None, "firmware": "ovmf_OvmfX64_suffix.bin"},
        "da0296de8193586a5512078dcd719eccecbd87e2b825ad4148c44f665dc87df21e5b49e21523a9ad993afdb6a30b4005",
    ),
    (
        {"profile": "ec2-rdx0", "cpu_signature": None, "cmdline": "", "guest_features": 0x21},
        "6ae80856486b1396af8c82a40351d6ed76a20c785e9c7fa4ffa27c22d5d6313b4b3b458cd3c9968e6f89fb5d8450d7a6",
    ),
    (
        {"profile": "ec2", "cpu_signature": None, "cmdline": "", "guest_features": 0x21},
        "0ce9ccc06bab55eebe8abc234f3df6514883977a68a591b71052498ab52b2f1aa415db338033946ef93aa8278c0d67fb",
    ),
    (
        {"profile": "ec2-rdx0", "cpu_signature": None, "cmdline": "", "guest_features": 1},
        "7d3756157c805bf6adf617064c8552e8c1688fa1c8756f11cbf56ba5d25c9270fb69c0505c1cbe1c5c66c0e34c6ed3be",
    ),
    (
        {"profile": "ec2", "cpu_signature": None, "cmdline": "", "guest_features": 1},
        "0883bd0eeb716e65b7b977a321c278d1e51b33b5c655fab985443bbcc65c086b9c15e8a0bd8811050dec7e24964e5056",
    ),
]


@pytest.mark.parametrize(("changes", "digest"), GOLDEN, ids=[", ".join(row[0]) or "baseline" for row in GOLDEN])
def test_the_golden_digests(tmp_path: Path, changes: dict[str, Any], digest: str) -> None:
    (tmp_path / "empty").write_bytes(b"")
    inputs = {"firmware": "ovmf_AmdSev_suffix.bin", "kernel": tmp_path / "empty", "initrd": tmp_path / "empty"}
    inputs |= {"cmdline": "console=ttyS0 loglevel=7", **changes}
    inputs["firmware"] = shared_data("firmware", str(inputs["firmware"]))
    assert launch(tmp_path, **inputs).digest.hex() == digest


def test_the_legacy_golden_digest_with_hashes() -> None:
    image = shared_data("firmware", "ovmf_AmdSev_suffix.bin").read_bytes()
    nothing = hashlib.sha256(b"").digest()
    table = build_kernel_hashes(nothing, nothing, "console=ttyS0 loglevel=7").to_bytes()
    assert hashlib.sha256(image + table).hexdigest() == (
        "82a3ee5d537c3620628270c292ae30cb40c3c878666a7890ee7ef2a08fb535ff"
    )


def test_a_kernel_needs_a_section_for_its_hashes(folder: Path) -> None:
    image = shared_data("firmware", "ovmf_OvmfX64_suffix.bin")
    with pytest.raises(InputError, match=r"kernel: .*F16 'OVMF without the section for hashes'"):
        launch(folder, firmware=image, kernel=folder / "kernel")


# A second route: the chain in ten lines, from the facts alone.


def three_lines(pages: list[tuple[int, int, bytes]]) -> bytes:
    digest = bytes(48)
    for page_type, gpa, page in pages:
        contents = hashlib.sha384(page).digest() if page_type in (1, 2) else bytes(48)
        digest = hashlib.sha384(digest + contents + struct.pack("<HBBIQ", 0x70, page_type, 0, 0, gpa)).digest()
    return digest


def by_hand(
    image: bytes,
    table: bytes | None,
    vmsas: list[bytes],
    *,
    sec_mem: int = 3,
    cpuid_last: bool = False,
    vmsa_gpa: int = 0xFFFFFFFFF000,
) -> bytes:
    base = (1 << 32) - len(image)
    pages = [(1, base + at, image[at : at + 4096]) for at in range(0, len(image), 4096)]
    for gpa, size, kind in sorted(AMD_SEV, key=lambda row: cpuid_last and row[2] == 3):
        if kind == 0x10 and table is not None:
            pages.append((1, gpa, (bytes(0xC00) + table).ljust(4096, b"\0")))
        else:
            page_type = {1: sec_mem, 2: 5, 3: 6, 4: 3, 0x10: 3}[kind]
            pages += [(page_type, gpa + at, b"") for at in range(0, size, 4096)]
    return three_lines(pages + [(2, vmsa_gpa, page) for page in vmsas])


@settings(max_examples=many(40, 8))
@given(
    pages=st.integers(1, 12),
    seed=st.integers(0, 1 << 16),
    count=st.integers(1, 6),
    profile=st.sampled_from(["qemu", "qemu-legacy", "qemu-debug-swap", "ec2", "ec2-rdx0", "gce", "gce-genoa"]),
    features=st.sampled_from([None, 1, 0x21, 0x201]),
    cmdline=st.none() | st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=20),
)
def test_any_launch_by_hand(
    tmp_path_factory: pytest.TempPathFactory,
    pages: int,
    seed: int,
    count: int,
    profile: str,
    features: int | None,
    cmdline: str | None,
) -> None:
    folder = tmp_path_factory.mktemp("launch")
    image = snp_image(pages=pages, seed=seed)
    (folder / "fw.fd").write_bytes(image)
    (folder / "kernel").write_bytes(b"k")
    kernel = {"kernel": folder / "kernel", "cmdline": cmdline} if cmdline is not None else {}
    table = build_kernel_hashes(hashlib.sha256(b"k").digest(), None, cmdline).to_bytes() if kernel else None
    sev_features = SNP_PROFILES[profile].features if features is None else features
    vmsas = [
        build_vmsa(
            profile, cpu=cpu, signature=EPYC, reset_address=RESET if cpu else None, sev_features=sev_features
        ).to_bytes()
        for cpu in range(count)
    ]
    rules: dict[str, Any] = {"cpuid_last": profile.startswith("ec2")}
    rules |= {"sec_mem": 4} if profile.startswith("gce") else {}
    rules |= {"vmsa_gpa": (1 << 52) - 4096} if profile == "gce-genoa" else {}
    found = launch(folder, num_cpus=count, profile=profile, guest_features=features, **kernel)
    assert found.digest == by_hand(image, table, vmsas, **rules)
    # and further CPUs are further links
    assert found.cpu_digests(count)[-1] == found.digest
    assert [one[:4] for one in found.cpu_digests(7)[:count]] == [one[:4] for one in found.cpu_digests(count)]
    assert (
        launch(folder, num_cpus=7, profile=profile, guest_features=features, **kernel).digest
        == (found.cpu_digests(7)[-1])
    )


def test_links_are_the_chain(folder: Path) -> None:
    found = launch(folder, kernel=folder / "kernel", num_cpus=3)
    digest = bytes(48)
    for link in found.links():
        info = link.region.info(link.number, digest)
        assert info.findings() == []
        digest = hashlib.sha384(info.to_bytes()).digest()
        assert digest == link.digest
        assert hashlib.sha384(link.region.page(link.number)).digest() == link.contents or not any(link.contents)
    assert digest == found.digest
    assert sum(1 for _ in found.links()) == found.pages == 4 + 31 + 3
    assert [link.name for link in found.links()][-3:] == ["vCPU 0", "vCPU 1", "vCPU 2"]


def test_time_stamp_fields_do_not_count() -> None:
    page = build_vmsa("qemu", signature=EPYC, sev_features=1)
    other = page.replace(guest_tsc_scale=7, guest_tsc_offset=9)
    assert hash_vmsa(page) == hash_vmsa(other) == hashlib.sha384(page.to_bytes()).digest()
    assert hash_vmsa(page) != hash_vmsa(page.replace(tsc_aux=1))


@given(st.integers(0, 4095), st.integers(1, 255))
def test_every_other_byte_of_a_vmsa_counts(place: int, flip: int) -> None:
    raw = bytearray(build_vmsa("qemu", signature=EPYC, sev_features=1).to_bytes())
    before = hash_vmsa(Vmsa.from_bytes(bytes(raw)))
    raw[place] ^= flip
    assert (hash_vmsa(Vmsa.from_bytes(bytes(raw))) == before) == (0x2F0 <= place < 0x300)


def test_the_digest_after_the_firmware_can_stand_for_it(folder: Path) -> None:
    whole = launch(folder, num_cpus=2)
    after = load_ovmf_digest(str(folder / "fw.fd"))
    assert whole.after[0] == after
    begun = launch(folder, num_cpus=2, ovmf_hash=after.hex())
    assert (begun.digest, begun.is_whole, whole.is_whole) == (whole.digest, False, True)
    assert "the digest that was given" in str(begun)


def test_hashes_first_is_another_order(folder: Path) -> None:
    one = launch(folder, profile="qemu-legacy", kernel=folder / "kernel")
    other = launch(folder, profile="qemu-hashes-first", kernel=folder / "kernel")
    assert one.digest != other.digest
    assert [region.name for region in other.regions][1] == "kernel hashes"
    assert sorted(map(str, (r.loaded for r in one.regions))) == sorted(map(str, (r.loaded for r in other.regions)))
    assert compare_launch(one, other).number == 4


def test_comparison_names_the_first_link(folder: Path) -> None:
    one = launch(folder, num_cpus=2)
    assert compare_launch(one, launch(folder, num_cpus=2)).words == "The launch digests are equal"
    features = compare_launch(one, launch(folder, num_cpus=2, guest_features=0x21))
    assert features.words == "Link 36 is the first that differs (contents): vCPU 0"
    assert features.registers is not None
    assert features.registers.differing == ["sev_features"]
    assert "DEBUG_SWAP" in str(features)
    more = compare_launch(one, launch(folder, num_cpus=3))
    assert more.words == "Equal up to link 37; then only the computed launch goes on, with vCPU 2"
    gce = compare_launch(one, launch(folder, profile="gce"))
    assert (gce.number, gce.fields) == (4, ["page_type"])
    begun = compare_launch(one, launch(folder, num_cpus=3, ovmf_hash=bytes(range(48))))
    assert begun.number is None
    assert "begin with different digests" in str(begun)


def test_no_metadata_is_a_warning(folder: Path) -> None:
    (folder / "fw.fd").write_bytes(bytes(8192))
    found = launch(folder)
    assert found.pages == 3
    assert "no SEV-SNP metadata" in found.warnings[0]
    assert f"WARNING: {found.warnings[0][:40]}" in str(found)


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (((0x800001, 0x1000, 1),), "section 1 at 0x800001"),
        (((0x800000, 0x1001, 1),), "section 1 at 0x800000 with 0x1001 bytes"),
        (((0, 0xFFFFF000, 1),), "asks for 1048575 pages"),
        (tuple((0, 0xFFFFF000, 1) for _ in range(256)), "pages"),
    ],
)
def test_sections_that_cannot_be_loaded(folder: Path, sections: Any, words: str) -> None:
    (folder / "fw.fd").write_bytes(snp_image(sections, pages=2))
    with pytest.raises(InputError, match=words):
        launch(folder)


def test_odd_sections_are_warnings(folder: Path) -> None:
    (folder / "fw.fd").write_bytes(snp_image(((0x800000, 0x2000, 2), (0x802000, 0x1000, 0x77))))
    found = launch(folder)
    assert "only its first page is measured" in found.warnings[0]
    assert "section type 0x77 is not known" in found.warnings[1]
    assert [region.type_name for region in found.regions] == ["NORMAL", "SECRETS", "ZERO", "VMSA"]


def test_hashes_that_do_not_fit_their_page(folder: Path) -> None:
    (folder / "fw.fd").write_bytes(snp_image(hash_base=0x810FFF))
    with pytest.raises(InputError, match="its page cannot hold"):
        launch(folder, kernel=folder / "kernel")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"firmware": None}, "firmware: received nothing"),
        ({"num_cpus": None}, "num_cpus: received nothing"),
        ({"num_cpus": 0}, "num_cpus: received '0'"),
        ({"num_cpus": 4097}, "num_cpus"),
        ({"cpu_signature": None}, "vmsa_cpu0: received nothing"),
        ({"profile": "krun"}, "profile: received 'krun'"),
        ({"cmdline": "x"}, "cmdline: received it without kernel"),
        ({"vars_size": 1}, "vars_size: received it without svsm"),
        ({"svsm": "x"}, "vars_size: received neither of the two"),
        ({"svsm": "x", "vars_size": 1, "vars_file": "y"}, "vars_size: received vars_size and vars_file"),
        ({"svsm": "x", "vars_size": 1, "kernel": "k"}, "kernel: received together with svsm"),
        ({"svsm": "x", "vars_size": 1, "profile": "ec2"}, "profile: received 'ec2' together with svsm"),
        ({"svsm": "fw.fd", "vars_size": 4096}, "svsm: received .*needed an SVSM image that says where it starts"),
        ({"svsm": "fw.fd", "vars_size": 1}, "svsm: received an image of 16384 bytes below 1"),
        ({"ovmf_hash": "00"}, "ovmf_hash: received '00'"),
        ({"ovmf_hash": "00" * 48}, "ovmf_hash: received 48 zero bytes"),
        ({"guest_features": 1 << 64}, "guest_features"),
        ({"vmsa_cpu0": "kernel", "cpu_signature": None}, "vmsa_cpu0"),
    ],
)
def test_misuse(folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=words):
        launch(folder, **changes)


def test_an_image_must_be_whole_pages(folder: Path) -> None:
    (folder / "fw.fd").write_bytes(bytes(4097))
    with pytest.raises(InputError, match="4097 bytes; needed whole pages of 4096 bytes"):
        launch(folder)


def test_registers_from_files(folder: Path) -> None:
    page = build_vmsa("gce", signature=0, sev_features=5)
    (folder / "vmsa0").write_bytes(page.to_bytes())
    (folder / "vmsa1").write_bytes(page.replace(rip=1).to_bytes())
    found = launch(folder, num_cpus=3, cpu_signature=None, vmsa_cpu0=folder / "vmsa0", vmsa_cpu1=folder / "vmsa1")
    assert [link.contents for link in found.links()][-2:] == [hash_vmsa(page.replace(rip=1))] * 2


def test_a_changed_file_is_read_again(folder: Path) -> None:
    before = launch(folder).digest
    (folder / "fw.fd").write_bytes(snp_image(seed=1))
    assert launch(folder).digest != before


def test_an_svsm_by_hand(folder: Path) -> None:
    sections = ((0x0, 0x3000, 1), (0x3000, 0x1000, 2), (0x4000, 0x1000, 3))
    svsm, image = svsm_image(sections, pages=3, seed=2, start=0x123), snp_image(pages=2)
    (folder / "svsm.bin").write_bytes(svsm)
    (folder / "fw.fd").write_bytes(image)
    top = (1 << 32) - len(image)
    base = top - 0x84000 - len(svsm)
    pages = [(1, top + at, image[at : at + 4096]) for at in range(0, len(image), 4096)]
    pages += [(1, base + at, svsm[at : at + 4096]) for at in range(0, len(svsm), 4096)]
    pages += [(3, 0, b""), (3, 0x1000, b""), (3, 0x2000, b""), (5, 0x3000, b""), (6, 0x4000, b"")]
    vmsa = build_vmsa("svsm", signature=EPYC, reset_address=base + 0x123, sev_features=1)
    assert (vmsa.rip, vmsa.cs.base, vmsa.cr0, vmsa.x87_fcw) == (base + 0x123, 0, 0x11, 0)
    pages += [(2, 0xFFFFFFFFF000, vmsa.to_bytes())] * 2
    (folder / "vars").write_bytes(bytes(0x84000))
    for given_size in ({"vars_size": 0x84000}, {"vars_file": folder / "vars"}):
        found = launch(folder, svsm=folder / "svsm.bin", num_cpus=2, **given_size)
        assert found.digest == three_lines(pages)
        assert len(found.cpu_digests(3)) == 3


@settings(max_examples=many(60, 12))
@given(
    body=st.binary(max_size=200)
    | st.lists(st.tuples(*[st.integers(0, 1 << 24)] * 3), max_size=5).map(lambda rows: metadata(*rows)),
    seed=st.integers(0, 1 << 16),
)
def test_any_firmware_gives_a_digest_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    chance = random.Random(seed)
    image = bytearray(with_metadata(body) if seed % 2 else snp_image(seed=seed))
    for _ in range(chance.randrange(4)):
        image[chance.randrange(len(image))] ^= 1 << chance.randrange(8)
    (folder / "fw.fd").write_bytes(bytes(image))
    try:
        words = str(launch(folder, num_cpus=chance.choice((1, 2))))
    except InputError as error:
        words = str(error)
        refused = True
    else:
        refused = False
    assert ("\n" not in words) == refused


def test_an_empty_kernel_is_taken_with_a_warning_in_every_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """sev-snp-measure's golden tests have one; validate still refuses it."""
    (tmp_path / "empty").write_bytes(b"")
    image, empty = str(shared_data("firmware", "ovmf_AmdSev_suffix.bin")), str(tmp_path / "empty")
    loaded = ["--ovmf", image, "--kernel", empty, "--initrd", empty, "--append", "console=ttyS0 loglevel=7"]
    cpus = ["--vcpus", "1", "--vcpu-type", "EPYC-v4"]
    made = {}
    for mode, more in (("sev", []), ("seves", cpus), ("snp", cpus)):
        assert main(["digest", "--mode", mode, *loaded, *more]) == 0
        captured = capsys.readouterr()
        made[mode] = captured.out.strip()
        assert "kernel: an empty file, which boots nothing" in captured.err
    assert made["sev"] == "82a3ee5d537c3620628270c292ae30cb40c3c878666a7890ee7ef2a08fb535ff"
    with pytest.raises(InputError, match="an empty file"):
        load_launch(Policy(1), firmware=image, kernel=empty)


def test_few_images_are_remembered_whatever_another_thread_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snp, "_known", {})
    paths = [tmp_path / f"{number}.fd" for number in range(2 * snp._KEPT)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 4096)
        image = snp.load_image(str(path))
        assert len(snp._known) <= snp._KEPT
        assert snp.load_image(str(path)) is image
    snp._known.update({(number,): image for number in range(9)})  # as threads that all saw room leave it
    snp.load_image(str(paths[0]))
    assert len(snp._known) <= snp._KEPT


@pytest.mark.parametrize(
    "body",
    [
        metadata(*AMD_SEV, version=2),
        metadata(*AMD_SEV, length=16),
        metadata(*AMD_SEV, count=6, length=100),
        metadata(*AMD_SEV, count=1 << 20),
        metadata(*((0x1000000 + at * 4096, 4096, 1) for at in range(300))),
        b"XXXX" + metadata(*AMD_SEV)[4:],
    ],
    ids=["version", "too short a length", "too long a length", "more than fit", "more than read", "signature"],
)
def test_there_is_no_digest_of_a_part_of_the_metadata(body: bytes, folder: Path) -> None:
    """A digest without the sections that could not be read would be none that any host makes."""
    (folder / "fw.fd").write_bytes(with_metadata(body.ljust(16 + 12 * len(AMD_SEV), b"\0")))
    with pytest.raises(InputError, match="SEV metadata: it"):
        launch(folder)
