"""Exercises of the attacks and the incidents."""

from __future__ import annotations

import hashlib
from itertools import permutations, product
from math import factorial
from typing import TYPE_CHECKING

from ...attestation.secret import build_secret
from ...formats.kernel_hashes import build_kernel_hashes
from ...formats.policy import Policy, SnpPolicy
from ...formats.report import SIGNED, SIZE, MilanTcb, TurinTcb
from ...launch.vmm import build_vmsa
from ...simulator.kds import KeyServer
from ...simulator.memory import Memory
from .. import samples
from ..attacks.entrysign import BLOCK, solve_block
from ..attacks.invalid_curve import TOY_PRIME, ToyPlatform, load_points
from ..attacks.kernel_swap import KERNEL, boot_blobs, make_table
from ..attacks.launch_order import INSTRUCTIONS, program, run_blocks
from ..incidents import NOTEBOOKS, catalogue
from ..incidents.replays import FILES, GUEST, MILAN, REPLAYS, measured_case
from ..predictions import compute_predictions
from . import Task

if TYPE_CHECKING:
    from random import Random

# Attacks


def _enough_points(chance: Random) -> Task:
    bits = chance.randrange(64, 385)
    product, count = 1, 0
    for point in load_points():
        if product >= 1 << 2 * bits:
            break
        product, count = product * point.order, count + 1
    return Task(count, words={"bits": bits, "count": count})


def _lost_toy(chance: Random) -> Task:
    private = chance.randrange(1 << 24, TOY_PRIME)
    return Task(private, ToyPlatform(private))


def _impostor_policies(chance: Random) -> Task:
    leaked, flag = chance.random() < 0.7, chance.choice(("NODBG", "NOKS", "ES"))
    policies = [policy for policy in map(Policy, range(64)) if getattr(policy, flag.lower())]
    sent = [policy for policy in policies if not (policy.nosend or policy.domain or (policy.sev and not leaked))]
    key = "a leaked CEK" if leaked else "no leaked CEK"
    return Task(len(sent), words={"flag": flag, "key": key, "bits": 2 if leaked else 3})


def _open_orders(chance: Random) -> Task:
    """The orders of a program's blocks in which the secret leaves the guest in clear."""
    left_out = {name for name in ("FORGET", "HALT") if chance.random() < 0.5}
    blocks = [one for one in INSTRUCTIONS if one not in left_out] + ["WAIT"] * chance.randrange(2)
    secret = b"in clear"
    clear = sum(secret in run_blocks(program(order), secret) for order in permutations(blocks))
    return Task(clear, blocks, {"blocks": ", ".join(blocks), "orders": factorial(len(blocks))})


def _readable_guests(chance: Random) -> Task:
    while True:
        guests: list[tuple[str, int]] = []
        for _ in range(6):
            snp = SnpPolicy(0x20000).replace(smt=chance.randrange(2), debug=chance.randrange(2))
            snp = snp.replace(abi_minor=chance.randrange(2))
            guests.append(chance.choice((("SEV", chance.randrange(64)), ("SEV-SNP", int(snp)))))
        kinds = {kind for kind, _ in guests}
        readable = {i for i, guest in enumerate(guests) if _is_readable(*guest)}
        if len(kinds) == 2 and 2 <= len(readable) <= 4:
            shown = ", ".join(f"{i}: {kind} 0x{policy:x}" for i, (kind, policy) in enumerate(guests))
            return Task(readable, guests, {"guests": shown})


def _is_readable(kind: str, policy: int) -> bool:
    return not Policy(policy).nodbg if kind == "SEV" else bool(SnpPolicy(policy).debug)


def _lost_neighbour(chance: Random) -> Task:
    pin, apart = f"{chance.randrange(10**4):04}".encode(), chance.randrange(1, 3)
    iv = chance.randrange(1 << 120)
    keys = (samples.TIK, samples.TEK, samples.es_measurement()[:32])
    first, second = (
        build_secret([("luks-key", secret)], *keys, iv=number.to_bytes(16, "big"))
        for secret, number in ((b"x" * 48, iv), (pin, iv + apart))
    )
    return Task(pin, (first, second), {"apart": apart, "place": 16 * apart})


#: What a host provides to the guest firmware; the content does not matter.
_BLOBS: dict[str, bytes | None] = {"kernel": b"kernel", "initrd": b"initrd", "cmdline": b"console=ttyS0\0"}
_BLOB_HASHES = {name: hashlib.sha256(content or b"").digest() for name, content in _BLOBS.items()}


def _kept_table(chance: Random) -> Task:
    """A hardened firmware under the owner's table, with two blobs of which at least one is the host's."""
    swapped = dict.fromkeys(chance.sample(list(_BLOBS)[1:], chance.randrange(1, 3)), b"another")
    blobs = {**_BLOBS, **swapped}
    if chance.random() < 0.3:
        blobs["kernel"] = b"kernel "
    area = make_table({name: _BLOB_HASHES[name] for name in ("cmdline", "initrd", "kernel")})
    *accepted, stopped = boot_blobs(area, blobs).answers
    return Task(len(accepted), (area, blobs), {"blob": stopped.blob})


def _short_table(chance: Random) -> Task:
    entries = chance.sample(list(_BLOBS), chance.randrange(1, 3))
    area = make_table({name: _BLOB_HASHES[name] for name in entries})
    swappable = {name for name in _BLOBS if boot_blobs(area, {**_BLOBS, name: b"another"}).runs == KERNEL}
    return Task(swappable, words={"entries": " and ".join(entries)})


def _same_guests(chance: Random) -> Task:
    """Launch digests of eight guests in encrypted memory, as a host reads them; some lie at another address."""
    memory, key = Memory(), chance.randbytes(32)
    digests = [chance.randbytes(48) for _ in range(3)]
    which = [0, 0, 0, *(chance.randrange(3) for _ in range(4))]
    places = [0, 0, 1, *(chance.randrange(2) for _ in range(4))]
    order = [0, *chance.sample(range(1, 7), 6)]
    guests = []
    for i in order:
        address = 0x200460 + 0x1000 * places[i]
        memory.write(address, digests[which[i]], key)
        guests.append((address, memory.read(address, 48)))
    same = [number for number, i in enumerate(order) if number and not (which[i] or places[i])]
    return Task(same, guests, {"last": len(guests) - 1})


def _chosen_tag(chance: Random) -> Task:
    letter, count, byte = chance.choice("ABCDEFGH"), chance.randrange(2, 6), chance.randrange(256)
    start = letter.encode() * 16 * count
    block = solve_block(start + bytes(BLOCK), count, bytes([byte]) * BLOCK).block
    return Task(block.hex(), words={"letter": letter, "size": 16 * count, "byte": f"{byte:02x}", "count": count})


def _leaked_chip(chance: Random) -> Task:
    """Certificates of the keys of three chips, in mixed order; the reports that came with them name no chip."""
    server, chips = KeyServer(), [chance.randbytes(64) for _ in range(3)]
    which = [0, 0, *(chance.randrange(3) for _ in range(4))]
    chance.shuffle(which)
    leaves = [
        server.vcek("Milan", chips[i], MilanTcb(bl=4, tee=0, snp=chance.randrange(20, 30), ucode=219)) for i in which
    ]
    return Task({number for number, i in enumerate(which) if not i}, leaves, {"chip": chips[0].hex()[:16]})


# Incidents

#: The TCB that was shown wrongly (F40).
_SHOWN = MilanTcb(bl=4, tee=0, snp=24, ucode=219)


def _changed(one: str, other: str, signature: int | None) -> int:
    """Return how many bytes of a save area differ between two profiles."""
    pages = (build_vmsa(name, signature=signature, sev_features=1).to_bytes() for name in (one, other))
    return sum(left != right for left, right in zip(*pages, strict=True))


def _changed_hashes() -> int:
    """Return how many entries of the table change when bytes are appended to the kernel."""
    names = ("vmlinuz", "vmlinuz-received", "initrd.img")
    one, other, initrd = (hashlib.sha256(FILES[name]()).digest() for name in names)
    tables = [build_kernel_hashes(kernel, initrd, samples.CMDLINE) for kernel in (one, other)]
    return len(tables[0].compare(tables[1]).differing)


def _without_kernel() -> int:
    """Return how many hosts of the notebook's cases measured no kernel; those of plain SEV never have one."""
    rows = [REPLAYS[key] for key in NOTEBOOKS["F16-hash-section"]]
    launched = [{**({} if row.make is measured_case else GUEST), **row.owner, **row.host} for row in rows]
    return sum(inputs.get("kernel") is None for inputs in launched)


#: How each exercise is made.
TASKS = {
    "enough-points": _enough_points,
    "lost-toy": _lost_toy,
    "impostor-policies": _impostor_policies,
    "open-orders": _open_orders,
    "readable-guests": _readable_guests,
    "lost-neighbour": _lost_neighbour,
    "kept-table": _kept_table,
    "short-table": _short_table,
    "same-guests": _same_guests,
    "chosen-tag": _chosen_tag,
    "leaked-chip": _leaked_chip,
    "no-bundle": lambda chance: Task(sum(not entry.has_bundle for entry in catalogue().of("certificates").entries)),
    "control-words": lambda chance: Task(_changed("qemu", "qemu-legacy", MILAN)),
    "right-releases": lambda chance: Task(len(compute_predictions().right_about("6.10 and newer"))),
    "rdx-bytes": lambda chance: Task(_changed("ec2", "ec2-rdx0", None)),
    "half-fixed": lambda chance: Task(sum(all(fixed) for fixed in product((False, True), repeat=2))),
    "shapes": lambda chance: Task(len((1, 2, 4, 8, 16)) * len((0x1, 0x21))),
    "no-kernel": lambda chance: Task(_without_kernel()),
    "appended-hashes": lambda chance: Task(_changed_hashes()),
    "hex-build": lambda chance: Task(int("25", 16)),
    "first-part": lambda chance: Task(TurinTcb.from_bytes(_SHOWN.to_bytes()).parts["fmc"]),
    "unsigned-bytes": lambda chance: Task(SIZE - SIGNED),
}
