"""The attacks on kernels, contexts, microcode and signing keys: with the fault each lives on, and without."""

from __future__ import annotations

import hashlib
import struct
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.errors import InputError
from sevlab.labs import attacks
from sevlab.labs.attacks.entrysign import EXAMPLE_KEY, Core, Patch, compute_cmac, hash_patch, sign_patch, write_body
from sevlab.labs.attacks.kernel_swap import VERIFIERS
from sevlab.simulator.kds import KeyServer
from sevlab.simulator.snp_launch import SimulatedSnpLaunch
from sevlab.simulator.status import FirmwareError, RmpFault
from tests.paths import SAMPLES
from tests.shared_data import shared_data
from tests.soak import many

CPU = {"num_cpus": 2, "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}
BARE: dict[str, Any] = {"firmware": str(SAMPLES / "firmware-snp.fd"), **CPU}
OWNERS: dict[str, Any] = {
    **BARE,
    "kernel": str(SAMPLES / "kernel.bin"),
    "initrd": str(SAMPLES / "initrd.bin"),
    "cmdline": "console=ttyS0",
}
#: What the host boots in its place.
SWAPPED = {"kernel": str(SAMPLES / "tk.bin"), "initrd": None, "cmdline": "console=ttyS0 init=/bin/sh"}
GUIDS = {
    "cmdline": "97d02dd8-bd20-4c94-aa78-e7714d36ab2a",
    "initrd": "44baf731-3a2f-4bd7-9af1-41e29169781d",
    "kernel": "4de79437-abd2-427f-b835-d5b172d2045b",
}
BLOBS: dict[str, bytes | None] = {"kernel": b"K", "initrd": b"I", "cmdline": b"c\0"}
HASHES = {name: hashlib.sha256(BLOBS[name] or b"").digest() for name in GUIDS}


def table_by_hand(hashes: dict[str, bytes], length: int | None = None) -> bytes:
    body = b"".join(
        uuid.UUID(GUIDS[name]).bytes_le + struct.pack("<H", 18 + len(raw)) + raw for name, raw in hashes.items()
    )
    head = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le
    return head + struct.pack("<H", 18 + len(body) if length is None else length) + body


def shown(view: object) -> str:
    text = str(view)
    assert max(map(len, text.splitlines())) <= 100
    assert view._repr_html_() == view._repr_html_()  # type: ignore[attr-defined]
    return text


# --- A09: another kernel


@pytest.mark.parametrize(
    ("hashes", "keep_table", "verifier", "noticed", "runs"),
    [
        (False, False, "none", 0, "the kernel"),
        (False, False, "early", 0, "another boot option"),
        (False, False, "hardened", 0, "another boot option"),
        (True, False, "none", 3, "the kernel"),
        (True, False, "hardened", 3, "the kernel"),
        (True, True, "none", 0, "the kernel"),
        (True, True, "early", 0, "another boot option"),
        (True, True, "hardened", 1, "nothing"),
    ],
)
def test_who_notices_another_kernel(hashes: bool, keep_table: bool, verifier: str, noticed: int, runs: str) -> None:
    swap = attacks.swap_kernel(OWNERS, SWAPPED, hashes=hashes, keep_table=keep_table, verifier=verifier)
    assert len(swap.noticed) == noticed
    assert swap.boot.runs == runs
    owners = {0: [], 1: ["the guest firmware"]}.get(noticed, [f"the owner ({g})" for g in ("SEV", "SEV-ES", "SEV-SNP")])
    assert swap.noticed == owners
    assert [seen.guest for seen in swap.owners] == ["SEV", "SEV-ES", "SEV-SNP"]
    for seen in swap.owners:
        assert (seen.computed == seen.launched) == (seen.caught is None) == (noticed < 2)
    assert ("NOBODY NOTICES" in shown(swap)) == (not noticed)
    assert any(swap.table) == hashes


def test_the_digests_are_those_of_a_second_route() -> None:
    """SEV by hand: SHA-256 of the firmware and the 176 bytes of the table, of which there are two."""
    firmware = (SAMPLES / "firmware-snp.fd").read_bytes()
    for keep_table, blobs in ((True, OWNERS), (False, {**OWNERS, **SWAPPED})):
        made = attacks.swap_kernel(OWNERS, SWAPPED, keep_table=keep_table)
        files = {
            "cmdline": blobs["cmdline"].encode() + b"\0",
            "initrd": Path(blobs["initrd"]).read_bytes() if blobs["initrd"] else b"",
            "kernel": Path(blobs["kernel"]).read_bytes(),
        }
        table = table_by_hand({name: hashlib.sha256(raw).digest() for name, raw in files.items()}) + bytes(8)
        assert made.table == table
        assert made.owners[0].launched == hashlib.sha256(firmware + table).digest()
        assert {name: raw or b"" for name, raw in attacks.read_blobs(blobs).items()} == files


def test_without_hashes_the_public_vector_stands_for_every_kernel(tmp_path: Path) -> None:
    """The digests of section 2 of the incidents, with and without hashes, whatever kernel is booted."""
    (tmp_path / "empty").write_bytes(b"")
    inputs: dict[str, Any] = {"firmware": str(shared_data("firmware", "ovmf_AmdSev_suffix.bin")), "num_cpus": 1}
    inputs |= {"cpu_family": 23, "cpu_model": 1, "cpu_stepping": 2, "guest_features": 1}
    kernel = {"kernel": str(tmp_path / "empty"), "cmdline": "console=ttyS0 loglevel=7"}
    baseline = "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08fa"
    assert sevlab.load_snp_launch(**inputs, **kernel).digest.hex() == baseline
    for booted in (SWAPPED, {"kernel": OWNERS["kernel"]}):
        swap = attacks.swap_kernel({**inputs, **kernel}, booted, hashes=False, verifier="none")
        assert [seen.launched.hex() for seen in swap.owners[::2]] == [
            "8f765dfabc127fc0a938a0744a3103ec15864d7d794eb4c398aa976b6d6ab16c",
            "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632d",
        ]
        assert swap.noticed == []
        assert swap.boot.unverified == ["kernel", "initrd", "cmdline"]


def test_a_swap_that_cannot_be_is_told() -> None:
    with pytest.raises(InputError, match="swapped: received num_cpus; needed one of kernel, initrd, cmdline"):
        attacks.swap_kernel(OWNERS, {"num_cpus": 3})
    for inputs in (BARE, {**OWNERS, "firmware": str(SAMPLES / "firmware.fd")}):
        with pytest.raises(InputError, match="inputs: received "):
            attacks.swap_kernel(inputs, SWAPPED)
    with pytest.raises(InputError, match="verifier: received "):
        attacks.swap_kernel(OWNERS, SWAPPED, verifier="later")


# --- A10: the verifier


#: What the verifiers say, by situation: early, hardened. Source: measured-direct-boot 2.5, and edk2 before that.
SITUATIONS: dict[str, tuple[bytes, bytes | None, str, str]] = {
    "right": (table_by_hand(HASHES), b"I", "EFI_SUCCESS", "EFI_SUCCESS"),
    "not fetched": (table_by_hand(HASHES), None, "not asked", "dead loop"),
    "wrong": (table_by_hand(HASHES), b"i", "EFI_ACCESS_DENIED", "dead loop"),
    "no table": (bytes(1024), b"I", "EFI_ACCESS_DENIED", "EFI_ACCESS_DENIED"),
    "no place": (b"", b"I", "EFI_ACCESS_DENIED", "EFI_ACCESS_DENIED"),
    "length below 18": (table_by_hand(HASHES, 17), b"I", "EFI_ACCESS_DENIED", "EFI_ACCESS_DENIED"),
    "length of the head": (table_by_hand(HASHES, 18), b"I", "EFI_ACCESS_DENIED", "EFI_ACCESS_DENIED"),
    "length beyond the place": (table_by_hand(HASHES, 169), b"I", "EFI_ACCESS_DENIED", "EFI_ACCESS_DENIED"),
    "hash of 31": (table_by_hand({"initrd": bytes(31)}), b"I", "EFI_ACCESS_DENIED", "EFI_ACCESS_DENIED"),
    "hash of 48": (table_by_hand({"initrd": bytes(48)}), b"I", "EFI_ACCESS_DENIED", "EFI_ACCESS_DENIED"),
    "no entry": (table_by_hand({"kernel": HASHES["kernel"]}), b"I", "EFI_ACCESS_DENIED", "EFI_SUCCESS"),
    "entry cut off": (table_by_hand(HASHES, 167 - 50), b"I", "EFI_ACCESS_DENIED", "EFI_SUCCESS"),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_verifiers_say_what_edk2_s_say(name: str) -> None:
    area, content, early, hardened = SITUATIONS[name]
    assert attacks.verify_blob(area, "initrd", content, "early").status == early
    assert attacks.verify_blob(area, "initrd", content).status == hardened
    loose = attacks.verify_blob(area, "initrd", content, "none")
    assert loose.status == ("not asked" if content is None else "EFI_SUCCESS")
    assert attacks.verify_blob(area, "initrd", content).matches == (name == "right")
    assert not loose.matches


def test_the_verifiers_are_shown_side_by_side() -> None:
    lines = shown(attacks.compare_verifiers({name: case[:2] for name, case in SITUATIONS.items()})).splitlines()
    for name, (_, content, early, hardened) in SITUATIONS.items():
        line = next(one for one in lines if one.startswith(f"{name}  "))
        none = "EFI_SUCCESS" if content is not None else "not asked"
        assert [word.strip() for word in line.removeprefix(name).strip().split("  ") if word][:3] == [
            none,
            early,
            hardened,
        ]


def test_an_unknown_blob_and_an_endless_table() -> None:
    area = table_by_hand(HASHES)
    answers = [attacks.verify_blob(area, "shim", b"", verifier).status for verifier in ("none", "early", "hardened")]
    assert answers == ["EFI_SUCCESS", "EFI_ACCESS_DENIED", "dead loop"]
    endless = table_by_hand({"kernel": HASHES["kernel"]})
    endless = endless[:34] + bytes(2) + endless[36:]  # the entry's length
    for verifier in ("early", "hardened"):
        assert attacks.verify_blob(endless, "initrd", b"I", verifier).status == "dead loop"
        assert attacks.verify_blob(endless, "kernel", b"K", verifier).status == "EFI_ACCESS_DENIED"


def test_a_wrong_kernel_with_the_halt_and_without() -> None:
    area = attacks.make_table(HASHES, 1024)
    evil = {**BLOBS, "kernel": b"evil"}
    early, hardened = attacks.boot_blobs(area, evil, "early"), attacks.boot_blobs(area, evil)
    assert (early.runs, hardened.runs) == ("another boot option", "nothing")
    assert len(early.answers) == len(hardened.answers) == 1
    assert attacks.boot_blobs(area, BLOBS).runs == attacks.boot_blobs(area, BLOBS, "early").runs == "the kernel"
    assert attacks.boot_blobs(area, BLOBS).unverified == []
    assert attacks.boot_blobs(area, {**BLOBS, "initrd": None}, "early").runs == "another boot option"
    assert attacks.boot_blobs(area, {**BLOBS, "initrd": None}).runs == "nothing"
    assert "What runs: another boot option" in shown(early)
    assert "The machine stopped" in shown(hardened)
    assert "the hash of every blob is in the table" in shown(attacks.boot_blobs(area, BLOBS))


def test_without_its_entry_a_hardened_firmware_takes_any_initrd() -> None:
    """The rule that hardening made looser: the early verifier denied it."""
    area = attacks.make_table({name: HASHES[name] for name in ("cmdline", "kernel")}, 1024)
    evil = {**BLOBS, "initrd": b"evil"}
    boot = attacks.boot_blobs(area, evil)
    assert boot.runs == "the kernel"
    assert boot.unverified == ["initrd"]
    assert "nobody verified initrd" in shown(boot)
    assert attacks.boot_blobs(area, evil, "early").runs == "another boot option"
    assert attacks.boot_blobs(attacks.make_table(HASHES, 1024), evil).runs == "nothing"
    assert attacks.boot_blobs(attacks.make_table({"initrd": HASHES["initrd"]}), {"initrd": b"I"}).runs != "the kernel"


@given(hashes=st.dictionaries(st.sampled_from(list(GUIDS)), st.binary(max_size=80)), size=st.integers(0, 400))
def test_tables_are_made_as_by_hand(hashes: dict[str, bytes], size: int) -> None:
    made, by_hand = attacks.make_table(hashes, size), table_by_hand(hashes)
    assert made.startswith(by_hand)
    assert not any(made[len(by_hand) :])
    assert len(made) == max(size, -(-len(by_hand) // 16) * 16)


def test_the_whole_table_is_qemu_s() -> None:
    built = sevlab.formats.kernel_hashes.build_kernel_hashes(HASHES["kernel"], HASHES["initrd"], "c")
    assert attacks.make_table(HASHES) == built.to_bytes()
    for wrong in ({"shim": bytes(32)}, {"kernel": bytes(1 << 16)}):
        with pytest.raises(InputError, match="hashes: received "):
            attacks.make_table(wrong)


@settings(max_examples=many(300, 60))
@given(
    area=st.binary(max_size=300)
    | st.integers(0, 167).flatmap(
        lambda at: st.integers(0, 255).map(
            lambda byte: table_by_hand(HASHES)[:at] + bytes([byte]) + table_by_hand(HASHES)[at + 1 :]
        )
    ),
    initrd=st.none() | st.binary(max_size=8) | st.just(b"I"),
    verifier=st.sampled_from(list(VERIFIERS)),
)
def test_any_table_is_taken_and_no_wrong_blob_gets_past_its_own_entry(
    area: bytes, initrd: bytes | None, verifier: str
) -> None:
    boot = attacks.boot_blobs(area, {**BLOBS, "initrd": initrd}, verifier)
    assert boot.answers
    for answer in boot.answers:
        if answer.matches:
            content = BLOBS[answer.blob] if answer.blob != "initrd" else initrd
            entry = uuid.UUID(GUIDS[answer.blob]).bytes_le + struct.pack("<H", 50)
            assert entry + hashlib.sha256(content or b"").digest() in area
    if initrd is None or verifier == "early":
        assert boot.runs != "the kernel" or not boot.unverified
    shown(boot)


# --- A16: another guest's digest


EVIL = {**OWNERS, "kernel": str(SAMPLES / "tk.bin")}


@pytest.mark.parametrize("way", ["alias", "table", "straight"])
def test_a_digest_is_replayed_with_the_fault_and_not_without(way: str) -> None:
    weak = attacks.replay_context(OWNERS, EVIL, way)
    assert weak.works
    assert weak.caught is None
    assert weak.report is not None
    assert weak.report.measurement == weak.good == sevlab.load_snp_launch(**OWNERS).digest
    assert weak.evil == sevlab.load_snp_launch(**EVIL).digest != weak.good
    assert (len(weak.kept), weak.changed) == (64, [0, 1, 2])
    assert weak.place % 4096 == 0x460
    assert "FOOLED" in shown(weak)
    sound = attacks.replay_context(OWNERS, EVIL, way, fault=False)
    assert not sound.works
    assert sound.report is None
    assert isinstance(sound.caught, FirmwareError if way == "alias" else RmpFault)
    assert "REFUSED" in shown(sound)
    assert sound.steps[-1][1] == "REFUSED"


def test_the_alias_check_is_told_in_the_report_of_version_3() -> None:
    for version, told in ((2, False), (3, False)):
        replay = attacks.replay_context(OWNERS, EVIL, version=version)
        assert replay.works
        assert replay.report is not None
        assert replay.report.platform_info.alias_check_complete == told
    honest = sevlab.simulate_snp_launch(OWNERS, seed=b"1")
    assert honest.parsed is not None
    assert honest.parsed.platform_info.alias_check_complete


def test_an_id_block_asks_for_the_replay_before_it() -> None:
    late = attacks.replay_context(OWNERS, EVIL, moment="before the report")
    assert isinstance(late.caught, FirmwareError)
    assert late.caught.name == "BAD_MEASUREMENT"
    without = attacks.replay_context(OWNERS, EVIL, moment="before the report", id_block=False)
    assert without.works
    both = attacks.replay_context(OWNERS, EVIL, id_block=False)
    assert both.works


def test_a_replay_of_itself_and_of_nothing() -> None:
    same = attacks.replay_context(OWNERS, OWNERS)
    assert (same.works, same.changed) == (True, [])
    again = attacks.replay_context(OWNERS, EVIL, seed=b"another")
    assert again.works
    assert again.kept != attacks.replay_context(OWNERS, EVIL).kept == attacks.replay_context(OWNERS, EVIL).kept
    for wrong in ({"way": "door"}, {"moment": "never"}):
        with pytest.raises(InputError, match="received "):
            attacks.replay_context(OWNERS, EVIL, **wrong)


# --- A17: CMAC is no hash


def cmac(message: bytes, key: bytes = EXAMPLE_KEY) -> bytes:
    """The library's own."""
    made = CMAC(algorithms.AES(key))
    made.update(message)
    return made.finalize()


MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


def test_the_examples_of_the_standard() -> None:
    """RFC 4493, 4."""
    for size, tag in (
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ):
        assert compute_cmac(MESSAGE[:size]).hex() == tag


@given(message=st.binary(max_size=100), key=st.binary(min_size=16, max_size=16))
def test_cmac_is_the_library_s(message: bytes, key: bytes) -> None:
    assert compute_cmac(message, key) == cmac(message, key)


@given(
    message=st.binary(min_size=16, max_size=120),
    tag=st.binary(min_size=16, max_size=16),
    key=st.binary(min_size=16, max_size=16) | st.just(EXAMPLE_KEY),
    data=st.data(),
)
def test_any_one_block_makes_any_tag(message: bytes, tag: bytes, key: bytes, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(message) // 16 - 1))
    found = attacks.solve_block(message, index, tag, key)
    assert cmac(found.message, key) == tag == found.links[-1]
    assert found.message[: 16 * index] == message[: 16 * index]
    assert found.message[16 * index + 16 :] == message[16 * index + 16 :]
    assert found.block == found.message[16 * index : 16 * index + 16]
    assert len(found.links) == -(-len(message) // 16)
    shown(found)


def test_what_cannot_be_solved_is_told() -> None:
    for message, index, tag, key in (
        (b"x" * 15, 0, bytes(16), EXAMPLE_KEY),
        (b"x" * 40, 2, bytes(16), EXAMPLE_KEY),
        (b"x" * 32, -1, bytes(16), EXAMPLE_KEY),
        (b"x" * 32, 0, bytes(15), EXAMPLE_KEY),
        (b"x" * 32, 0, bytes(16), bytes(15)),
    ):
        with pytest.raises(InputError, match="received "):
            attacks.solve_block(message, index, tag, key)


STEPS = ("PATCH 219", "XOR", "FLAG")
LIE = ("PATCH 219", "(open)", "XOR", "CLEAR", "FLAG")
WEAK = frozenset({"cmac-as-hash"})


def forge_patch(genuine: Patch) -> tuple[Patch, object]:
    """LIE under a genuine signature, and how its open block was solved."""
    found = attacks.solve_block(write_body(LIE), 1, compute_cmac(genuine.body))
    return Patch(found.message, genuine.signature), found


def test_a_forged_patch_makes_comparisons_lie() -> None:
    genuine = sign_patch(write_body(STEPS), WEAK)
    forged, found = forge_patch(genuine)
    assert cmac(forged.body) == cmac(genuine.body) == hash_patch(forged.body, WEAK)
    assert forged.body != genuine.body
    assert forged.signature == genuine.signature
    assert [forged.steps[number] for number in (0, 2, 3, 4)] == [LIE[number] for number in (0, 2, 3, 4)]
    core = Core(WEAK)
    assert core.load(genuine)
    assert [core.compare(b"one", other) for other in (b"one", b"two", b"on", b"")] == [True, False, False, False]
    assert core.load(forged)
    assert all(core.compare(b"one", other) for other in (b"one", b"two", b"on", b""))
    assert "back from the tag, and this block solved" in shown(found)


def test_a_core_with_a_hash_refuses_it() -> None:
    genuine = sign_patch(write_body(STEPS))
    forged, _ = forge_patch(genuine)
    core = Core()
    assert core.load(genuine)
    assert not core.load(forged)
    assert core.patch == genuine
    assert not core.compare(b"one", b"two")
    assert not core.load(Patch(genuine.body[:-1] + b"x", genuine.signature))
    assert not Core(WEAK).load(genuine)  # signed over another hash
    with pytest.raises(TypeError, match="no fault is named 'cmac'"):
        Core({"cmac"})


def test_a_core_without_a_patch_compares_rightly() -> None:
    core = Core()
    for one, other in ((b"", b""), (b"a", b"a"), (b"\0a", b"a"), (b"", b"\0"), (b"a", b"b")):
        assert core.compare(one, other) == (one == other)
    assert "PATCH 219" in repr(sign_patch(write_body(STEPS)))


@pytest.mark.parametrize(("snp", "right"), [(23, False), (24, True), (25, True)])
def test_the_owner_asks_for_a_newer_tcb(snp: int, right: bool) -> None:
    run = launched(tcb={"snp": snp})
    assert run.parsed is not None
    verdict = attacks.judge(run.parsed, run.platform, measurement=run.computed.digest, min_tcb={"snp": 24})
    assert verdict.matches == right
    assert [check.name for check in verdict.failed] == ([] if right else ["min_tcb"])


def test_an_old_platform_cannot_claim_a_newer_tcb() -> None:
    """Changed on the way, the report has neither the signature nor the certificate for it."""
    run = launched(tcb={"snp": 23})
    assert run.parsed is not None
    better = run.parsed.replace(**{"reported_tcb.snp": 24})
    failed = {check.name for check in attacks.judge(better, run.platform, min_tcb={"snp": 24}).failed}
    assert failed == {"report signature"}
    old = attacks.judge(better, run.platform, certificates=run.certificates, min_tcb={"snp": 24})
    assert {check.name for check in old.failed} == {"report signature", "TCB"}
    with pytest.raises(FirmwareError, match="above the committed TCB"):
        run.platform.config(better.reported_tcb)


# --- A23: reports from nowhere


def launched(**given: Any) -> SimulatedSnpLaunch:
    return sevlab.simulate_snp_launch(OWNERS, **{"seed": b"1", **given})


@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
@pytest.mark.parametrize("version", [2, 3, 5])
def test_a_minted_report_verifies_under_every_rule_but_one(product: str, version: int) -> None:
    run = launched(product=product, version=version, faults={"leaked-vcek-seed"}, tcb={"snp": 1, "ucode": 1})
    assert run.parsed is not None
    wanted: dict[str, Any] = {"measurement": bytes(range(48)), "report_data": bytes(range(64)), "policy": 0x30000}
    minted = attacks.mint_report(run.platform, run.parsed, **{k: v for k, v in wanted.items() if k != "policy"})
    highest = dict.fromkeys(run.platform.current.tcb.parts, 255)
    verdict = attacks.judge(minted, run.platform, min_tcb=highest, **wanted)
    assert verdict.matches, verdict
    assert minted.reported_tcb.parts == minted.committed_tcb.parts == highest
    other = KeyServer(b"another AMD").vcek_key(product, run.platform.chip_id, minted.reported_tcb)
    assert other.private_numbers() != run.platform.leak()(minted.reported_tcb).private_numbers()
    for refused, right in (([run.platform.chip_id], False), ([bytes(64)], True), ([], True)):
        judged = attacks.judge(minted, run.platform, refused=refused, **wanted)
        assert judged.matches == right
        assert [check.name for check in judged.failed] == ([] if right else ["refused chips"])
    shown(attacks.judge(minted, run.platform, refused=[run.platform.chip_id], **wanted))


def test_a_masked_name_does_not_hide_the_chip() -> None:
    run = launched(faults={"leaked-vcek-seed"})
    assert run.parsed is not None
    minted = attacks.mint_report(run.platform, run.parsed, chip_id=bytes(64))
    verdict = attacks.judge(minted, run.platform, measurement=run.computed.digest, refused=[run.platform.chip_id])
    assert [check.name for check in verdict.failed] == ["refused chips"]
    cloud = launched(csp_id="a cloud")
    assert cloud.parsed is not None
    verdict = attacks.judge(cloud.parsed, cloud.platform, measurement=cloud.computed.digest, refused=[bytes(64)])
    assert [check.name for check in verdict.failed] == ["refused chips"]
    assert "names no chip" in verdict["refused chips"].note


def test_the_seed_is_one_chip_s() -> None:
    run = launched(faults={"leaked-vcek-seed"})
    assert run.parsed is not None
    other = bytes(range(64))
    minted = attacks.mint_report(run.platform, run.parsed, chip_id=other)
    assert [check.name for check in attacks.judge(minted, run.platform).failed] == ["chip id"]
    leaf = run.platform.server.vcek("Milan", other, minted.reported_tcb)
    certificates = (leaf, *run.certificates[1:])
    failed = attacks.judge(minted, run.platform, certificates=certificates).failed
    assert [check.name for check in failed] == ["report signature"]


def test_without_the_leak_nothing_is_minted() -> None:
    run = launched()
    assert run.parsed is not None
    refused = attacks.attempt(attacks.mint_report, run.platform, run.parsed)
    assert not refused.works
    assert "the seed does not leave the chip" in repr(refused)
    with pytest.raises(InputError, match="min_tcb"):
        attacks.judge(run.parsed, run.platform, min_tcb="snp")


def test_everything_is_the_same_each_time() -> None:
    leaky = {"leaked-vcek-seed"}
    one, two = (launched(faults=leaky) for _ in range(2))
    assert one.parsed is not None
    assert two.parsed is not None
    assert attacks.mint_report(one.platform, one.parsed) == attacks.mint_report(two.platform, two.parsed)
    assert str(attacks.swap_kernel(OWNERS, SWAPPED)) == str(attacks.swap_kernel(OWNERS, SWAPPED))
    genuine = sign_patch(write_body(STEPS), WEAK)
    assert forge_patch(genuine)[0] == forge_patch(sign_patch(write_body(STEPS), WEAK))[0]
