"""What the owner wanted of a guest, and whether the report says so.

A right signature says who speaks, not what was started: with another measurement a genuine report of a genuine chip
vouches for somebody else's guest (F47).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping

from ..errors import InputError, quoted
from ..formats.policy import SnpPolicy
from ..formats.report import PARTS, Report, ReportV2, Tcb
from ..inputs import parse_bytes, parse_number
from .check import Check, failed, not_done, passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Fields that are compared byte for byte.
BYTES = ("measurement", "host_data", "report_data", "family_id", "image_id", "id_key_digest", "author_key_digest")
#: Their sizes in bytes, as the report declares them.
SIZES = {row.name: row.size for row in ReportV2.rows if row.name in BYTES}
#: What can be forbidden: the bit of the policy, and what it allows.
FORBIDDEN = {
    "forbid_debug": ("debug", "debugging, by which the host reads the guest's memory"),
    "forbid_smt": ("smt", "SMT, two threads to a core"),
    "forbid_migration": ("migrate_ma", "migration to other platforms by an agent"),
}
_HIGHEST_VMPL = 3


class Wanted(
    namedtuple(
        "Wanted",
        "measurement policy host_data report_data family_id image_id id_key_digest author_key_digest min_tcb vmpl "
        "forbid_debug forbid_smt forbid_migration",
        defaults=[*[None] * 10, *[False] * 3],
    )
):
    """What is wanted; None (or False) for what nobody asked for.

    Bytes as in the report; ``policy`` an :class:`~sevlab.formats.policy.SnpPolicy`; ``min_tcb`` the least SVN by
    part; ``vmpl`` 0 to 3.
    """

    __slots__ = ()


def parse_wanted(names: Callable[[str], str] = str, **values: Any) -> Wanted:
    """Check what is wanted. Bytes may come as bytes, or as hex or base64 text; numbers as int, or decimal or 0x text.

    *min_tcb* is a mapping of parts to least numbers, or text such as ``bl=4,tee=0,snp=24,ucode=219``; parts that are
    not named may be anything, but at least one must be named, and none twice. None counts as not wanted. Raises
    :class:`~sevlab.errors.InputError` for a value that cannot be, TypeError for an unknown name.
    """
    if unknown := sorted(set(values) - set(Wanted._fields)):
        raise TypeError(f"nothing named {unknown[0]!r} can be wanted")
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        called = names(name)
        if name in BYTES:
            found[name] = _bytes(value, called, SIZES[name])
        elif name == "policy":
            found[name] = SnpPolicy(parse_number(value, called, (1 << 64) - 1))
        elif name == "vmpl":
            found[name] = parse_number(value, called, _HIGHEST_VMPL)
        elif name == "min_tcb":
            found[name] = _least(value, called)
        elif isinstance(value, bool):
            found[name] = value
        else:
            raise InputError(called, quoted(value), "True or False")
    return Wanted(**found)


def wanted_text(name: str, value: Any) -> str:
    """Return a value of :class:`Wanted` as text from which :func:`parse_wanted` reads the same value."""
    if name == "min_tcb":
        return ",".join(f"{part}={number}" for part, number in value.items())
    return str(value.hex())


def check_wanted(report: Report, wanted: Wanted) -> list[Check]:
    """Check everything that can be wanted, in the order of :class:`Wanted`."""
    checks = []
    for name in Wanted._fields:
        if name in BYTES:
            checks.append(_check_bytes(name, getattr(report, name), getattr(wanted, name)))
        elif name in FORBIDDEN:
            checks.append(_check_forbidden(name, report, getattr(wanted, name)))
        else:
            checks.append({"policy": _check_policy, "min_tcb": _check_tcb, "vmpl": _check_vmpl}[name](report, wanted))
    return checks


def _check_bytes(name: str, reported: bytes, wanted: bytes | None) -> Check:
    shown = reported.hex() if any(reported) else f"{len(reported)} zero bytes"
    if wanted is None:
        if name == "measurement":
            return not_done(name, f"not compared: none was given; reported is {shown}", "F47")
        return not_done(name, f"not asked for; reported is {shown}")
    if reported == wanted:
        return passed(name, f"as wanted: {shown}")
    return failed(name, f"reported is {shown}, wanted was {wanted.hex()}")


def _check_policy(report: Report, wanted: Wanted) -> Check:
    name, reported = "policy", report.policy
    if wanted.policy is None:
        return not_done(name, f"not asked for; reported is {reported.text}")
    if reported == wanted.policy:
        return passed(name, f"as wanted: {reported.text}")
    differ = [
        f"{row.name.upper()} is {value}, wanted {other}"
        for (row, value), (_, other) in zip(reported.items(), wanted.policy.items(), strict=True)
        if value != other
    ]
    return failed(name, f"reported is 0x{reported:x}, wanted was 0x{wanted.policy:x}: {', '.join(differ)}")


def _check_tcb(report: Report, wanted: Wanted) -> Check:
    name, least = "min_tcb", wanted.min_tcb
    reported: Any = report.reported_tcb
    if not isinstance(reported, Tcb):
        state = not_done if least is None else failed
        return state(name, "which part of REPORTED_TCB is which is not known without a certificate")
    if least is None:
        return not_done(name, f"not asked for; REPORTED_TCB is {reported.text}")
    asked = ", ".join(f"{part} {value}" for part, value in least.items())
    foreign = [part for part in least if part not in reported.parts]
    if foreign:
        return failed(name, f"this product has no {' and no '.join(foreign)}: REPORTED_TCB is {reported.text}")
    if older := reported.below(least):
        differ = ", ".join(f"{part} is {reported.parts[part]}, wanted {least[part]} or more" for part in older)
        return failed(name, f"REPORTED_TCB is too old: {differ}")
    return passed(name, f"REPORTED_TCB ({reported.text}) is at least {asked}, part by part")


def _check_vmpl(report: Report, wanted: Wanted) -> Check:
    name, reported = "vmpl", report.vmpl
    if wanted.vmpl is None:
        return not_done(name, f"not asked for; reported is {reported}")
    if reported == wanted.vmpl:
        return passed(name, f"as wanted: {reported}")
    return failed(name, f"reported is {reported}, wanted was {wanted.vmpl}")


def _check_forbidden(name: str, report: Report, asked: bool) -> Check:
    bit, what = FORBIDDEN[name]
    allowed = bool(getattr(report.policy, bit))
    words = f"the policy {'allows' if allowed else 'refuses'} {what}"
    if name == "forbid_smt":
        words += f"; on the platform it is {'on' if report.platform_info.smt_en else 'off'} now"
    incident = "A07" if name == "forbid_debug" and allowed else ""
    if not asked:
        return not_done(name, f"not asked for; {words}", incident)
    if allowed:
        return failed(name, words, incident)
    return passed(name, words)


def _bytes(value: Any, name: str, size: int) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        if len(raw) != size:
            raise InputError(name, f"{len(raw)} bytes", f"{size} bytes")
        return raw
    return parse_bytes(value, name, size)


def _least(value: Any, name: str) -> dict[str, int]:
    """Read the least numbers of a TCB by part: each part once, at least one of them, in the order of PARTS."""
    needed = f"parts and numbers, each part once, such as bl=4,tee=0,snp=24,ucode=219 (parts: {', '.join(PARTS)})"
    if isinstance(value, str):
        pairs: list[tuple[Any, Any]] = []
        for text in value.split(","):
            part, equals, number = text.partition("=")
            if not equals:
                raise InputError(name, quoted(value) if value.strip() else "nothing", needed)
            pairs.append((part.strip(), number.strip()))
    elif isinstance(value, Tcb):
        pairs = list(value.parts.items())
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        raise InputError(name, type(value).__name__, needed)
    least: dict[str, int] = {}
    for part, number in pairs:
        if part not in PARTS:
            raise InputError(name, f"the part {quoted(part)}", needed)
        if part in least:
            raise InputError(name, f"the part {part} twice", needed)
        least[part] = parse_number(number, f"{name} {part}", 255)
    if not least:
        raise InputError(name, "no part", needed)
    return {part: least[part] for part in PARTS if part in least}
