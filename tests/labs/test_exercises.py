"""The exercises: each solution found here by another way, and marked right; others marked wrong."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import struct
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import sevlab
from sevlab.labs import attacks, exercises
from tests.paths import SAMPLES

CASES = SAMPLES.parent / "incidents" / "cases"
SNP = {"firmware": str(SAMPLES / "firmware-snp.fd"), "num_cpus": 1, "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}


def sample_measure(api_minor: int = 22, build_id: int = 13) -> bytes:
    """The measure of the stored sample, by the standard library alone."""
    digest = hashlib.sha256((SAMPLES / "firmware.fd").read_bytes()).digest()
    message = struct.pack("<4BI", 4, 0, api_minor, build_id, 1) + digest + bytes(range(0x40, 0x50))
    return hmac.new((SAMPLES / "tik.bin").read_bytes(), message, "sha256").digest()


def changed_offsets() -> list[int]:
    before, after = (struct.pack("<4xI", policy) for policy in (0x1, 0x05000001))
    return [offset for offset in range(8) if before[offset] != after[offset]]


def lost_build() -> int:
    lost = exercises.lost_measurement().measure
    (build,) = [build for build in range(256) if sample_measure(build_id=build) == lost]
    return build


def sample_table(cmdline: bytes) -> bytes:
    """The kernel-hashes table of the second sample, by the standard library alone."""
    parts = [
        ("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", cmdline + bytes(1)),
        ("44baf731-3a2f-4bd7-9af1-41e29169781d", (SAMPLES / "initrd.bin").read_bytes()),
        ("4de79437-abd2-427f-b835-d5b172d2045b", (SAMPLES / "kernel.bin").read_bytes()),
    ]
    head = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168)
    entries = (uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + hashlib.sha256(raw).digest() for guid, raw in parts)
    return head + b"".join(entries) + bytes(8)


def line_break() -> int:
    both = zip(sample_table(b"console=ttyS0"), sample_table(b"console=ttyS0\n"), strict=True)
    return sum(one != other for one, other in both)


def lost_cmdline() -> str:
    lost = exercises.lost_table().to_bytes()
    (line,) = [line for line in (f"console=ttyS{n}" for n in range(100)) if sample_table(line.encode()) == lost]
    return line


def lost_launch() -> list[object]:
    """Profile and number of CPUs, found with pages whose four changing bytes are set by hand."""
    lost = exercises.lost_digest()
    found: list[list[object]] = []
    for profile, mxcsr, fcw in (("qemu", 0x1F80, 0x37F), ("qemu-legacy", 0, 0)):
        running = hashlib.sha256((SAMPLES / "firmware-kernel.fd").read_bytes() + sample_table(b"console=ttyS0"))
        for count in range(1, 9):
            start = {} if count == 1 else {"cpu": 1, "reset_address": 0x80B004}
            page = bytearray(sevlab.build_vmsa("qemu-legacy", signature=0xA00F11, **start).to_bytes())
            struct.pack_into("<I4xH", page, 0x408, mxcsr, fcw)
            running.update(page)
            found += [[profile, count]] if running.digest() == lost else []
    (only,) = found
    return only


def lost_pin() -> bytes:
    one, two = (packet.payload[40:44] for packet in exercises.twice())
    return bytes(a ^ b ^ ord("0") for a, b in zip(one, two, strict=True))


def broken_launch() -> list[str]:
    """The inputs of the broken launch, by trying: without a table, and with other numbers of version."""
    launch = exercises.broken_launch(12)
    given = {**launch.inputs, "kernel": None, "initrd": None, "cmdline": None}
    evidence = sevlab.load_evidence(**given)
    minors = [m for m in range(256) if sevlab.compare_measure(evidence.replace(api_minor=m)).matches]
    assert len(minors) == 1
    assert minors != [launch.inputs["api_minor"]]
    return ["kernel", "api-minor"]


def lost_policy() -> int:
    """The policy under the lost session's MAC, by trying all."""
    mac = exercises.lost_session().policy_mac
    (found,) = (p for p in range(64) if hmac.digest(bytes(range(0x30, 0x40)), p.to_bytes(4, "little"), "sha256") == mac)
    return found


def open_orders() -> int:
    """The program by hand: what is in the register when it is sent out."""
    found = 0
    for order in itertools.permutations(("LOAD SECRET", "ENCRYPT", "SEND", "FORGET", "HALT")):
        place = order.index("SEND")
        before = order[order.index("LOAD SECRET") : place] if order.index("LOAD SECRET") < place else ()
        found += bool(before) and not {"ENCRYPT", "FORGET"} & set(before) and order.index("HALT") > place
    return found


def lost_neighbour() -> bytes:
    one, two = attacks.neighbours()
    head = bytes.fromhex("42f5741edd71664d963eef4287ff173b") + struct.pack("<I", 88)
    head += bytes.fromhex("e5696873f084734992ec06879ce3da0b") + struct.pack("<I", 68)
    stream = bytes(a ^ b for a, b in zip(one.payload, head + b"x" * 48, strict=False))
    return bytes(a ^ b for a, b in zip(two.payload[40:44], stream[56:60], strict=True))


def zero_tag() -> str:
    """The last block by hand: of 48 bytes it is whole, so what goes into the last AES is it, the link and K1."""
    cipher = Cipher(algorithms.AES(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")), modes.ECB())
    k1 = bytes.fromhex("fbeed618357133667c85e08f7236a8de")  # RFC 4493, 4
    link = bytes(16)
    for _ in range(2):
        link = cipher.encryptor().update(bytes(a ^ b for a, b in zip(link, b"A" * 16, strict=True)))
    last = cipher.decryptor().update(bytes(16))
    return bytes(a ^ b ^ c for a, b, c in zip(last, link, k1, strict=True)).hex()


def minted_chip() -> str:
    run = sevlab.simulate_snp_launch(SNP, seed=b"1", faults={"leaked-vcek-seed"})
    minted = attacks.mint_report(run.platform, run.parsed, chip_id=bytes(range(64)))
    (failed,) = attacks.judge(minted, run.platform).failed
    return failed.name


def lost_cpus() -> int:
    """How many links of the further CPUs' page lead from the launch with one CPU to the lost digest."""
    files = {"firmware": "firmware-snp.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    inputs = {name: str(SAMPLES / file) for name, file in files.items()} | {"cmdline": "console=ttyS0"}
    digest = sevlab.load_snp_launch(**inputs, num_cpus=1, cpu_signature=0xA00F11).digest
    further = sevlab.build_vmsa("qemu", cpu=1, signature=0xA00F11, reset_address=0x80B004, sev_features=1)
    rest = hashlib.sha384(further.to_bytes()).digest() + struct.pack("<HB5xQ", 112, 2, 0xFFFFFFFFF000)
    for count in range(1, 65):
        if digest == exercises.lost_snp_digest():
            return count
        digest = hashlib.sha384(digest + rest).digest()
    raise AssertionError("not among 64")


def lost_vcek() -> str:
    """The TCB whose bytes stand in the report as the certificate's extensions have them."""
    der, raw = exercises.lost_vcek(), (SAMPLES / "report-snp.bin").read_bytes()
    # An object identifier of AMD's (1.3.6.1.4.1.3704.1.3.N) ends in 0x03 and N; then come the value and its INTEGER.
    found = []
    for number in (1, 2, 3, 8):
        oid = bytes.fromhex("060a2b060104019c780103") + bytes([number])
        value = der[der.index(oid) + len(oid) :][2:]
        found.append(int.from_bytes(value[2 : 2 + value[1]], "big"))
    places = {"current_tcb": 0x38, "reported_tcb": 0x180, "committed_tcb": 0x1E0, "launch_tcb": 0x1F0}
    (name,) = (name for name, at in places.items() if [raw[at + i] for i in (0, 1, 6, 7)] == found)
    return name


def half_fixed() -> int:
    """How many ways to mend the two causes of F10 give the reported digest."""
    with sevlab.cases.bundle.open_case(str(CASES / "F10.sevcase")) as case:
        reported = (Path(case.inputs["report"]).read_bytes())[0x90:0xC0]
        ways = itertools.product(({}, {"num_cpus": 4}), ({}, {"guest_features": 0x21}))
        return sum(sevlab.load_snp_launch(**{**case.snp_launch, **one, **two}).digest == reported for one, two in ways)


RIGHT: dict[str, Any] = {
    "no-bundle": sum(
        not (CASES / f"{key}.sevcase").exists()
        for key in ("F13", "F35", "F37", "F38", "F39", "F40", "F42", "F43", "F44")
    ),
    "control-words": sum(map(bool, struct.pack("<IH", 0x1F80, 0x37F))),  # where there were zeros
    "right-releases": len(["0.0.10", "0.0.11", "0.0.12", "0.0.13"]),
    "rdx-bytes": sum(map(bool, struct.pack("<Q", 0x600))),
    "half-fixed": half_fixed(),
    "shapes": len(list(itertools.product((1, 2, 4, 8, 16), (0x1, 0x21)))),
    "no-kernel": len({"F16", "F17", "F25"}),  # F22 has it elsewhere, F23 lacks another page
    "appended-hashes": sum(
        hashlib.sha256(one).digest() != hashlib.sha256(other).digest()
        for one, other in ((b"kernel", b"kernel" + bytes(48)), (b"initrd", b"initrd"), (b"cmdline\0", b"cmdline\0"))
    ),
    "hex-build": 0x25,
    "first-part": bytes.fromhex("04000000000018db")[0],
    "unsigned-bytes": 1184 - 0x2A0,
    "first-link": 16 + 9 + 3 + 1 + 1 + 1 + 1,  # firmware, SEC_MEM twice, SECRETS, CPUID, SVSM_CAA; then the hashes
    "lost-cpus": lost_cpus(),
    "two-places": [0x180 + 6, 0x180 + 3],
    "lost-vcek": lost_vcek(),
    "pdh-guesses": 6,  # k is 1 to 6 but for the sign, or else 0
    "lost-toy": attacks.steal_toy(attacks.lost_platform())[0],
    "impostor-policies": 2**4,  # all but NOSEND and DOMAIN
    "open-orders": open_orders(),
    "debug-policy": 0x30000 + (1 << 19),
    "lost-neighbour": lost_neighbour(),
    "kept-table": 2,  # kernel and initrd
    "short-table": ["initrd", "cmdline"],
    "digest-blocks": 3,  # 0x460 to 0x490
    "zero-tag": zero_tag(),
    "minted-chip": minted_chip(),
    "who-notices": "policy_mac",
    "who-catches": "owner",
    "lost-policy": lost_policy(),
    "broken-launch": broken_launch(),
    "payload-size": 192,  # 20 + 52 + 120
    "lost-pin": lost_pin(),
    "start-address": [0xFFFC0000, 0xC0A4],  # 0xfffcc0a4, cut in the middle
    "lost-launch": lost_launch(),
    "line-break": line_break(),
    "lost-cmdline": lost_cmdline(),
    "policy": 0b001011,
    "offsets": changed_offsets(),
    "next-minor": sample_measure(api_minor=23).hex(),
    "lost-build": lost_build(),
    "first-step": "vCPU 3",  # of vCPU 0, 1, 2 and 3, a host with three CPUs leaves out the last
}
WRONG: dict[str, list[Any]] = {
    "no-bundle": [5, 9, 0, None],
    "control-words": [2, 6, 0, None],
    "right-releases": [1, 5, 0, None],
    "rdx-bytes": [2, 8, 0, None],
    "half-fixed": [2, 4, 0, None],
    "shapes": [5, 9, 32, None],
    "no-kernel": [2, 4, 5, None],
    "appended-hashes": [0, 2, 3, None],
    "hex-build": [25, 19, 0, None],
    "first-part": [219, 0, 24, None],
    "unsigned-bytes": [672, 144, 0, None],
    "first-link": [31, 33, "kernel hashes", None],
    "lost-cpus": [4, 65, 0, None],
    "two-places": [[0x183, 0x186], [6, 3], 0x186, None],
    "lost-vcek": ["current_tcb", "reported_tcb", "launch", "", None],
    "pdh-guesses": [7, 13, 12, None],
    "lost-toy": [1, -1, RIGHT["lost-toy"] + 1, None],
    "impostor-policies": [64, 32, 48, None],
    "open-orders": [1, 120, 24, None],
    "debug-policy": [0x30000, 0x80000, 0x30001, None],
    "lost-neighbour": [b"xxxx", "xxxx", b"", None],
    "kept-table": [0, 1, 3, None],
    "short-table": [["initrd"], ["kernel"], "initrd", None],
    "digest-blocks": [4, 48, 0, None],
    "zero-tag": ["00" * 16, "41" * 16, b"", None],
    "minted-chip": ["TCB", "report signature", "", None],
    "who-notices": ["wrap_mac", "GODH", "", None],
    "who-catches": ["host", "secure processor", "", None],
    "lost-policy": [lost_policy() + 1, -1, "NODBG", None],
    "broken-launch": [["kernel"], ["kernel", "build-id"], [], "kernel", None],
    "payload-size": [132, 172, 208, None],
    "lost-pin": [b"0000", lost_pin()[::-1] + b"0", "0000", lost_pin().hex(), int(lost_pin()), None],
    "start-address": [[0xFFFF0000, 0xFFF0], [0xFFFC, 0xC0A4], [0xC0A4, 0xFFFC0000], 0xFFFCC0A4, None],
    "lost-launch": [["qemu", 9], ["gce", 1], "qemu", None],
    "line-break": [0, 1, 176, None],
    "lost-cmdline": ["console=ttyS0", "console=ttyS", 27, lost_cmdline() + " ", lost_cmdline().lower(), None],
    "policy": [0, 0b000111, 0b001010, "NODBG", None],
    "offsets": [[4], [4, 5, 6, 7], [], [8], None, "7"],
    "next-minor": [sample_measure().hex(), sample_measure(api_minor=21), "", b"", None],
    "lost-build": [lost_build() + 1, 13, -1, None],
    "first-step": ["vCPU 2", "vCPU 4", "firmware", "kernel hashes", "", 3, None],
}


def test_every_exercise_has_an_answer_here() -> None:
    assert set(RIGHT) == set(WRONG) == set(exercises.EXERCISES)


@pytest.mark.parametrize("name", RIGHT)
def test_the_answer_found_here_is_right(name: str) -> None:
    mark = exercises.mark(name, RIGHT[name])
    assert mark.state == "right"
    assert repr(mark) == f"{name}: right."


@pytest.mark.parametrize(("name", "answer"), [(name, answer) for name in WRONG for answer in WRONG[name]], ids=str)
def test_other_answers_are_wrong_and_hinted(name: str, answer: Any) -> None:
    mark = exercises.mark(name, answer)
    assert mark.state == "wrong"
    assert "Hint: " in repr(mark)


@pytest.mark.parametrize("name", RIGHT)
def test_what_nobody_tried_is_no_error(name: str) -> None:
    assert exercises.mark(name, ...).state == "not tried"


@pytest.mark.parametrize("name", RIGHT)
def test_neither_question_nor_hint_gives_the_answer_away(name: str) -> None:
    told = exercises.ask(name) + repr(exercises.mark(name, None))
    if name != "offsets":  # a single digit may stand anywhere
        assert str(RIGHT[name]) not in told
        assert hex(RIGHT[name])[2:] not in told.split() if isinstance(RIGHT[name], int) else True


def test_answers_are_taken_in_the_forms_people_give() -> None:
    measure = sample_measure(api_minor=23)
    for answer in (measure, bytearray(measure), measure.hex().upper(), f"0x{measure.hex()}", f"  {measure.hex()}\n"):
        assert exercises.mark("next-minor", answer).state == "right"
    for answer in ([7], (7,), {7}):
        assert exercises.mark("offsets", answer).state == "right"
    assert exercises.mark("policy", sevlab.Policy(11)).state == "right"
    taken: dict[str, list[Any]] = {
        "policy": ["11", "0xb", " 0b1011\n"],
        "payload-size": ["192", "0xC0"],
        "lost-pin": [lost_pin(), lost_pin().decode()],
        "lost-cmdline": [lost_cmdline().encode()],
        "start-address": [(0xFFFC0000, 0xC0A4), ["0xfffc0000", "0xC0A4"]],
        "lost-launch": [lost_launch()[::-1], tuple(lost_launch()), [lost_launch()[0], str(lost_launch()[1])]],
        "first-step": ["vcpu 3", " vCPU 3 "],
    }
    for name, answers in taken.items():
        for answer in answers:
            assert exercises.mark(name, answer).state == "right", (name, answer)
    for answer in (True, [True], {7: 7}, [7, 7], [[7]]):
        assert exercises.mark("offsets", answer).state == "wrong"


@pytest.mark.parametrize("answer", [[1, "a"], {"a": 1}, object(), [[1], 2], [None, 1], sevlab.Policy])
def test_answers_of_any_kind_are_marked_not_raised(answer: object) -> None:
    for name in RIGHT:
        assert exercises.mark(name, answer).state == "wrong"


def test_an_unknown_exercise_is_a_mistake_of_the_notebook() -> None:
    for ask in (exercises.ask, lambda name: exercises.mark(name, ...)):
        with pytest.raises(KeyError):
            ask("none")


def test_the_lost_measurement_is_not_the_sample_s() -> None:
    assert exercises.lost_measurement().measure != sample_measure()
    assert exercises.lost_measurement().mnonce == bytes(range(0x40, 0x50))
    assert exercises.sample_message().to_bytes()[:8] == bytes([4, 0, 22, 13, 1, 0, 0, 0])
