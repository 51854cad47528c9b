"""The secure processor under SEV-SNP: what a running guest asks it for. That is, attestation reports.

A guest's messages are plain here. In reality each is encrypted and numbered under a VMPCK (AES-256-GCM), so that the
host, who carries them, can neither read, change nor replay them. Source: snp-launch 6 (AMD 56860, SNP_GUEST_REQUEST).
"""

from __future__ import annotations

from ...chain import ecdsa_sign
from ...formats.page_info import DIGEST
from ...formats.report import (
    ECDSA_P384_SHA384,
    HEADER,
    NO_KEY,
    SIZE,
    VCEK,
    VLEK,
    KeyInfo,
    PlatformInfo,
    Report,
    ReportRequest,
    ReportResponse,
    parse_report,
)
from ...formats.sev_certs import ECDSA_SHA384
from ...formats.status import NUMBER
from ..status import demand
from .context import VMPLS, Context
from .platform import Processor

#: What KEY_SEL may be: VLEK if there is one and else VCEK, VCEK, VLEK.
ANY_KEY, VCEK_ONLY, VLEK_ONLY = 0, 1, 2


class Messages(Processor):
    """A platform that answers its guests."""

    def guest_request(self, address: int, vmpl: int, request: bytes) -> bytes:
        """SNP_GUEST_REQUEST with MSG_REPORT_REQ (96 bytes), under the key of a *vmpl*.

        Returns MSG_REPORT_RSP: a header of 32 bytes, and the report unless the header says otherwise. The order of the
        checks of a request is chosen here.
        """
        self._ready()
        context = self._context(address)
        context.demand("RUNNING")
        demand(0 <= vmpl < VMPLS, "INVALID_PARAM", f"VMPL {vmpl}; there are 0 to {VMPLS - 1}")
        demand(len(request) == ReportRequest.size, "INVALID_PARAM", f"a request of {len(request)} bytes")
        asked = ReportRequest.from_bytes(request)
        if asked.findings() or not vmpl <= asked.vmpl < VMPLS or asked.key_sel not in (ANY_KEY, VCEK_ONLY, VLEK_ONLY):
            return _answer("INVALID_PARAM")
        key = self._choose_key(context, asked.key_sel)
        return _answer("INVALID_KEY") if key is None else _answer("SUCCESS", self._report(context, asked, key))

    def _choose_key(self, context: Context, key_sel: int) -> int | None:
        """Return which key signs; None when the one that was asked for is not there."""
        if key_sel == VLEK_ONLY or (key_sel == ANY_KEY and self.csp_id):
            return VLEK if self.csp_id else None
        if context.vcek_disabled:
            return None
        return NO_KEY if self.mask_chip_key else VCEK

    def _report(self, context: Context, asked: ReportRequest, key: int) -> Report:
        signed = context.id_block
        author = signed is not None and context.author_key_enabled
        info = {"smt_en": self.smt}
        cpu: dict[str, int] = {}
        if self.version >= 3:
            info["alias_check_complete"] = "aliased-memory" not in self.faults
            cpu = dict(zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), self.cpu, strict=True))
        if self.version >= 5:
            cpu |= {"launch_mit_vector": 0, "current_mit_vector": 0}
        versions = {
            f"{kind}_{name}": getattr(firmware, name)
            for kind, firmware in (("current", self.current), ("committed", self.committed))
            for name in ("major", "minor", "build")
        }
        kind = type(parse_report(self.version.to_bytes(4, "little").ljust(SIZE, b"\0"), self.product))
        report = kind(
            guest_svn=signed.block.guest_svn if signed else 0,
            policy=context.policy,
            family_id=signed.block.family_id if signed else bytes(16),
            image_id=signed.block.image_id if signed else bytes(16),
            vmpl=asked.vmpl,
            signature_algo=ECDSA_P384_SHA384,
            current_tcb=self.current.tcb,
            platform_info=PlatformInfo(0).replace(**info),
            key_info=KeyInfo(0).replace(author_key_en=author, mask_chip_key=self.mask_chip_key, signing_key=key),
            report_data=asked.report_data,
            measurement=context.digest,
            host_data=context.host_data,
            id_key_digest=signed.auth.id_key_digest if signed else bytes(DIGEST),
            author_key_digest=signed.auth.author_key_digest if signed and author else bytes(DIGEST),
            report_id=context.report_id,
            report_id_ma=context.report_id_ma,
            reported_tcb=self.reported_tcb,
            chip_id=bytes(64) if self.mask_chip_id else self.chip_id,
            committed_tcb=self.committed.tcb,
            launch_tcb=context.launch_tcb,
            r=bytes(72),
            s=bytes(72),
            **cpu,
            **versions,
        )
        return report if key == NO_KEY else self._signed(report, key)

    def _signed(self, report: Report, key: int) -> Report:
        """Sign a report, with the key that follows from the reported TCB."""
        tcb = self.reported_tcb
        if key == VLEK:
            private = self.server.vlek_key(self.product, self.csp_id, tcb)
        else:
            private = self.server.vcek_key(self.product, self.chip_id, tcb)
        made = ecdsa_sign(private, report.signed, ECDSA_SHA384)
        return report.replace(r=made.r, s=made.s)

    def certificates(self, report: Report) -> tuple[bytes, bytes, bytes]:
        """Return the certificates that belong to a report of this platform (DER): leaf, the one above it, root."""
        if report.key_info.signing_key == VLEK:
            leaf = self.server.vlek(self.product, self.csp_id, report.reported_tcb)
            return leaf, self.server.asvk(self.product), self.server.ark(self.product)
        leaf = self.server.vcek(self.product, self.chip_id, report.reported_tcb)
        return leaf, self.server.ask(self.product), self.server.ark(self.product)


def _answer(status: str, report: Report | None = None) -> bytes:
    raw = report.to_bytes() if report else b""
    header = ReportResponse(status=NUMBER[status], report_size=len(raw)).to_bytes()
    assert len(header) == HEADER
    return header + raw
