"""Whole launches of SEV-SNP guests: digests against the computed ones, tampering hosts, and the faults of the past."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.certificates import parse_bundle
from sevlab.attestation.crypto import ecdsa_sign
from sevlab.attestation.session import seeded
from sevlab.errors import InputError, LayoutError
from sevlab.formats.report import parse_report
from sevlab.formats.sev_certs import ECDSA_SHA384
from sevlab.launch.keys import SecretBytes
from sevlab.simulator.kds import MOMENT, KeyServer
from sevlab.simulator.memory import RmpEntry
from sevlab.simulator.snp_firmware import SnpPlatform
from sevlab.simulator.snp_host import ASID, CONTEXT_AT, SnpHost
from sevlab.simulator.snp_launch import SimulatedSnpLaunch
from sevlab.simulator.snp_platform import FAULTS
from sevlab.simulator.status import FirmwareError, RmpFault
from tests.made_images import AMD_SEV, snp_image, svsm_image
from tests.paths import SAMPLES
from tests.simulator.test_launch import flip
from tests.soak import many

CPU = {"cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}
INPUTS: dict[str, Any] = {"firmware": str(SAMPLES / "firmware-snp.fd"), "num_cpus": 2, **CPU}
ID, AUTHOR = (SecretBytes(number.to_bytes(48, "big")) for number in (7, 11))


def launched(inputs: dict[str, Any] | None = None, **given: Any) -> SimulatedSnpLaunch:
    return sevlab.simulate_snp_launch({**INPUTS, **(inputs or {})}, **{"seed": b"1", **given})


# --- launches that go through


@pytest.mark.parametrize("csp_id", ["", "a cloud"], ids=["vcek", "vlek"])
@pytest.mark.parametrize("version", [2, 3, 5])
@pytest.mark.parametrize("product", ["Milan", "Genoa", "Turin"])
def test_a_report_verifies_up_to_the_root(product: str, version: int, csp_id: str) -> None:
    signed = sevlab.attestation.id_block.build_id_block(
        sevlab.load_snp_launch(**INPUTS).digest, ID, AUTHOR, guest_svn=3
    )
    run = launched(
        product=product, version=version, csp_id=csp_id, id_block=signed, report_data=b"nonce".ljust(64, b"."), vmpl=1
    )
    assert run.caught is None
    assert run.verdict is not None
    assert run.verdict.matches
    assert run.parsed is not None
    assert (run.parsed.version, run.parsed.guest_svn, run.parsed.vmpl) == (version, 3, 1)
    assert run.parsed.measurement == sevlab.load_snp_launch(**INPUTS).digest
    assert run.parsed.author_key_digest == signed.auth.author_key_digest
    assert run.parsed.key_info.author_key_en
    assert "OK: The guest runs" in str(run)
    assert max(map(len, str(run).splitlines())) <= 100


def test_a_seed_makes_a_run_that_can_be_repeated() -> None:
    run, again, other = launched(), launched(), launched(seed=b"2")
    assert run.transcript.entries == again.transcript.entries
    assert run.report == again.report != other.report
    assert run.explain().html() == again.explain().html()
    assert launched(seed=None).report != launched(seed=None).report


@settings(max_examples=many(40, 8))
@given(
    pages=st.integers(1, 12),
    seed=st.integers(0, 1 << 16),
    count=st.integers(1, 6),
    profile=st.sampled_from(["qemu", "qemu-legacy", "ec2", "gce"]),
    cmdline=st.none() | st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=20),
    order=st.permutations(AMD_SEV),
)
def test_the_report_has_the_computed_digest(
    tmp_path_factory: pytest.TempPathFactory,
    pages: int,
    seed: int,
    count: int,
    profile: str,
    cmdline: str | None,
    order: list[tuple[int, int, int]],
) -> None:
    folder = tmp_path_factory.mktemp("launch")
    (folder / "fw.fd").write_bytes(snp_image(order, pages, seed))
    (folder / "kernel").write_bytes(b"k")
    kernel = {} if cmdline is None else {"kernel": str(folder / "kernel"), "cmdline": cmdline}
    inputs = {"firmware": str(folder / "fw.fd"), "num_cpus": count, "profile": profile, **CPU, **kernel}
    run = sevlab.simulate_snp_launch(inputs, seed=b"1")
    assert run.caught is None
    assert parse_report(run.report).measurement == sevlab.load_snp_launch(**inputs).digest


def test_a_launch_with_an_svsm(tmp_path: Path) -> None:
    (tmp_path / "svsm").write_bytes(svsm_image(((0x0, 0x3000, 1), (0x3000, 0x1000, 2), (0x4000, 0x1000, 3))))
    (tmp_path / "fw.fd").write_bytes(snp_image())
    run = launched({"firmware": str(tmp_path / "fw.fd"), "svsm": str(tmp_path / "svsm"), "vars_size": 0x84000})
    assert run.caught is None


def test_the_guest_finds_what_was_loaded_and_the_host_ciphertext() -> None:
    run = launched()
    for region in run.host.regions:
        if region.type_name != "NORMAL":
            continue
        inside = b"".join(
            run.platform.guest_read(ASID, region.gpa + 4096 * number, 4096) for number in range(len(region.contents))
        )
        assert inside == run.host.pages(region)
        address = run.platform.tables[ASID, region.gpa]
        assert run.platform.host_read(address, 4096) != inside[:4096]
    context = run.context
    assert context is not None
    everything = b"".join(run.platform.memory._pages.values()) + str(run).encode() + run.explain().html().encode()
    for key in (*context.vmpck, context.memory_key):
        assert key.reveal() not in everything
        assert key.reveal().hex(" ") not in str(run)


def test_a_digest_in_place_of_the_firmware_cannot_be_launched() -> None:
    with pytest.raises(InputError, match="ovmf_hash"):
        launched({"ovmf_hash": bytes(48)})


def test_misuse_is_told() -> None:
    with pytest.raises(TypeError, match="cannot change 'kernel'; it can change firmware"):
        launched(tamper={"kernel": flip(0)})
    with pytest.raises(TypeError, match="no part of a TCB is named 'boot'"):
        launched(tcb={"boot": 1})
    for wrong in ({"report_data": b"x"}, {"host_data": b""}, {"policy": -1}, {"tcb": {"bl": 256}}):
        with pytest.raises(LayoutError):
            launched(**wrong)
    for refused in ({"vmpl": 4}, {"csp_id": "\xe9"}):
        run = launched(**refused)
        assert run.caught is not None
        assert "INVALID_PARAM" in str(run.caught[1])


# --- hosts that tamper


def test_tampering_is_caught_by_whoever_can_see_it() -> None:
    """Every region and every message, several bits each. What nobody must notice is listed, and only that is not."""
    signed = sevlab.attestation.id_block.build_id_block(sevlab.load_snp_launch(**INPUTS).digest, ID, AUTHOR)
    chance = random.Random(5)
    honest = launched(id_block=signed)
    assert honest.caught is None
    hashed = {region.name for region in honest.host.regions if region.type_name in ("NORMAL", "VMSA")}
    seen = set()
    for target, size in honest.changeable.items():
        for _ in range(6):
            place = chance.randrange(8 * size)
            run = honest.again({target: flip(place)})
            spot = place // 8 % 4096 if target.startswith("vCPU") else place // 8
            if target in hashed and not (target.startswith("vCPU") and 0x2F0 <= spot < 0x300):
                assert str(run.caught[1] if run.caught else "").startswith("0x0b BAD_MEASUREMENT"), (target, place)
            elif target in ("SEC_MEM", "SECRETS", "SVSM_CAA", "KERNEL_HASHES"):
                assert run.caught is None, "their bytes are not measured; the firmware writes over them"
            elif target in ("id block", "report request"):
                assert run.caught is not None, (target, place)
            elif target == "report response" and 32 <= spot < 32 + 0x2A0:
                assert run.caught is not None
                assert run.caught[0] == "owner", (target, place)
            seen.add(run.caught[0] if run.caught else "nobody")
    assert seen == {"nobody", "owner", "secure processor", "guest"}


@pytest.mark.parametrize(
    ("target", "change", "who", "words"),
    [
        ("firmware", flip(5), "owner", "measurement"),
        ("vCPU 0", flip(5), "owner", "measurement"),
        ("vCPU 1", flip(0x3B0 * 8), "owner", "measurement"),
        ("launch start", flip(8 * 8 + 19), "owner", "policy"),
        ("launch start", flip(8 * 8 + 17), "secure processor", "POLICY_FAILURE"),
        ("launch start", flip(0x18 * 8 + 5), "secure processor", "INVALID_PARAM"),
        ("launch finish", flip(0x20 * 8), "owner", "host_data"),
        ("launch finish", flip(0x18 * 8 + 2), "guest", "INVALID_KEY"),
        ("report request", flip(0), "owner", "report_data"),
        ("report request", flip(0x40 * 8), "owner", "vmpl"),
        ("report request", flip(0x48 * 8), "guest", "INVALID_PARAM"),
        ("report response", flip(4 * 8), "guest", "INVALID_LENGTH"),
        ("report response", lambda raw: raw[:5], "guest", "INVALID_LENGTH"),
        ("report response", flip((32 + 0x90) * 8), "owner", "report signature"),
        ("CPUID", lambda raw: bytes([65]) + raw[1:], "secure processor", "INVALID_PARAM"),
    ],
)
def test_who_catches_what(target: str, change: Any, who: str, words: str) -> None:
    run = launched(tamper={target: change})
    assert run.caught is not None
    assert run.caught[0] == who
    assert words in str(run.caught[1])
    assert f"CAUGHT by the {who}" in str(run)


def test_an_id_block_stops_a_wrong_launch_before_it_runs() -> None:
    signed = sevlab.attestation.id_block.build_id_block(sevlab.load_snp_launch(**INPUTS).digest, ID)
    run = launched(id_block=signed, tamper={"firmware": flip(5)})
    assert run.caught is not None
    assert run.caught[0] == "secure processor"
    assert run.context is not None
    assert run.context.state == "LAUNCH"
    assert run.report == b""
    assert run.parsed is None
    lost = launched(id_block=signed, tamper={"launch finish": flip(0x18 * 8)})
    assert lost.caught is not None
    assert "id_key_digest" in str(lost.caught[1]), "a host that leaves the ID block out is seen in the report"


def test_a_masked_key_leaves_nothing_to_verify() -> None:
    run = launched()
    run.platform.config(mask_chip_key=True)
    report = run.host.request(0, bytes(96))[32:]
    certificates = parse_bundle(vcek=run.certificates[0], ask=run.certificates[1], ark=run.certificates[2])
    verdict = sevlab.verify_report(report, certificates, roots=KeyServer().roots, at=MOMENT)
    assert not any(report[0x2A0:])
    assert {"signing key", "report signature"} & {check.name for check in verdict.failed}


# --- faults of the past: each on, and off


ALIAS = 0x3000_0000
GOOD, EVIL = INPUTS, {**INPUTS, "num_cpus": 1}


def loaded(platform: SnpPlatform, inputs: dict[str, Any]) -> SnpHost:
    """Load a guest, up to LAUNCH_FINISH."""
    host = SnpHost(platform, inputs, 0x30000)
    host.start()
    for region in host.regions:
        host.load(region)
    return host


def ended(platform: SnpPlatform, host: SnpHost) -> None:
    """End a guest, and take back all its pages."""
    platform.decommission(CONTEXT_AT)
    platform.page_reclaim(CONTEXT_AT)
    platform.rmp.update(CONTEXT_AT, assigned=False)
    for address in range(0x40_0000, host._next, 4096):
        platform.rmp.update(address, assigned=False)
    platform.df_flush()


def reported(host: SnpHost) -> bytes:
    """Ask for a report as the guest does, and return its measurement."""
    return parse_report(host.request(0, bytes(96))[32:]).measurement


def replay(platform: SnpPlatform, write: Any) -> bytes:
    """Boot a good guest and keep the ciphertext of its digest; boot an evil one and write that back, by *write*."""
    host = loaded(platform, GOOD)
    place, size = platform.contexts[CONTEXT_AT].digest_range
    kept = platform.host_read(place, size)
    ended(platform, host)
    host = loaded(platform, EVIL)
    assert platform.host_read(place, size) != kept
    write(place, kept)
    signed = sevlab.attestation.id_block.build_id_block(sevlab.load_snp_launch(**GOOD).digest, ID)
    host.finish(signed, False, bytes(32))
    return reported(host)


def test_aliased_memory_replays_a_digest() -> None:
    """BadRAM: even the ID block passes, because the digest is put back before LAUNCH_FINISH."""
    aliases = {ALIAS: CONTEXT_AT}
    weak = SnpPlatform(random=seeded(b"a"), faults={"aliased-memory"}, aliases=aliases)
    weak.snp_init()
    assert replay(weak, lambda place, raw: weak.host_write(place - CONTEXT_AT + ALIAS, raw)) == (
        sevlab.load_snp_launch(**GOOD).digest
    )
    report = parse_report(weak.guest_request(CONTEXT_AT, 0, bytes(96))[32:])
    assert not report.platform_info.alias_check_complete
    sound = SnpPlatform(random=seeded(b"a"), aliases=aliases)
    with pytest.raises(FirmwareError, match="HWERROR_UNSAFE: two addresses are one cell"):
        sound.snp_init()
    honest = SnpPlatform(random=seeded(b"a"))
    honest.snp_init()
    with pytest.raises(RmpFault, match="not its own"):
        replay(honest, honest.host_write)
    honest = SnpPlatform(random=seeded(b"a"))
    honest.snp_init()
    with pytest.raises(FirmwareError, match="BAD_MEASUREMENT"):
        replay(honest, lambda place, raw: honest.host_write(place - CONTEXT_AT + ALIAS, raw))


def test_an_open_table_at_init_replays_a_digest() -> None:
    """RMPocalypse: who writes to the table once, before it covers itself, writes to it for ever."""

    def attack(platform: SnpPlatform) -> bytes:
        platform.snp_init(lambda: platform.write_rmp(0x0, RmpEntry()))

        def write(place: int, raw: bytes) -> None:
            before = platform.rmp.entry(CONTEXT_AT)
            platform.write_rmp(CONTEXT_AT, RmpEntry())
            platform.host_write(place, raw)
            platform.write_rmp(CONTEXT_AT, before)

        return replay(platform, write)

    weak = SnpPlatform(random=seeded(b"r"), faults={"rmp-open-at-init"})
    assert attack(weak) == sevlab.load_snp_launch(**GOOD).digest
    with pytest.raises(RmpFault, match="not its own"):
        attack(SnpPlatform(random=seeded(b"r")))
    late = SnpPlatform(random=seeded(b"r"), faults={"rmp-open-at-init"})
    late.snp_init()
    with pytest.raises(RmpFault, match="not its own"):
        late.write_rmp(CONTEXT_AT, RmpEntry())


def test_a_leaked_seed_mints_any_report() -> None:
    """No rule about the TCB helps: the report claims the highest there is, and its certificate is the right one."""
    run = launched(faults={"leaked-vcek-seed"})
    assert run.parsed is not None
    best = run.platform.make_tcb(dict.fromkeys(("bl", "tee", "snp", "ucode"), 255))
    wanted = bytes(range(48))
    changes = dict.fromkeys(("reported_tcb", "current_tcb", "committed_tcb", "launch_tcb"), best)
    unsigned = run.parsed.replace(**changes, measurement=wanted)
    made = ecdsa_sign(run.platform.leak()(best), unsigned.signed, ECDSA_SHA384)
    minted = unsigned.replace(r=made.r, s=made.s)
    leaf, ask, ark = run.platform.certificates(minted)
    verdict = sevlab.verify_report(
        minted,
        parse_bundle(vcek=leaf, ask=ask, ark=ark),
        roots=KeyServer().roots,
        at=MOMENT,
        measurement=wanted,
        min_tcb={"snp": 255, "ucode": 255},
    )
    assert verdict.matches, verdict
    with pytest.raises(FirmwareError, match="UNSUPPORTED"):
        launched().platform.leak()


def test_without_the_table_the_host_writes_into_guests() -> None:
    for faults, refused in ((frozenset[str](), True), (frozenset({"no-rmp-check"}), False)):
        run = launched(faults=faults)
        address = run.platform.tables[ASID, 0x800000]
        try:
            run.platform.host_write(address, b"garbage")
        except RmpFault:
            assert refused
        else:
            assert not refused
        assert (run.platform.guest_read(ASID, 0x800000, 16) == bytes(16)) == refused


def test_every_fault_is_told_of() -> None:
    text = (SAMPLES.parent.parent / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in FAULTS)
