"""A whole SEV-SNP launch: host, secure processor, guest and owner, from the first page to the verified report."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..attestation.certificates import parse_bundle
from ..attestation.id_block import DEFAULT_POLICY, SignedIdBlock
from ..attestation.report import ReportVerdict, verify_report
from ..attestation.session import seeded
from ..formats.page_info import PAGE
from ..formats.report import HEADER, SIZE, VLEK, Report, ReportRequest, ReportResponse, parse_report
from ..formats.status import STATUS
from ..launch.snp import SnpLaunch, load_snp_launch
from .kds import MOMENT, KeyServer
from .launch import GUEST, HOST, OWNER, PSP, Simulation
from .parties import Refusal
from .snp_firmware import ANY_KEY, SnpPlatform
from .snp_host import CONTEXT_AT, MESSAGE_SIZES, SnpHost
from .snp_platform import Context
from .status import FirmwareError, RmpFault

#: Settings that a platform takes by the same names.
_OF_PLATFORM = ("product", "version", "build", "tcb", "smt", "faults", "server")


class SimulatedSnpLaunch(Simulation):
    """A simulated launch of SEV-SNP.

    ``computed`` is the launch that the owner computes from its own inputs, ``verdict`` the owner's of the report.
    ``report`` is the report's 1184 bytes as the owner got them, b"" if there was none. ``certificates`` are leaf, ASK
    or ASVK, and ARK (DER).
    """

    SUCCESS = "The guest runs, and its report is the one that the owner computed"

    def __init__(self, platform: SnpPlatform, host: SnpHost, computed: SnpLaunch, settings: SnpSettings) -> None:
        super().__init__()
        self.platform, self.host, self.computed, self.settings = platform, host, computed, settings
        self.report = b""
        self.certificates: tuple[bytes, ...] = ()
        self.verdict: ReportVerdict | None = None

    @property
    def context(self) -> Context | None:
        """The guest as the firmware keeps it; None before the launch."""
        return self.platform.contexts.get(CONTEXT_AT)

    @property
    def parsed(self) -> Report | None:
        """The report, parsed; None if there is none."""
        return parse_report(self.report, self.platform.product) if self.report else None

    def again(self, tamper: dict[str, Callable[[bytes], bytes]]) -> SimulatedSnpLaunch:
        """Return the same launch with a tampering host: see *tamper* of :func:`simulate_snp_launch`."""
        return simulate_snp_launch(self.host.inputs, self.settings, tamper=tamper)

    @property
    def changeable(self) -> dict[str, int]:
        """What a host could change, and how many bytes it has: regions of the launch, and messages."""
        return {**{region.name: region.size for region in self.host.regions}, **MESSAGE_SIZES}


@dataclass(frozen=True)
class SnpSettings:
    """How a platform, a host and a guest are set for a simulated launch."""

    #: The guest policy (64 bits).
    policy: int = DEFAULT_POLICY
    #: What the guest asks for: the report's data (64 bytes), VMPL and key.
    report_data: bytes = bytes(64)
    vmpl: int = 0
    key_sel: int = ANY_KEY
    #: What the host gives: 32 bytes, and an ID block if it has one (see :func:`.build_id_block`).
    host_data: bytes = bytes(32)
    id_block: SignedIdBlock | None = None
    #: None: enabled if the ID block has an author key.
    author_key_enabled: bool | None = None
    #: The cloud whose VLEK is loaded; "" for none.
    csp_id: str = ""
    #: Makes a run that can be repeated.
    seed: bytes | None = None
    #: These are those of :class:`~sevlab.simulator.snp_platform.Processor`.
    product: str = "Milan"
    version: int = 3
    build: int = 25
    tcb: Mapping[str, int] | None = None
    smt: bool = True
    faults: frozenset[str] | set[str] = frozenset()
    server: KeyServer | None = None

    @property
    def has_author(self) -> bool:
        """Whether the author key of the ID block is enabled."""
        has_key = self.id_block is not None and self.id_block.auth.has_author
        return has_key if self.author_key_enabled is None else self.author_key_enabled


def simulate_snp_launch(
    inputs: Mapping[str, object],
    settings: SnpSettings | None = None,
    *,
    tamper: dict[str, Callable[[bytes], bytes]] | None = None,
    **changes: Any,
) -> SimulatedSnpLaunch:
    """Launch a SEV-SNP guest with all parties, let it ask for a report, and let the owner verify it.

    *inputs* are as in :func:`sevlab.load_snp_launch`. *changes* are fields of *settings* (see :class:`SnpSettings`).
    *tamper* says what the host changes (see :class:`~sevlab.simulator.snp_host.SnpHost`). What owner, firmware or
    processor refuse is not raised: it is in ``caught``. Raises :class:`~sevlab.errors.InputError` for inputs that do
    not make a launch, :class:`~sevlab.errors.LayoutError` for bytes of the wrong length, TypeError for unknown names.
    """
    settings = replace(settings or SnpSettings(), **changes)
    random = secrets.token_bytes if settings.seed is None else seeded(settings.seed)
    platform = SnpPlatform(random=random, **{name: getattr(settings, name) for name in _OF_PLATFORM})
    host = SnpHost(platform, inputs, settings.policy)
    host.tamper = dict(tamper or {})
    run = SimulatedSnpLaunch(platform, host, load_snp_launch(**inputs), settings)
    if unknown := sorted(set(host.tamper) - set(run.changeable)):
        raise TypeError(f"a host cannot change {unknown[0]!r}; it can change {', '.join(run.changeable)}")
    request = ReportRequest(report_data=settings.report_data, vmpl=settings.vmpl, key_sel=settings.key_sel)
    try:
        _launch(run)
        _finish(run)
        if _ask(run, request):
            _verify(run)
    except Refusal as refusal:
        run.caught = OWNER, refusal
    except (FirmwareError, RmpFault) as error:
        run.caught = PSP, error
    return run


def _launch(run: SimulatedSnpLaunch) -> None:
    platform, host, record = run.platform, run.host, run.transcript
    platform.snp_init()
    if run.settings.csp_id:
        platform.vlek_load(run.settings.csp_id)
    record.send(HOST, PSP, "SNP_LAUNCH_START", host.start().to_bytes(), "The guest policy, and where the context is.")
    for region in host.regions:
        raw = host.load(region)
        what = f"{len(raw) // PAGE} x {region.type_name} from 0x{region.gpa:x}"
        doc = f"{what}. Measured page by page, then encrypted in place."
        record.send(HOST, PSP, f"SNP_LAUNCH_UPDATE ({region.name})", raw, doc)
    assert run.context is not None
    record.compute(PSP, "launch digest", run.context.digest, "SHA-384, one link for every page.")


def _finish(run: SimulatedSnpLaunch) -> None:
    settings = run.settings
    command, parts = run.host.finish(settings.id_block, settings.has_author, settings.host_data)
    if parts:
        doc = "ID block and ID authentication: the firmware checks them before the guest runs."
        run.transcript.send(HOST, PSP, "ID block", parts, doc)
    run.transcript.send(HOST, PSP, "SNP_LAUNCH_FINISH", command, "The guest runs.")


def _ask(run: SimulatedSnpLaunch, request: ReportRequest) -> bool:
    """Let the guest ask for a report, and send it to its owner; return whether there is one."""
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


def _verify(run: SimulatedSnpLaunch) -> None:
    """Let the owner verify the report against its requirements. Raises Refusal when it does not hold."""
    run.transcript.compute(OWNER, "launch digest", run.computed.digest, "From the owner's own files.")
    vlek = parse_report(run.report).key_info.signing_key == VLEK
    leaf, ask, ark = run.certificates
    certificates = parse_bundle(**{"vlek" if vlek else "vcek": leaf}, ask=ask, ark=ark)
    settings = run.settings
    auth = None if settings.id_block is None else settings.id_block.auth
    run.verdict = verify_report(
        run.report,
        certificates,
        roots=run.platform.server.roots,
        at=MOMENT,
        measurement=run.computed.digest,
        policy=settings.policy,
        report_data=settings.report_data,
        host_data=settings.host_data,
        vmpl=settings.vmpl,
        id_key_digest=None if auth is None else auth.id_key_digest,
        author_key_digest=auth.author_key_digest if auth is not None and settings.has_author else None,
    )
    if not run.verdict.matches:
        failed = ", ".join(check.name for check in run.verdict.failed)
        raise Refusal(f"the report does not hold: {failed or 'measurement not compared'}", run.verdict)
    run.transcript.compute(
        OWNER, "verdict", b"", "Signature, chain and digest are right: the guest is the one required."
    )
