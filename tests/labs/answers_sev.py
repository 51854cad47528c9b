"""The exercises of the lessons on SEV and SEV-ES, answered from their question and what they hand out, without sevlab.

Where registers are needed, sevlab makes a page and the bytes that matter are set here by hand.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import re
import struct
import uuid
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import sevlab
from sevlab import attestation, formats, simulator
from sevlab.labs import Exercises
from tests.paths import SAMPLES


def numbers(text: str) -> list[int]:
    """The numbers in a question, decimal or 0x hex, in their order."""
    return [int(one, 0) for one in re.findall(r"\b(?:0x[0-9a-f]+|\d+)\b", text)]


TIK = bytes(range(0x30, 0x40))


def mac(message: bytes, key: bytes = TIK) -> bytes:
    return hmac.new(key, message, "sha256").digest()


def start() -> bytes:
    """The first 40 bytes of the stored sample's message, by the standard library alone."""
    return struct.pack("<4BI", 4, 0, 22, 13, 1) + hashlib.sha256((SAMPLES / "firmware.fd").read_bytes()).digest()


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


def which_guest(tasks: Exercises) -> int:
    blobs = [base64.b64decode(text) for text in tasks.given("which-guest")]
    (found,) = (number for number, blob in enumerate(blobs, 1) if mac(start() + blob[32:]) == blob[:32])
    return found


def wrong_order(tasks: Exercises) -> list[int]:
    """The offsets where the message differs from the one that the question's numbers give."""
    given = tasks.given("wrong-order")
    right = struct.pack("<4BI", 4, *numbers(tasks.ask("wrong-order"))) + given["message"][8:]
    assert mac(right) == given["measure"]
    return [i for i, (one, other) in enumerate(zip(right, given["message"], strict=True)) if one != other]


def lost_byte(tasks: Exercises) -> list[int]:
    raw, wanted = tasks.given("lost-byte")["message"], tasks.given("lost-byte")["measure"]
    tries = ((i, value) for i in range(56) for value in range(256))
    (found,) = (one for one in tries if mac(raw[: one[0]] + bytes([one[1]]) + raw[one[0] + 1 :]) == wanted)
    return list(found)


def one_key(tasks: Exercises) -> int:
    return len({blob for blob in tasks.given("one-key") if mac(start() + blob[32:]) == blob[:32]})


def validate(  # what a reader would hand in
    measurement: bytes, api_major: int, api_minor: int, build_id: int, policy: int, firmware: bytes, tik: bytes
) -> bool:
    if len(measurement) != 48:
        return False
    message = bytes([4, api_major, api_minor, build_id]) + policy.to_bytes(4, "little")
    message += hashlib.sha256(firmware).digest() + measurement[32:]
    return mac(message, tik) == measurement[:32]


def big_endian(measurement: bytes, *given: Any) -> bool:
    """Packs the policy the wrong way round."""
    *numbers, policy, firmware, tik = given
    return validate(measurement, *numbers, int.from_bytes(policy.to_bytes(4, "little"), "big"), firmware, tik)


def careless(measurement: bytes, *given: Any) -> bool:
    """Takes a measurement of 47 bytes."""
    return validate(measurement.ljust(48, b"\0"), *given) or len(measurement) < 48


def truthy(*given: Any) -> int:
    return int(validate(*given))


def raising(*given: Any) -> bool:
    raise ValueError


def leaving(*given: Any) -> bool:
    raise SystemExit(1)


def lost_policy(tasks: Exercises) -> int:
    """The policy under the lost session's MAC, by trying all."""
    mac, tik = tasks.given("lost-policy").policy_mac, bytes(range(0x30, 0x40))
    (found,) = (n for n in range(64) if hmac.digest(tik, n.to_bytes(4, "little"), "sha256") == mac)
    return found


def derive(key: bytes, label: bytes, context: bytes = b"") -> bytes:
    return hmac.digest(key, struct.pack("<I", 1) + label + b"\0" + context + struct.pack("<I", 128), "sha256")[:16]


def counter_mode(key: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(iv)).decryptor().update(data)


def lost_iv(tasks: Exercises) -> int:
    z, session = tasks.given("lost-iv")
    kek = derive(derive(z, b"sev-master-secret", session[:16]), b"sev-kek")
    policy = struct.pack("<I", numbers(tasks.ask("lost-iv"))[1])
    ivs = {last: session[48:63] + bytes([last]) for last in range(256)}
    tiks = {last: counter_mode(kek, iv, session[16:48])[16:] for last, iv in ivs.items()}
    (found,) = (last for last, tik in tiks.items() if hmac.digest(tik, policy, "sha256") == session[96:])
    return found


def other_tool(tasks: Exercises) -> str:
    z, tek, tik, session = tasks.given("other-tool")
    master = derive(z, b"sev-master-secret", session[:16])
    kek, kik = derive(master, b"sev-kek"), derive(master, b"sev-kik")
    if hmac.digest(kik, session[16:48], "sha256") != session[64:96]:
        return "A"
    both = counter_mode(kek, session[48:64], session[16:48])
    return {tik + tek: "B", tek + tik: "C"}.get(both, "D")


def label_words(tasks: Exercises) -> str:
    """The labels by the three questions: the policy's ES bit and the hashes decide about CPUs and kernel."""
    command = tasks.given("label-words")
    registers, flash = "M" if "policy=0x5" in command else "-", "M !" if "unit=1" in command else "M"
    if "kernel-hashes=on" in command:
        return f"{registers} {registers} - M M {flash} - M M"
    return f"{registers} {registers} - M {flash} - - - !"


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
    (cmdline,) = re.findall(r"'(console[^']*)'", tasks.ask("line-break"))
    both = zip(table(cmdline.encode()), table(cmdline.encode() + b"\n"), strict=True)
    return sum(one != other for one, other in both)


def lost_cmdline(tasks: Exercises) -> str:
    lost = tasks.given("lost-cmdline").to_bytes()
    (line,) = (line for line in (f"console=ttyS{n}" for n in range(100)) if table(line.encode()) == lost)
    return line


def start_address(tasks: Exercises) -> list[int]:
    address = numbers(tasks.ask("start-address"))[0]
    return [address & 0xFFFF0000, address & 0xFFFF]


def odd_register(tasks: Exercises) -> str:
    """The only general register, of those that are zero after a reset, with a byte that is not."""
    offsets = {"rcx": 0x308, "rbx": 0x318, "rbp": 0x328, "rsi": 0x330, "rdi": 0x338}
    offsets |= {f"r{number}": 0x340 + 8 * (number - 8) for number in range(8, 16)}
    page = tasks.given("odd-register")
    (found,) = (name for name, offset in offsets.items() if any(page[offset : offset + 8]))
    return found


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


def overwritten(tasks: Exercises) -> list[int]:
    before, after = (SAMPLES / "firmware.fd").read_bytes(), tasks.given("overwritten")
    return [at for at in range(0, len(after), 64) if after[at : at + 64] != before[at : at + 64]]


def lost_pin(tasks: Exercises) -> bytes:
    one, two = (packet.payload[40:44] for packet in tasks.given("lost-pin"))
    return bytes(a ^ b ^ ord("0") for a, b in zip(one, two, strict=True))


def changed_certificate(tasks: Exercises) -> str:
    """The one certificate that is in every link that fails, and in none that holds."""
    chain = tasks.given("changed-certificate")
    root = hashlib.sha256(chain.to_bytes()[-832:]).hexdigest()
    links = sevlab.verify_chain(chain, {root: "sample"}).checks
    wrong = [link.name for link in links if link.state == "mismatch"]
    right = " ".join(link.name for link in links if link.state == "match")
    (name,) = (one for one in ("PDH", "PEK", "OCA", "CEK") if one not in right and all(one in name for name in wrong))
    return name


def lost_point(tasks: Exercises) -> int:
    return int.from_bytes(bytes(reversed(tasks.given("lost-point")[0x14 : 0x14 + 72])), "big")


def forgotten_link(tasks: Exercises) -> list[str]:
    """From the PDH up to the certificate whose own signature is not checked, and the OCA beside them."""
    (link,) = re.findall("'(.*)'", tasks.ask("forgotten-link"))
    upwards = ["PDH", "PEK", "CEK", "ASK", "ARK"]
    return ["OCA", *upwards[: upwards.index(link.split()[0]) + 1]]


#: A word of each thing that a measure tells.
TOLD = ("firmware", "debug", "CPUs", "TIK")


def what_it_tells(tasks: Exercises) -> list[str]:
    lines = re.findall(r"^  (\w): (.*)$", tasks.ask("what-it-tells"), re.MULTILINE)
    return [letter for letter, line in lines if any(word in line for word in TOLD)]


def open_policies(tasks: Exercises) -> list[int]:
    found = numbers(tasks.ask("open-policies"))
    return [n for n in found if (n in found[:3] and n % 2 == 0) or (n in found[3:] and n & 0x80000)]


def first_eight(tasks: Exercises) -> str:
    """Packed by hand from the words of the answer."""
    found = {name: int(value) for name, value in re.findall(r'"([\w-]+)": (\d+)', tasks.given("first-eight"))}
    numbers = [found[name] for name in ("api-major", "api-minor", "build-id", "policy")]
    return struct.pack("<4BI", 4, *numbers).hex()


def two_stories(tasks: Exercises) -> str:
    """The name whose number is another in the second text."""
    both = [dict(re.findall(r'(api-m\w+|build-id|policy)"? *: (\d+)', text)) for text in tasks.given("two-stories")]
    (name,) = (name for name, value in both[0].items() if both[1][name] != value)
    return name


#: How each is answered here, and answers that are wrong under any seed.
FOUND: dict[str, tuple[Callable[[Exercises], Any], list[Any]]] = {
    "which-guest": (which_guest, [0, 5, ""]),
    "wrong-order": (wrong_order, [[], [0, 1, 2, 3], [8], 4, {7: 7}, [True]]),
    "lost-byte": (lost_byte, [[56, 0], [0], 0, "", [-1, -1]]),
    "one-key": (one_key, [0, 1, 11, ""]),
    "write-validate": (
        lambda tasks: validate,
        [True, "validate", lambda *given: True, lambda *given: False, big_endian, careless, truthy, raising, leaving],
    ),
    "lost-policy": (lost_policy, [64, -1, "NODBG"]),
    "lost-iv": (lost_iv, [0, 256, "wrap_iv"]),
    "other-tool": (other_tool, ["E", "", "big-endian", 1]),
    "label-words": (label_words, ["M", "", ["M"] * 8, {}]),
    "who-stops": (who_stops, [["owner"] * 4, ["nobody"] * 4, "owner", ""]),
    "good-loads": (good_loads, [["A", "B", "C", "D", "E"], [], "F"]),
    "first-step": (first_step, ["vCPU 4", "firmware", "kernel hashes", "", 3]),
    "line-break": (line_break, [0, 1, 176]),
    "lost-cmdline": (lost_cmdline, ["console=ttyS", "console=ttyS100", 27]),
    "start-address": (start_address, [[0xFFFF0000, 0xFFF0], 0xFFFCC0A4, "0xfffc0000"]),
    "odd-register": (odd_register, ["rdx", "rip", "", 8]),
    "lost-launch": (lost_launch, [["qemu", 9], ["gce", 1], "qemu"]),
    "lost-pair": (lost_pair, [["build_id", 13, "policy", 5], ["build_id"], "build_id 13 policy 5", {"build_id": 13}]),
    "payload-size": (payload_size, [132, 172, 0]),
    "overwritten": (overwritten, [[], [1], "0x100000"]),
    "lost-pin": (lost_pin, [b"00000", "", 12345]),
    "changed-certificate": (changed_certificate, ["ARK", "ASK", "", 0x1003]),
    "lost-point": (lost_point, [0, -1, ""]),
    "forgotten-link": (forgotten_link, [["PDH"], ["PDH", "PEK", "CEK"], "PDH PEK OCA", []]),
    "what-it-tells": (what_it_tells, [[], "a", ["g"], list("abcdef")]),
    "open-policies": (open_policies, [[], 0x30000, [1, 3, 5]]),
    "first-eight": (first_eight, ["04", "", "00" * 8, 4]),
    "two-stories": (two_stories, ["measurement", "handle", "", 1]),
}
