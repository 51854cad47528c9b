"""What is known of a platform: from a report, from a launch of SEV or SEV-ES, from a case, or from numbers."""

from __future__ import annotations

from collections import namedtuple

from ..advisories import PRODUCTS, SEV, SEV_ES, SEV_SNP, SNP_PRODUCTS, TECHNOLOGIES
from ..errors import InputError, quoted
from ..formats.policy import Policy, SnpPolicy
from ..formats.report import Report, parse_report
from ..inputs import parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..case import Case
    from ..evidence import Evidence
    from ..formats.report import PlatformInfo, Tcb

#: Technologies by the names that people type.
NAMES = {"sev": SEV, "sev-es": SEV_ES, "snp": SEV_SNP}


class Platform(
    namedtuple(
        "Platform",
        "products technologies version committed policy tcb platform_info report_version told",
        defaults=(PRODUCTS, TECHNOLOGIES, None, None, None, None, None, 0, ()),
    )
):
    """What is known of a platform and its guest.

    ``products`` and ``technologies`` are those that it may be. ``version`` is (API major, API minor, build), the build
    None where it is not known; ``committed`` the one below which the platform cannot go back. ``policy``, ``tcb``
    (REPORTED_TCB), ``platform_info`` and ``report_version`` are None, or 0, where there is no report. ``told`` are
    sentences about where it comes from.
    """

    __slots__ = ()

    version: tuple[int, int, int | None] | None
    committed: tuple[int, int, int] | None
    policy: Policy | SnpPolicy | None
    tcb: Tcb | None
    platform_info: PlatformInfo | None

    @property
    def words(self) -> list[list[str]]:
        """What is known, in rows of two."""
        known = {
            "product": " or ".join(self.products) if len(self.products) < len(PRODUCTS) else "not known",
            "technology": " or ".join(self.technologies) if len(self.technologies) < len(TECHNOLOGIES) else "not known",
            "firmware": version_text(self.version) if self.version else "not known",
            "cannot go back below": version_text(self.committed) if self.committed else "not known",
            "policy": self.policy.text if self.policy is not None else "not known",
            "REPORTED_TCB": self.tcb.text if self.tcb is not None else "not known",
            "PLATFORM_INFO": self.platform_info.text if self.platform_info is not None else "not known",
        }
        return [[name, words] for name, words in known.items()]


def version_text(version: Sequence[int | None]) -> str:
    """Return API major, API minor and build for people; ``?`` for a build that is not known."""
    return ".".join("?" if part is None else str(part) for part in version)


def platform_of_report(report: Report, product: str = "", names: Callable[[str], str] = str) -> Platform:
    """Return what a report tells. *product* is that of its certificate, or what its reader knows, "" for neither.

    Raises :class:`~sevlab.errors.InputError` for a product that the report contradicts.
    """
    if product:
        _check_product(product, SEV_SNP, names)
        if not likely_product(report, product):
            raise InputError(names("product"), quoted(product), f"{report.product}, as the report says")
        report = parse_report(report.to_bytes(), product)  # the product says which byte of a TCB is which part
    products = [product] if product else [one for one in report.product.split(" or ") if one] or SNP_PRODUCTS
    tcb_known, known = report.TCB is not None, report.is_known
    notes = ["What a report says is as good as the firmware that says it; sevlab report verify says who signed it"]
    if tcb_known and report.launch_tcb.to_bytes() != report.current_tcb.to_bytes():
        notes.append("LAUNCH_TCB is not CURRENT_TCB: what runs now is judged, not what the guest was launched under")
    return Platform(
        tuple(products),
        (SEV_SNP,),
        tuple(getattr(report, f"current_{part}") for part in ("major", "minor", "build")) if known else None,
        tuple(getattr(report, f"committed_{part}") for part in ("major", "minor", "build")) if known else None,
        report.policy,
        report.reported_tcb if tcb_known else None,
        report.platform_info if known else None,
        report.version,
        tuple(notes),
    )


def likely_product(report: Report, product: str) -> str:
    """Return a product that a report may be from, such as its certificate's; "" where its own bytes contradict."""
    told = report.product
    return product if product in SNP_PRODUCTS and (not told or product in told.split(" or ")) else ""


def platform_of_evidence(evidence: Evidence, product: str = "", names: Callable[[str], str] = str) -> Platform:
    """Return what a launch of SEV or SEV-ES tells: version, build and policy, which its measurement covers."""
    version = (evidence.api_major, evidence.api_minor, evidence.build_id)
    return _legacy(version, evidence.policy, product, names)


def _legacy(version: Any, policy: Policy, product: str, names: Callable[[str], str]) -> Platform:
    technology = SEV_ES if policy.es else SEV
    if product:
        _check_product(product, technology, names)
    told = "Version, build and policy are in the measurement, so they are proven where that matches"
    products = (product,) if product else PRODUCTS
    return Platform(products, (technology,), version, policy=policy, told=(told,))


def platform_of_case(case: Case, product: str = "", names: Callable[[str], str] = str) -> Platform:
    """Return what a case tells: by its report, where it has one, else by version and policy of its launch.

    Raises :class:`~sevlab.errors.InputError` for a case with neither, and for files that cannot be read.
    """
    given = case.inputs
    if "report" in given:
        from ..report import FILES, load_certificates, load_report

        report = load_report(given["report"], "report")
        certificates = load_certificates(str, **{name: given.get(name) for name in FILES})
        leaf = certificates.leaf(report.key_info.signer)
        signed = "" if leaf is None else likely_product(report, leaf.product)
        return platform_of_report(report, product or signed, names)
    if case.is_snp and "snp_policy" in given:
        return platform_of_numbers(names, technology="snp", policy=given["snp_policy"], product=product or None)
    parts = ("api_major", "api_minor", "build_id", "policy")
    if set(parts) <= set(given) and not case.is_snp:
        return _legacy(tuple(given[name] for name in parts[:3]), Policy(given["policy"]), product, names)
    needed = "one with a report, or with api-major, api-minor, build-id and policy"
    raise InputError(names("case"), f"{quoted(case.path)}, which tells nothing of the platform", needed)


def platform_of_numbers(names: Callable[[str], str] = str, **given: Any) -> Platform:
    """Return what numbers tell: ``api`` ("M.N"), ``build``, ``product``, ``policy``, ``technology``; any may be None.

    Raises :class:`~sevlab.errors.InputError` for one that cannot be, and for those that contradict each other.
    """
    product, technology, policy = given.get("product"), given.get("technology"), given.get("policy")
    if technology is not None and technology not in NAMES:
        raise InputError(names("technology"), quoted(technology), ", ".join(NAMES))
    told: list[str] = []
    guest: Policy | SnpPolicy | None = None
    technologies: tuple[str, ...] = TECHNOLOGIES if technology is None else (NAMES[technology],)
    if policy is not None:
        guest, technologies, words = _policy(policy, technologies, names)
        told += [words] if words and technology is None else []
    if product is not None:
        _check_product(product, technologies[0] if len(technologies) == 1 else "", names)
        if product not in SNP_PRODUCTS:
            technologies = tuple(one for one in technologies if one != SEV_SNP)
    products = (product,) if product is not None else SNP_PRODUCTS if technologies == (SEV_SNP,) else PRODUCTS
    told.append("These numbers are as good as whoever told them; a measurement or a report proves them")
    version = _api(given.get("api"), given.get("build"), names)
    return Platform(products, technologies, version, policy=guest, told=tuple(told))


def _api(api: Any, build: Any, names: Callable[[str], str]) -> tuple[int, int, int | None] | None:
    if build is not None and api is None:
        raise InputError(names("build"), f"it without {names('api')}", names("api"))
    if api is None:
        return None
    parts = str(api).split(".")
    if len(parts) != 2:
        raise InputError(names("api"), quoted(api), "major and minor version with a dot between them, such as 1.55")
    major, minor = (parse_number(part, names("api"), 255) for part in parts)
    return major, minor, None if build is None else parse_number(build, names("build"), 255)


def _policy(
    value: Any, technologies: tuple[str, ...], names: Callable[[str], str]
) -> tuple[Policy | SnpPolicy, tuple[str, ...], str]:
    """Return a policy of the right kind, the technologies that are left, and how it was told."""
    number = parse_number(value, names("policy"), (1 << 64) - 1)
    snp = SnpPolicy(number)
    if technologies == (SEV_SNP,) or (SEV_SNP in technologies and snp.must_be_one):
        return snp, (SEV_SNP,), "Bit 17 of the policy is set, as SEV-SNP needs it: taken for a policy of SEV-SNP"
    legacy = Policy(parse_number(value, names("policy"), 0xFFFFFFFF))
    technology = SEV_ES if legacy.es else SEV
    if technology not in technologies:
        raise InputError(names("policy"), f"0x{number:x}, a policy of {technology}", f"one of {technologies[0]}")
    return legacy, (technology,), f"Taken for a policy of {technology}: bit 17, which SEV-SNP needs, is clear"


def _check_product(product: str, technology: str, names: Callable[[str], str]) -> None:
    known = SNP_PRODUCTS if technology == SEV_SNP else PRODUCTS
    if product not in known:
        odd = f"{quoted(product)}, which has no SEV-SNP" if product in PRODUCTS else quoted(product)
        raise InputError(names("product"), odd, f"one of {', '.join(known)}")
