"""The exercises of the attacks and the incidents, answered by another way than sevlab's."""

from __future__ import annotations

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
from sevlab.labs import Exercises, attacks
from tests.paths import SAMPLES

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
