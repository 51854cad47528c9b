"""A16: the launch digest of one guest put into the context of another, where nobody should get at it (BadRAM).

The firmware keeps a guest's context, and the launch digest in it, in ordinary memory, encrypted. The same bytes under
the same key at the same address make the same ciphertext. So a host that once saw a good guest's digest as ciphertext
needs only a way to write, and each fault of the past that can be switched on here gives it one::

    alias     aliased-memory      a module lies about its size: the page has a second address, which is the host's own
    table     rmp-open-at-init    the host wrote itself into the reverse map table while SNP_INIT set it up
    straight  no-rmp-check        there is no reverse map table at all

Sources: CVE-2024-21944, CVE-2025-0033; incidents A16 and A18; snp-launch 1.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...attestation.id_block import DEFAULT_POLICY, build_id_block
from ...attestation.session import seeded
from ...errors import InputError, SevlabError, quoted
from ...formats.page_info import PAGE
from ...formats.report import HEADER, ReportRequest, parse_report
from ...launch.keys import Secret
from ...launch.snp import load_snp_launch
from ...layout.span import Explainable
from ...layout.views import View
from ...simulator.memory import RmpEntry
from ...simulator.psp import BLOCK
from ...simulator.snp_firmware import SnpPlatform
from ...simulator.snp_host import CONTEXT_AT, PAGES_AT, SnpHost
from ...simulator.status import FirmwareError, RmpFault
from .common import judge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...attestation.report import ReportVerdict
    from ...formats.report import Report
    from ...layout.views import Block


#: Ways to the context page, and the fault that opens each.
WAYS = {"alias": "aliased-memory", "table": "rmp-open-at-init", "straight": "no-rmp-check"}

#: The second address of the context page, where a module lies.
ALIAS_AT = 0x3000_0000

#: When the host can write: before the digest is compared with an ID block, or only before the guest asks for a report.
MOMENTS = ("before LAUNCH_FINISH", "before the report")

#: Bytes of ciphertext that are kept, as the authors of the attack did. The digest in them has 48.
KEPT = 64

#: The owner's ID key, visibly a sample.
_ID_KEY = Secret((7).to_bytes(48, "big"))


class ContextReplay(Explainable):
    """What came of putting a good guest's digest into an evil guest's context.

    ``good`` and ``evil`` are the digests that follow from the two guests' inputs (48 bytes). ``kept`` is the ciphertext
    of the good one, ``met`` what the evil guest has in its place (64 bytes each). ``place`` is its address. ``report``
    is the evil guest's, ``verdict`` what the owner of the good one makes of it; both None when the attack was
    ``caught``: a refusal of firmware or processor. ``steps`` tell what happened, in order.
    """

    def __init__(self, platform: SnpPlatform, good: bytes, evil: bytes) -> None:
        self.platform, self.good, self.evil = platform, good, evil
        self.kept, self.met, self.place = b"", b"", 0
        self.report: Report | None = None
        self.verdict: ReportVerdict | None = None
        self.caught: SevlabError | None = None
        self.steps: list[list[str]] = []

    def begin(self, what: str) -> None:
        """Write down what is tried; until :meth:`done` it counts as refused."""
        self.steps.append([what, "REFUSED"])

    def done(self, outcome: str) -> None:
        """Write down what came of it."""
        self.steps[-1][1] = outcome

    @property
    def works(self) -> bool:
        """True when the owner of the good guest takes the evil one for it."""
        return self.verdict is not None and self.verdict.matches

    @property
    def changed(self) -> list[int]:
        """Which blocks of 16 bytes of the kept ciphertext differ between the two guests, counted from 0."""
        starts = range(0, len(self.met), BLOCK)
        return [at // BLOCK for at in starts if self.kept[at : at + BLOCK] != self.met[at : at + BLOCK]]

    def explain(self) -> View:
        """Show what came of it, then every step, then the ciphertexts."""
        from ...layout.views import Banner, Heading, Table, View, hex_lines, narrow

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
    good: Mapping[str, Any],
    evil: Mapping[str, Any],
    way: str = "alias",
    *,
    fault: bool = True,
    moment: str = MOMENTS[0],
    id_block: bool = True,
    version: int = 3,
    seed: bytes = b"a replayed context",
) -> ContextReplay:
    """Launch a good guest, keep the ciphertext of its digest, launch an evil one, write that back, ask for a report.

    *good* and *evil* are inputs as :func:`sevlab.load_snp_launch` takes them. *way* is a key of :data:`WAYS`, and
    *fault* whether its fault is switched on; *moment* is one of :data:`MOMENTS`. With *id_block* the owner of the good
    guest gave an ID block, which the firmware compares at LAUNCH_FINISH. *version* is that of the report. Refusals are
    not raised: they are in ``caught``. Raises :class:`~sevlab.errors.InputError` for inputs that are no launch, and for
    a *way* or *moment* that there is not.
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
    wanted, other = load_snp_launch(**good).digest, load_snp_launch(**evil).digest
    replay = ContextReplay(platform, wanted, other)
    try:
        _attack(replay, way, dict(good), dict(evil), moment, id_block)
    except (FirmwareError, RmpFault) as refusal:
        replay.caught = refusal
    return replay


def _attack(
    replay: ContextReplay, way: str, good: dict[str, Any], evil: dict[str, Any], moment: str, id_block: bool
) -> None:
    platform = replay.platform
    replay.begin("SNP_INIT" + (", and another core writes to the reverse map table" if way == "table" else ""))
    platform.snp_init((lambda: platform.write_rmp(0, RmpEntry())) if way == "table" else None)
    replay.done("the platform takes guests")

    replay.begin("the good guest is loaded, page by page")
    host = _loaded(platform, good)
    replay.place = platform.contexts[CONTEXT_AT].digest_range[0]
    replay.kept = platform.host_read(replay.place, KEPT)
    replay.done(f"the host keeps {KEPT} bytes of ciphertext, and ends the guest")
    _end(platform, host)

    replay.begin("the evil guest is loaded, with its context in the same place")
    host = _loaded(platform, evil)
    replay.met = platform.host_read(replay.place, KEPT)
    replay.done(f"{len(replay.changed)} of {KEPT // BLOCK} blocks of ciphertext are others")

    if moment == MOMENTS[0]:
        _write(replay, way)
    signed = build_id_block(replay.good, _ID_KEY) if id_block else None
    replay.begin(
        "SNP_LAUNCH_FINISH" + (", with the ID block of the good guest" if id_block else ", without an ID block")
    )
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
    """Write the kept ciphertext over the evil guest's."""
    platform, place = replay.platform, replay.place
    target = place - CONTEXT_AT + ALIAS_AT if way == "alias" else place
    replay.begin(f"the host writes what it kept to 0x{target:x}")
    if way == "table":
        before = platform.rmp.entry(CONTEXT_AT)
        platform.write_rmp(CONTEXT_AT, RmpEntry())
    platform.host_write(target, replay.kept)
    if way == "table":
        platform.write_rmp(CONTEXT_AT, before)
    replay.done("written: the table says that the page is the host's" if way != "straight" else "written: nobody looks")


def _loaded(platform: SnpPlatform, inputs: dict[str, Any]) -> SnpHost:
    """Load a guest, up to LAUNCH_FINISH."""
    host = SnpHost(platform, inputs, DEFAULT_POLICY)
    host.launch()
    return host


def _end(platform: SnpPlatform, host: SnpHost) -> None:
    """End a guest, and take back all its pages."""
    platform.decommission(CONTEXT_AT)
    platform.page_reclaim(CONTEXT_AT)
    platform.rmp.update(CONTEXT_AT, assigned=False)
    pages = sum(len(region.contents) for region in host.regions)
    for address in range(PAGES_AT, PAGES_AT + pages * PAGE, PAGE):
        platform.rmp.update(address, assigned=False)
    platform.df_flush()
