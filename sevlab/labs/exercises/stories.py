"""Exercises of the attacks and the incidents."""

from __future__ import annotations

import hashlib
from itertools import permutations
from math import factorial
from random import Random
from types import SimpleNamespace

from ...attestation.secret import build_secret
from ...data import HOSTS, INCIDENTS
from ...formats.kernel_hashes import build_kernel_hashes
from ...formats.page_info import NORMAL, PAGE, ZERO
from ...formats.policy import Policy, SnpPolicy
from ...formats.report import SIGNED, MilanTcb, TurinTcb
from ...formats.vmsa import Vmsa
from ...launch.measure import compute_measure
from ...launch.pages import Region, blank_region, cpu_region, hash_pages, hash_vmsa
from ...launch.snp import SnpLaunch
from ...launch.vmm import build_vmsa
from ...simulator.kds import KeyServer
from ...simulator.memory import Memory
from .. import samples
from ..attacks.entrysign import BLOCK, solve_block
from ..attacks.invalid_curve import TOY_PRIME, ToyPlatform, load_points
from ..attacks.kernel_swap import KERNEL, boot_blobs, make_table
from ..attacks.launch_order import INSTRUCTIONS, program, run_blocks
from ..incidents.replays import MILAN, REPLAYS
from ..samples import CMDLINE
from ..snp_samples import snp_launch, snp_report
from . import Task

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
    same = {number for number, i in enumerate(order) if number and not (which[i] or places[i])}
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

#: The registers of a CPU of the guest that a host started, before the host changed anything.
_REGISTERS = build_vmsa("qemu", signature=MILAN, sev_features=1)
#: The values RDX may start with in the exercise about two causes.
_RDX = (0, 0x600, MILAN)
#: Where the samples' firmware wants the page of kernel hashes, and the table in it.
_HASH_PAGE, _HASH_OFFSET = 0x810000, 0xC00
#: Symptoms whose kind of cause can be said without a search.
_TELLING = ("F15", "F05", "F12", "F17", "F18", "F16", "F27", "F28", "F38", "F42", "F41")


def _launched(before: bytes, page: Vmsa, cpus: int) -> bytes:
    """Return the digest after the same page of registers for each CPU, going on from the digest *before*."""
    return SnpLaunch([cpu_region(page, 0, cpus, "")], start=before).digest


def _which_bit(chance: Random) -> Task:
    before, cpus, bit = chance.randbytes(48), chance.randint(2, 4), chance.randint(1, 20)
    reported = _launched(before, _REGISTERS.replace(sev_features=1 | 1 << bit), cpus)
    given = SimpleNamespace(before=before, page=_REGISTERS.to_bytes(), cpus=cpus, reported=reported)
    return Task(bit, given, {"cpus": cpus})


def _made_by(chance: Random) -> Task:
    host = chance.choice([host for host in HOSTS.values() if host.mode == "snp"])
    inputs = {"cmdline": f"console=ttyS{chance.randint(1, 9)}", "num_cpus": chance.randint(2, 8)}
    launch = snp_launch(**inputs, profile=host.profile, guest_features=host.features)
    return Task(host.name, None, {**inputs, "digest": launch.digest.hex()[:24]})


def _two_causes(chance: Random) -> Task:
    images = {name: chance.randbytes(48) for name in ("my build", "older build", "cloud image")}
    name, rdx, cpus = chance.choice(list(images)), chance.choice(_RDX), chance.randint(2, 4)
    page = _REGISTERS.replace(rdx=0)
    reported = _launched(images[name], page.replace(rdx=rdx), cpus)
    given = SimpleNamespace(images=images, page=page.to_bytes(), cpus=cpus, reported=reported)
    return Task([name, rdx], given, {"cpus": cpus})


def _two_bugs(chance: Random) -> Task:
    before, cpus, features = chance.randbytes(48), chance.randint(2, 8), 1 | 1 << chance.randint(1, 20)
    reported = _launched(before, _REGISTERS.replace(sev_features=features), cpus)
    return Task([cpus, features], SimpleNamespace(before=before, page=_REGISTERS.to_bytes(), reported=reported))


def _lost_shape(chance: Random) -> Task:
    before, cpus = chance.randbytes(48), chance.randint(17, 250)
    one, reported = (_launched(before, _REGISTERS, count) for count in (1, cpus))
    return Task(cpus, SimpleNamespace(one=one, contents=hash_vmsa(_REGISTERS), reported=reported))


def _which_kernel(chance: Random) -> Task:
    before, initrd = chance.randbytes(48), chance.randbytes(64)
    kernels = {name: chance.randbytes(64) for name in ("stable", "testing", "rescue")}
    name = chance.choice([*kernels, "none"])
    region = blank_region("", ZERO, _HASH_PAGE, PAGE, "")
    if name in kernels:
        kernel_hash, initrd_hash = (hashlib.sha256(raw).digest() for raw in (kernels[name], initrd))
        table = build_kernel_hashes(kernel_hash, initrd_hash, CMDLINE)
        page = (bytes(_HASH_OFFSET) + table.to_bytes()).ljust(PAGE, b"\0")
        region = Region("", NORMAL, _HASH_PAGE, hash_pages(page))
    reported = SnpLaunch([region], start=before).digest
    return Task(
        name, SimpleNamespace(before=before, kernels=kernels, initrd=initrd, cmdline=CMDLINE, reported=reported)
    )


def _moved_page(chance: Random) -> Task:
    links = [(chance.randbytes(48), NORMAL, 0x800000 + PAGE * number) for number in range(8)]
    start, end = chance.choice([(i, j) for i in range(8) for j in range(8) if abs(i - j) > 1])
    moved = [*links[:start], *links[start + 1 :]]
    moved.insert(end, links[start])
    reported = SnpLaunch([Region("", kind, gpa, (contents,)) for contents, kind, gpa in moved]).digest
    return Task([start, end], SimpleNamespace(links=links, reported=reported))


def _padded_kernel(chance: Random) -> Task:
    kernel, count, value = chance.randbytes(96), chance.randint(17, 64), chance.randint(1, 255)
    received = hashlib.sha256(kernel + bytes([value]) * count).hexdigest()
    return Task([count, value], SimpleNamespace(kernel=kernel, received=received))


def _wrong_base(chance: Random) -> Task:
    minor, build = chance.randint(17, 59), chance.randint(10, 99)
    right = samples.message().replace(api_minor=minor, build_id=build)
    read = {chance.choice(("api_minor", "build_id")): 0}
    wrong = right.replace(**{name: int(str(getattr(right, name)), 16) for name in read})
    measure = compute_measure(right, samples.TIK)
    given = SimpleNamespace(message=wrong.to_bytes(), measure=measure, tik=samples.sample_keys()[1])
    return Task([minor, build], given)


def _ask_for(chance: Random) -> Task:
    is_turin = chance.random() < 0.5
    form, names = (TurinTcb, ("fmc", "bl", "tee", "snp", "ucode")) if is_turin else (MilanTcb, MilanTcb.part_names())
    reported, current = ({name: chance.randint(1, 99) for name in names} for _ in range(2))
    raw = bytearray(snp_report().to_bytes())
    for place, parts in ((0x38, current), (0x180, reported), (0x1E0, reported), (0x1F0, current)):
        raw[place : place + 8] = form(**parts).to_bytes()
    raw[0x188:0x18B] = bytes([0x1A, 2, 1] if is_turin else [0x19, 1, 1])
    return Task([reported[name] for name in names], bytes(raw))


def _flipped_bit(chance: Random) -> Task:
    raw, offset = bytearray(snp_report().to_bytes()), chance.randrange(SIGNED)
    raw[offset] ^= 1 << chance.randrange(8)
    return Task(offset, bytes(raw))


def _causes(chance: Random) -> Task:
    kinds: dict[str, str] = {}
    for key in chance.sample(_TELLING, len(_TELLING)):
        kinds.setdefault(INCIDENTS[key].cause, REPLAYS[key].symptom)
    return Task(list(kinds)[:4], list(kinds.values())[:4])


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
    "causes": _causes,
    "which-bit": _which_bit,
    "made-by": _made_by,
    "two-causes": _two_causes,
    "two-bugs": _two_bugs,
    "lost-shape": _lost_shape,
    "which-kernel": _which_kernel,
    "moved-page": _moved_page,
    "padded-kernel": _padded_kernel,
    "wrong-base": _wrong_base,
    "ask-for": _ask_for,
    "flipped-bit": _flipped_bit,
}
