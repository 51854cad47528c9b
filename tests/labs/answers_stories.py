"""The exercises of the attacks and the incidents, answered by another way than sevlab's."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
import re
import struct
import uuid
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import sevlab
from sevlab.labs import Exercises, attacks
from tests.paths import SAMPLES

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


def grown(before: bytes, page: bytes, cpus: int) -> bytes:
    """The digest after so many equal pages of registers."""
    for _ in range(cpus):
        link = before + hashlib.sha384(page).digest() + struct.pack("<HB5xQ", 112, 2, 0xFFFFFFFFF000)
        before = hashlib.sha384(link).digest()
    return before


def patched(page: bytes, offset: int, value: int) -> bytes:
    return page[:offset] + struct.pack("<Q", value) + page[offset + 8 :]


def which_bit(tasks: Exercises) -> int:
    given = tasks.given("which-bit")
    digests = [grown(given.before, patched(given.page, 0x3B0, 1 | 1 << bit), given.cpus) for bit in range(64)]
    return digests.index(given.reported)


def made_by(tasks: Exercises) -> str:
    """Each profile by itself; no table."""
    line, cpus, digest = re.findall(r"console=ttyS\d|\d+(?= CPUs)|[0-9a-f]{24}", tasks.ask("made-by"))
    files = {name: str(SAMPLES / f"{name}.bin") for name in ("kernel", "initrd")}
    for host in sevlab.data.HOSTS.values():
        inputs = {**SNP, **files, "cmdline": line, "num_cpus": int(cpus), "profile": host.profile}
        if host.mode == "snp" and sevlab.load_snp_launch(**inputs).digest.hex().startswith(digest):
            return host.name
    raise AssertionError(digest)


def two_causes(tasks: Exercises) -> list[Any]:
    given = tasks.given("two-causes")
    pairs = itertools.product(given.images, (0, 0x600, 0xA00F11))
    (found,) = [
        [name, rdx]
        for name, rdx in pairs
        if grown(given.images[name], patched(given.page, 0x310, rdx), given.cpus) == given.reported
    ]
    return found


def two_bugs(tasks: Exercises) -> list[int]:
    given = tasks.given("two-bugs")
    pairs = itertools.product(range(1, 9), (1 | 1 << bit for bit in range(1, 64)))
    (found,) = [
        [cpus, features]
        for cpus, features in pairs
        if grown(given.before, patched(given.page, 0x3B0, features), cpus) == given.reported
    ]
    return found


def lost_shape(tasks: Exercises) -> int:
    given = tasks.given("lost-shape")
    digest, cpus = given.one, 1
    while digest != given.reported:
        link = digest + given.contents + struct.pack("<HB5xQ", 112, 2, 0xFFFFFFFFF000)
        digest, cpus = hashlib.sha384(link).digest(), cpus + 1
    return cpus


def which_kernel(tasks: Exercises) -> str:
    """The table by the GUIDs of edk2."""
    given = tasks.given("which-kernel")
    pages = {"none": (bytes(48), 3)}
    for name, kernel in given.kernels.items():
        table = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168)
        for guid, blob in (
            ("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", given.cmdline.encode() + b"\0"),
            ("44baf731-3a2f-4bd7-9af1-41e29169781d", given.initrd),
            ("4de79437-abd2-427f-b835-d5b172d2045b", kernel),
        ):
            table += uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + hashlib.sha256(blob).digest()
        pages[name] = hashlib.sha384((bytes(0xC00) + table).ljust(4096, b"\0")).digest(), 1
    for name, (contents, kind) in pages.items():
        link = given.before + contents + struct.pack("<HB5xQ", 112, kind, 0x810000)
        if hashlib.sha384(link).digest() == given.reported:
            return name
    raise AssertionError


def moved_page(tasks: Exercises) -> list[int]:
    """Along the chain backwards is no way, so all permutations that one move makes."""
    given = tasks.given("moved-page")
    for start, end in itertools.permutations(range(8), 2):
        order = [i for i in range(8) if i != start]
        order.insert(end, start)
        digest = bytes(48)
        for contents, kind, gpa in (given.links[i] for i in order):
            digest = hashlib.sha384(digest + contents + struct.pack("<HB5xQ", 112, kind, gpa)).digest()
        if digest == given.reported:
            return [start, end]
    raise AssertionError


def padded_kernel(tasks: Exercises) -> list[int]:
    given = tasks.given("padded-kernel")
    (found,) = [
        [count, value]
        for count, value in itertools.product(range(1, 65), range(256))
        if hashlib.sha256(given.kernel + bytes([value]) * count).hexdigest() == given.received
    ]
    return found


def wrong_base(tasks: Exercises) -> list[int]:
    """All 65536 versions; no thought about bases."""
    given = tasks.given("wrong-base")
    head, tail = given.message[:2], given.message[4:]
    for minor, build in itertools.product(range(256), repeat=2):
        if hmac.digest(given.tik.reveal(), head + bytes([minor, build]) + tail, "sha256") == given.measure:
            return [minor, build]
    raise AssertionError


def ask_for(tasks: Exercises) -> list[int]:
    raw = tasks.given("ask-for")
    tcb = raw[0x180:0x188]
    return [*tcb[:4], tcb[7]] if raw[0x188] == 0x1A else [*tcb[:2], *tcb[6:]]


def flipped_bit(tasks: Exercises) -> int:
    """Against the sample itself."""
    pairs = zip(tasks.given("flipped-bit"), (SAMPLES / "report-snp.bin").read_bytes(), strict=True)
    (offset,) = [i for i, (one, other) in enumerate(pairs) if one != other]
    return offset


#: A word of each symptom, and the kind of its cause.
KINDS = {
    "size of guest": "registers",
    "update of the host": "registers",
    "Turin, and a digest": "registers",
    "whatever kernel": "kernel hashes",
    "VerifyBlob": "kernel hashes",
    "SNP_KERNEL_HASHES": "firmware image",
    "calc_measurement": "numbers",
    "laptop": "numbers",
    "VCEK did not sign": "certificates",
    "404": "certificates",
    "saved and read": "report",
}


def causes(tasks: Exercises) -> list[str]:
    return [next(kind for words, kind in KINDS.items() if words in one) for one in tasks.given("causes")]


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
    "causes": (causes, [["registers"] * 4, "registers", []]),
    "which-bit": (which_bit, [0, 64, -1]),
    "made-by": (made_by, ["QEMU", "SEV-ES legacy", ""]),
    "two-causes": (two_causes, [["my build"], [0x600, "my build"], []]),
    "two-bugs": (two_bugs, [[1, 1], [9, 0x21], 1]),
    "lost-shape": (lost_shape, [1, 251, 0]),
    "which-kernel": (which_kernel, ["kernel", "", 0]),
    "moved-page": (moved_page, [[0, 0], [0], 0]),
    "padded-kernel": (padded_kernel, [[0, 0], [65, 1], 48]),
    "wrong-base": (wrong_base, [[0, 0], [22], 22]),
    "ask-for": (ask_for, [[0, 0, 0, 0], [1, 2, 3], 0]),
    "flipped-bit": (flipped_bit, [0x2A0, 1183, -1]),
}
