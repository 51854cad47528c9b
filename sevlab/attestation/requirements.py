"""What the owner requires of a guest, and whether the report says so.

A valid signature says who speaks, not what was started: with another measurement, a genuine report of a genuine chip
is about somebody else's guest (F47).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import InputError, named, quoted
from ..formats.policy import SnpPolicy
from ..formats.report import PARTS, Report, ReportV2, Tcb
from ..launch.reading import CHUNK, open_input
from ..launch.values import parse_bytes, parse_number
from ..launch.verify import MATCH, MISMATCH, NOT_CHECKED, Check
from .verdict import judged

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
#: What may be bound to other data: a hash, or a value that is shorter than the field.
BOUND = ("report_data", "host_data")
_HASHES, ZEROS = ("sha256", "sha384", "sha512"), "zeros"
_PADDED = "zeros:HEX for a shorter value, or sha256:FILE for the hash of a file: both are followed by zero bytes"
#: Most bytes of a file whose hash is bound.
BOUND_LIMIT = 64 << 20


def _value(help: str, metavar: str = "VALUE") -> Any:
    return field(default=None, metadata={"help": help, "metavar": metavar})


def _rule(help: str) -> Any:
    return field(default=False, metadata={"help": help, "metavar": ""})


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an owner requires of a report. A field that is None (or False) is not checked.

    :func:`parse_requirements` reads them from text. Without a measurement no verdict is a match.
    """

    measurement: bytes | None = _value("the launch digest, 48 bytes")
    policy: SnpPolicy | None = _value("the guest policy, 64 bits", "N")  # noqa: RUF009 (it is a field)
    host_data: bytes | None = _value("HOST_DATA, 32 bytes that the host gave at launch; also sha256:FILE, zeros:HEX")
    report_data: bytes | None = _value("REPORT_DATA, 64 bytes: your nonce, or sha256:FILE, sha512:FILE, zeros:HEX")
    family_id: bytes | None = _value("FAMILY_ID, 16 bytes from the ID block")
    image_id: bytes | None = _value("IMAGE_ID, 16 bytes from the ID block")
    id_key_digest: bytes | None = _value("digest of the key that signed the ID block, 48 bytes")
    author_key_digest: bytes | None = _value("digest of the key that signed the ID key, 48 bytes")
    min_tcb: Mapping[str, int] | None = _value(
        "least REPORTED_TCB: bl=N,tee=N,snp=N,ucode=N, on Turin also fmc=N", "PARTS"
    )
    vmpl: int | None = _value("the VMPL that the report must speak for, 0 to 3", "N")
    forbid_debug: bool = _rule("a policy that allows debugging fails")
    forbid_smt: bool = _rule("a policy that allows SMT fails")
    forbid_migration: bool = _rule("a policy that allows migration fails")


#: The names of all requirements, in the order of their checks.
REQUIREMENTS = tuple(one.name for one in fields(Requirements))


def parse_requirements(**values: Any) -> Requirements:
    """Read requirements. Bytes may come as bytes, or as hex or base64 text; numbers as int, or decimal or 0x text.

    *min_tcb* is a mapping of parts to least numbers, or text such as ``bl=4,tee=0,snp=24,ucode=219``: at least one
    part, and none twice. None is no requirement. Raises :class:`~sevlab.errors.InputError` for a value that cannot be.
    """
    return Requirements(**{name: _parsed(name, value) for name, value in values.items() if value is not None})


def _parsed(name: str, value: Any) -> Any:
    if name in BYTES:
        return _bytes(value, name, SIZES[name])
    if name == "policy":
        return SnpPolicy(parse_number(value, name, (1 << 64) - 1))
    if name == "vmpl":
        return parse_number(value, name, _HIGHEST_VMPL)
    if name == "min_tcb":
        return _least(value, name)
    if name in FORBIDDEN and not isinstance(value, bool):
        raise InputError(name, quoted(value), "True or False")
    return value


def parse_binding(text: str, name: str) -> bytes | str:
    """Return what REPORT_DATA (64 bytes) or HOST_DATA (32 bytes) is bound to, as a command line gives it.

    ``sha256:FILE``, ``sha384:FILE`` and ``sha512:FILE`` are the hash of a file (``-`` is standard input), ``zeros:HEX``
    is a value; either is followed by zero bytes up to the field's size. A hash that is longer than HOST_DATA is cut, as
    Kata cuts that of its initdata. Other text comes back as it is. Raises :class:`~sevlab.errors.InputError`.
    """
    form, colon, rest = text.partition(":")
    size = SIZES[name]
    if not colon or form not in (*_HASHES, ZEROS):
        return text
    if form == ZEROS:
        bare = rest.strip().lower().removeprefix("0x")
        if not re.fullmatch("(?:[0-9a-f]{2})+", bare) or len(bare) > 2 * size:
            raise InputError(name, quoted(text), f"zeros: and 1 to {size} bytes in hex")
        return bytes.fromhex(bare).ljust(size, b"\0")
    with open_input(rest, name) as stream:
        made, total = hashlib.new(form), 0
        while chunk := stream.read(CHUNK):
            made.update(chunk)
            if (total := total + len(chunk)) > BOUND_LIMIT:
                raise InputError(name, f"{quoted(rest)}, more than {BOUND_LIMIT >> 20} MiB", "a smaller file")
    return made.digest()[:size].ljust(size, b"\0")


def requirement_text(name: str, value: Any) -> str:
    """Return a field of :class:`Requirements` as text from which :func:`parse_requirements` reads the same value."""
    if name == "min_tcb":
        return ",".join(f"{part}={number}" for part, number in value.items())
    return str(value.hex())


def check_requirements(report: Report, required: Requirements) -> list[Check]:
    """Check everything that can be required, in the order of :data:`REQUIREMENTS`."""
    checks: dict[str, Callable[[str, Report, Any], Check]] = {
        **dict.fromkeys(BYTES, _check_bytes),
        **dict.fromkeys(FORBIDDEN, _check_forbidden),
        "policy": _check_policy,
        "min_tcb": _check_tcb,
        "vmpl": _check_vmpl,
    }
    return [checks[name](name, report, getattr(required, name)) for name in REQUIREMENTS]


def _check_bytes(name: str, report: Report, required: bytes | None) -> Check:
    reported = getattr(report, name)
    shown = reported.hex() if any(reported) else f"{len(reported)} zero bytes"
    if required is None and name == "measurement":
        return Check(name, NOT_CHECKED, f"not compared: none was given; reported is {shown}", incident="F47")
    return _compared(name, reported == required, None if required is None else required.hex(), shown)


def _check_vmpl(name: str, report: Report, required: int | None) -> Check:
    return _compared(name, report.vmpl == required, None if required is None else str(required), str(report.vmpl))


def _compared(name: str, same: bool, required: str | None, reported: str) -> Check:
    if required is None:
        return Check(name, NOT_CHECKED, f"not asked for; reported is {reported}")
    return judged(name, "" if same else f"reported is {reported}, required is {required}", f"as required: {reported}")


def _check_policy(name: str, report: Report, required: SnpPolicy | None) -> Check:
    reported = report.policy
    if required is None or reported == required:
        return _compared(name, True, None if required is None else required.text, reported.text)
    differ = [
        f"{row.name.upper()} is {value}, required {other}"
        for (row, value), (_, other) in zip(reported.items(), required.items(), strict=True)
        if value != other
    ]
    return Check(name, MISMATCH, f"reported is 0x{reported:x}, required is 0x{required:x}: {', '.join(differ)}")


def _check_tcb(name: str, report: Report, least: Mapping[str, int] | None) -> Check:
    if report.TCB is None:
        state = NOT_CHECKED if least is None else MISMATCH
        return Check(name, state, "which part of REPORTED_TCB is which is not known without a certificate")
    reported = report.reported_tcb
    if least is None:
        return Check(name, NOT_CHECKED, f"not asked for; REPORTED_TCB is {reported.text}")
    if foreign := [part for part in least if part not in reported.parts]:
        return Check(name, MISMATCH, f"this product has no {' and no '.join(foreign)}: REPORTED_TCB is {reported.text}")
    if older := reported.below(least):
        differ = ", ".join(f"{part} is {reported.parts[part]}, required {least[part]} or more" for part in older)
        return Check(name, MISMATCH, f"REPORTED_TCB is too old: {differ}")
    asked = ", ".join(f"{part} {value}" for part, value in least.items())
    return Check(name, MATCH, f"REPORTED_TCB ({reported.text}) is at least {asked}, part by part")


def _check_forbidden(name: str, report: Report, is_required: bool) -> Check:
    bit, what = FORBIDDEN[name]
    allowed = bool(getattr(report.policy, bit))
    words = f"the policy {'allows' if allowed else 'refuses'} {what}"
    if name == "forbid_smt":
        words += f"; the platform has it {'on' if report.platform_info.smt_en else 'off'} now"
    incident = "A07" if name == "forbid_debug" and allowed else ""
    if not is_required:
        return Check(name, NOT_CHECKED, f"not asked for; {words}", incident=incident)
    return Check(name, MISMATCH if allowed else MATCH, words, incident=incident)


def _bytes(value: Any, name: str, size: int) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        try:
            return parse_bytes(value, name, size)
        except InputError as error:
            if name not in BOUND or error.advice:
                raise
            raise InputError(name, error.received, error.needed, _PADDED) from None
    if len(raw := bytes(value)) != size:
        raise InputError(name, f"{len(raw)} bytes", f"{size} bytes")
    return raw


def _least(value: Any, name: str) -> dict[str, int]:
    """Read the least numbers of a TCB by part: each part once, at least one of them, in the order of PARTS."""
    needed = f"parts and numbers, each part once, such as bl=4,tee=0,snp=24,ucode=219 (parts: {', '.join(PARTS)})"
    if isinstance(value, str):
        texts = [text.partition("=") for text in value.split(",")]
        if not all(equals for _, equals, _ in texts):
            raise InputError(name, quoted(value) if value.strip() else "nothing", needed)
        pairs: list[tuple[Any, Any]] = [(part.strip(), number.strip()) for part, _, number in texts]
    elif isinstance(value, Tcb | Mapping):
        pairs = list((value.parts if isinstance(value, Tcb) else value).items())
    else:
        raise InputError(name, type(value).__name__, needed)
    least: dict[str, int] = {}
    for part, number in pairs:
        if part not in PARTS or part in least:
            raise InputError(name, f"the part {part} twice" if part in least else f"the part {quoted(part)}", needed)
        least[part] = parse_number(number, f"{named(name)} {part}", 255)
    if not least:
        raise InputError(name, "no part", needed)
    return {part: least[part] for part in PARTS if part in least}
