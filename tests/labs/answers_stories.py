"""The exercises of the attacks and the incidents, answered by another way than sevlab's."""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import sevlab
from sevlab.labs import Exercises, attacks
from tests.paths import SAMPLES

CASES = SAMPLES.parent / "incidents" / "cases"
SNP = {"firmware": str(SAMPLES / "firmware-snp.fd"), "num_cpus": 1, "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}


def open_orders(tasks: Exercises) -> int:
    """The program by hand: what is in the register when it is sent out."""
    found = 0
    for order in itertools.permutations(("LOAD SECRET", "ENCRYPT", "SEND", "FORGET", "HALT")):
        place = order.index("SEND")
        before = order[order.index("LOAD SECRET") : place] if order.index("LOAD SECRET") < place else ()
        found += bool(before) and not {"ENCRYPT", "FORGET"} & set(before) and order.index("HALT") > place
    return found


def lost_neighbour(tasks: Exercises) -> bytes:
    one, two = attacks.neighbours()
    head = bytes.fromhex("42f5741edd71664d963eef4287ff173b") + struct.pack("<I", 88)
    head += bytes.fromhex("e5696873f084734992ec06879ce3da0b") + struct.pack("<I", 68)
    stream = bytes(a ^ b for a, b in zip(one.payload, head + b"x" * 48, strict=False))
    return bytes(a ^ b for a, b in zip(two.payload[40:44], stream[56:60], strict=True))


def zero_tag(tasks: Exercises) -> str:
    """The last block by hand: of 48 bytes it is whole, so what goes into the last AES is it, the link and K1."""
    cipher = Cipher(algorithms.AES(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")), modes.ECB())
    k1 = bytes.fromhex("fbeed618357133667c85e08f7236a8de")  # RFC 4493, 4
    link = bytes(16)
    for _ in range(2):
        link = cipher.encryptor().update(bytes(a ^ b for a, b in zip(link, b"A" * 16, strict=True)))
    last = cipher.decryptor().update(bytes(16))
    return bytes(a ^ b ^ c for a, b, c in zip(last, link, k1, strict=True)).hex()


def minted_chip(tasks: Exercises) -> str:
    run = sevlab.simulate_snp_launch(SNP, seed=b"1", faults={"leaked-vcek-seed"})
    minted = attacks.mint_report(run.platform, run.parsed, chip_id=bytes(range(64)))
    (failed,) = attacks.judge(minted, run.platform).failed
    return failed.name


def half_fixed(tasks: Exercises) -> int:
    """How many ways to mend the two causes of F10 give the reported digest."""
    with sevlab.cases.bundle.open_case(str(CASES / "F10.sevcase")) as case:
        reported = (Path(case.inputs["report"]).read_bytes())[0x90:0xC0]
        ways = itertools.product(({}, {"num_cpus": 4}), ({}, {"guest_features": 0x21}))
        return sum(sevlab.load_snp_launch(**{**case.snp_launch, **one, **two}).digest == reported for one, two in ways)


#: How each is answered here, and answers that are wrong under any seed.
FOUND: dict[str, tuple[Callable[[Exercises], Any], list[Any]]] = {
    # k is 1 to 6 but for the sign, or else 0
    "pdh-guesses": (lambda tasks: 6, [7, 13, 12]),
    "lost-toy": (lambda tasks: attacks.steal_toy(attacks.lost_platform())[0], [1, -1]),
    # all but NOSEND and DOMAIN
    "impostor-policies": (lambda tasks: 2**4, [64, 32, 48]),
    "open-orders": (open_orders, [1, 120, 24]),
    "debug-policy": (lambda tasks: 0x30000 + (1 << 19), [0x30000, 0x80000, 0x30001]),
    "lost-neighbour": (lost_neighbour, [b"xxxx", "xxxx", b""]),
    # kernel and initrd
    "kept-table": (lambda tasks: 2, [0, 1, 3]),
    "short-table": (lambda tasks: ["initrd", "cmdline"], [["initrd"], ["kernel"], "initrd"]),
    # 0x460 to 0x490
    "digest-blocks": (lambda tasks: 3, [4, 48, 0]),
    "zero-tag": (zero_tag, ["00" * 16, "41" * 16, b""]),
    "minted-chip": (minted_chip, ["TCB", "report signature", ""]),
    "no-bundle": (
        lambda tasks: sum(
            not (CASES / f"{key}.sevcase").exists()
            for key in ("F13", "F35", "F37", "F38", "F39", "F40", "F42", "F43", "F44")
        ),
        [5, 9, 0],
    ),
    # where there were zeros
    "control-words": (lambda tasks: sum(map(bool, struct.pack("<IH", 0x1F80, 0x37F))), [2, 6, 0]),
    "right-releases": (lambda tasks: len(["0.0.10", "0.0.11", "0.0.12", "0.0.13"]), [1, 5, 0]),
    "rdx-bytes": (lambda tasks: sum(map(bool, struct.pack("<Q", 0x600))), [2, 8, 0]),
    "half-fixed": (half_fixed, [2, 4, 0]),
    "shapes": (lambda tasks: len(list(itertools.product((1, 2, 4, 8, 16), (0x1, 0x21)))), [5, 9, 32]),
    # F22 has it elsewhere, F23 lacks another page
    "no-kernel": (lambda tasks: len({"F16", "F17", "F25"}), [2, 4, 5]),
    "appended-hashes": (
        lambda tasks: sum(
            hashlib.sha256(one).digest() != hashlib.sha256(other).digest()
            for one, other in ((b"kernel", b"kernel" + bytes(48)), (b"initrd", b"initrd"), (b"cmdline\0", b"cmdline\0"))
        ),
        [0, 2, 3],
    ),
    "hex-build": (lambda tasks: 0x25, [25, 19, 0]),
    "first-part": (lambda tasks: bytes.fromhex("04000000000018db")[0], [219, 0, 24]),
    "unsigned-bytes": (lambda tasks: 1184 - 0x2A0, [672, 144, 0]),
}
