"""A whole SEV-SNP launch: host, secure processor, guest and owner, from the first page to the verified report."""

from __future__ import annotations

import secrets

from ...errors import SevlabError
from ...formats.page_info import PAGE
from ...formats.report import HEADER, SIZE, VLEK, Report, ReportRequest, ReportResponse, parse_report
from ...formats.status import STATUS
from ...idblock import DEFAULT_POLICY, SignedIdBlock
from ...layout.span import Explainable
from ...report.certificates import parse_bundle
from ...report.verify import verify_report
from ...session import seeded
from ...snp import load_snp_launch
from ..kds import MOMENT, KeyServer
from ..owner import Refusal
from ..status import FirmwareError
from ..transcript import GUEST, HOST, OWNER, PSP, Transcript
from .firmware import SnpPlatform
from .host import CONTEXT_AT, MESSAGE_SIZES, SnpHost
from .messages import ANY_KEY
from .rmp import RmpFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ...layout.views import View
    from ...report.verify import ReportVerdict
    from ...snp import SnpLaunch
    from .context import Context


class SimulatedSnpLaunch(Explainable):
    """What came of a launch. ``caught`` is None when it went through, else who noticed and how.

    ``computed`` is the launch that the owner computes from its own inputs, ``verdict`` what it made of the report.
    ``report`` are the report's 1184 bytes as the owner got them, b"" when there was none. ``certificates`` are leaf,
    ASK or ASVK, and ARK (DER).
    """

    def __init__(self, platform: SnpPlatform, host: SnpHost, computed: SnpLaunch) -> None:
        self.platform, self.host, self.computed = platform, host, computed
        #: What :func:`simulate_snp_launch` was called with, to do it again with another host.
        self.arguments: dict[str, Any] = {}
        self.transcript = Transcript()
        self.report = b""
        self.certificates: tuple[bytes, ...] = ()
        self.verdict: ReportVerdict | None = None
        self.caught: tuple[str, SevlabError] | None = None

    @property
    def context(self) -> Context | None:
        """The guest as the firmware keeps it; None when there is none."""
        return self.platform.contexts.get(CONTEXT_AT)

    @property
    def parsed(self) -> Report | None:
        """The report, taken apart; None when there is none."""
        return parse_report(self.report, self.platform.product) if self.report else None

    def again(self, tamper: dict[str, Callable[[bytes], bytes]]) -> SimulatedSnpLaunch:
        """Return the same launch with a host that changes something: see *tamper* of :func:`simulate_snp_launch`."""
        return simulate_snp_launch(**self.arguments, tamper=tamper)

    @property
    def changeable(self) -> dict[str, int]:
        """What a host could change on the way, and how many bytes it has: regions of the launch, and messages."""
        return {**{region.name: region.size for region in self.host.regions}, **MESSAGE_SIZES}

    def explain(self) -> View:
        """Show how it ended, then every message."""
        from ...layout.views import Banner, View

        if self.caught is None:
            banner = Banner("OK: The guest runs, and its report is the one that the owner computed", "green")
        else:
            who, why = self.caught
            banner = Banner(f"CAUGHT by the {who}: {why}", "pink")
        return View(banner, *self.transcript.explain().blocks)


def simulate_snp_launch(
    inputs: dict[str, Any],
    policy: int = DEFAULT_POLICY,
    *,
    report_data: bytes = bytes(64),
    id_block: SignedIdBlock | None = None,
    author_key_enabled: bool | None = None,
    host_data: bytes = bytes(32),
    vmpl: int = 0,
    key_sel: int = ANY_KEY,
    csp_id: str = "",
    tamper: dict[str, Callable[[bytes], bytes]] | None = None,
    seed: bytes | None = None,
    product: str = "Milan",
    version: int = 3,
    build: int = 25,
    tcb: Mapping[str, int] | None = None,
    smt: bool = True,
    faults: frozenset[str] | set[str] = frozenset(),
    server: KeyServer | None = None,
) -> SimulatedSnpLaunch:
    """Launch a SEV-SNP guest with all parties, let it ask for a report, and let the owner judge that.

    *inputs* are as in :func:`sevlab.load_snp_launch`, *policy* is the guest policy (64 bits). The guest puts
    *report_data* (64 bytes) into its report, and asks for *vmpl* and *key_sel*; the host gives *host_data* (32 bytes)
    and, if it has one, an *id_block* (see :func:`sevlab.build_id_block`), with *author_key_enabled* if there is an
    author key. *csp_id* names a cloud whose VLEK is loaded. *tamper* makes the host a tampering one (see
    :class:`~sevlab.simulator.snp.host.SnpHost`); *seed* makes a run that can be repeated; the rest are those of the
    :class:`~sevlab.simulator.snp.platform.Processor`. What owner, firmware or processor refuse is not raised: it is in
    ``caught``. Raises :class:`~sevlab.errors.InputError` for inputs that are no launch,
    :class:`~sevlab.errors.LayoutError` for bytes of another length, TypeError for a name that there is not.
    """
    arguments = {name: value for name, value in locals().items() if name != "tamper"}
    random = secrets.token_bytes if seed is None else seeded(seed)
    platform = SnpPlatform(
        product=product, version=version, build=build, tcb=tcb, smt=smt, random=random, faults=faults, server=server
    )
    host = SnpHost(platform, inputs, policy)
    host.tamper = dict(tamper or {})
    run = SimulatedSnpLaunch(platform, host, load_snp_launch(**inputs))
    if unknown := sorted(set(host.tamper) - set(run.changeable)):
        raise TypeError(f"a host cannot change {unknown[0]!r}; it can change {', '.join(run.changeable)}")
    run.arguments = arguments
    enabled = author_key_enabled
    if enabled is None:
        enabled = id_block is not None and id_block.auth.has_author
    request = ReportRequest(report_data=report_data, vmpl=vmpl, key_sel=key_sel)
    try:
        _launch(run, csp_id)
        _finish(run, id_block, enabled, host_data)
        if _ask(run, request):
            _judge(run, _wanted(run, policy, request, host_data, id_block, enabled))
    except Refusal as refusal:
        run.caught = OWNER, refusal
    except (FirmwareError, RmpFault) as error:
        run.caught = PSP, error
    return run


def _launch(run: SimulatedSnpLaunch, csp_id: str) -> None:
    """Begin, and load every page."""
    platform, host, record = run.platform, run.host, run.transcript
    platform.snp_init()
    if csp_id:
        platform.vlek_load(csp_id)
    record.send(HOST, PSP, "SNP_LAUNCH_START", host.start().to_bytes(), "The guest policy, and where the context is.")
    for region in host.regions:
        raw = host.load(region)
        what = f"{len(raw) // PAGE} x {region.type_name} from 0x{region.gpa:x}"
        doc = f"{what}. Measured page by page, then encrypted in place."
        record.send(HOST, PSP, f"SNP_LAUNCH_UPDATE ({region.name})", raw, doc)
    assert run.context is not None
    record.compute(PSP, "launch digest", run.context.digest, "SHA-384, one link for every page.")


def _finish(run: SimulatedSnpLaunch, id_block: SignedIdBlock | None, enabled: bool, host_data: bytes) -> None:
    command, parts = run.host.finish(id_block, enabled, host_data)
    doc = "ID block and ID authentication: the firmware checks them before the guest runs."
    if parts:
        run.transcript.send(HOST, PSP, "ID block", parts, doc)
    run.transcript.send(HOST, PSP, "SNP_LAUNCH_FINISH", command, "The guest runs.")


def _ask(run: SimulatedSnpLaunch, request: ReportRequest) -> bool:
    """Let the guest ask for a report, and send it to its owner; tell whether there is one."""
    platform, host, record = run.platform, run.host, run.transcript
    record.send(GUEST, PSP, "report request", request.to_bytes(), "What the report is to hold. The host carries it.")
    answer = host.request(request.vmpl, request.to_bytes())
    record.send(PSP, GUEST, "report response", answer, "A header, and the signed report.")
    header = ReportResponse.from_bytes(answer[:HEADER].ljust(HEADER, b"\0"))
    if header.status or header.report_size != SIZE or len(answer) != HEADER + SIZE:
        name = STATUS.get(header.status, "INVALID_PARAM") if header.status else "INVALID_LENGTH"
        run.caught = GUEST, FirmwareError(name, "there is no report")
        return False
    run.report = answer[HEADER:]
    record.send(GUEST, OWNER, "report", run.report, "The same.")
    reported = parse_report(run.report, platform.product)
    run.certificates = platform.certificates(reported)
    raw = b"".join(run.certificates)
    record.send(HOST, OWNER, "certificates", raw, "Leaf for the reported TCB, the one above it, and the root.")
    return True


def _wanted(
    run: SimulatedSnpLaunch,
    policy: int,
    request: ReportRequest,
    host_data: bytes,
    signed: SignedIdBlock | None,
    author_key_enabled: bool,
) -> dict[str, Any]:
    """Return what the owner wants the report to say."""
    wanted = {"measurement": run.computed.digest, "policy": policy, "report_data": request.report_data}
    wanted |= {"host_data": host_data, "vmpl": request.vmpl}
    if signed is not None:
        wanted["id_key_digest"] = signed.auth.id_key_digest
        if author_key_enabled:
            wanted["author_key_digest"] = signed.auth.author_key_digest
    return wanted


def _judge(run: SimulatedSnpLaunch, wanted: dict[str, Any]) -> None:
    """Let the owner set the report against what it wants. Raises Refusal when they differ."""
    run.transcript.compute(OWNER, "launch digest", run.computed.digest, "From the owner's own files.")
    vlek = parse_report(run.report).key_info.signing_key == VLEK
    names = ("vlek" if vlek else "vcek", "ask", "ark")
    certificates = parse_bundle(**dict(zip(names, run.certificates, strict=True)))
    run.verdict = verify_report(run.report, certificates, roots=run.platform.server.roots, at=MOMENT, **wanted)
    if not run.verdict.matches:
        failed = ", ".join(check.name for check in run.verdict.failed)
        raise Refusal(f"the report does not hold: {failed or 'measurement not compared'}", run.verdict)
    doc = "Signature, chain and digest are right: the guest is the one wanted."
    run.transcript.compute(OWNER, "verdict", b"", doc)
