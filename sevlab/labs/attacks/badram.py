"""A16: the launch digest of one guest, put into the protected context of another (BadRAM).

The firmware keeps a guest's context, and the launch digest in it, in ordinary memory, encrypted. The same bytes under
the same key at the same address make the same ciphertext. So a host that once saw the ciphertext of a good guest's
digest only needs a way to write it back. Each of these past faults gives it one::

    alias     aliased-memory      a memory module lies about its size: the host owns a second address of the page
    table     rmp-open-at-init    the host wrote its own entry into the reverse map table while SNP_INIT set it up
    straight  no-rmp-check        there is no reverse map table at all

Sources: CVE-2024-21944, CVE-2025-0033; incidents A16 and A18; snp-launch 1.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ...attestation.id_block import DEFAULT_POLICY, build_id_block
from ...attestation.report import ReportVerdict
from ...attestation.session import seeded
from ...errors import InputError, SevlabError, quoted
from ...formats.page_info import PAGE
from ...formats.report import HEADER, Report, ReportRequest, parse_report
from ...launch.keys import SecretBytes
from ...launch.snp import load_snp_launch
from ...layout.span import Explainable
from ...layout.views import Banner, Heading, Table, View, hex_lines, narrow
from ...simulator.memory import RmpEntry
from ...simulator.psp import BLOCK
from ...simulator.snp_firmware import SnpPlatform
from ...simulator.snp_host import CONTEXT_AT, PAGES_AT, SnpHost
from ...simulator.status import FirmwareError, RmpFault
from .common import judge

if TYPE_CHECKING:
    from ...layout.views import Block


#: Ways to the context page, and the fault that opens each.
WAYS = {"alias": "aliased-memory", "table": "rmp-open-at-init", "straight": "no-rmp-check"}
#: The second address of the context page, when a module lies.
ALIAS_AT = 0x3000_0000
#: When the host writes: before the firmware compares the digest with an ID block, or just before the report.
MOMENTS = ("before LAUNCH_FINISH", "before the report")
#: Bytes of ciphertext that are kept, as the authors of the attack did. The digest is 48 of them.
KEPT = 64
#: The owner's ID key, visibly a sample.
_ID_KEY = SecretBytes((7).to_bytes(48, "big"))


class ContextReplay(Explainable):
    """The result of putting a good guest's digest into an evil guest's context.

    ``good`` and ``evil`` are the digests that follow from the two guests' inputs (48 bytes). ``kept`` is the ciphertext
    of the good one, ``met`` the ciphertext at the same ``place`` for the evil one (64 bytes each). ``report`` is the
    evil guest's, and ``verdict`` that of the good guest's owner; both are None when the attack was ``caught``: a
    refusal of firmware or processor. ``steps`` are what happened, in order.
    """

    def __init__(self, platform: SnpPlatform, good: bytes, evil: bytes) -> None:
        self.platform, self.good, self.evil = platform, good, evil
        self.kept, self.met, self.place = b"", b"", 0
        self.report: Report | None = None
        self.verdict: ReportVerdict | None = None
        self.caught: SevlabError | None = None
        self.steps: list[list[str]] = []

    def begin(self, what: str) -> None:
        """Log a step; it counts as refused until :meth:`done`."""
        self.steps.append([what, "REFUSED"])

    def done(self, outcome: str) -> None:
        """Log the outcome of the last step."""
        self.steps[-1][1] = outcome

    @property
    def works(self) -> bool:
        """Whether the owner of the good guest accepts the evil one."""
        return self.verdict is not None and self.verdict.matches

    @property
    def changed(self) -> list[int]:
        """The blocks of 16 bytes, from 0, whose ciphertext differs between the two guests."""
        starts = range(0, len(self.met), BLOCK)
        return [at // BLOCK for at in starts if self.kept[at : at + BLOCK] != self.met[at : at + BLOCK]]

    def explain(self) -> View:
        """Show the result, then every step, then the ciphertexts."""
        if self.caught is not None:
            banner = Banner(f"REFUSED: {self.caught}", "green")
        elif self.works:
            banner = Banner("FOOLED: the evil guest's report shows the good guest's measurement", "pink")
        else:
            banner = Banner("The owner refuses the report: it does not show the good guest's measurement", "green")
        rows = [[str(number), narrow(what, 36), outcome] for number, (what, outcome) in enumerate(self.steps, 1)]
        blocks: list[Block] = [banner, Table(["", "step", "outcome"], rows, mono=[0])]
        if self.met:
            header = ["guest", f"ciphertext at 0x{self.place:x}"]
            shown = [["good, kept", hex_lines(self.kept)], ["evil, met", hex_lines(self.met)]]
            blocks += [Heading("What the host sees of the digest"), Table(header, shown, mono=[0, 1])]
        return View(*blocks)


def replay_context(
    good: Mapping[str, object],
    evil: Mapping[str, object],
    way: str = "alias",
    *,
    fault: bool = True,
    moment: str = MOMENTS[0],
    id_block: bool = True,
    version: int = 3,
    seed: bytes = b"a replayed context",
) -> ContextReplay:
    """Launch a good guest, keep the ciphertext of its digest, launch an evil one, write it back, ask for a report.

    *good* and *evil* are inputs as :func:`sevlab.load_snp_launch` takes them. *way* is a key of :data:`WAYS`; *fault*
    switches its fault on; *moment* is one of :data:`MOMENTS`. With *id_block* the owner of the good guest gave an ID
    block, which the firmware compares at LAUNCH_FINISH. *version* is that of the report. A refusal is not raised but
    kept in ``caught``. Raises :class:`~sevlab.errors.InputError` for unusable inputs and an unknown *way* or *moment*.
    """
    for name, value, known in (("way", way, tuple(WAYS)), ("moment", moment, MOMENTS)):
        if value not in known:
            raise InputError(name, quoted(value), f"one of {', '.join(known)}")
    platform = SnpPlatform(
        random=seeded(seed),
        version=version,
        faults={WAYS[way]} if fault else frozenset(),
        aliases={ALIAS_AT: CONTEXT_AT} if way == "alias" else None,
    )
    replay = ContextReplay(platform, load_snp_launch(**good).digest, load_snp_launch(**evil).digest)
    try:
        _attack(replay, way, (SnpHost(platform, dict(one), DEFAULT_POLICY) for one in (good, evil)), moment, id_block)
    except (FirmwareError, RmpFault) as refusal:
        replay.caught = refusal
    return replay


def _attack(replay: ContextReplay, way: str, hosts: Iterator[SnpHost], moment: str, id_block: bool) -> None:
    platform = replay.platform
    replay.begin("SNP_INIT" + (", and another core writes to the reverse map table" if way == "table" else ""))
    platform.snp_init((lambda: platform.write_rmp(0, RmpEntry())) if way == "table" else None)
    replay.done("the platform takes guests")
    replay.begin("the good guest is loaded, page by page")
    host = next(hosts)
    host.launch()
    replay.place = platform.contexts[CONTEXT_AT].digest_range[0]
    replay.kept = platform.host_read(replay.place, KEPT)
    replay.done(f"the host keeps {KEPT} bytes of ciphertext, and ends the guest")
    _end(platform, host)
    replay.begin("the evil guest is loaded, with its context in the same place")
    host = next(hosts)
    host.launch()
    replay.met = platform.host_read(replay.place, KEPT)
    replay.done(f"{len(replay.changed)} of {KEPT // BLOCK} blocks of ciphertext differ")
    if moment == MOMENTS[0]:
        _write(replay, way)
    signed = build_id_block(replay.good, _ID_KEY) if id_block else None
    replay.begin(f"SNP_LAUNCH_FINISH, {'with the ID block of the good guest' if id_block else 'without an ID block'}")
    host.finish(signed, False, bytes(32))
    replay.done("the evil guest runs")
    if moment == MOMENTS[1]:
        _write(replay, way)
    request = ReportRequest(report_data=bytes(64), vmpl=0, key_sel=0)
    replay.begin("the evil guest asks for a report; the good guest's owner judges it")
    replay.report = parse_report(host.request(0, request.to_bytes())[HEADER:], platform.product)
    id_key = signed.auth.id_key_digest if signed else None
    replay.verdict = judge(
        replay.report, platform, measurement=replay.good, policy=DEFAULT_POLICY, id_key_digest=id_key
    )
    replay.done("every check passes" if replay.works else "; ".join(check.name for check in replay.verdict.failed))


def _write(replay: ContextReplay, way: str) -> None:
    platform, place = replay.platform, replay.place
    target = place - CONTEXT_AT + ALIAS_AT if way == "alias" else place
    replay.begin(f"the host writes what it kept to 0x{target:x}")
    if way == "table":
        before = platform.rmp.entry(CONTEXT_AT)
        platform.write_rmp(CONTEXT_AT, RmpEntry())
    platform.host_write(target, replay.kept)
    if way == "table":
        platform.write_rmp(CONTEXT_AT, before)
    why = "nobody checks" if way == "straight" else "the reverse map table says that the page is the host's"
    replay.done(f"written: {why}")


def _end(platform: SnpPlatform, host: SnpHost) -> None:
    platform.decommission(CONTEXT_AT)
    platform.page_reclaim(CONTEXT_AT)
    platform.rmp.update(CONTEXT_AT, assigned=False)
    pages = sum(len(region.contents) for region in host.regions)
    for address in range(PAGES_AT, PAGES_AT + pages * PAGE, PAGE):
        platform.rmp.update(address, assigned=False)
    platform.df_flush()
