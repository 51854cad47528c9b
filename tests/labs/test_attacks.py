"""The attacks: each goes through with the fault it lives on, and is refused without."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import struct
from dataclasses import astuple, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.session import make_private, make_session, seeded
from sevlab.formats.sev_certs import CEK, PDH, PEK
from sevlab.labs import attacks
from sevlab.labs.attacks.invalid_curve import FILE, Residue, SmallPoint
from sevlab.simulator.curve import PRIME, add, multiply
from sevlab.simulator.parties import FIRMWARE_AT, SECRET_AT
from sevlab.simulator.psp import Platform
from sevlab.simulator.snp_host import ASID, CONTEXT_AT
from sevlab.simulator.status import FirmwareError
from tests.paths import SAMPLES
from tests.shared_data import shared_data
from tests.soak import many

FIRMWARE: dict[str, Any] = {"firmware": str(SAMPLES / "firmware.fd")}
SNP: dict[str, Any] = {
    "firmware": str(SAMPLES / "firmware-snp.fd"),
    "num_cpus": 1,
    "cpu_family": 25,
    "cpu_model": 1,
    "cpu_stepping": 1,
}
SECRET = b"a sample passphrase"


def begun(seed: bytes = b"platform", **given: Any) -> Platform:
    platform = Platform(random=seeded(seed), **given)
    platform.init()
    return platform


def sent(run: Any) -> dict[str, bytes]:
    """What was on the wire, by name."""
    return {entry.name: entry.raw for entry in run.transcript.messages}


def test_attempts_return_refusals_and_nothing_else() -> None:
    platform = begun()
    works, refused = attacks.attempt(platform.launch_start, 1), attacks.attempt(platform.guest_status, 9)
    assert (works.result, works.caught) == (1, None)
    assert works.works
    assert repr(works) == "It works: 1"
    assert repr(attacks.attempt(platform.df_flush)) == "It works"
    assert isinstance(refused.caught, FirmwareError)
    assert not refused.works
    assert repr(refused).startswith("REFUSED: 0x10 INVALID_GUEST")
    with pytest.raises(ZeroDivisionError):
        attacks.attempt(lambda: 1 // 0)


# --- A01: points of small order


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def test_every_point_lies_on_its_curve_and_has_its_prime_order() -> None:
    points = attacks.load_points()
    assert len(points) == 129
    assert [point.order for point in points] == sorted({point.order for point in points})
    assert (points[0].order, points[-1].order) == (3, 997)
    for point in points:
        assert is_prime(point.order)
        assert 0 <= point.x < PRIME
        assert 0 < point.y < PRIME
        assert (point.y * point.y - (point.x**3 - 3 * point.x + point.b)) % PRIME == 0
        assert point.b not in (2, PRIME - 2)  # these have a double point, and are no curves
        # Of prime order: to infinity after so many steps, and not there after one.
        assert multiply(point.xy, point.order) is None
        assert point.is_on_curve()
    assert len({point.b for point in points}) > 40
    product = 1
    for point in points:
        product *= point.order
    assert 2**1022 < product < 2**1023


def test_a_moved_point_is_seen_to_be_off_its_curve() -> None:
    point = attacks.load_points()[3]
    assert not replace(point, x=point.x + 1).is_on_curve()
    assert multiply((point.x + 1, point.y), point.order) is not None


def test_the_table_is_the_one_that_was_computed() -> None:
    assert FILE.read_bytes() == shared_data("invalid-curve", "points.json").read_bytes()


def test_points_are_no_points_of_p384_and_certificates_hold_them() -> None:
    from sevlab.attestation.crypto import load_point

    for point in attacks.load_points()[:20]:
        assert load_point(point.key) is None
        assert (point.key.x, point.key.y) == point.xy


@pytest.fixture(scope="module")
def robbed() -> Any:
    """A launch on a firmware that does not look, and the theft of its PDH afterwards; counted by another route."""
    run = sevlab.simulate_launch(FIRMWARE, 1, seed=b"robbed", api=(0, 17), build=11, faults={"no-curve-check"})
    assert run.caught is None
    counted: list[str] = []
    genuine = run.platform.launch_start
    run.platform.launch_start = lambda *given: (counted.append("one"), genuine(*given))[1]  # type: ignore[method-assign]
    theft = attacks.steal_pdh(run.platform)
    return run, theft, len(counted)


def test_the_private_number_of_the_pdh_is_taken(robbed: Any) -> None:
    run, theft, counted = robbed
    assert theft.private == run.platform.identity.keys[PDH]
    assert theft.caught is None
    assert theft.launches == counted == sum(residue.tried for residue in theft.residues)
    assert theft.launches <= 13_500  # the facts' worst case
    number = int.from_bytes(theft.private.reveal(), "big")
    for order, value, tried in map(astuple, theft.residues):
        assert value in (number % order, -number % order)
        assert tried == (value or order // 2)
    assert theft.bits > 768
    assert theft.join(90) is None
    assert theft.join(1) is None
    assert set(run.platform.guests) == {run.host.handle}
    assert f"{theft.launches} LAUNCH_STARTs with {len(theft.residues)} points: they give" in str(theft)
    assert theft.private.reveal().hex() not in str(theft) + theft.explain().html()


def test_with_it_a_recorded_launch_is_opened(robbed: Any) -> None:
    run, theft, _ = robbed
    seen = sent(run)
    blob = sevlab.formats.sev_certs.SessionBlob.from_bytes(seen["launch session"])
    godh = sevlab.formats.sev_certs.SevCertificate.from_bytes(seen["GODH certificate"])
    opened = sevlab.attestation.session.open_session(blob, godh, theft.private, 1)
    assert opened.matches
    assert (opened.tek, opened.tik) == (run.owner.session.tek, run.owner.session.tik)
    measure = seen["LAUNCH_MEASURE"][:32]
    packet = seen["secret packet"]
    secret = sevlab.attestation.secret.open_secret(packet[:52], packet[52:], opened.tik, opened.tek, measure)
    assert secret.secrets[0][1].reveal() == SECRET
    other = sevlab.attestation.session.open_session(blob, godh, make_private(seeded(b"other")), 1)
    assert not other.matches


def test_a_firmware_that_looks_refuses_the_first_point() -> None:
    theft = attacks.steal_pdh(begun(api=(0, 17), build=22))
    assert theft.private is None
    assert theft.launches == 1
    assert theft.caught is not None
    assert theft.caught.name == "INVALID_CERTIFICATE"
    assert "REFUSED after 1 LAUNCH_START: 0x06 INVALID_CERTIFICATE" in str(theft)


def test_too_few_points_are_told() -> None:
    theft = attacks.steal_pdh(begun(faults={"no-curve-check"}), attacks.load_points()[:5])
    assert theft.private is None
    assert len(theft.residues) == 5
    assert "do not give the private key" in str(theft)
    assert attacks.steal_pdh(begun(faults={"no-curve-check"}), []).private is None


@settings(max_examples=many(60, 12))
@given(st.integers(1, 2**384 - 1), st.data())
def test_residues_are_joined_to_the_number_whatever_their_signs(number: int, data: Any) -> None:
    points = attacks.load_points()[:103]
    chosen = data.draw(st.lists(st.booleans(), min_size=103, max_size=103))
    signed = [
        Residue(point.order, (number if sign else -number) % point.order, 1)
        for point, sign in zip(points, chosen, strict=True)
    ]
    assert attacks.join_residues(signed) == number
    # Fewer residues tell the number only where it is less than the product of their orders.
    assert attacks.join_residues(signed[:40]) != number or number < math.prod(point.order for point in points[:40])
    assert attacks.join_residues([]) is None


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_point_is_learnt_in_half_as_many_guesses_as_its_order(place: int) -> None:
    point = attacks.load_points()[place]
    for number in range(2 * point.order):
        product = multiply(point.xy, number)
        asked: list[int] = []

        def guess(x: int, right: int = product[0] if product else 0, asked: list[int] = asked) -> bool:
            asked.append(x)
            return x == right

        order, value, tried = astuple(attacks.learn_residue(point, guess))
        assert (order, value) == (point.order, min(number % order, -number % order))
        assert tried == len(asked) == (value or order // 2)


# --- A01: the toy


@pytest.mark.parametrize("prime", [4294967291, 1019, 65519, 1099511627563])
def test_points_of_small_order_are_found_over_any_small_field(prime: int) -> None:
    points = attacks.find_points(prime)
    assert points == attacks.find_points(prime)
    product = 1
    for point in points:
        assert point.is_on_curve(prime)
        assert is_prime(point.order)
        assert naive(point, prime) == point.order
        product *= point.order
    assert product > prime * prime


def naive(point: SmallPoint, prime: int) -> int:
    """The order by adding the point again and again."""
    count, there = 1, add(None, point.xy, prime)
    while there is not None:
        there, count = add(there, point.xy, prime), count + 1
    return count


@settings(max_examples=many(25, 5))
@given(st.integers(1, attacks.TOY_PRIME))
def test_any_private_number_of_a_toy_platform_is_taken(private: int) -> None:
    platform = attacks.ToyPlatform(private)
    found, residues = attacks.steal_toy(platform, POINTS)
    assert found == private
    assert platform.launches == sum(residue.tried for residue in residues)
    checked = attacks.ToyPlatform(private, checks=True)
    assert attacks.attempt(attacks.steal_toy, checked, POINTS).caught.name == "INVALID_CERTIFICATE"
    assert checked.launches == 1


POINTS = attacks.find_points()


def test_a_toy_that_looks_takes_points_of_its_own_curve() -> None:
    from sevlab.labs.attacks.invalid_curve import TOY_B, seal

    # x = 1: y**2 = 1 - 3 + 7 = 5
    y = pow(5, (attacks.TOY_PRIME + 1) // 4, attacks.TOY_PRIME)
    assert (y * y - 1 + 3 - TOY_B) % attacks.TOY_PRIME == 0
    assert attacks.ToyPlatform(1, checks=True).launch_start((1, y), seal(1))
    assert not attacks.ToyPlatform(2, checks=True).launch_start((1, y), seal(1))
    assert not attacks.attempt(attacks.ToyPlatform(1, checks=True).launch_start, (1, y + 1), seal(1)).works


@pytest.mark.parametrize("prime", [0, -1, 7, 1001, 1009, 4294967291 - 4, 2**48 + 23, 3215031751])
def test_numbers_that_are_no_field_are_refused(prime: int) -> None:
    with pytest.raises(sevlab.InputError, match="prime: received"):
        attacks.find_points(prime)


def test_private_numbers_that_cannot_be_are_refused() -> None:
    for private in (0, -1, attacks.TOY_PRIME + 1):
        with pytest.raises(sevlab.InputError, match="private: received"):
            attacks.ToyPlatform(private)


# --- A02: the impostor


@pytest.fixture(scope="module")
def impostor() -> attacks.Impostor:
    """Made from a chip of the attacker's own."""
    own = begun(b"the attacker's own", api=(0, 17), build=22, faults={"rollback"})
    own.download_firmware((0, 16), 8)
    return attacks.Impostor(own.leak_cek(), own.pdh_cert_export()[CEK], random=seeded(b"impostor"))


def running(policy: int) -> Any:
    run = sevlab.simulate_launch(FIRMWARE, policy, seed=b"victim")
    assert run.caught is None
    return run


def test_the_chip_s_key_leaks_only_from_an_older_firmware() -> None:
    for faults in (set[str](), {"rollback"}):
        platform = begun(api=(0, 17), build=22, faults=faults)
        assert attacks.attempt(platform.leak_cek).caught.name == "UNSUPPORTED"
        attacks.attempt(platform.download_firmware, (0, 16), 8)
        assert attacks.attempt(platform.leak_cek).works == bool(faults)
        platform.download_firmware((0, 18), 1)
        assert attacks.attempt(platform.leak_cek).caught.name == "UNSUPPORTED"


def test_an_impostor_s_chain_is_that_of_a_genuine_platform(impostor: attacks.Impostor) -> None:
    assert impostor.chain.verify(sevlab.simulator.identity.sample_roots()).matches
    assert sevlab.attestation.session.public_key(impostor.private) == impostor.chain[PDH].key
    # A key that is not the certificate's signs no PEK that holds.
    wrong = attacks.Impostor(make_private(seeded(b"wrong")), impostor.chain[CEK], random=seeded(b"impostor"))
    states = {link.name: link.state for link in wrong.chain.verify(sevlab.simulator.identity.sample_roots()).checks}
    assert [name for name, state in states.items() if state != "match"] == ["PEK signed by CEK"]
    assert wrong.chain[PEK] != impostor.chain[PEK]


@pytest.mark.parametrize("policy", [0x01, 0x21, 0x27])
def test_an_impostor_gets_the_guest_s_memory(impostor: attacks.Impostor, policy: int) -> None:
    inputs = {**FIRMWARE, **({key: SNP[key] for key in SNP if key != "firmware"} if policy & 4 else {})}
    if policy & 4:
        inputs["firmware"] = str(SAMPLES / "firmware-kernel.fd")
    run = sevlab.simulate_launch(inputs, policy, seed=b"victim")
    firmware = Path(inputs["firmware"]).read_bytes()
    haul = attacks.migrate(run.platform, run.host.handle, impostor, [(FIRMWARE_AT, len(firmware)), (SECRET_AT, 64)])
    assert haul.caught is None
    assert haul.parts[FIRMWARE_AT] == firmware
    assert SECRET in haul.parts[SECRET_AT]
    assert haul.session is not None
    assert haul.session.matches
    assert run.platform.guest_status(run.host.handle)["state"] == "RUNNING"
    assert repr(haul) == f"{len(firmware) + 64} bytes of the guest's memory in clear, in 2 pieces"


@pytest.mark.parametrize(
    ("policy", "name"), [(0x09, "POLICY_FAILURE"), (0x29, "POLICY_FAILURE"), (0x11, "POLICY_FAILURE")]
)
def test_the_policy_can_forbid_it(impostor: attacks.Impostor, policy: int, name: str) -> None:
    run = running(policy)
    haul = attacks.migrate(run.platform, run.host.handle, impostor, [(SECRET_AT, 64)])
    assert haul.caught is not None
    assert haul.caught.name == name
    assert haul.parts == {}
    assert repr(haul).startswith("REFUSED: ")


def test_without_the_leaked_key_only_a_policy_without_sev_is_of_use(impostor: attacks.Impostor) -> None:
    made_up = attacks.Impostor(make_private(seeded(b"wrong")), impostor.chain[CEK], random=seeded(b"x"))
    for policy, works in ((0x01, True), (0x21, False)):
        run = running(policy)
        haul = attacks.migrate(run.platform, run.host.handle, made_up, [(SECRET_AT, 64)])
        assert (haul.caught is None) == works
        assert works or haul.caught.name == "BAD_SIGNATURE"


def test_every_policy_of_the_exercise(impostor: attacks.Impostor) -> None:
    stranger = attacks.Impostor(make_private(seeded(b"wrong")), impostor.chain[CEK], random=seeded(b"x"))
    sent = {"a leaked CEK": list[int](), "no leaked CEK": list[int]()}
    for policy, (key, receiver) in product(range(64), zip(sent, (impostor, stranger), strict=True)):
        platform = begun(b"victim")
        handle = platform.launch_start(policy)
        platform.activate(handle, 1)
        platform.launch_measure(handle)
        platform.launch_finish(handle)
        if attacks.migrate(platform, handle, receiver, []).caught is None:
            sent[key].append(policy)
    for seed in range(1, 13):
        tasks = sevlab.labs.Exercises(seed)
        ((flag, key),) = re.findall(r"bit (\w+) set: .* that has (.*) and no", tasks.ask("impostor-policies"))
        mask = {"NODBG": 1, "NOKS": 2, "ES": 4}[flag]
        assert tasks.mark("impostor-policies", sum(policy & mask > 0 for policy in sent[key])).state == "right"


def test_an_owner_packs_its_keys_for_the_impostor(impostor: attacks.Impostor) -> None:
    session = make_session(impostor.chain[PDH], 0x29, random=seeded(b"owner"))
    opened = impostor.open(session.blob, session.godh, 0x29)
    assert (opened.tek, opened.tik) == (session.tek, session.tik)


# --- A04: blocks


def swap(pieces: list[Any], one: int, other: int) -> list[Any]:
    """The pieces in their order, with the addresses of two exchanged."""
    addresses = [piece.address for piece in pieces]
    addresses[one], addresses[other] = addresses[other], addresses[one]
    return [replace(piece, address=address) for piece, address in zip(pieces, addresses, strict=True)]


def test_two_blocks_that_change_places_are_another_program_under_one_digest() -> None:
    pieces = attacks.cut(attacks.program())
    right = attacks.launch_blocks(pieces, random=seeded(b"blocks"))
    shuffled = attacks.launch_blocks(swap(pieces, 1, 2), random=seeded(b"blocks"))
    assert right.matches
    assert shuffled.matches
    assert right.digest == shuffled.digest == hashlib.sha256(attacks.program()).digest()
    assert right.measurement == shuffled.measurement
    assert right.memory == attacks.program() != shuffled.memory
    assert right.blocks == list(attacks.INSTRUCTIONS)
    assert shuffled.blocks == ["LOAD SECRET", "SEND", "ENCRYPT", "FORGET", "HALT"]
    assert shuffled.sent == [SECRET]
    assert len(right.sent) == 1
    assert SECRET not in right.sent
    other = attacks.launch_blocks(pieces[::-1], meant=attacks.program(), random=seeded(b"blocks"))
    assert not other.matches
    assert other.secret == b""
    assert other.sent == [] or SECRET not in other.sent


def test_a_block_that_is_written_over_is_measured_and_gone() -> None:
    pieces = attacks.cut(attacks.program())
    moved = [pieces[0], pieces[1], *(replace(piece, address=piece.address - 16) for piece in pieces[2:])]
    launch = attacks.launch_blocks(moved, random=seeded(b"blocks"))
    assert launch.matches
    assert launch.blocks == ["LOAD SECRET", "SEND", "FORGET", "HALT"]
    assert launch.sent == [SECRET]


@settings(max_examples=many(10, 5))
@given(st.permutations(range(5)))
def test_no_order_changes_the_digest(order: list[int]) -> None:
    pieces = attacks.cut(attacks.program())
    moved = [replace(piece, address=pieces[place].address) for piece, place in zip(pieces, order, strict=True)]
    launch = attacks.launch_blocks(moved, random=seeded(b"blocks"))
    assert launch.digest == hashlib.sha256(attacks.program()).digest()
    assert launch.sent == attacks.run_blocks(launch.memory, SECRET)
    pages, usual = attacks.launch_block_pages(moved), attacks.launch_block_pages(pieces)
    assert (pages.digest == usual.digest) == (order == sorted(order))


@pytest.mark.parametrize("size", [16, 48, 4096])
def test_pieces_of_any_whole_number_of_blocks_do(size: int) -> None:
    firmware = (SAMPLES / "firmware.fd").read_bytes()[: 16 * 4096]
    pieces = attacks.cut(firmware[: 64 * size], size)
    turned = [replace(piece, address=other.address) for piece, other in zip(pieces, pieces[::-1], strict=True)]
    launch = attacks.launch_blocks(turned, random=seeded(b"blocks"))
    assert launch.matches
    assert launch.memory == b"".join(piece.raw for piece in pieces[::-1])


@pytest.mark.parametrize(("address", "size", "name"), [(8, 16, "INVALID_ADDRESS"), (0, 8, "INVALID_LENGTH")])
def test_less_than_a_block_is_refused(address: int, size: int, name: str) -> None:
    with pytest.raises(FirmwareError, match=name):
        attacks.launch_blocks([attacks.Piece(FIRMWARE_AT + address, bytes(size))])


def test_snp_binds_the_address_and_its_firmware_agrees() -> None:
    pieces = attacks.cut(attacks.program())
    usual, moved = attacks.launch_block_pages(pieces), attacks.launch_block_pages(swap(pieces, 1, 2))
    compared = sevlab.compare_launch(moved, usual)
    assert not compared.matches
    assert compared.fields == ["gpa"]
    assert compared.number == 1
    for launch in (usual, moved):
        assert attacks.load_block_pages(launch) == launch.digest
        digest = bytes(48)
        for region in launch.regions:
            info = hashlib.sha384(region.raw).digest() + struct.pack("<HBBBBBBQ", 0x70, 1, 0, 0, 0, 0, 0, region.gpa)
            digest = hashlib.sha384(digest + info).digest()
        assert digest == launch.digest


def test_a_program_of_anything_runs_to_its_end() -> None:
    assert attacks.run_blocks(b"", SECRET) == []
    assert attacks.run_blocks(bytes(range(256)), SECRET) == []
    assert attacks.run_blocks(attacks.program(["SEND", "HALT", "SEND"]), SECRET) == [b""]
    assert attacks.run_blocks(attacks.program(["LOAD SECRET", "SEND", "FORGET", "SEND"]), SECRET) == [SECRET, b""]
    with pytest.raises(sevlab.InputError, match="at most 16 bytes"):
        attacks.program(["HALT", "A WORD THAT IS TOO LONG"])
    assert repr(attacks.cut(attacks.program())[2]) == "0x100020: SEND"
    assert repr(attacks.cut(bytes(64), 64)[0]) == "0x100000: 64 bytes"


# --- A07: debugging


def test_the_policy_s_bit_alone_lets_the_host_read() -> None:
    closed, opened = (sevlab.simulate_launch(FIRMWARE, policy, seed=b"debug") for policy in (0x1, 0x0))
    assert closed.verdict.matches
    assert opened.verdict.matches
    one, other = (run.verdict.message.to_bytes() for run in (closed, opened))
    assert [place for place in range(56) if one[place] != other[place]] == [4]
    refused = attacks.attempt(closed.platform.dbg_decrypt, closed.host.handle, SECRET_AT, 64)
    assert refused.caught.name == "POLICY_FAILURE"
    read = attacks.attempt(opened.platform.dbg_decrypt, opened.host.handle, SECRET_AT, 64)
    assert SECRET in read.result


def allow_debug(command: bytes) -> bytes:
    """SNP_LAUNCH_START with bit 19 of the policy set: the policy has bytes 8 to 15."""
    return command[:10] + bytes([command[10] | 1 << 3]) + command[11:]


def debug_page(run: Any, gpa: int) -> Any:
    """What SNP_DBG_DECRYPT gives the host for a page of the guest; the host's page tables say where it is."""
    return attacks.attempt(run.platform.dbg_decrypt, CONTEXT_AT, run.platform.tables.get((ASID, gpa), 0))


@pytest.fixture(scope="module")
def debugged() -> Any:
    return sevlab.simulate_snp_launch(SNP, seed=b"debug").again({"launch start": allow_debug})


def test_snp_s_host_chooses_the_policy_and_a_whole_verifier_sees_it(debugged: Any) -> None:
    assert debugged.caught[0] == "owner"
    assert debugged.parsed.policy.debug
    given = {"roots": debugged.platform.server.roots, "at": debugged.verdict.at}
    given["measurement"] = debugged.computed.digest
    certificates = debugged.verdict.certificates
    careless = sevlab.verify_report(debugged.report, certificates, **given)
    assert careless.matches
    assert any("debugging" in note for note in careless.notes)
    careful = sevlab.verify_report(debugged.report, certificates, forbid_debug=True, **given)
    assert [check.name for check in careful.failed] == ["forbid_debug"]
    exact = sevlab.verify_report(debugged.report, certificates, policy=0x30000, **given)
    assert [check.name for check in exact.failed] == ["policy"]


def test_snp_s_firmware_decrypts_for_the_host_where_the_policy_says_so(debugged: Any) -> None:
    region = debugged.host.regions[0]
    assert debug_page(debugged, region.gpa).result == region.page(0)
    honest = sevlab.simulate_snp_launch(SNP, seed=b"debug")
    assert honest.caught is None
    assert honest.computed.digest == debugged.parsed.measurement
    assert debug_page(honest, region.gpa).caught.name == "POLICY_FAILURE"
    assert not debug_page(debugged, 0x123000).works


def test_an_id_block_stops_it_before_the_guest_runs() -> None:
    digest = sevlab.load_snp_launch(**SNP).digest
    block = sevlab.attestation.id_block.build_id_block(digest, make_private(seeded(b"id")), policy=0x30000)
    run = sevlab.simulate_snp_launch(SNP, id_block=block, seed=b"debug")
    assert run.caught is None
    stopped = run.again({"launch start": allow_debug})
    assert stopped.caught[0] == "secure processor"
    assert stopped.caught[1].name == "POLICY_FAILURE"


# --- A08: a session, twice

EVIL = b"sevlab firmware of the host's own".ljust(4096, b"!")


@pytest.mark.parametrize(("api", "name"), [((0, 16), ""), ((0, 17), "BAD_MEASUREMENT"), ((1, 55), "BAD_MEASUREMENT")])
def test_a_recorded_secret_reaches_another_guest_only_before_api_0_17(api: tuple[int, int], name: str) -> None:
    run = sevlab.simulate_launch(FIRMWARE, 1, seed=b"replay", api=api)
    assert run.caught is None
    seen = sent(run)
    packet = seen["secret packet"]
    recorded = (1, seen["GODH certificate"], seen["launch session"])
    replay = attacks.replay_secret(run.platform, *recorded, EVIL, packet[:52], packet[52:])
    assert replay.measurement is not None
    if name:
        assert replay.caught is not None
        assert replay.caught.name == name
        assert replay.secrets == []
    else:
        assert replay.secrets == [SECRET] == run.secrets_in_guest
    # A new PDH ends it: the recorded session does not open any more.
    run.platform.pdh_gen()
    ended = attacks.replay_secret(run.platform, *recorded, EVIL, packet[:52], packet[52:])
    assert "wrap_mac" in str(ended.caught)


def test_an_equal_nonce_lets_the_same_guest_have_an_old_secret() -> None:
    firmware = Path(FIRMWARE["firmware"]).read_bytes()
    stuck = Platform(random=lambda size: bytes(range(size)))
    stuck.init()
    session = make_session(stuck.pdh_cert_export()[PDH], 1, random=seeded(b"owner"))
    recorded = (1, session.godh.to_bytes(), session.blob.to_bytes())
    first = attacks.replay_secret(stuck, *recorded, firmware, b"", b"")
    assert first.caught is not None
    assert first.measurement is not None
    assert first.measurement.mnonce == bytes(range(16))
    packet = sevlab.attestation.secret.build_secret(
        [("luks-key", b"old")], session.tik, session.tek, first.measurement.measure
    )
    sends = packet.header.to_bytes(), packet.payload
    assert attacks.replay_secret(stuck, *recorded, firmware, *sends).secrets == [b"old"]
    assert attacks.replay_secret(stuck, *recorded, EVIL, *sends).caught.name == "BAD_MEASUREMENT"  # type: ignore[union-attr]
    message = b"\x01" + bytes(4) + packet.header.iv + struct.pack("<II", 48, 48) + packet.payload
    computed = hmac.digest(session.tik.reveal(), message + first.measurement.measure, "sha256")
    assert computed == packet.header.mac
