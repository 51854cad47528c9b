"""Whole launches by the three parties in software, also tampered ones, and the tools that take what comes out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.attestation.session import (
    make_session,
    open_session,
    seeded,
)
from sevlab.formats.sev_certs import PDH
from sevlab.simulator.identity import sample_roots
from sevlab.simulator.psp import Platform
from sevlab.simulator.status import FirmwareError
from tests.paths import SAMPLES
from tests.peers import real_validate, why_no_real_tool
from tests.soak import many

PLAIN: dict[str, Any] = {"firmware": str(SAMPLES / "firmware-kernel.fd")}
KERNEL = {
    **PLAIN,
    "kernel": str(SAMPLES / "kernel.bin"),
    "initrd": str(SAMPLES / "initrd.bin"),
    "cmdline": "console=ttyS0",
}
ES = {**KERNEL, "num_cpus": 3, "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}
SEED = 11


def flip(place: int) -> Any:
    """A change of one bit, somewhere in the bytes."""

    def change(raw: bytes) -> bytes:
        spot = place % (8 * len(raw))
        changed = bytearray(raw)
        changed[spot // 8] ^= 1 << spot % 8
        return bytes(changed)

    return change


@pytest.mark.parametrize(("inputs", "policy"), [(PLAIN, 1), (KERNEL, 1), (ES, 5)], ids=["plain", "kernel", "es"])
def test_a_launch_goes_through_and_the_secret_arrives(inputs: dict[str, Any], policy: int) -> None:
    run = sevlab.simulate_launch(inputs, policy, seed=b"1")
    assert run.caught is None
    assert run.secrets_in_guest == [b"a sample passphrase"]
    assert "OK: The guest runs" in str(run)
    again = sevlab.simulate_launch(inputs, policy, seed=b"1")
    assert [entry.raw for entry in again.transcript.messages[2:]] == [
        entry.raw for entry in run.transcript.messages[2:]
    ]
    assert sevlab.simulate_launch(inputs, policy).host.measurement != run.host.measurement


def test_random_launches() -> None:
    """The owner validates exactly when nothing was tampered with; else the right party says so."""
    chance = random.Random(SEED)
    seen: dict[str, int] = {}
    for number in range(many(1000, 120)):
        inputs, policy = chance.choice([(PLAIN, 1), (KERNEL, 1), (ES, 5)])
        inputs = {**inputs, **({"num_cpus": chance.randrange(1, 5)} if policy == 5 else {})}
        policy |= chance.choice([0, 2, 8, 32])
        api = chance.choice([(0, 16), (0, 17), (0, 22), (1, 55)])
        steps = ["firmware"] + ["kernel hashes"] * ("kernel" in inputs) + ["vCPU 0"] * (policy & 4 > 0)
        messages = ["godh", "session", "measurement", "secret header", "secret payload"]
        target = chance.choice([None, None, *steps, *messages])
        place = chance.randrange(1 << 30)
        tamper = {} if target is None else {target: flip(place)}
        secret = [("luks-key", chance.randbytes(chance.randrange(1, 60)))]
        run = sevlab.simulate_launch(
            inputs, policy, secret, tamper=tamper, seed=number.to_bytes(2, "big"), api=api, build=chance.randrange(256)
        )
        seen[target or "nothing"] = seen.get(target or "nothing", 0) + 1
        if target is None:
            assert run.caught is None
            assert run.secrets_in_guest == [secret[0][1]]
            continue
        if target == "godh" and run.caught is None:
            # The firmware does not look at all of the owner's certificate: neither version of the API nor signatures.
            spot = place % (8 * 2084) // 8
            assert spot in range(4, 8) or spot >= 0x414 or spot >= 0x0A4, spot
            continue
        assert run.caught is not None, (target, place)
        who, why = run.caught
        if target in steps or target == "measurement":
            assert who == "owner", (target, why)
        else:
            assert who == "secure processor"
            assert isinstance(why, FirmwareError)
            expected = {"godh": {"INVALID_CERTIFICATE"}}.get(target, {"BAD_MEASUREMENT"})
            assert why.name in expected, (target, place, why)
        assert run.secrets_in_guest == []
    assert set(seen) >= {"nothing", "firmware", "kernel hashes", "vCPU 0", "godh", "session", "measurement"}


@pytest.mark.parametrize("place", range(0, 512, 7))
def test_a_flipped_bit_of_a_load_is_caught_by_the_owner(place: int) -> None:
    run = sevlab.simulate_launch(KERNEL, 1, tamper={"kernel hashes": flip(place)}, seed=b"2")
    assert run.caught is not None
    assert run.caught[0] == "owner"
    assert "CAUGHT by the owner" in str(run)


def test_a_host_that_launches_under_another_policy_is_refused_by_the_firmware() -> None:
    platform = Platform(random=seeded(b"policy"))
    platform.init()
    session = make_session(platform.pdh_cert_export()[PDH], 5, random=seeded(b"owner"))
    with pytest.raises(FirmwareError, match="BAD_MEASUREMENT: policy_mac"):
        platform.launch_start(4, session.godh.to_bytes(), session.blob.to_bytes())


def test_the_host_sees_ciphertext_and_the_guest_its_memory() -> None:
    run = sevlab.simulate_launch(PLAIN, 1, seed=b"3")
    firmware = Path(PLAIN["firmware"]).read_bytes()
    memory, guest = run.platform.memory, run.platform.guests[run.host.handle]
    assert memory.read(0x100000, len(firmware), guest.key.reveal()) == firmware
    seen = memory.read(0x100000, len(firmware))
    assert seen != firmware
    assert all(firmware[i : i + 16] not in seen for i in range(0, 4096, 16))
    everything = b"".join(memory._pages.values())
    assert b"a sample passphrase" not in everything


def test_the_transcript_hides_keys_and_is_the_same_each_time() -> None:
    run = sevlab.simulate_launch(ES, 5, seed=b"4")
    assert run.owner.session is not None
    shown = str(run) + run.explain().html()
    for raw in (run.owner.session.tek, run.owner.session.tik):
        assert raw.reveal().hex() not in shown.replace(" ", "")
    kinds = [entry.is_message for entry in run.transcript.entries]
    assert True in kinds
    assert False in kinds
    assert {entry.sender for entry in run.transcript.entries} == {"owner", "host", "secure processor"}


@pytest.fixture
def keys(tmp_path: Path) -> Any:
    def write(run: Any) -> dict[str, str]:
        (tmp_path / "tik").write_bytes(run.owner.session.tik.reveal())
        (tmp_path / "tek").write_bytes(run.owner.session.tek.reveal())
        return {"tik": str(tmp_path / "tik"), "tek": str(tmp_path / "tek")}

    return write


@pytest.mark.peer
@pytest.mark.parametrize(("inputs", "policy"), [(PLAIN, 1), (KERNEL, 1), (ES, 5)], ids=["plain", "kernel", "es"])
def test_libvirt_s_own_tool_takes_what_the_simulator_makes(inputs: dict[str, Any], policy: int, keys: Any) -> None:
    if why := why_no_real_tool():
        pytest.skip(why)
    run = sevlab.simulate_launch(inputs, policy, api=(0, 22), build=13)
    given = {**run.host.reported, **keys(run), **inputs}
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert real_validate(*words).out == "OK: Looks good to me\n"
    run = sevlab.simulate_launch(inputs, policy, api=(0, 22), build=13, tamper={"firmware": flip(99)})
    given = {**run.host.reported, **keys(run), **inputs}
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert real_validate(*words).status == 1


def test_capture_validate_and_diagnose_take_what_the_simulator_makes(keys: Any) -> None:
    run = sevlab.simulate_launch(ES, 5, seed=b"5")
    captured = sevlab.cases.sources.parse_domlaunchsecinfo(run.host.domlaunchsecinfo()).inputs
    assert {name: one.value for name, one in captured.items()} == run.host.reported
    answers = run.host.query_sev() + "\n" + run.host.query_sev_launch_measure()
    assert {
        name: one.value for name, one in sevlab.cases.sources.parse_qmp(answers).inputs.items()
    } == run.host.reported
    evidence = sevlab.load_evidence(**run.host.reported, **keys(run), **ES)
    assert sevlab.compare_measure(evidence).matches
    assert "OK: Looks good to me" in str(sevlab.explain(evidence))
    session = run.owner.session
    packet = next(entry.raw for entry in run.transcript.messages if entry.name == "secret packet")
    opened = sevlab.attestation.secret.open_secret(
        packet[:52], packet[52:], session.tik, session.tek, run.verdict.reported
    )
    assert opened.matches
    diagnosis = sevlab.diagnose(evidence.replace(num_cpus=7, build_id=1), jobs=1)
    assert diagnosis.explanations[0].inputs == {"num_cpus": 3, "build_id": 25}


def test_session_open_takes_the_platform_s_key() -> None:
    run = sevlab.simulate_launch(PLAIN, 1, seed=b"6")
    session = run.owner.session
    assert session is not None
    opened = open_session(session.blob, session.godh, sevlab.SecretBytes(run.platform.identity.keys[PDH].reveal()), 1)
    assert opened.matches
    assert opened.tik == session.tik


def test_the_sample_root_is_known_to_nobody_else() -> None:
    platform = Platform(random=seeded(b"root"))
    platform.init()
    chain = platform.pdh_cert_export()
    assert chain.verify(sample_roots()).matches
    verdict = chain.verify()
    assert [link.name for link in verdict.checks if link.state != "match"] == ["ARK is a known root"]
    raw = chain.to_bytes()
    assert (
        sevlab.attestation.sev_chain.Chain(sevlab.formats.sev_certs.parse_certificates(raw))
        .verify(sample_roots())
        .matches
    )
