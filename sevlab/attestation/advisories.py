"""Known vulnerabilities of a platform, judged by its report, its version and the guest's policy.

Only what was given decides: without the value that a fix needs, the state is "unknown", and the words say what is
missing. The advisories themselves are :data:`sevlab.data.ADVISORIES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .. import data
from ..errors import InputError, named, quoted
from ..formats.policy import Policy, SnpPolicy
from ..formats.report import PlatformInfo, Report, Tcb, parse_report
from ..launch.evidence import Evidence
from ..launch.values import parse_number
from ..layout.span import Explainable
from ..layout.views import Banner, Heading, Paragraph, Table, View, narrow
from .report import ReportVerdict

if TYPE_CHECKING:
    from ..data import Advisory, Fix

    Version = tuple[int, int, int | None]

APPLIES, FIXED, NOT_AFFECTED, NOT_NAMED = "applies", "fixed", "not affected", "not named"
#: Every state, the worst first, and what it means.
STATES = {
    APPLIES: "the platform has it, and none of the known fixes is in place",
    data.UNKNOWN: "what was given does not decide it; the words say what would",
    NOT_NAMED: "only other products are listed as affected; this is not proof of safety",
    FIXED: "a version, a TCB or a bit fixes it",
    NOT_AFFECTED: "it cannot hit this technology",
}
_COLOURS = {APPLIES: "pink", data.UNKNOWN: "yellow", NOT_NAMED: "grey", FIXED: "green", NOT_AFFECTED: "green"}
#: Technologies by the names that people type.
NAMES = {"sev": data.SEV, "sev-es": data.SEV_ES, "snp": data.SEV_SNP}


@dataclass(frozen=True)
class Platform:
    """What is known of a platform and its guest."""

    #: The products and technologies that it may be.
    products: tuple[str, ...] = data.PRODUCTS
    technologies: tuple[str, ...] = data.TECHNOLOGIES
    version: Version | None = None
    #: The version below which the platform cannot go back.
    committed: tuple[int, int, int] | None = None
    policy: Policy | SnpPolicy | None = None
    #: REPORTED_TCB and PLATFORM_INFO of its report, and the report's version.
    tcb: Tcb | None = None
    platform_info: PlatformInfo | None = None
    report_version: int = 0
    #: Sentences about where this comes from.
    told: tuple[str, ...] = ()

    @property
    def words(self) -> list[list[str]]:
        """What is known, in rows of two."""
        known = {
            "product": " or ".join(self.products) if len(self.products) < len(data.PRODUCTS) else None,
            "technology": " or ".join(self.technologies) if len(self.technologies) < len(data.TECHNOLOGIES) else None,
            "firmware": self.version and version_text(self.version),
            "cannot go back below": self.committed and version_text(self.committed),
            "policy": None if self.policy is None else self.policy.text,
            "REPORTED_TCB": None if self.tcb is None else self.tcb.text,
            "PLATFORM_INFO": None if self.platform_info is None else self.platform_info.text,
        }
        return [[name, words or "not known"] for name, words in known.items()]


@dataclass(frozen=True)
class Finding:
    """One advisory, its state (a key of :data:`STATES`) and why."""

    advisory: Advisory
    state: str
    words: str
    #: Whether the owner knows and accepts the risk.
    accepted: bool = False

    @property
    def advice(self) -> str:
        """Why, and what the guest's owner can look at where that is still to be done."""
        is_done = self.state in (FIXED, NOT_AFFECTED)
        return self.words if is_done else f"{self.words} Look at: {self.advisory.check}."

    def as_dict(self) -> dict[str, object]:
        """Return the finding as JSON-ready data."""
        return {"state": self.state, "why": self.words, "accepted": self.accepted, **self.advisory.as_dict()}


@dataclass(frozen=True, eq=False, repr=False)
class Advice(Explainable):
    """Every advisory, judged for one platform: ``findings`` in the order of the advisories."""

    platform: Platform
    findings: list[Finding]

    def __getitem__(self, key: str) -> Finding:
        return next(one for one in self.findings if one.advisory.key == key)

    def of(self, *states: str) -> list[Finding]:
        """Return the findings in these states that were not accepted."""
        return [one for one in self.findings if one.state in states and not one.accepted]

    @property
    def applies(self) -> bool:
        """Whether any vulnerability applies that was not accepted."""
        return bool(self.of(APPLIES))

    @property
    def is_certain(self) -> bool:
        """Whether nothing applies and nothing is unknown, except for what was accepted."""
        return not self.of(APPLIES, data.UNKNOWN)

    @property
    def words(self) -> str:
        """The answer in one line."""
        count, open_ones = len(self.of(APPLIES)), len(self.of(data.UNKNOWN))
        unknown = f"{open_ones} cannot be decided" if open_ones else "none is left undecided"
        if count:
            return f"{count} known {'vulnerability applies' if count == 1 else 'vulnerabilities apply'}; {unknown}"
        return f"No known vulnerability is seen to apply; {unknown}"

    def as_dict(self) -> dict[str, object]:
        """Return the advice as JSON-ready data."""
        return {
            "words": self.words,
            "platform": dict(self.platform.words),
            "told": list(self.platform.told),
            "findings": [one.as_dict() for one in self.findings],
        }

    def explain(self) -> View:
        """Show the answer, what it was worked out from, and every advisory, the worst first."""
        ordered = sorted(self.findings, key=lambda one: list(STATES).index(one.state))
        rows = [
            [one.state + ",\naccepted" * one.accepted, narrow(one.advisory.name, 34), one.advice] for one in ordered
        ]
        present = {one.state for one in ordered}
        return View(
            Banner(self.words, "pink" if self.applies else "green" if self.is_certain else "yellow"),
            Heading("Judged by"),
            Table(["what", "value"], self.platform.words),
            *(Paragraph(f"{told}.") for told in self.platform.told),
            Heading("Advisories"),
            Table(["state", "vulnerability", "why"], rows, colours=[_COLOURS[one.state] for one in ordered]),
            Table(["state", "meaning"], [[state, STATES[state]] for state in STATES if state in present]),
        )


def advise(
    thing: Report | ReportVerdict | Evidence | None = None,
    *,
    product: str | None = None,
    accept: Iterable[str] = (),
    api: str | None = None,
    build: int | str | None = None,
    policy: int | str | None = None,
    technology: str | None = None,
) -> Advice:
    """List known vulnerabilities of a platform: which apply, which are fixed and by what, which cannot be decided.

    *thing* is a report, the verdict about one, or the evidence of a SEV or SEV-ES launch. Without it, what is known is
    *api* ("M.N"), *build*, *policy* and *technology* ("sev", "sev-es" or "snp"). *product* ("Naples" to "Turin") helps
    where the thing does not name it. *accept* are keys of :data:`sevlab.data.ADVISORIES` whose risk the owner accepts.

    Raises :class:`~sevlab.errors.InputError` for values that cannot be, TypeError for any other thing.
    """
    if thing is None:
        platform = platform_of_numbers(product, api, build, policy, technology)
    elif any(value is not None for value in (api, build, policy, technology)):
        raise TypeError(f"numbers together with {type(thing).__name__}, which has them")
    elif isinstance(thing, Evidence):
        version = (thing.api_major, thing.api_minor, thing.build_id)
        platform = platform_of_launch(version, thing.policy, product or "")
    elif isinstance(thing, ReportVerdict):
        platform = platform_of_report(thing.report, product or likely_product(thing.report, thing.product))
    elif isinstance(thing, Report):
        platform = platform_of_report(thing, product or "")
    else:
        raise TypeError(f"advise takes a report, a verdict or evidence, not {type(thing).__name__}")
    return judge(platform, accept)


def version_text(version: Sequence[int | None]) -> str:
    """Return API major, API minor and build for people; ``?`` for a build that is not known."""
    return ".".join("?" if part is None else str(part) for part in version)


def platform_of_report(report: Report, product: str = "") -> Platform:
    """Return what a report says. *product* is that of its certificate, or what its reader knows, "" for neither.

    Raises :class:`~sevlab.errors.InputError` for a product that the report contradicts.
    """
    if product:
        _check_product(product, data.SEV_SNP)
        if not likely_product(report, product):
            raise InputError("product", quoted(product), f"{report.product}, as the report says")
        report = parse_report(report.to_bytes(), product)  # the product says which byte of a TCB is which part
    platform = Platform(
        products=tuple((product or report.product).split(" or ")) if product or report.product else data.SNP_PRODUCTS,
        technologies=(data.SEV_SNP,),
        policy=report.policy,
        report_version=report.version,
        told=("What a report says is as good as the firmware that says it; sevlab report verify says who signed it",),
    )
    if report.is_known:
        version, committed = (
            (getattr(report, f"{which}_major"), getattr(report, f"{which}_minor"), getattr(report, f"{which}_build"))
            for which in ("current", "committed")
        )
        platform = replace(platform, version=version, committed=committed, platform_info=report.platform_info)
    if report.TCB is not None:
        platform = replace(platform, tcb=report.reported_tcb)
        if report.launch_tcb.to_bytes() != report.current_tcb.to_bytes():
            note = "LAUNCH_TCB is not CURRENT_TCB: what runs now is judged, not what the guest was launched under"
            platform = replace(platform, told=(*platform.told, note))
    return platform


def likely_product(report: Report, product: str) -> str:
    """Return a product that a report may be from, such as its certificate's; "" where its own bytes contradict."""
    told = report.product
    return product if product in data.SNP_PRODUCTS and (not told or product in told.split(" or ")) else ""


def platform_of_launch(version: Version, policy: Policy, product: str = "") -> Platform:
    """Return what a launch of SEV or SEV-ES shows: version, build and policy, which its measurement covers."""
    technology = data.SEV_ES if policy.es else data.SEV
    if product:
        _check_product(product, technology)
    told = "Version, build and policy are in the measurement, so they are proven where that matches"
    return Platform((product,) if product else data.PRODUCTS, (technology,), version, policy=policy, told=(told,))


def platform_of_numbers(
    product: str | None = None,
    api: str | None = None,
    build: int | str | None = None,
    policy: int | str | None = None,
    technology: str | None = None,
) -> Platform:
    """Return what follows from numbers, any of which may be None.

    Raises :class:`~sevlab.errors.InputError` for one that cannot be, and for those that contradict each other.
    """
    if technology is not None and technology not in NAMES:
        raise InputError("technology", quoted(technology), ", ".join(NAMES))
    told: list[str] = []
    guest: Policy | SnpPolicy | None = None
    technologies: tuple[str, ...] = data.TECHNOLOGIES if technology is None else (NAMES[technology],)
    if policy is not None:
        guest, technologies, words = _policy(policy, technologies)
        told += [words] if technology is None else []
    if product is not None:
        _check_product(product, technologies[0] if len(technologies) == 1 else "")
        if product not in data.SNP_PRODUCTS:
            technologies = tuple(one for one in technologies if one != data.SEV_SNP)
    products = (
        (product,) if product is not None else data.SNP_PRODUCTS if technologies == (data.SEV_SNP,) else data.PRODUCTS
    )
    told.append("These numbers are as good as their source; a measurement or a report proves them")
    return Platform(products, technologies, _api(api, build), policy=guest, told=tuple(told))


def _api(api: str | None, build: int | str | None) -> Version | None:
    if build is not None and api is None:
        raise InputError("build", f"it without {named('api')}", named("api"))
    if api is None:
        return None
    parts = str(api).split(".")
    if len(parts) != 2:
        raise InputError("api", quoted(api), "major and minor version with a dot between them, such as 1.55")
    major, minor = (parse_number(part, "api", 255) for part in parts)
    return major, minor, None if build is None else parse_number(build, "build", 255)


def _policy(value: int | str, technologies: tuple[str, ...]) -> tuple[Policy | SnpPolicy, tuple[str, ...], str]:
    """Return a policy of the right kind, the technologies that are left, and how that was decided."""
    number = parse_number(value, "policy", (1 << 64) - 1)
    snp = SnpPolicy(number)
    if technologies == (data.SEV_SNP,) or (data.SEV_SNP in technologies and snp.must_be_one):
        return snp, (data.SEV_SNP,), "Bit 17 of the policy is set, as SEV-SNP needs it: taken for a policy of SEV-SNP"
    legacy = Policy(parse_number(value, "policy", 0xFFFFFFFF))
    technology = data.SEV_ES if legacy.es else data.SEV
    if technology not in technologies:
        raise InputError("policy", f"0x{number:x}, a policy of {technology}", f"one of {technologies[0]}")
    return legacy, (technology,), f"Taken for a policy of {technology}: bit 17, which SEV-SNP needs, is clear"


def _check_product(product: str, technology: str) -> None:
    known = data.SNP_PRODUCTS if technology == data.SEV_SNP else data.PRODUCTS
    if product not in known:
        received = f"{quoted(product)}, which has no SEV-SNP" if product in data.PRODUCTS else quoted(product)
        raise InputError("product", received, f"one of {', '.join(known)}")


def judge(platform: Platform, accept: Iterable[str] = ()) -> Advice:
    """Judge every advisory for a platform; *accept* are keys of those whose risk the owner accepts."""
    accepted = set(accept)
    if unknown := sorted(accepted - set(data.ADVISORIES)):
        raise InputError("accept", quoted(unknown[0]), f"one of {', '.join(data.ADVISORIES)}")
    return Advice(
        platform, [Finding(one, *_judge(one, platform), one.key in accepted) for one in data.ADVISORIES.values()]
    )


def _judge(advisory: Advisory, platform: Platform) -> tuple[str, str]:
    """Return state and words of an advisory: those of every product and technology that it may be, if all agree."""
    pairs = [
        (product, technology)
        for product in platform.products
        for technology in platform.technologies
        if technology != data.SEV_SNP or product in data.SNP_PRODUCTS
    ]
    found = [_judge_one(advisory, product, technology, platform) for product, technology in pairs]
    if not pairs:
        return data.UNKNOWN, f"Nothing is known here of {' or '.join(platform.products)}."
    states = {state for state, _ in found}
    if len(states) == 1:
        return states.pop(), " ".join(dict.fromkeys(words for _, words in found))
    if not states & {APPLIES, data.UNKNOWN}:  # all harmless, each in its own way: the weakest claim counts
        worst = NOT_NAMED if NOT_NAMED in states else FIXED
        return worst, " ".join(dict.fromkeys(words for state, words in found if state != NOT_AFFECTED))
    both = zip(("product", "technology"), zip(*pairs, strict=True), strict=True)
    missing = [name for name, values in both if len(set(values)) > 1]
    open_words = next(words for state, words in found if state in (APPLIES, data.UNKNOWN))
    return data.UNKNOWN, f"It depends on {' and '.join(missing)}, not known here. {open_words}"


def _judge_one(advisory: Advisory, product: str, technology: str, platform: Platform) -> tuple[str, str]:
    if technology not in advisory.technologies:
        return NOT_AFFECTED, f"Only {' and '.join(advisory.technologies)} can be hit."
    if advisory.part != data.PLATFORM:
        return data.UNKNOWN, f"It is in the {advisory.part}, about which nothing is known here."
    if not advisory.products:
        return data.UNKNOWN, "Which products it hits is not in the sources at hand."
    if product not in advisory.products:
        words, is_sure = f"The sources name {', '.join(advisory.products)}", advisory.mark == data.VERIFIED
        return (NOT_NAMED, f"{words}.") if is_sure else (data.UNKNOWN, f"{words}, which is {data.UNVERIFIED}.")
    state, words = _judge_fixes(advisory, product, technology, platform)
    if advisory.mark != data.VERIFIED or advisory.products[product] != data.VERIFIED:
        return data.UNKNOWN, f"That {product} is hit is {data.UNVERIFIED}. {words}"
    return state, words


def _judge_fixes(advisory: Advisory, product: str, technology: str, platform: Platform) -> tuple[str, str]:
    fixes = [fix for fix in advisory.fixes if _concerns(fix, product, technology)]
    held = [(fix, *_holds(fix, platform)) for fix in fixes]
    for fix, holds, words in held:
        if holds and fix.mark == data.VERIFIED:
            return _doubt(advisory, platform, f"Fixed by {fix.words}: {words}.")
    for fix, holds, words in held:
        if holds is None or fix.mark != data.VERIFIED:
            sure = "" if fix.mark == data.VERIFIED else f" ({fix.mark})"
            return data.UNKNOWN, f"It would be fixed by {fix.words}{sure}; {words}."
    if held or advisory.open == data.NO_FIX:
        words = f"It would be fixed by {' or by '.join(fix.words for fix in fixes)}"
        words = words if fixes else "No fix is known"
        return APPLIES, f"{words}{''.join(f'; {why}' for _, _, why in held)}."
    return data.UNKNOWN, "The sources at hand do not say what fixes it."


def _concerns(fix: Fix, product: str, technology: str) -> bool:
    if isinstance(fix, data.Firmware | data.Svn):
        return fix.product == product
    return technology == data.SEV_SNP if isinstance(fix, data.PlatformBit) else technology in fix.technologies


def _doubt(advisory: Advisory, platform: Platform, words: str) -> tuple[str, str]:
    """Return that something is fixed, unless what should be there beside the fix is missing."""
    for one in advisory.doubts:
        holds, why = _holds(one, platform)
        if holds is False:
            return data.UNKNOWN, f"{words} But {why} ({one.mark} as a sign of it)."
    return FIXED, words


def _holds(fix: Fix, platform: Platform) -> tuple[bool | None, str]:
    """Return whether a fix is there (None when what decides is missing or lies between), and why."""
    if isinstance(fix, data.Firmware):
        return _firmware_holds(fix, platform)
    if isinstance(fix, data.Svn):
        if platform.tcb is None or fix.part not in platform.tcb.parts:
            return None, "a report's REPORTED_TCB would decide"
        has = platform.tcb.parts[fix.part]
        return has >= fix.least, f"REPORTED_TCB has {fix.part} {has}"
    if isinstance(fix, data.PolicyBit):
        if platform.policy is None:
            return None, "the policy would decide"
        has = getattr(platform.policy, fix.name)
        return has == fix.value, f"the policy has {fix.name.upper()} = {has}"
    if platform.platform_info is None or platform.report_version < fix.since:
        return None, f"a report of version {fix.since} or newer would decide"
    has = getattr(platform.platform_info, fix.name)
    return bool(has), f"PLATFORM_INFO has {fix.name.upper()} = {has}"


def _firmware_holds(fix: data.Firmware, platform: Platform) -> tuple[bool | None, str]:
    version = platform.version
    if version is None:
        return None, "the firmware's version would decide"
    major, minor, build = version
    if build is None and (major, minor) == fix.fixed[:2]:
        return None, f"the build of firmware {version_text(version)} would decide"
    has = (major, minor, build or 0)
    if has >= fix.fixed:
        low = ""
        if platform.committed is not None and platform.committed < fix.fixed:
            low = f", but the host can go back to {version_text(platform.committed)}"
        return True, f"it runs {version_text(version)}{low}"
    if fix.broken is not None and has > fix.broken:
        return None, f"nothing is known of {version_text(version)}, between the last bad one and the first good one"
    return False, f"it runs {version_text(version)}"
