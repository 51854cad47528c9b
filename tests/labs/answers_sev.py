"""The exercises of the lessons on SEV and SEV-ES, answered from their question and what they hand out, without sevlab.

Where registers are needed, sevlab makes a page and the bytes that matter are set here by hand.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
import uuid
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import sevlab
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


def payload_size(tasks: Exercises) -> int:
    size = 20 + sum(20 + secret for secret in numbers(tasks.ask("payload-size")))
    return size + -size % 16


def overwritten(tasks: Exercises) -> list[int]:
    before, after = (SAMPLES / "firmware.fd").read_bytes(), tasks.given("overwritten")
    return [at for at in range(0, len(after), 64) if after[at : at + 64] != before[at : at + 64]]


def lost_pin(tasks: Exercises) -> bytes:
    one, two = (packet.payload[40:44] for packet in tasks.given("lost-pin"))
    return bytes(a ^ b ^ ord("0") for a, b in zip(one, two, strict=True))


#: How each is answered here, and answers that are wrong under any seed.
FOUND: dict[str, tuple[Callable[[Exercises], Any], list[Any]]] = {
    "policy": (policy, [0, 64, "NODBG"]),
    "offsets": (offsets, [[4], [4, 5, 6, 7], [], [8], "7 8", {7: 7}, [True]]),
    "next-minor": (next_minor, [measure().hex(), "", b""]),
    "lost-build": (lost_build, [256, -1, ""]),
    "lost-policy": (lost_policy, [64, -1, "NODBG"]),
    "lost-iv": (lost_iv, [0, 256, "wrap_iv"]),
    "other-tool": (other_tool, ["E", "", "big-endian", 1]),
    "who-catches": (lambda tasks: "the owner", ["host", "secure processor", ""]),
    "label-words": (label_words, ["M", "", ["M"] * 8, {}]),
    "first-step": (first_step, ["vCPU 4", "firmware", "kernel hashes", "", 3]),
    "line-break": (line_break, [0, 1, 176]),
    "lost-cmdline": (lost_cmdline, ["console=ttyS", "console=ttyS100", 27]),
    "start-address": (start_address, [[0xFFFF0000, 0xFFF0], 0xFFFCC0A4, "0xfffc0000"]),
    "odd-register": (odd_register, ["rdx", "rip", "", 8]),
    "lost-launch": (lost_launch, [["qemu", 9], ["gce", 1], "qemu"]),
    "payload-size": (payload_size, [132, 172, 0]),
    "overwritten": (overwritten, [[], [1], "0x100000"]),
    "lost-pin": (lost_pin, [b"00000", "", 12345]),
}
