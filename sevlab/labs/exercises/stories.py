"""Exercises of the attacks and the incidents."""

from __future__ import annotations

import hashlib
from itertools import permutations
from types import SimpleNamespace
from typing import TYPE_CHECKING

from ...data import HOSTS, INCIDENTS
from ...formats.kernel_hashes import build_kernel_hashes
from ...formats.page_info import NORMAL, PAGE, ZERO
from ...formats.policy import Policy, SnpPolicy
from ...formats.report import SIGNED, MilanTcb, TurinTcb
from ...launch.measure import compute_measure
from ...launch.pages import Region, blank_region, cpu_region, hash_pages, hash_vmsa
from ...launch.snp import SnpLaunch
from ...launch.vmm import build_vmsa
from ...simulator.snp_platform import ContextPage
from .. import samples
from ..attacks.entrysign import BLOCK, solve_block
from ..attacks.invalid_curve import LOST_PRIVATE
from ..attacks.kernel_swap import SUCCESS, boot_blobs, make_table
from ..attacks.keystream import LOST_PIN
from ..attacks.launch_order import INSTRUCTIONS, program, run_blocks
from ..incidents.replays import MILAN, REPLAYS
from ..samples import CMDLINE
from ..snp_samples import snp_launch, snp_report
from . import Task

if TYPE_CHECKING:
    from random import Random

    from ...formats.vmsa import Vmsa

# Attacks


def _open_orders() -> int:
    """Return the number of orders of the five blocks in which the secret leaves the guest in clear."""
    secret = b"in clear"
    return sum(secret in run_blocks(program(order), secret) for order in permutations(INSTRUCTIONS))


#: What a host provides to the guest firmware; the content does not matter.
_BLOBS = {"kernel": b"kernel", "initrd": b"initrd", "cmdline": b"cmdline\0"}
_BLOB_HASHES = {name: hashlib.sha256(content).digest() for name, content in _BLOBS.items()}


def _accepted(hashes: dict[str, bytes], **swapped: bytes) -> list[str]:
    """Return the blobs that a hardened firmware accepts under a table of these hashes, with some blobs swapped."""
    answers = boot_blobs(make_table(hashes), {**_BLOBS, **swapped}).answers
    return [answer.blob for answer in answers if answer.status == SUCCESS]


def _swappable(*entries: str) -> set[str]:
    """Return the blobs that can be swapped if the table only has these entries."""
    hashes = {name: _BLOB_HASHES[name] for name in entries}
    return {name for name in _BLOBS if name in _accepted(hashes, **{name: b"another"})}


def _digest_blocks() -> int:
    place = next(row for row in ContextPage.rows if row.name == "launch_digest")
    return (place.offset + place.size - 1) // BLOCK - place.offset // BLOCK + 1


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
    "pdh-guesses": lambda chance: Task(13 // 2),
    "lost-toy": lambda chance: Task(LOST_PRIVATE),
    "impostor-policies": lambda chance: Task(
        sum(not (Policy(number).nosend or Policy(number).domain) for number in range(64))
    ),
    "open-orders": lambda chance: Task(_open_orders()),
    "debug-policy": lambda chance: Task(int(SnpPolicy(0x30000).replace(debug=1))),
    "lost-neighbour": lambda chance: Task(LOST_PIN),
    "kept-table": lambda chance: Task(len(_accepted(_BLOB_HASHES, cmdline=b"another\0"))),
    "short-table": lambda chance: Task(_swappable("kernel")),
    "digest-blocks": lambda chance: Task(_digest_blocks()),
    "zero-tag": lambda chance: Task(solve_block(b"A" * 32 + bytes(BLOCK), 2, bytes(BLOCK)).block.hex()),
    "minted-chip": lambda chance: Task("chip id"),
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
