"""The exercises of the lessons on SEV and SEV-ES, answered from their question and what they hand out, without sevlab.

Where registers are needed, sevlab makes a page and the bytes that matter are set here by hand.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
import struct
import uuid
from collections.abc import Callable
from typing import Any

import sevlab
from sevlab import attestation, formats, simulator
from sevlab.labs import Exercises
from tests.paths import SAMPLES

FLAGS = {"NODBG": 0, "NOKS": 1, "ES": 2, "NOSEND": 3, "DOMAIN": 4, "SEV": 5}


def numbers(text: str) -> list[int]:
    """The numbers in a question, decimal or 0x hex, in their order."""
    return [int(one, 0) for one in re.findall(r"\b(?:0x[0-9a-f]+|\d+)\b", text)]


def measure(api_minor: int = 22, build_id: int = 13) -> bytes:
    """The measure of the stored sample, by the standard library alone."""
    digest = hashlib.sha256((SAMPLES / "firmware.fd").read_bytes()).digest()
    message = struct.pack("<4BI", 4, 0, api_minor, build_id, 1) + digest + bytes(range(0x40, 0x50))
    return hmac.new((SAMPLES / "tik.bin").read_bytes(), message, "sha256").digest()


def table(cmdline: bytes) -> bytes:
    """The kernel-hashes table of the second sample, by the standard library alone."""
    parts = [
        ("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", cmdline + bytes(1)),
        ("44baf731-3a2f-4bd7-9af1-41e29169781d", (SAMPLES / "initrd.bin").read_bytes()),
        ("4de79437-abd2-427f-b835-d5b172d2045b", (SAMPLES / "kernel.bin").read_bytes()),
    ]
    head = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168)
    entries = (uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + hashlib.sha256(raw).digest() for guid, raw in parts)
    return head + b"".join(entries) + bytes(8)


def policy(tasks: Exercises) -> int:
    (flags,) = re.findall(r"with (.*) set", tasks.ask("policy"))
    return sum(1 << FLAGS[flag] for flag in flags.split(", "))


def offsets(tasks: Exercises) -> list[int]:
    before, after = (struct.pack("<4xI", number) for number in numbers(tasks.ask("offsets"))[:2])
    return [offset for offset in range(8) if before[offset] != after[offset]]


def next_minor(tasks: Exercises) -> str:
    return measure(api_minor=numbers(tasks.ask("next-minor"))[-1]).hex()


def lost_build(tasks: Exercises) -> int:
    (build,) = (n for n in range(256) if measure(build_id=n) == tasks.given("lost-build").measure)
    return build


def lost_policy(tasks: Exercises) -> int:
    """The policy under the lost session's MAC, by trying all."""
    mac, tik = tasks.given("lost-policy").policy_mac, bytes(range(0x30, 0x40))
    (found,) = (n for n in range(64) if hmac.digest(tik, n.to_bytes(4, "little"), "sha256") == mac)
    return found


LAUNCH: dict[str, Any] = {"firmware": str(SAMPLES / "firmware-kernel.fd"), "num_cpus": 2}
LAUNCH |= {"cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}


def tried(tamper: dict[str, Any]) -> str:
    """Who stops a simulated launch whose host changes bytes."""
    caught = sevlab.simulate_launch(LAUNCH, policy=5, seed=b"test", tamper=tamper).caught
    return caught[0] if caught else "nobody"


def injected(*addresses: int, load_more: bool = False) -> str:
    """Who stops a launch whose host gives the secret to these addresses, or loads more after the measurement."""
    platform = simulator.Platform()
    platform.init()
    chain = platform.pdh_cert_export()
    session = attestation.make_session(chain[formats.PDH], sevlab.Policy(5))
    handle = platform.launch_start(sevlab.Policy(5), session.godh.to_bytes(), session.blob.to_bytes())
    platform.activate(handle, 1)
    platform.launch_update_data(handle, 0x100000, 4096)
    measure = platform.launch_measure(handle).measure
    packet = attestation.build_secret([("luks-key", b"a")], session.tik, session.tek, measure)
    try:
        for address in addresses:
            platform.launch_secret(handle, packet.header.to_bytes(), address, packet.payload)
        if load_more:
            platform.launch_update_data(handle, 0x200000, 4096)
    except sevlab.SevlabError:
        return "secure processor"
    return "nobody"


def noticed(**host: int) -> str:
    """Who stops a launch whose host reports, or starts, another number than the owner counts on."""
    run = sevlab.simulate_launch(LAUNCH, policy=5, seed=b"test")
    assert run.owner.session is not None
    keys = {"tik": run.owner.session.tik, "tek": run.owner.session.tek}
    evidence = sevlab.load_evidence(**run.host.reported, **LAUNCH, **keys)
    return "nobody" if sevlab.compare_measure(evidence.replace(**host)).matches else "owner"


#: A word of each cheat, and the cheat.
CHEATS: dict[str, Callable[[], str]] = {
    "minor": lambda: noticed(api_minor=54),
    "registers": lambda: noticed(num_cpus=1),
    "zero bytes": lambda: tried({"firmware": lambda raw: raw + bytes(16)}),
    "session": lambda: tried({"session": lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])}),
    "IV": lambda: tried({"secret header": lambda raw: raw[:4] + bytes([raw[4] ^ 1]) + raw[5:]}),
    "one more page": lambda: injected(load_more=True),
    "twice": lambda: injected(0x80000, 0x80000),
    "another address": lambda: injected(0x90000),
}


def who_stops(tasks: Exercises) -> list[str]:
    """Each cheat tried on the simulator."""
    lines = re.findall(r"^\d\. (.*)", tasks.ask("who-stops"), re.MULTILINE)
    return [next(cheat for word, cheat in CHEATS.items() if word in line)() for line in lines]


def good_loads(tasks: Exercises) -> list[str]:
    image = (SAMPLES / "firmware.fd").read_bytes()
    loads = tasks.given("good-loads").items()
    return [name for name, load in loads if b"".join(image[at : at + size] for _, at, size in load) == image]


def first_step(tasks: Exercises) -> str:
    fewer = numbers(tasks.ask("first-step"))[0]
    return f"vCPU {fewer}"  # counted from 0, so it is the first that the host leaves out


def line_break(tasks: Exercises) -> int:
    (cmdline,) = re.findall(r"'(.*)'", tasks.ask("line-break"))
    both = zip(table(cmdline.encode()), table(cmdline.encode() + b"\n"), strict=True)
    return sum(one != other for one, other in both)


def lost_cmdline(tasks: Exercises) -> str:
    lost = tasks.given("lost-cmdline").to_bytes()
    (line,) = (line for line in (f"console=ttyS{n}" for n in range(100)) if table(line.encode()) == lost)
    return line


def start_address(tasks: Exercises) -> list[int]:
    address = numbers(tasks.ask("start-address"))[0]
    return [address & 0xFFFF0000, address & 0xFFFF]


def lost_launch(tasks: Exercises) -> list[object]:
    """Profile and number of CPUs, found with pages whose four changing bytes are set by hand."""
    lost = tasks.given("lost-launch")
    found: list[list[object]] = []
    for profile, mxcsr, fcw in (("qemu", 0x1F80, 0x37F), ("qemu-legacy", 0, 0)):
        running = hashlib.sha256((SAMPLES / "firmware-kernel.fd").read_bytes() + table(b"console=ttyS0"))
        for count in range(1, 9):
            start = {} if count == 1 else {"cpu": 1, "reset_address": 0x80B004}
            page = bytearray(sevlab.build_vmsa("qemu-legacy", signature=0xA00F11, **start).to_bytes())
            struct.pack_into("<I4xH", page, 0x408, mxcsr, fcw)
            running.update(page)
            found += [[profile, count]] if running.digest() == lost else []
    (only,) = found
    return only


def lost_pair(tasks: Exercises) -> list[object]:
    """The one pair of changed inputs under which the measure is the lost one."""
    boot, further = (
        sevlab.build_vmsa("qemu-legacy", signature=0xA00F11, **start).to_bytes()
        for start in ({}, {"cpu": 1, "reset_address": 0x80B004})
    )
    loaded = (SAMPLES / "firmware-kernel.fd").read_bytes() + table(b"console=ttyS0") + boot
    digests = [hashlib.sha256(loaded + further * more).digest() for more in range(32)]
    lost, noted = tasks.given("lost-pair"), {"api_minor": 22, "build_id": 13, "policy": 5, "num_cpus": 4}
    values = {"api_minor": range(64), "build_id": range(64), "policy": range(64), "num_cpus": range(1, 33)}
    found: list[list[object]] = []
    for one, other in itertools.combinations(noted, 2):
        for first, second in itertools.product(values[one], values[other]):
            minor, build, policy, count = (noted | {one: first, other: second}).values()
            message = struct.pack("<4BI", 4, 0, minor, build, policy) + digests[count - 1] + bytes(range(0x60, 0x70))
            if hmac.digest(bytes(range(0x30, 0x40)), message, "sha256") == lost:
                found.append([one, first, other, second])
    (only,) = found
    return only


def payload_size(tasks: Exercises) -> int:
    size = 20 + sum(20 + secret for secret in numbers(tasks.ask("payload-size")))
    return size + -size % 16


def lost_pin(tasks: Exercises) -> bytes:
    one, two = (packet.payload[40:44] for packet in tasks.given("lost-pin"))
    return bytes(a ^ b ^ ord("0") for a, b in zip(one, two, strict=True))


#: How each is answered here, and answers that are wrong under any seed.
FOUND: dict[str, tuple[Callable[[Exercises], Any], list[Any]]] = {
    "policy": (policy, [0, 64, "NODBG"]),
    "offsets": (offsets, [[4], [4, 5, 6, 7], [], [8], "7 8", {7: 7}, [True]]),
    "next-minor": (next_minor, [measure().hex(), "", b""]),
    "lost-build": (lost_build, [256, -1, ""]),
    "who-notices": (lambda tasks: "policy_mac", ["wrap_mac", "GODH", ""]),
    "lost-policy": (lost_policy, [64, -1, "NODBG"]),
    "who-stops": (who_stops, [["owner"] * 4, ["nobody"] * 4, "owner", ""]),
    "good-loads": (good_loads, [["A", "B", "C", "D", "E"], [], "F"]),
    "first-step": (first_step, ["vCPU 4", "firmware", "kernel hashes", "", 3]),
    "line-break": (line_break, [0, 1, 176]),
    "lost-cmdline": (lost_cmdline, ["console=ttyS", "console=ttyS100", 27]),
    "start-address": (start_address, [[0xFFFF0000, 0xFFF0], 0xFFFCC0A4, "0xfffc0000"]),
    "lost-launch": (lost_launch, [["qemu", 9], ["gce", 1], "qemu"]),
    "lost-pair": (lost_pair, [["build_id", 13, "policy", 5], ["build_id"], "build_id 13 policy 5", {"build_id": 13}]),
    "payload-size": (payload_size, [132, 172, 0]),
    "lost-pin": (lost_pin, [b"00000", "", 12345]),
}
