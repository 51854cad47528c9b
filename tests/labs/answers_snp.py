"""The exercises of the lessons on SEV-SNP, answered from their question and what they hand out."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import sevlab
from sevlab.labs import Exercises
from tests.paths import SAMPLES


def first_link(tasks: Exercises) -> int:
    """Counted by the pages: 16 of firmware, 9 and 3 of SEC_MEM, SECRETS, CPUID, SVSM_CAA, hashes, 15 of SEC_MEM."""
    question = tasks.ask("first-link")
    if found := re.search(r"offset 0x([0-9a-f]+)", question):
        return int(found[1], 16) // 4096 + 1
    (count,) = re.findall(r"with (\d) virtual", question)
    return 16 + 9 + 3 + 1 + 1 + 1 + 1 + 15 + int(count) + 1


def lost_cpus(tasks: Exercises) -> int:
    """How many links of the further CPUs' page lead from the launch with one CPU to the lost digest."""
    files = {"firmware": "firmware-snp.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    inputs = {name: str(SAMPLES / file) for name, file in files.items()} | {"cmdline": "console=ttyS0"}
    digest = sevlab.load_snp_launch(**inputs, num_cpus=1, cpu_signature=0xA00F11).digest
    further = sevlab.build_vmsa("qemu", cpu=1, signature=0xA00F11, reset_address=0x80B004, sev_features=1)
    rest = hashlib.sha384(further.to_bytes()).digest() + struct.pack("<HB5xQ", 112, 2, 0xFFFFFFFFF000)
    for count in range(1, 65):
        if digest == tasks.given("lost-cpus"):
            return count
        digest = hashlib.sha384(digest + rest).digest()
    raise AssertionError("not among 64")


def acceptable(tasks: Exercises) -> list[str]:
    """The reports that pass four checks on their bytes."""
    nonce, reports = tasks.given("acceptable")
    key = sevlab.load_certificates(vcek=str(SAMPLES / "vcek-snp.der")).vcek.key
    launched = (SAMPLES / "report-snp.bin").read_bytes()[0x90:0xC0]
    found = []
    for letter, raw in reports.items():
        r, s = (int.from_bytes(raw[start : start + 72], "little") for start in (0x2A0, 0x2E8))
        try:
            key.verify(utils.encode_dss_signature(r, s), raw[:672], ec.ECDSA(hashes.SHA384()))
        except InvalidSignature:
            continue
        if raw[0x50:0xC0] == nonce + launched and not raw[0xA] & 1 << 3:
            found.append(letter)
    return found


def lost_vcek(tasks: Exercises) -> str:
    """The TCB whose bytes stand in the report as the certificate's extensions have them."""
    der, raw = tasks.given("lost-vcek"), (SAMPLES / "report-snp.bin").read_bytes()
    # An object identifier of AMD's (1.3.6.1.4.1.3704.1.3.N) ends in 0x03 and N; then come the value and its INTEGER.
    found = []
    for number in (1, 2, 3, 8):
        oid = bytes.fromhex("060a2b060104019c780103") + bytes([number])
        value = der[der.index(oid) + len(oid) :][2:]
        found.append(int.from_bytes(value[2 : 2 + value[1]], "big"))
    places = {"current_tcb": 0x38, "reported_tcb": 0x180, "committed_tcb": 0x1E0, "launch_tcb": 0x1F0}
    (name,) = (name for name, at in places.items() if [raw[at + i] for i in (0, 1, 6, 7)] == found)
    return name


def bound_key(tasks: Exercises) -> str:
    report, nonce, keys = tasks.given("bound-key")
    (letter,) = (one for one, key in keys.items() if hashlib.sha512(nonce + key).digest() in report)
    return letter


def weak_binding(tasks: Exercises) -> list[str]:
    """An old report is noticed by a nonce in the hash, a foreign key by the key in it, another chip never."""
    (binding,) = re.findall("puts (.*) into", tasks.ask("weak-binding"))
    noticed = ["a"] * ("nonce" in binding) + ["b"] * ("public key" in binding)
    return [letter for letter in "abc" if letter not in noticed]


def id_refusal(tasks: Exercises) -> str:
    """By the bytes of the block; what is left is the signature."""
    signed, digest, policy = tasks.given("id-refusal")
    raw = signed.block.to_bytes()
    if raw[:48] != digest:
        return "BAD_MEASUREMENT"
    return "POLICY_FAILURE" if raw[-8:] != policy.to_bytes(8, "little") else "BAD_SIGNATURE"


def new_enough(tasks: Exercises) -> list[str]:
    """The TCBs of which no byte that counts is below the minimum in the question."""
    least = [int(number) for number in re.findall(r"(?:fmc|bl|tee|snp|ucode) (\d+)", tasks.ask("new-enough"))]
    given = tasks.given("new-enough").items()
    return [name for name, raw in given if all(raw[at] >= n for at, n in zip((0, 1, 2, 3, 7), least, strict=True))]


#: How each is answered here, and answers that are wrong under any seed.
FOUND: dict[str, tuple[Callable[[Exercises], Any], list[Any]]] = {
    "first-link": (first_link, [0, 52, "kernel hashes"]),
    "lost-cpus": (lost_cpus, [65, 0]),
    "acceptable": (acceptable, [[], ["A", "B", "C", "D", "E"], "F"]),
    "lost-vcek": (lost_vcek, ["current_tcb", "reported_tcb", "launch", ""]),
    "bound-key": (bound_key, ["i", "", b""]),
    "weak-binding": (weak_binding, [[], "d", ["a"], ["a", "b"]]),
    "id-refusal": (id_refusal, ["SUCCESS", "INVALID_PARAM", ""]),
    "new-enough": (new_enough, [[], ["A", "B", "C", "D", "E"], "F"]),
}
