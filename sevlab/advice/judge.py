"""Judging advisories for every product and technology that a platform may be.

What decides is what was given alone: without the datum that a cure needs, the state is "unknown", and the words say
what would tell.
"""

from __future__ import annotations

from ..data import (
    ADVISORIES,
    NO_FIX,
    PLATFORM,
    SEV_SNP,
    SNP_PRODUCTS,
    UNKNOWN,
    UNVERIFIED,
    VERIFIED,
    Firmware,
    PlatformBit,
    PolicyBit,
    Svn,
)
from .findings import APPLIES, CURED, NOT_AFFECTED, NOT_NAMED, Advice, Finding
from .platform import version_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..data import Advisory
    from .platform import Platform


def judge(platform: Platform, accept: Iterable[str] = ()) -> Advice:
    """Judge every advisory for a platform; *accept* are keys of those that the owner knows and bears."""
    accepted = set(accept)
    findings = [Finding(one, *_judge(one, platform), accepted=one.key in accepted) for one in ADVISORIES.values()]
    return Advice(platform, findings)


def _judge(advisory: Advisory, platform: Platform) -> tuple[str, str]:
    """Return state and words of an advisory: those of every product and technology that it may be, if all agree."""
    pairs = [
        (product, technology)
        for product in platform.products
        for technology in platform.technologies
        if technology != SEV_SNP or product in SNP_PRODUCTS
    ]
    found = {pair: _judge_one(advisory, *pair, platform) for pair in pairs}
    states = {state for state, _ in found.values()}
    if len(states) == 1:
        words = dict.fromkeys(words for _, words in found.values())
        return states.pop(), " ".join(words)
    if not states & {APPLIES, UNKNOWN}:  # all harmless, each in its own way: the weakest claim stands
        worst = NOT_NAMED if NOT_NAMED in states else CURED
        words = dict.fromkeys(words for state, words in found.values() if state != NOT_AFFECTED)
        return worst, " ".join(words)
    products = {product for product, _ in pairs}
    missing = ["product"] if len(products) > 1 else []
    missing += ["technology"] if len({technology for _, technology in pairs}) > 1 else []
    open_words = [words for state, words in found.values() if state in (APPLIES, UNKNOWN)]
    return UNKNOWN, f"It depends on {' and '.join(missing)}, not known here. {open_words[0]}"


def _judge_one(advisory: Advisory, product: str, technology: str, platform: Platform) -> tuple[str, str]:
    if technology not in advisory.technologies:
        return NOT_AFFECTED, f"Only {' and '.join(advisory.technologies)} can be hit."
    if advisory.part != PLATFORM:
        return UNKNOWN, f"It is in the {advisory.part}, of which nothing here tells."
    if not advisory.products:
        return UNKNOWN, "Which products it hits is not in the sources at hand."
    if product not in advisory.products:
        return NOT_NAMED, f"The sources name {', '.join(advisory.products)}."
    state, words = _judge_cures(advisory, product, technology, platform)
    if advisory.mark != VERIFIED or advisory.products[product] != VERIFIED:
        return UNKNOWN, f"That {product} is hit is {UNVERIFIED}. {words}"
    return state, words


def _judge_cures(advisory: Advisory, product: str, technology: str, platform: Platform) -> tuple[str, str]:
    cures = [cure for cure in advisory.fixes if _concerns(cure, product, technology)]
    held = [(cure, *_holds(cure, platform)) for cure in cures]
    for cure, holds, words in held:
        if holds and cure.mark == VERIFIED:
            return _doubt(advisory, platform, f"Cured by {cure.words}: {words}.")
    for cure, holds, words in held:
        if holds is None or cure.mark != VERIFIED:
            sure = "" if cure.mark == VERIFIED else f" ({cure.mark})"
            return UNKNOWN, f"It would be cured by {cure.words}{sure}; {words}."
    if held or advisory.open == NO_FIX:
        words = f"It would be cured by {' or by '.join(cure.words for cure in cures)}"
        words = words if cures else "Nothing is known to cure it"
        reason = "".join(f"; {words}" for _, _, words in held)
        return APPLIES, f"{words}{reason}."
    return UNKNOWN, "What cures it is not in the sources at hand."


def _concerns(cure: Any, product: str, technology: str) -> bool:
    if isinstance(cure, Firmware | Svn):
        return bool(cure.product == product)
    return technology == SEV_SNP if isinstance(cure, PlatformBit) else technology in cure.technologies


def _doubt(advisory: Advisory, platform: Platform, words: str) -> tuple[str, str]:
    """Return that something is cured, unless what should be there beside the cure is missing."""
    for one in advisory.doubts:
        holds, why = _holds(one, platform)
        if holds is False:
            return UNKNOWN, f"{words} But {why} ({one.mark} as a sign of it)."
    return CURED, words


def _holds(cure: Any, platform: Platform) -> tuple[bool | None, str]:
    """Say whether a cure is there, None where the datum that decides is missing or stands between; and in words."""
    if isinstance(cure, Firmware):
        return _firmware_holds(cure, platform)
    if isinstance(cure, Svn):
        if platform.tcb is None or cure.part not in platform.tcb.parts:
            return None, "a report's REPORTED_TCB would tell"
        has = platform.tcb.parts[cure.part]
        return has >= cure.least, f"REPORTED_TCB has {cure.part} {has}"
    if isinstance(cure, PolicyBit):
        if platform.policy is None:
            return None, "the policy would tell"
        has = getattr(platform.policy, cure.name)
        return has == cure.value, f"the policy has {cure.name.upper()} = {has}"
    assert isinstance(cure, PlatformBit)
    if platform.platform_info is None or platform.report_version < cure.since:
        return None, f"a report of version {cure.since} or newer would tell"
    has = getattr(platform.platform_info, cure.name)
    return bool(has), f"PLATFORM_INFO has {cure.name.upper()} = {has}"


def _firmware_holds(cure: Firmware, platform: Platform) -> tuple[bool | None, str]:
    version = platform.version
    if version is None:
        return None, "the firmware's version would tell"
    api, build = version[:2], version[2]
    if build is None and api == cure.fixed[:2]:
        return None, f"the build of firmware {version_text(version)} would tell"
    has = (*api, build or 0)
    if has >= cure.fixed:
        low = ""
        if platform.committed is not None and platform.committed < cure.fixed:
            low = f", but the host can go back to {version_text(platform.committed)}"
        return True, f"it runs {version_text(version)}{low}"
    if cure.broken is not None and has > cure.broken:
        return None, f"nothing is told of {version_text(version)}, between the last bad one and the first good one"
    return False, f"it runs {version_text(version)}"
