"""The commands of the secure processor one by one, and at random: checks in their order, and what each does."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import sevlab
from sevlab.attestation.session import (
    derive_session_keys,
    make_private,
    make_session,
    public_key,
    seeded,
    wrap_keys,
)
from sevlab.formats.secret import SecretHeader
from sevlab.formats.sev_certs import CEK, PDH, PEK, EccKey
from sevlab.formats.status import NUMBER, STATUS
from sevlab.labs.attacks.invalid_curve import FILE
from sevlab.simulator.curve import PRIME, multiply
from sevlab.simulator.identity import sample_roots
from sevlab.simulator.psp import MOVES, PLATFORM_STATES, Platform
from sevlab.simulator.status import FirmwareError
from tests.simulator.test_launch import flip
from tests.soak import many


def refused(name: str, command: Any, *arguments: Any) -> None:
    with pytest.raises(FirmwareError) as caught:
        command(*arguments)
    assert caught.value.name == name
    assert caught.value.status == NUMBER[name]


@pytest.fixture
def platform() -> Platform:
    made = Platform(random=seeded(b"platform"))
    made.init()
    return made


def started(platform: Platform, policy: int = 5) -> tuple[int, Any]:
    session = make_session(platform.pdh_cert_export()[PDH], policy, random=seeded(b"session"))
    return platform.launch_start(policy, session.godh.to_bytes(), session.blob.to_bytes()), session


def measured(platform: Platform, policy: int = 5) -> tuple[int, Any, Any]:
    handle, session = started(platform, policy)
    platform.activate(handle, 1)
    platform.memory.write(0, bytes(range(256)) * 16)
    platform.launch_update_data(handle, 0, 4096)
    return handle, session, platform.launch_measure(handle)


def test_launch_start_checks_in_order(platform: Platform) -> None:
    session = make_session(platform.pdh_cert_export()[PDH], 5, random=seeded(b"session"))
    godh, blob = session.godh, session.blob
    good = godh.to_bytes(), blob.to_bytes()
    refused("INVALID_PLATFORM_STATE", Platform().launch_start, 5, *good)
    refused("INVALID_LENGTH", platform.launch_start, 5, good[0], good[1][:-1])
    refused("INVALID_LENGTH", platform.launch_start, 5, good[0][:-1], good[1])
    refused("INVALID_CERTIFICATE", platform.launch_start, 5, godh.replace(key_usage=PEK).to_bytes(), good[1])
    refused("INVALID_CERTIFICATE", platform.launch_start, 5, godh.replace(key_algorithm=2).to_bytes(), good[1])
    off = godh.replace(**{"key.qy": bytes(72)})
    refused("INVALID_CERTIFICATE", platform.launch_start, 5, off.to_bytes(), good[1])
    refused("BAD_MEASUREMENT", platform.launch_start, 5, good[0], blob.replace(wrap_mac=bytes(32)).to_bytes())
    refused("BAD_MEASUREMENT", platform.launch_start, 5, good[0], blob.replace(policy_mac=bytes(32)).to_bytes())
    refused("BAD_MEASUREMENT", platform.launch_start, 7, *good)
    for policy in (0x02000000 | 2 << 16, 1 << 6, 99 << 24 | 1 << 16):
        other = make_session(platform.pdh_cert_export()[PDH], policy, random=seeded(b"other"))
        refused("POLICY_FAILURE", platform.launch_start, policy, other.godh.to_bytes(), other.blob.to_bytes())
    refused("INVALID_GUEST", platform.launch_start, 5, *good, 9)
    plain = Platform(random=seeded(b"plain"), es=False)
    plain.init()
    mine = make_session(plain.pdh_cert_export()[PDH], 5, random=seeded(b"mine"))
    refused("UNSUPPORTED", plain.launch_start, 5, mine.godh.to_bytes(), mine.blob.to_bytes())
    assert platform.state == "INIT"
    assert platform.launch_start(5, *good) == 1
    assert platform.state == "WORKING"


def test_without_a_session_the_keys_are_zero_and_the_policy_is_not_checked(platform: Platform) -> None:
    handle = platform.launch_start(1 << 6 | 99 << 24)
    platform.activate(handle, 1)
    measurement = platform.launch_measure(handle)
    message = sevlab.MeasureMessage(
        api_major=1,
        api_minor=55,
        build_id=25,
        policy=sevlab.Policy(1 << 6 | 99 << 24),
        digest=hashlib.sha256().digest(),
        mnonce=measurement.mnonce,
    )
    assert measurement.measure == sevlab.compute_measure(message, bytes(16))


def test_keys_are_shared_only_where_both_policies_allow_it(platform: Platform) -> None:
    handle = platform.launch_start(1)
    assert platform.launch_start(1, handle=handle) == 2
    assert platform.guests[1].key == platform.guests[2].key
    refused("POLICY_FAILURE", platform.launch_start, 3, None, None, handle)
    forbidden = platform.launch_start(3)
    refused("POLICY_FAILURE", platform.launch_start, 3, None, None, forbidden)


def test_update_commands_check_in_order(platform: Platform) -> None:
    refused("INVALID_PLATFORM_STATE", platform.launch_update_data, 1, 0, 16)
    handle, _ = started(platform)
    refused("INVALID_GUEST", platform.launch_update_data, 9, 1, 1)
    refused("INACTIVE", platform.launch_update_data, handle, 1, 1)
    platform.activate(handle, 1)
    refused("INVALID_ADDRESS", platform.launch_update_data, handle, 8, 1)
    for length in (0, 8, 17):
        refused("INVALID_LENGTH", platform.launch_update_data, handle, 16, length)
    refused("INVALID_LENGTH", platform.launch_update_vmsa, handle, 0, 4080)
    refused("INVALID_ADDRESS", platform.launch_update_data, handle, 1 << 40, 16)
    other = platform.launch_start(1)
    platform.activate(other, 2)
    refused("UNSUPPORTED", platform.launch_update_vmsa, other, 0)
    platform.launch_update_vmsa(handle, 0)
    refused("INVALID_LENGTH", platform.launch_measure, handle, 47)
    platform.launch_measure(handle)
    refused("INVALID_GUEST_STATE", platform.launch_update_data, handle, 0, 16)
    refused("INVALID_GUEST_STATE", platform.launch_measure, handle)


def test_address_space_numbers(platform: Platform) -> None:
    one, two = platform.launch_start(1), platform.launch_start(1)
    refused("INVALID_ASID", platform.activate, one, 0)
    refused("INACTIVE", platform.deactivate, one)
    platform.activate(one, 5)
    refused("ACTIVE", platform.activate, one, 6)
    refused("ASID_OWNED", platform.activate, two, 5)
    platform.deactivate(one)
    refused("DF_FLUSH_REQUIRED", platform.activate, two, 5)
    refused("WBINVD_REQUIRED", platform.df_flush)
    platform.wbinvd()
    platform.df_flush()
    platform.activate(two, 5)


@pytest.mark.parametrize("api", [(0, 16), (0, 17), (1, 55)])
def test_a_secret_is_checked_in_order_and_lands_in_the_guest(api: tuple[int, int]) -> None:
    platform = Platform(random=seeded(b"secret"), api=api, build=12)
    platform.init()
    handle, session, measurement = measured(platform, 1)
    new = api >= (0, 17)
    message: Any = sevlab.formats.launch_measure.OldMeasureMessage
    known = {"policy": sevlab.Policy(1), "digest": platform.guests[handle].digest, "mnonce": measurement.mnonce}
    if new:
        known |= {"api_major": api[0], "api_minor": api[1], "build_id": 12}
        message = sevlab.MeasureMessage
    assert measurement.measure == sevlab.compute_measure(message(**known), session.tik)
    packet = sevlab.attestation.secret.build_secret(
        [("luks-key", b"horse")], session.tik, session.tek, measurement.measure, iv=bytes(16)
    )
    header, payload = packet.header.to_bytes(), packet.payload
    refused("INVALID_ADDRESS", platform.launch_secret, handle, header, 8, payload)
    refused("INVALID_LENGTH", platform.launch_secret, handle, header[:-1], 0, payload)
    refused("INVALID_LENGTH", platform.launch_secret, handle, header, 0, b"")
    refused("INVALID_LENGTH", platform.launch_secret, handle, header, 0, payload, 16)
    refused("INVALID_LENGTH", platform.launch_secret, handle, header, 0, bytes(0x5010))
    refused("BAD_MEASUREMENT", platform.launch_secret, handle, header, 0, payload[:-1] + b"x")
    compressed = SecretHeader.from_bytes(header).replace(flags=1).to_bytes()
    refused(
        "BAD_MEASUREMENT", platform.launch_secret, handle, compressed, 0, payload
    )  # the MAC is checked before flags
    if new:
        platform.launch_secret(handle, header, 0x2000, payload)
        clear = platform.memory.read(0x2000, len(payload), platform.guests[handle].key.reveal())
        assert clear == packet.table.to_bytes()
    else:
        # Before 0.17 the measure is not under the MAC, so a packet of today's form does not open.
        refused("BAD_MEASUREMENT", platform.launch_secret, handle, header, 0, payload)
        secret = [("luks-key", b"horse")]
        packet = sevlab.attestation.secret.build_secret(
            secret, session.tik, session.tek, measurement.measure, iv=bytes(16), old=True
        )
        platform.launch_secret(handle, packet.header.to_bytes(), 0x2000, packet.payload)
    platform.launch_finish(handle)
    refused("INVALID_GUEST_STATE", platform.launch_secret, handle, header, 0, payload)
    assert platform.guests[handle].tik == sevlab.SecretBytes(bytes(16))


def test_debugging_is_as_the_policy_says(platform: Platform) -> None:
    handle, _, _ = measured(platform, 1)
    refused("POLICY_FAILURE", platform.dbg_decrypt, handle, 0, 16)
    refused("POLICY_FAILURE", platform.dbg_encrypt, handle, 0, bytes(16))
    allowed = Platform(random=seeded(b"debug"))
    allowed.init()
    other, _, _ = measured(allowed, 0)
    assert allowed.dbg_decrypt(other, 0, 32) == bytes(range(32))
    allowed.dbg_encrypt(other, 16, b"x" * 16)
    assert allowed.dbg_decrypt(other, 0, 32) == bytes(range(16)) + b"x" * 16
    refused("INVALID_LENGTH", allowed.dbg_decrypt, other, 0, 0)
    refused("INVALID_ADDRESS", allowed.dbg_decrypt, other, 1, 16)


def test_attestation_is_signed_by_the_pek_and_fresh(platform: Platform) -> None:
    handle, _ = started(platform, 1)
    refused("INVALID_GUEST_STATE", platform.attestation, handle, bytes(16))
    platform.activate(handle, 1)
    platform.launch_measure(handle)
    refused("INVALID_LENGTH", platform.attestation, handle, bytes(16), 207)
    nonce = bytes(range(16))
    report = platform.attestation(handle, nonce)
    pek = platform.pdh_cert_export()[PEK]
    assert [link.state for link in sevlab.attestation.sev_chain.verify_attestation(report, pek, nonce)] == ["match"] * 3
    assert sevlab.attestation.sev_chain.verify_attestation(report, pek)[-1].state == "not checked"
    assert sevlab.attestation.sev_chain.verify_attestation(report, pek, bytes(16))[-1].state == "mismatch"
    assert (
        sevlab.attestation.sev_chain.verify_attestation(report, platform.pdh_cert_export()[CEK], nonce)[0].state
        == "mismatch"
    )
    for place in range(0, 8 * 0xD0, 37):
        raw = bytearray(report.to_bytes())
        raw[place // 8] ^= 1 << place % 8
        checks = sevlab.attestation.sev_chain.verify_attestation(
            sevlab.formats.sev_certs.AttestationReport.from_bytes(bytes(raw)), pek, nonce
        )
        assert any(link.state == "mismatch" for link in checks), place
    assert report.digest == platform.guests[handle].digest
    assert "AttestationReport" in repr(report)
    assert str(report)


def running(seed: bytes, policy: int) -> tuple[Platform, int]:
    platform = Platform(random=seeded(seed))
    platform.init()
    handle, _, _ = measured(platform, policy)
    platform.launch_finish(handle)
    return platform, handle


def parts(platform: Platform) -> tuple[bytes, bytes, bytes]:
    """The certificates as SEND_START takes them: PDH; PEK, OCA and CEK; ASK and ARK."""
    raw = platform.pdh_cert_export().to_bytes()
    return raw[:2084], raw[2084:8336], raw[8336:]


def test_a_guest_moves_to_another_platform() -> None:
    sender, handle = running(b"sender", 1)
    receiver = Platform(random=seeded(b"receiver"))
    receiver.init()
    blob = sender.send_start(handle, parts(receiver)[0])
    moved = receiver.receive_start(1, parts(sender)[0], blob.to_bytes())
    refused("INACTIVE", receiver.receive_update_data, moved, bytes(52), 0, bytes(16))
    receiver.activate(moved, 1)
    header, payload = sender.send_update_data(handle, 0, 4096)
    assert bytes(range(16)) not in payload
    refused("BAD_MEASUREMENT", receiver.receive_update_data, moved, header, 0, flip(5)(payload))
    refused("BAD_MEASUREMENT", receiver.receive_update_data, moved, flip(100)(header), 0, payload)
    refused("INVALID_ADDRESS", receiver.receive_update_data, moved, header, 8, payload)
    refused("INVALID_LENGTH", receiver.receive_update_data, moved, header, 0, payload[:-1])
    receiver.receive_update_data(moved, header, 0x3000, payload)
    sender.send_finish(handle)
    receiver.receive_finish(moved)
    assert (sender.guests[handle].state, receiver.guests[moved].state) == ("SENT", "RUNNING")
    key = receiver.guests[moved].key.reveal()
    assert receiver.memory.read(0x3000, 4096, key) == bytes(range(256)) * 16
    refused("INVALID_GUEST_STATE", receiver.launch_secret, moved, bytes(52), 0, bytes(16))
    refused("INVALID_GUEST_STATE", sender.send_update_data, handle, 0, 16)


def test_the_policy_says_where_a_guest_may_go() -> None:
    other = Platform(random=seeded(b"other"))
    other.init()
    pdh, platform, amd = parts(other)
    sender, handle = running(b"nosend", 1 | 8)
    refused("POLICY_FAILURE", sender.send_start, handle, pdh, platform, amd)
    sender, handle = running(b"sev", 1 | 32)
    refused("BAD_SIGNATURE", sender.send_start, handle, pdh)
    refused("BAD_SIGNATURE", sender.send_start, handle, pdh, flip(3000)(platform), amd)
    refused("INVALID_CERTIFICATE", sender.send_start, handle, pdh, b"rubbish", amd)
    refused("INVALID_LENGTH", sender.send_start, handle, pdh[:-1], platform, amd)
    sender.send_start(handle, pdh, platform, amd)
    sender.send_cancel(handle)
    assert sender.guests[handle].state == "RUNNING"
    sender, handle = running(b"domain", 1 | 16)
    refused("POLICY_FAILURE", sender.send_start, handle, pdh, platform)
    sender.send_start(handle, *parts(sender)[:2])
    early = Platform(random=seeded(b"early"))
    early.init()
    waiting, _, _ = measured(early, 1)
    refused("INVALID_GUEST_STATE", early.send_start, waiting, pdh)


def test_receive_start_checks_as_launch_start_does() -> None:
    sender, handle = running(b"sender", 1)
    receiver = Platform(random=seeded(b"receiver"))
    receiver.init()
    blob = sender.send_start(handle, parts(receiver)[0])
    pdh = parts(sender)[0]
    refused("INVALID_LENGTH", receiver.receive_start, 1, pdh, blob.to_bytes()[:-1])
    refused("INVALID_CERTIFICATE", receiver.receive_start, 1, parts(sender)[1][:2084], blob.to_bytes())
    refused("BAD_MEASUREMENT", receiver.receive_start, 1, pdh, flip(600)(blob.to_bytes()))
    refused("BAD_MEASUREMENT", receiver.receive_start, 3, pdh, blob.to_bytes())


def test_the_platform_s_own_commands(platform: Platform) -> None:
    refused("INVALID_PLATFORM_STATE", platform.init)
    before = platform.pdh_cert_export()
    platform.pdh_gen()
    assert platform.pdh_cert_export()[PDH] != before[PDH]
    assert platform.pdh_cert_export()[PEK] == before[PEK]
    platform.pek_gen()
    assert platform.pdh_cert_export()[PEK] != before[PEK]
    assert platform.pdh_cert_export().verify(sample_roots()).matches
    handle = platform.launch_start(1)
    refused("INVALID_PLATFORM_STATE", platform.pek_gen)
    assert platform.platform_status()["guest_count"] == 1
    assert platform.guest_status(handle) == {"policy": 1, "asid": 0, "state": "LUPDATE"}
    platform.decommission(handle)
    assert platform.state == "INIT"
    refused("INVALID_PLATFORM_STATE", platform.guest_status, handle)
    platform.shutdown()
    refused("INVALID_PLATFORM_STATE", platform.pdh_cert_export)
    assert len(platform.get_id()) == 64


def test_a_firmware_that_does_not_look_at_the_curve_can_be_chosen() -> None:
    """CVE-2019-9836: with a point of a curve with few points, few keys are possible, and the owner can try them all."""
    point = json_points()[0]
    x, y, order = int(point["x"], 16), int(point["y"], 16), point["order"]
    platform = Platform(random=seeded(b"curve"), faults={"no-curve-check"})
    platform.init()
    key = EccKey(curve=2, qx=x.to_bytes(72, "little"), qy=y.to_bytes(72, "little"))
    private = int.from_bytes(platform.identity.keys[PDH].reveal(), "big")
    assert multiply((x, y), order) is None
    assert multiply((x, y), private) == multiply((x, y), private % order)
    godh = public_key(make_private(seeded(b"x")))
    certificate = make_session(platform.pdh_cert_export()[PDH], 1, random=seeded(b"y")).godh.replace(key=key)
    assert godh.x < PRIME
    tried = 0
    for guess in range(order):
        product = multiply((x, y), guess)
        z = (product[0] if product else 0).to_bytes(48, "big")
        blob = wrap_keys(derive_session_keys(z, bytes(16)), bytes(16), bytes(16), bytes(16), sevlab.Policy(1))
        try:
            platform.launch_start(1, certificate.to_bytes(), blob.to_bytes())
        except FirmwareError as error:
            tried += error.name == "BAD_MEASUREMENT"
        else:
            # x is the same for a point and its opposite
            assert guess in (private % order, -private % order)
            return
    pytest.fail(f"no guess was right, of {tried}")


def json_points() -> Any:
    return json.loads(FILE.read_text())["points"]


def test_an_older_firmware_is_refused_unless_that_fault_is_chosen() -> None:
    for faults in (set[str](), {"rollback"}):
        platform = Platform(random=seeded(b"roll"), api=(0, 17), build=22, faults=faults)
        platform.download_firmware((0, 17), 23)
        platform.init()
        if faults:
            platform.download_firmware((0, 16), 12)
            assert (platform.api, platform.build) == ((0, 16), 12)
        else:
            refused("BAD_VERSION", platform.download_firmware, (0, 16), 12)
        platform.launch_start(1)
        refused("INVALID_PLATFORM_STATE", platform.download_firmware, (9, 9), 9)


def test_page_tables_that_nobody_guards_let_a_measured_guest_run_other_code() -> None:
    """SEVered: what was measured stays measured, and another page is read in its place."""
    for faults in (set[str](), {"unprotected-page-tables"}):
        platform = Platform(random=seeded(b"pages"), faults=faults)
        platform.init()
        handle, _, _ = measured(platform, 1)
        platform.memory.write(0x8000, b"other" * 100, platform.guests[handle].key.reveal())
        assert platform.read_as_guest(handle, 0, 4096) == bytes(range(256)) * 16
        if not faults:
            refused("INVALID_PAGE_OWNER", platform.remap, handle, 0, 0x8000)
            continue
        platform.remap(handle, 0, 0x8000)
        assert platform.read_as_guest(handle, 0, 10) == b"otherother"
        assert platform.read_as_guest(handle, 4090, 10)[6:] == platform.read_as_guest(handle, 4096, 4)
        refused("INVALID_ADDRESS", platform.remap, handle, 8, 0)


def test_registers_are_sent_for_sev_es_only() -> None:
    for policy in (1, 5):
        sender, handle = running(b"vmsa", policy)
        receiver = Platform(random=seeded(b"receiver"))
        receiver.init()
        blob = sender.send_start(handle, parts(receiver)[0])
        moved = receiver.receive_start(policy, parts(sender)[0], blob.to_bytes())
        receiver.activate(moved, 1)
        if policy == 1:
            refused("UNSUPPORTED", sender.send_update_vmsa, handle, 0)
            refused("UNSUPPORTED", receiver.receive_update_vmsa, moved, bytes(52), 0, bytes(4096))
            continue
        header, payload = sender.send_update_vmsa(handle, 0)
        refused("INVALID_LENGTH", receiver.receive_update_vmsa, moved, header, 0, payload[:16])
        receiver.receive_update_vmsa(moved, header, 0, payload)
        assert receiver.read_as_guest(moved, 0, 256) == bytes(range(256))


def test_unknown_faults_are_refused() -> None:
    with pytest.raises(TypeError, match="no fault"):
        Platform(faults={"nonsense"})


SMALL = st.integers(0, 4)


class Commands(RuleBasedStateMachine):
    """Any commands in any order: an answer or a status, and never a state that does not exist."""

    @initialize(es=st.booleans(), api=st.sampled_from([(0, 16), (0, 17), (1, 55)]))
    def make(self, es: bool, api: tuple[int, int]) -> None:
        self.platform = Platform(random=seeded(b"machine"), es=es, api=api)

    def try_it(self, command: Any, *arguments: Any) -> Any:
        try:
            return command(*arguments)
        except FirmwareError as error:
            answer = error
        assert STATUS[answer.status] == answer.name != "SUCCESS"
        return None

    @rule(
        name=st.sampled_from(["init", "shutdown", "pdh_gen", "pek_gen", "pdh_cert_export", "platform_status", "get_id"])
    )
    def platform_command(self, name: str) -> None:
        self.try_it(getattr(self.platform, name))

    @rule(policy=st.sampled_from([0, 1, 3, 4, 5, 8]), handle=SMALL, good=st.booleans())
    def launch_start(self, policy: int, handle: int, good: bool) -> None:
        if not good:
            self.try_it(self.platform.launch_start, policy, None, None, handle)
            return
        session = make_session(self.platform.identity.certificates[PDH], policy, random=seeded(b"any"))
        self.try_it(self.platform.launch_start, policy, session.godh.to_bytes(), session.blob.to_bytes())

    @rule(raw=st.binary(max_size=40), handle=SMALL)
    def launch_start_with_rubbish(self, raw: bytes, handle: int) -> None:
        self.try_it(self.platform.launch_start, 1, raw.ljust(2084, b"\1"), raw.ljust(128, b"\2"), handle)

    @rule(handle=SMALL, asid=st.integers(-1, 3))
    def activate(self, handle: int, asid: int) -> None:
        self.try_it(self.platform.activate, handle, asid)

    @rule(handle=SMALL, address=st.sampled_from([0, 16, 17, 4096, 1 << 50]), length=st.sampled_from([0, 16, 17, 4096]))
    def update(self, handle: int, address: int, length: int) -> None:
        self.try_it(self.platform.launch_update_data, handle, address, length)
        self.try_it(self.platform.launch_update_vmsa, handle, address, length)
        self.try_it(self.platform.dbg_decrypt, handle, address, length)

    @rule(
        handle=SMALL,
        name=st.sampled_from(["launch_measure", "launch_finish", "deactivate", "guest_status", "decommission"]),
    )
    def guest_command(self, handle: int, name: str) -> None:
        self.try_it(getattr(self.platform, name), handle)

    @rule(handle=SMALL, name=st.sampled_from(["send_finish", "send_cancel", "receive_finish"]), size=st.integers(0, 40))
    def migration(self, handle: int, name: str, size: int) -> None:
        pdh = self.platform.identity.certificates[PDH].to_bytes()
        blob = self.try_it(self.platform.send_start, handle, pdh)
        if blob is not None:
            self.try_it(self.platform.receive_start, 1, pdh, blob.to_bytes())
        self.try_it(self.platform.send_update_data, handle, 0, size)
        self.try_it(self.platform.receive_update_data, handle, bytes(52), 0, bytes(size))
        self.try_it(getattr(self.platform, name), handle)

    @rule(handle=SMALL, header=st.binary(max_size=60), payload=st.binary(max_size=64))
    def secret(self, handle: int, header: bytes, payload: bytes) -> None:
        self.try_it(self.platform.launch_secret, handle, header.ljust(52, b"\0"), 0, payload)
        self.try_it(self.platform.attestation, handle, bytes(16))

    @invariant()
    def states_exist(self) -> None:
        if not hasattr(self, "platform"):
            return
        platform = self.platform
        assert platform.state in PLATFORM_STATES
        assert (platform.state == "WORKING") == bool(platform.guests)
        assert {guest.state for guest in platform.guests.values()} <= MOVES.keys()


Commands.TestCase.settings = settings(max_examples=many(40, 8), stateful_step_count=30)


TestCommands = Commands.TestCase
