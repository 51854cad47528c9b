"""The secure processor against the facts: every order of checks, exhaustively, and random commands under a model.

What is expected is written down here a second time, from sev-launch 1.2 and 3, and not taken from the simulator.
"""

from __future__ import annotations

import hmac
import random
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import sevlab
from sevlab.attestation.session import godh_certificate, make_private, make_session, seeded
from sevlab.formats.sev_certs import CEK, OCA, PDH, PEK, EccKey
from sevlab.simulator.identity import sample_roots
from sevlab.simulator.psp import Platform
from sevlab.simulator.status import FirmwareError
from tests.soak import many

PAGE = bytes(range(256)) * 16
PRIME = 2**384 - 2**128 - 2**96 + 2**32 - 1


def answer(command: Any, *arguments: Any) -> str:
    """The name of the firmware's status."""
    try:
        command(*arguments)
    except FirmwareError as error:
        return error.name
    return "SUCCESS"


def first(*checks: tuple[bool, str]) -> str:
    """The status of the first check that fails, in the order they are made."""
    return next((name for right, name in checks if not right), "SUCCESS")


def begun(seed: bytes = b"platform", **given: Any) -> Platform:
    platform = Platform(random=seeded(seed), **given)
    platform.init()
    return platform


def launched(platform: Platform, policy: int, asid: int = 0, state: str = "LUPDATE") -> tuple[int, Any]:
    """A guest in one of the states of a launch, active unless *asid* is 0 at the end; its session."""
    session = make_session(platform.pdh_cert_export()[PDH], policy, random=seeded(b"session"))
    handle = platform.launch_start(policy, session.godh.to_bytes(), session.blob.to_bytes())
    if asid:
        platform.activate(handle, asid)
        platform.memory.write(handle << 16, PAGE)
        platform.launch_update_data(handle, handle << 16, len(PAGE))
    if state != "LUPDATE":
        platform.launch_measure(handle)
    if state == "RUNNING":
        platform.launch_finish(handle)
    return handle, session


# --- the order of checks: every combination of what can be wrong


def test_launch_start_in_every_combination() -> None:
    platform, idle = begun(es=False, api=(1, 55)), Platform(random=seeded(b"platform"), es=False)
    shared = platform.launch_start(0)
    private = make_private(seeded(b"off the curve"))
    seen = set()
    for wrong in product((False, True), repeat=9):
        state, length, usage, point, wrap, mac, version, reserved, es = wrong
        policy = (2 << 16 if version else 0) | (1 << 9 if reserved else 0) | (4 if es else 0)
        session = make_session(platform.identity.certificates[PDH], policy, random=seeded(b"owner"))
        changes: dict[str, Any] = {"key_usage": PEK} if usage else {}
        if point:
            key = godh_certificate(private).key
            changes["key"] = EccKey(curve=2, qx=key.qx, qy=bytes(72))
        godh = session.godh.replace(**changes).to_bytes()
        blob = session.blob.replace(**({"wrap_mac": bytes(32)} if wrap else {}))
        blob = blob.replace(**({"policy_mac": bytes(32)} if mac else {}))
        raw = blob.to_bytes()[: 127 if length else 128]
        for handle in (0, shared, 9):
            expected = first(
                (not state, "INVALID_PLATFORM_STATE"),
                (not length, "INVALID_LENGTH"),
                (not usage, "INVALID_CERTIFICATE"),
                (not point, "INVALID_CERTIFICATE"),
                (not wrap, "BAD_MEASUREMENT"),
                (not mac, "BAD_MEASUREMENT"),
                (not version, "POLICY_FAILURE"),
                (not reserved, "POLICY_FAILURE"),
                (handle != 9, "INVALID_GUEST"),
                (not handle or policy == 0, "POLICY_FAILURE"),
                (not es, "UNSUPPORTED"),
            )
            used = idle if state else platform
            before = set(used.guests)
            assert answer(used.launch_start, policy, godh, raw, handle) == expected, (wrong, handle)
            for made in set(used.guests) - before:
                assert expected == "SUCCESS"
                used.decommission(made)
            seen.add(expected)
    assert len(seen) == 8


@pytest.mark.parametrize("vmsa", [False, True], ids=["data", "vmsa"])
def test_launch_update_in_every_combination(vmsa: bool) -> None:
    platform = begun()
    guests = {
        (es, asid, late): launched(
            platform, 4 * es, 10 + 4 * es + late if asid else 0, "LSECRET" if late else "LUPDATE"
        )
        for es, asid, late in product((False, True), repeat=3)
    }
    name = "launch_update_vmsa" if vmsa else "launch_update_data"
    for (es, asid, late), known, address, length in product(guests, (True, False), (0, 16, 8), (0, 16, 24, 4096, 4112)):
        handle = guests[es, asid, late][0] if known else 77
        expected = first(
            (known, "INVALID_GUEST"),
            (not late, "INVALID_GUEST_STATE"),
            (asid, "INACTIVE"),
            (address % 16 == 0, "INVALID_ADDRESS"),
            (length == 4096 if vmsa else length in (16, 4096, 4112), "INVALID_LENGTH"),
            (es or not vmsa, "UNSUPPORTED"),
        )
        assert answer(getattr(platform, name), handle, address, length) == expected, (es, asid, late, address, length)
    assert answer(getattr(begun(), name), 77, 8, 8) == "INVALID_PLATFORM_STATE"


@pytest.mark.parametrize("api", [(0, 16), (1, 55)], ids=["before 0.17", "new"])
def test_launch_secret_in_every_combination(api: tuple[int, int]) -> None:
    """The packet is made here, by the layouts of sev-launch 7.4 and 8: before 0.17 the measure is not under its MAC."""
    platform = begun(api=api)
    guests = {
        (asid, early): launched(platform, 1, 10 + early if asid else 0, "LUPDATE" if early else "LSECRET")
        for asid, early in product((False, True), repeat=2)
    }
    secret = sevlab.attestation.secret.build_secret(
        [("luks-key", b"horse")], sevlab.SecretBytes(bytes(16)), sevlab.SecretBytes(bytes(16)), bytes(32)
    )
    clear = secret.table.to_bytes()
    assert b"horse" in clear
    arrived = 0
    for (asid, early), known, address, header_size, mac, compressed, whole in product(
        guests, (True, False), (0x9000, 0x9008), (52, 51), (True, False), (False, True), (True, False)
    ):
        handle, session = guests[asid, early]
        guest, iv = platform.guests[handle], bytes(range(16))
        payload = sevlab.attestation.secret.build_secret(
            [("luks-key", b"horse")], session.tik, session.tek, guest.measure, iv=iv
        ).payload
        size, flags = len(payload).to_bytes(4, "little"), int(compressed).to_bytes(4, "little")
        message = b"\1" + flags + iv + size + size + payload + (guest.measure if api >= (0, 17) else b"")
        right = hmac.digest(session.tik.reveal(), message, "sha256")
        header = flags + iv + (right if mac else bytes(32))
        expected = first(
            (known, "INVALID_GUEST"),
            (address % 16 == 0, "INVALID_ADDRESS"),
            (header_size == 52 and whole, "INVALID_LENGTH"),
            (not early, "INVALID_GUEST_STATE"),
            (asid, "INACTIVE"),
            (mac, "BAD_MEASUREMENT"),
            (not compressed, "UNSUPPORTED"),
        )
        length = len(payload) if whole else 8
        got = answer(platform.launch_secret, handle if known else 77, header[:header_size], address, payload, length)
        assert got == expected
        if got == "SUCCESS":
            arrived += 1
            assert platform.read_as_guest(handle, address, len(clear)) == clear
            assert clear not in platform.memory.read(0x9000, 4096)
            platform.memory.write(address, bytes(len(clear)))
    assert arrived == 1
    assert answer(begun().launch_secret, 77, b"", 8, b"") == "INVALID_PLATFORM_STATE"


def test_measure_and_attestation_in_every_combination() -> None:
    platform = begun()
    for state, known, length in product(("LUPDATE", "LSECRET", "RUNNING"), (True, False), (0, 47, 48, 207, 208)):
        handle = launched(platform, 1, 0, state)[0]
        expected = first(
            (known, "INVALID_GUEST"),
            (state != "LUPDATE", "INVALID_GUEST_STATE"),
            (length >= 208, "INVALID_LENGTH"),
        )
        assert answer(platform.attestation, handle if known else 77, bytes(16), length) == expected
        expected = first(
            (known, "INVALID_GUEST"), (state == "LUPDATE", "INVALID_GUEST_STATE"), (length >= 48, "INVALID_LENGTH")
        )
        assert answer(platform.launch_measure, handle if known else 77, length) == expected
        platform.decommission(handle)


# --- what a host may try


@pytest.mark.parametrize(("policy", "usage", "kept"), [(0x21, OCA, (PEK, CEK)), (0x11, CEK, (PEK, OCA))])
def test_keys_go_to_the_platform_that_was_checked_and_to_nobody_else(
    policy: int, usage: int, kept: tuple[int, int]
) -> None:
    """The host hands over its own certificate beside a genuine chain, and declares it to be what is not checked."""
    sender = begun(b"sender")
    handle = launched(sender, policy, 1, "RUNNING")[0]
    genuine = sender.identity.chain if policy & 0x10 else begun(b"genuine").identity.chain
    mine = godh_certificate(make_private(seeded(b"host"))).replace(key_usage=usage, key_algorithm=2).to_bytes()
    certificates = b"".join(genuine[one].to_bytes() for one in (PDH, *kept))
    amd = genuine.to_bytes()[4 * 2084 :]
    assert answer(sender.send_start, handle, mine, certificates, amd) == "INVALID_CERTIFICATE"
    assert sender.guests[handle].state == "RUNNING"
    platform = b"".join(genuine[one].to_bytes() for one in (PEK, OCA, CEK))
    assert answer(sender.send_start, handle, genuine[PDH].to_bytes(), platform, amd) == "SUCCESS"


def test_without_a_bit_that_asks_nobody_looks_at_the_certificates() -> None:
    sender, receiver = begun(b"sender"), begun(b"receiver")
    pdh = receiver.identity.chain[PDH].to_bytes()
    for policy, expected in ((0x01, "SUCCESS"), (0x11, "INVALID_CERTIFICATE"), (0x21, "INVALID_CERTIFICATE")):
        handle = launched(sender, policy, policy, "RUNNING")[0]
        assert answer(sender.send_start, handle, pdh, b"rubbish", b"rubbish") == expected


@pytest.mark.parametrize("times", [0, 1, 4])
@pytest.mark.parametrize("odd", [0, 1])
def test_a_weak_firmware_takes_coordinates_beyond_the_prime(times: int, odd: int) -> None:
    """x and x + PRIME are one point; the point here is of order 3."""
    made = (begun(bytes([seed]), faults={"no-curve-check"}) for seed in range(20))
    # With an odd private number the point itself is one of those that are added.
    platform = next(one for one in made if one.identity.keys[PDH].reveal()[-1] & 1 == odd)
    session = make_session(platform.pdh_cert_export()[PDH], 1, random=seeded(b"owner"))
    # Doubling (x, y) gives x again exactly when slope**2 = 3x: the point is of order 3, whatever its curve.
    slope = 5
    x = slope * slope * pow(3, -1, PRIME) % PRIME
    y = (3 * x * x - 3) * pow(2 * slope, -1, PRIME) % PRIME
    key = EccKey(curve=2, qx=(x + times * PRIME).to_bytes(72, "little"), qy=y.to_bytes(72, "little"))
    godh = session.godh.replace(key=key).to_bytes()
    assert answer(platform.launch_start, 1, godh, session.blob.to_bytes()) == "BAD_MEASUREMENT"
    assert answer(begun().launch_start, 1, godh, session.blob.to_bytes()) == "INVALID_CERTIFICATE"


# --- the platform


def test_a_reset_forgets_the_owner_and_keeps_the_chip() -> None:
    platform = begun()
    before = platform.pdh_cert_export()
    assert answer(platform.platform_reset) == "INVALID_PLATFORM_STATE"
    platform.shutdown()
    platform.platform_reset()
    platform.init()
    after = platform.pdh_cert_export()
    assert {usage for usage in (PDH, PEK, OCA, CEK) if after[usage] == before[usage]} == {CEK}
    assert after.verify(sample_roots()).matches


@pytest.mark.parametrize("how", ["deactivate", "decommission", "shutdown"])
def test_an_address_space_number_is_used_again_only_after_a_flush(how: str) -> None:
    platform = begun()
    handle = launched(platform, 1, 5)[0]
    getattr(platform, how)(*(() if how == "shutdown" else (handle,)))
    if how == "shutdown":
        assert answer(platform.df_flush) == "INVALID_PLATFORM_STATE"
        platform.init()
    other = launched(platform, 1)[0]
    assert answer(platform.activate, other, 5) == "DF_FLUSH_REQUIRED"
    assert answer(platform.df_flush) == "WBINVD_REQUIRED"
    assert answer(platform.activate, other, 5) == "DF_FLUSH_REQUIRED"
    platform.wbinvd()
    platform.df_flush()
    assert answer(platform.activate, other, 5) == "SUCCESS"


# --- random commands under a model

#: sev-launch 1.2, by hand: command, states it needs, state afterwards ("" for unchanged, None for no guest).
TABLE: dict[str, tuple[set[str], str | None]] = {
    "launch_update_data": ({"LUPDATE"}, ""),
    "launch_update_vmsa": ({"LUPDATE"}, ""),
    "launch_measure": ({"LUPDATE"}, "LSECRET"),
    "launch_secret": ({"LSECRET"}, ""),
    "launch_finish": ({"LSECRET"}, "RUNNING"),
    "send_start": ({"RUNNING"}, "SUPDATE"),
    "send_update_data": ({"SUPDATE"}, ""),
    "send_update_vmsa": ({"SUPDATE"}, ""),
    "send_finish": ({"SUPDATE"}, "SENT"),
    "send_cancel": ({"SUPDATE"}, "RUNNING"),
    "receive_update_data": ({"RUPDATE"}, ""),
    "receive_update_vmsa": ({"RUPDATE"}, ""),
    "receive_finish": ({"RUPDATE"}, "RUNNING"),
    "attestation": ({"LSECRET", "RUNNING", "SUPDATE", "SENT"}, ""),
    "decommission": ({"LUPDATE", "LSECRET", "RUNNING", "SUPDATE", "RUPDATE", "SENT"}, None),
}
ANY = {"LUPDATE", "LSECRET", "RUNNING", "SUPDATE", "RUPDATE", "SENT"}
for _name in ("activate", "deactivate", "guest_status", "dbg_decrypt", "dbg_encrypt"):
    TABLE[_name] = (ANY, "")

PLATFORM = ["init", "init", "init", "pdh_gen", "pek_gen", "pdh_cert_export", "platform_status", "get_id"]
PLATFORM += ["df_flush", "wbinvd", "platform_reset"]
WHICH, HANDLE = st.integers(0, 1), st.sampled_from([1, 1, 2, 2, 3, 4, 9])
ADDRESS, LENGTH = st.sampled_from([0, 0, 1 << 16, 17, 1 << 50]), st.sampled_from([4096, 4096, 16, 0, 17])


class Commands(RuleBasedStateMachine):
    """Two platforms that launch and exchange guests. After each command the states are what the table says."""

    @initialize(
        api=st.sampled_from([(0, 16), (0, 17), (1, 55)]),
        wanted=st.lists(
            st.tuples(
                st.sampled_from(["LUPDATE", "LSECRET", "RUNNING", "SUPDATE", "RUPDATE"]), st.sampled_from([0, 4])
            ),
            max_size=4,
        ),
    )
    def make(self, api: tuple[int, int], wanted: list[tuple[str, int]]) -> None:
        """Begin with guests that have come some way: from nothing, random commands seldom get so far."""
        self.platforms = [Platform(random=seeded(bytes([number])), api=api, es=True) for number in (0, 1)]
        self.succeeded: set[str] = set()
        self.sessions: dict[tuple[int, int], Any] = {}
        self.blobs: list[tuple[int, int, bytes]] = []
        self.packets = [(bytes(52), bytes(16))]
        for asid, (state, policy) in enumerate(wanted, 10):
            for platform in self.platforms:
                answer(platform.init)
            moves = state in ("SUPDATE", "RUPDATE")
            handle, session = launched(self.platforms[0], policy, asid, "RUNNING" if moves else state)
            self.sessions[0, handle] = session
            if moves:
                self.send_start(0, handle, True)
                self.packets.append(self.call(0, "send_update_data", handle, handle << 16, len(PAGE)))
            if state == "RUPDATE":
                self.receive_start(0, 0)
                self.call(1, "activate", max(self.platforms[1].guests), asid)

    def look(self, platform: Platform) -> tuple[str, dict[int, str]]:
        return platform.state, {handle: guest.state for handle, guest in platform.guests.items()}

    def call(self, which: int, name: str, *arguments: Any) -> Any:
        """Give a command; judge what it did to the states."""
        platform = self.platforms[which]
        state, guests = self.look(platform)
        try:
            result = getattr(platform, name)(*arguments)
        except FirmwareError:
            result, refused = None, True
        else:
            refused = False
        if not refused:
            self.succeeded.add(name)
        if refused:
            assert self.look(platform) == (state, guests), name
        elif name in TABLE:
            needed, after = TABLE[name]
            handle = arguments[0]
            assert state == "WORKING"
            assert guests[handle] in needed, name
            expected = {**guests, handle: after or guests[handle]}
            if after is None:
                del expected[handle]
            assert self.look(platform) == ("WORKING" if expected else "INIT", expected), name
        elif name in ("launch_start", "receive_start"):
            assert state in ("INIT", "WORKING")
            assert result not in guests
            new = "LUPDATE" if name == "launch_start" else "RUPDATE"
            assert self.look(platform) == ("WORKING", {**guests, result: new})
        elif name == "init":
            assert (state, self.look(platform)) == ("UNINIT", ("INIT", {}))
        elif name == "shutdown":
            assert self.look(platform) == ("UNINIT", {})
        else:
            assert self.look(platform) == (state, guests), name
        return result

    @rule(
        which=WHICH,
        name=st.sampled_from(PLATFORM),
    )
    def platform_command(self, which: int, name: str) -> None:
        self.call(which, name)

    @rule(which=WHICH, sure=st.integers(0, 19))
    def shutdown(self, which: int, sure: int) -> None:
        if sure == 19:
            self.call(which, "shutdown")

    @rule(
        which=WHICH,
        policy=st.sampled_from([0, 1, 4, 5, 8, 0x10, 0x21, 0x40, 2 << 16]),
        claimed=st.sampled_from([0, 0, 0, 1]),
        share=st.sampled_from([0, 0, 0, 1, 9]),
    )
    def launch_start(self, which: int, policy: int, claimed: int, share: int) -> None:
        pdh = self.platforms[which].identity.certificates[PDH]
        session = make_session(pdh, policy, random=seeded(b"any"))
        godh, blob = session.godh.to_bytes(), session.blob.to_bytes()
        handle = self.call(which, "launch_start", policy ^ claimed, godh, blob, share)
        if handle is not None:
            assert not claimed
            assert policy < 0x40
            self.sessions[which, handle] = session

    @rule(which=WHICH, raw=st.binary(max_size=60), cut=st.integers(0, 1))
    def launch_start_with_rubbish(self, which: int, raw: bytes, cut: int) -> None:
        godh = b"\1\0\0\0" + bytes(4) + b"\3\x10\0\0\3\0\0\0\2\0\0\0" + raw
        self.call(which, "launch_start", 1, godh.ljust(2084, b"\0"), bytes(128 - cut))
        self.call(which, "receive_start", 1, godh.ljust(2084, b"\1"), bytes(128 - cut))

    @rule(which=WHICH, handle=HANDLE, asid=st.sampled_from([1, 2, 3, 0, -1, 510]))
    def activate(self, which: int, handle: int, asid: int) -> None:
        self.call(which, "activate", handle, asid)

    @rule(which=WHICH, handle=HANDLE, address=ADDRESS, length=LENGTH)
    def memory(self, which: int, handle: int, address: int, length: int) -> None:
        for name in ("launch_update_data", "launch_update_vmsa", "dbg_decrypt"):
            self.call(which, name, handle, address, length)
        self.call(which, "dbg_encrypt", handle, address, bytes(length))

    @rule(
        which=WHICH,
        handle=HANDLE,
        name=st.sampled_from(
            ["launch_measure", "launch_finish", "send_finish", "send_cancel", "receive_finish"] * 2
            + ["deactivate", "guest_status", "decommission"]
        ),
    )
    def guest_command(self, which: int, handle: int, name: str) -> None:
        self.call(which, name, handle)

    @rule(which=WHICH, sure=st.integers(0, 9))
    def decommission_all(self, which: int, sure: int) -> None:
        for handle in list(self.platforms[which].guests) if sure == 9 else ():
            self.call(which, "decommission", handle)

    @rule(which=WHICH, handle=HANDLE, size=st.sampled_from([208, 208, 207]))
    def attestation(self, which: int, handle: int, size: int) -> None:
        report = self.call(which, "attestation", handle, bytes(16), size)
        if report is not None:
            pek = self.platforms[which].identity.certificates[PEK]
            assert sevlab.attestation.sev_chain.verify_attestation(report, pek, bytes(16))[1].state == "match"

    @rule(which=WHICH, handle=HANDLE, address=ADDRESS, spoiled=st.booleans())
    def secret(self, which: int, handle: int, address: int, spoiled: bool) -> None:
        guest, session = self.platforms[which].guests.get(handle), self.sessions.get((which, handle))
        if guest is None or session is None:
            self.call(which, "launch_secret", handle, bytes(52), address, bytes(16))
            return
        old = self.platforms[which].api < (0, 17)
        packet = sevlab.attestation.secret.build_secret(
            [("luks-key", b"b")], session.tik, session.tek, guest.measure, old=old
        )
        payload = packet.payload[:-1] + bytes([packet.payload[-1] ^ spoiled])
        self.call(which, "launch_secret", handle, packet.header.to_bytes(), address, payload)

    @rule(which=WHICH, handle=HANDLE, whole=st.booleans())
    def send_start(self, which: int, handle: int, whole: bool) -> None:
        raw = self.platforms[1 - which].identity.chain.to_bytes()
        parts = (raw[2084:8336], raw[8336:]) if whole else ()
        blob = self.call(which, "send_start", handle, raw[:2084], *parts)
        if blob is not None:
            self.blobs.append((which, int(self.platforms[which].guests[handle].policy), blob.to_bytes()))

    @rule(number=st.integers(0, 9), policy=st.sampled_from([0, 0, 2]))
    def receive_start(self, number: int, policy: int) -> None:
        if self.blobs:
            which, sent, blob = self.blobs[-1 - number % len(self.blobs)]
            pdh = self.platforms[which].identity.certificates[PDH].to_bytes()
            self.call(1 - which, "receive_start", sent ^ policy, pdh, blob)

    @rule(which=WHICH, handle=HANDLE, address=ADDRESS, length=LENGTH)
    def send_update(self, which: int, handle: int, address: int, length: int) -> None:
        self.packets.append(self.call(which, "send_update_vmsa", handle, address) or self.packets[-1])
        self.packets.append(self.call(which, "send_update_data", handle, address, length) or self.packets[-1])

    @rule(which=WHICH, handle=HANDLE, address=ADDRESS, vmsa=st.booleans())
    def receive_update(self, which: int, handle: int, address: int, vmsa: bool) -> None:
        header, payload = self.packets[-1]
        self.call(which, "receive_update_vmsa" if vmsa else "receive_update_data", handle, header, address, payload)


Commands.TestCase.settings = settings(max_examples=many(25, 5), stateful_step_count=50)
TestCommands = Commands.TestCase


def test_a_long_walk_reaches_every_command() -> None:
    """The same rules with choices from a seed, so that none of them is only ever refused."""
    chance = random.Random(7)
    reached = set()
    for depths in (["LUPDATE", "LSECRET", "RUNNING"], ["SUPDATE", "RUPDATE", "LUPDATE"]) * 15:
        machine = Commands()
        machine.make((1, 55), [(state, 4) for state in depths])
        for _ in range(60):
            there = [(number, one) for number, platform in enumerate(machine.platforms) for one in platform.guests]
            which, handle = chance.choice(there or [(0, 1)])
            address, length = chance.choice([0, 1 << 16, 17]), chance.choice([4096, 4096, 16, 0])
            moves = ["launch_measure", "launch_finish", "send_finish", "send_cancel", "receive_finish"]
            name = chance.choice([*moves, *moves, "deactivate", "guest_status", "decommission"])
            spoiled, vmsa = chance.random() < 0.3, chance.random() < 0.5
            choices: list[tuple[Any, ...]] = [
                (machine.platform_command, which, chance.choice(PLATFORM)),
                (machine.launch_start, which, chance.choice([1, 4, 0x40]), 0, 0),
                (machine.activate, which, handle, chance.randrange(4)),
                (machine.memory, which, handle, address, length),
                (machine.guest_command, which, handle, name),
                (machine.secret, which, handle, address, spoiled),
                (machine.send_start, which, handle, True),
                (machine.receive_start, chance.randrange(3), 0),
                (machine.send_update, which, handle, address, length),
                *[(machine.receive_update, which, handle, address, vmsa)] * 3,
                (machine.attestation, which, handle, 208),
            ]
            command, *arguments = chance.choice(choices)
            command(*arguments)
        for which in (0, 1):
            machine.decommission_all(which, 9)
            assert machine.platforms[which].state in ("UNINIT", "INIT")
        reached |= machine.succeeded
    assert reached >= {*TABLE, "launch_start", "receive_start"}
