"""The exercises of the attacks and the incidents, answered by another way than sevlab's."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
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


def enough_points(tasks: Exercises) -> int:
    """Primes are tried here: all that the table has, from 3 up to the product of more than the square."""
    bits = int(re.findall(r"has (\d+) bits", tasks.ask("enough-points"))[0])
    orders = [point.order for point in attacks.load_points()]
    return next(count for count in range(130) if math.log2(math.prod(orders[:count])) > 2 * bits)


def lost_toy(tasks: Exercises) -> int:
    """With small primes one after the other: the candidates for the number itself, of which the launches leave one."""
    platform = tasks.given("lost-toy")
    candidates, modulus = [0], 1
    for point in attacks.find_points():
        residue = attacks.learn_residue(
            point,
            lambda x, point=point: platform.launch_start(point.xy, hashlib.sha256(x.to_bytes(8, "big")).digest()),
            attacks.TOY_PRIME,
        ).value
        signed = {residue, -residue % point.order}
        candidates = [
            one + modulus * ((value - one) * pow(modulus, -1, point.order) % point.order)
            for one in candidates
            for value in signed
        ]
        modulus *= point.order
    return min(candidates)  # of the many signs, all others give numbers as large as the product


def impostor_policies(tasks: Exercises) -> int:
    (flag,) = re.findall(r"with bit (\w+) set", tasks.ask("impostor-policies"))
    stops = {"NOSEND", "DOMAIN"} | ({"SEV"} if "no leaked CEK" in tasks.ask("impostor-policies") else set())
    return 2 ** len({"NODBG", "NOKS", "ES", "NOSEND", "DOMAIN", "SEV"} - stops - {flag})


def open_orders(tasks: Exercises) -> int:
    """The program by hand: what is in the register when it is sent out."""
    found = 0
    for order in itertools.permutations(tasks.given("open-orders")):
        place = order.index("SEND")
        before = order[order.index("LOAD SECRET") : place] if order.index("LOAD SECRET") < place else ()
        halted = "HALT" in order[:place]
        found += bool(before) and not {"ENCRYPT", "FORGET"} & set(before) and not halted
    return found


def readable_guests(tasks: Exercises) -> list[int]:
    bits = {"SEV": lambda policy: not policy & 1, "SEV-SNP": lambda policy: policy >> 19 & 1}
    found = re.findall(r"(\d): (SEV\S*) (0x[0-9a-f]+)", tasks.ask("readable-guests"))
    return [int(number) for number, kind, policy in found if bits[kind](int(policy, 16))]


def lost_neighbour(tasks: Exercises) -> bytes:
    one, two = tasks.given("lost-neighbour")
    apart = 16 * (int.from_bytes(two.header.iv, "big") - int.from_bytes(one.header.iv, "big"))
    head = bytes.fromhex("42f5741edd71664d963eef4287ff173b") + struct.pack("<I", 88)
    head += bytes.fromhex("e5696873f084734992ec06879ce3da0b") + struct.pack("<I", 68)
    stream = bytes(a ^ b for a, b in zip(one.payload, head + b"x" * 48, strict=False))
    return bytes(a ^ b for a, b in zip(two.payload[40:44], stream[apart + 40 : apart + 44], strict=True))


def kept_table(tasks: Exercises) -> int:
    area, blobs = tasks.given("kept-table")
    wrong = [hashlib.sha256(blobs[name]).digest() not in area for name in ("kernel", "initrd", "cmdline")]
    return wrong.index(True)


def short_table(tasks: Exercises) -> list[str]:
    (entries,) = re.findall(r"for (.*) and no other", tasks.ask("short-table"))
    return sorted({"kernel", "initrd", "cmdline"} - set(entries.split(" and ")))


def chosen_tag(tasks: Exercises) -> str:
    """The last block by hand: it is whole, so what goes into the last AES is it, the link and K1."""
    ((letter, size, byte),) = re.findall(r"b'(\w)' \* (\d+) .* 0x(\w\w)\?", tasks.ask("chosen-tag"))
    cipher = Cipher(algorithms.AES(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")), modes.ECB())
    k1 = bytes.fromhex("fbeed618357133667c85e08f7236a8de")  # RFC 4493, 4
    link = bytes(16)
    for _ in range(int(size) // 16):
        link = cipher.encryptor().update(bytes(a ^ b for a, b in zip(link, letter.encode() * 16, strict=True)))
    last = cipher.decryptor().update(bytes.fromhex(byte) * 16)
    return bytes(a ^ b ^ c for a, b, c in zip(last, link, k1, strict=True)).hex()


def leaked_chip(tasks: Exercises) -> list[int]:
    (chip,) = re.findall(r"begins with (\w+) has", tasks.ask("leaked-chip"))
    leaves = tasks.given("leaked-chip")
    return [number for number, leaf in enumerate(leaves) if bytes.fromhex(chip) in leaf]


def half_fixed(tasks: Exercises) -> int:
    """How many ways to mend the two causes of F10 give the reported digest."""
    with sevlab.cases.bundle.open_case(str(CASES / "F10.sevcase")) as case:
        reported = (Path(case.inputs["report"]).read_bytes())[0x90:0xC0]
        ways = itertools.product(({}, {"num_cpus": 4}), ({}, {"guest_features": 0x21}))
        return sum(sevlab.load_snp_launch(**{**case.snp_launch, **one, **two}).digest == reported for one, two in ways)


#: How each is answered here, and answers that are wrong under any seed.
FOUND: dict[str, tuple[Callable[[Exercises], Any], list[Any]]] = {
    "enough-points": (enough_points, [0, 129, 384]),
    "lost-toy": (lost_toy, [1, -1]),
    "impostor-policies": (impostor_policies, [64, 32, 0]),
    "open-orders": (open_orders, [1, 0, 720]),
    "readable-guests": (readable_guests, [[], [0, 1, 2, 3, 4, 5], [7, 8]]),
    "lost-neighbour": (lost_neighbour, [b"xxxx", "xxxx", b""]),
    "kept-table": (kept_table, [3, 4, "initrd"]),
    "short-table": (short_table, [["kernel", "initrd", "cmdline"], [], "table"]),
    "same-guests": (
        lambda tasks: [
            i for i, one in enumerate(tasks.given("same-guests")) if i and one == tasks.given("same-guests")[0]
        ],
        [[], [0], [1, 2, 3, 4, 5, 6]],
    ),
    "chosen-tag": (chosen_tag, ["00" * 16, "41" * 16, b""]),
    "leaked-chip": (leaked_chip, [[], [0, 1, 2, 3, 4, 5], [6]]),
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
