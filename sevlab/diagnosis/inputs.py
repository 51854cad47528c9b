"""The inputs of a search, with every reading of those that may be in the wrong form.

``validate`` refuses a measurement or a key file that is not in its form. Here that is often the very mistake, so every
form in which they can be read is a candidate. All other inputs are read as strictly as everywhere.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from ..errors import InputError, named, quoted
from ..formats.launch_measure import Measurement
from ..formats.page_info import DIGEST
from ..formats.policy import Policy
from ..formats.report import SIZE, Report
from ..launch import values
from ..launch.evidence import Evidence, hide_keys
from ..launch.inputs import FILES, KEYS, REPORTED, SKU, LaunchInputs, load_launch, parse_count
from ..launch.keys import NoKey, SecretBytes, refuse_keys
from ..launch.reading import CasePath, check_standard_input, load_hidden, load_size
from ..launch.snp import DEFAULT_PROFILE, SVSM_PROFILE, has_hashes, load_image, load_snp_launch
from ..launch.values import KEY_SIZE, TEXT_LIMIT, decode_base64, parse_bytes, parse_measurement

_ZERO = bytes(KEY_SIZE)
#: Inputs that are numbers, as text or not.
_NUMBERS = {*SKU, "cpu_signature", "num_cpus", "guest_features", "vars_size"}
#: How a TEK that was given instead of the TIK is shown, and its form.
_SWAPPED = "halves swapped", "the TEK instead of the TIK"
#: Where the bytes of a digest may be reversed: as one number, and in words, as some dumps show it.
_WORDS = ((DIGEST, "its bytes reversed"), (8, "words of 8 bytes reversed"), (4, "words of 4 bytes reversed"))
#: What bytes of another length are.
_OTHERS = {
    32: "the MEASUREMENT of the report: 32 bytes are a digest of SEV or SEV-ES, or another field of the report",
    64: "the MEASUREMENT of the report: 64 bytes may be its REPORT_DATA or CHIP_ID",
    SIZE: "the MEASUREMENT alone, or the report's file instead: these bytes are a whole report",
}


@dataclass(frozen=True)
class Reading:
    """One way to read an input: the value, how it is shown, and the form it was read in ("" if plain)."""

    value: bytes = field(repr=False)  # may be a key
    found: str
    form: str


#: Every way to read an input; the first is the plain one, None if that fails.
Readings = list[Reading | None]


@dataclass(frozen=True, kw_only=True)
class SearchInputs:
    """Everything given, read as far as possible.

    ``measurements`` are the readings of what was reported, ``launch`` the inputs of the launch, ``shown`` what was
    given, by input, for showing (a key is a word).
    """

    measurements: Readings
    launch: LaunchInputs
    shown: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class SevInputs(SearchInputs):
    """The inputs of SEV and SEV-ES.

    ``keys`` are the readings of the TIK, and ``key_input`` is the input that held it. ``numbers`` are API major, minor
    and build. ``digest`` replaces the launch if only its digest is known.
    """

    keys: Readings
    key_input: str
    numbers: tuple[int, int, int]
    policy: Policy
    digest: bytes = b""


@dataclass(frozen=True, kw_only=True)
class SnpInputs(SearchInputs):
    """The inputs of SEV-SNP. ``report`` is the whole report, if one was given; ``remarks`` are about the inputs."""

    report: Report | None
    remarks: tuple[str, ...]


def read_sev_inputs(inputs: Mapping[str, Any]) -> SevInputs:
    """Read the inputs of :func:`sevlab.load_evidence`. Raises InputError for one that cannot be used in any reading."""
    inputs = hide_keys(dict(inputs))
    given = {name: value for name, value in inputs.items() if value is not None}
    for name in (*REPORTED, "firmware"):
        if name not in given and not (name == "firmware" and "digest" in given):
            raise InputError(name, "nothing", "a value")
    check_standard_input((name, given[name]) for name in (*FILES, *KEYS) if isinstance(given.get(name), str))
    policy = values.parse_policy(given["policy"], "policy")
    major, minor, build = (values.parse_number(given[name], name, 255) for name in REPORTED[1:4])
    key_input, keys = _keys(**{name: given.get(name) for name in KEYS})
    launch = LaunchInputs(**{name: value for name, value in given.items() if name not in (*REPORTED, *KEYS, "digest")})
    if "digest" not in given:
        load_launch(policy.replace(es=0), **launch.given)  # reads all that is given, and refuses what is wrong
    measurements = _measurements(given["measurement"])
    for blob, key in product(filter(None, measurements), filter(None, keys)):
        refuse_keys(blob.value, "measurement", SecretBytes(key.value))
    shown = {name: _shown(name, value) for name, value in given.items()}
    shown |= {"api_major": major, "api_minor": minor, "build_id": build, "policy": int(policy)}
    return SevInputs(
        measurements=measurements,
        launch=launch,
        shown=shown,
        digest=given.get("digest", b""),
        keys=keys,
        numbers=(major, minor, build),
        policy=policy,
        key_input=key_input,
    )


def inputs_of(evidence: Evidence) -> SevInputs:
    """Return what *evidence* was made of."""
    text = _base64(evidence.measurement.to_bytes())
    launch = evidence.inputs or LaunchInputs()
    numbers = evidence.api_major, evidence.api_minor, evidence.build_id
    key_input = "tk" if "tk" in evidence.files else "tik"
    keys: Readings = [Reading(evidence.tik.reveal(), "as given", "")]
    if evidence.tek is not None:
        keys.append(Reading(evidence.tek.reveal(), *_SWAPPED))
    shown = {
        **{name: _shown(name, value) for name, value in launch.given.items()},
        **dict(zip(REPORTED, (text, *numbers, int(evidence.policy)), strict=True)),
        key_input: "as given",
    }
    return SevInputs(
        measurements=_measurements(text),
        launch=launch,
        shown=shown,
        digest=evidence.digest if evidence.inputs is None else b"",
        keys=_with_zero(keys),
        numbers=numbers,
        policy=evidence.policy,
        key_input=key_input,
    )


def _shown(name: str, value: Any) -> object:
    """Return what is shown of an input: numbers as numbers, bytes as hex, nothing of a key."""
    if name in KEYS:
        return "as given"
    if name in _NUMBERS:
        return values.parse_number(value, name, (1 << 64) - 1)
    if isinstance(value, Measurement):
        return _base64(value.to_bytes())
    return value.hex() if type(value) is bytes else str(value)


def _measurements(value: Any) -> Readings:
    """Return the readings of a measurement: plainly, as hex, encoded twice, and with its two parts exchanged."""
    if isinstance(value, Measurement):
        value = _base64(value.to_bytes())
    if isinstance(value, str) and values.is_hex_of_other_size("".join(value.split())):
        parse_measurement(value, allow_hex=True)  # raises for what has another size
    try:
        whole = [(parse_measurement(value).to_bytes(), "")]
    except InputError:
        text = "".join(value.split())[: 2 * TEXT_LIMIT] if isinstance(value, str) else ""
        whole = [(raw, form) for form, raw in decoded(text) if len(raw) == Measurement.size]
        if not whole:
            raise
    words = "nonce first, then measure"
    swapped = [(raw[16:] + raw[:16], f"{words}, {form}" if form else words) for raw, form in whole]
    readings: Readings = [Reading(raw, _base64(raw), form) for raw, form in [*whole, *swapped]]
    return [None, *readings] if whole[0][1] else readings


def decoded(text: str) -> list[tuple[str, bytes]]:
    """Return what *text* may mean: hex, URL-safe or padded base64, and these encoded twice."""
    found = []
    digits = (text[2:] if text[:2] in ("0x", "0X") else text).replace(":", "")
    if len(digits) % 2 == 0 and re.fullmatch("[0-9a-fA-F]+", digits):
        found.append(("hex digits", bytes.fromhex(digits)))
    safe = text.replace("-", "+").replace("_", "/").rstrip("=")
    if (raw := decode_base64(safe + "=" * (-len(safe) % 4))) is not None:
        if safe != text.rstrip("="):
            found.append(("URL-safe base64", raw))
        elif text != safe:
            found.append(("base64 with = at its end", raw))
        inner = raw.decode("ascii").strip() if raw.isascii() else ""
        if inner and len(inner) < len(text):
            found += [(f"{form}, inside base64", value) for form, value in decoded(inner)]
            if (plain := decode_base64(inner)) is not None:
                found.append(("base64 encoded twice", plain))
    return found


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _keys(*, tk: object, tik: object, tek: object) -> tuple[str, Readings]:
    if tk is not None and (tik is not None or tek is not None):
        raise InputError("tk", f"together with {named('tik')} or {named('tek')}", "one of the two forms")
    if tk is None and tik is None:
        needed = f"{named('tk')}, or {named('tik')} and {named('tek')}"
        raise InputError("tk" if tek is None else "tik", "nothing", needed)
    if tk is not None:
        return "tk", _with_zero(_read_key(tk, "tk", 2 * KEY_SIZE))
    teks = [] if tek is None else _read_key(tek, "tek", KEY_SIZE)
    swapped = (Reading(one.value, *_SWAPPED) for one in teks if one)
    return "tik", _with_zero([*_read_key(tik, "tik", KEY_SIZE), *swapped])


def _read_key(value: object, name: str, size: int) -> Readings:
    if isinstance(value, NoKey) or (isinstance(value, CasePath) and value.is_outside):
        # Raises, and says what it looks like; or a stranger named it: not a guess at what it holds.
        value = values.load_key(value, name, size)
    secret = value if isinstance(value, SecretBytes) else load_hidden(str(value), name, TEXT_LIMIT)
    return _key_readings(secret.reveal(), size)


def _key_readings(raw: bytes, size: int) -> Readings:
    """Return the readings of a file that should have *size* bytes: TEK and TIK, or the TIK alone."""
    is_plain, both = len(raw) == size, size == 2 * KEY_SIZE
    words = ("", _SWAPPED[0]) if both else [f"{half} half of a file with both keys" for half in ("second", "first")]
    readings: Readings = []
    for form, value in [("", raw), *([] if is_plain else _key_forms(raw))]:
        if len(value) == 2 * KEY_SIZE:
            for half, word in zip((value[KEY_SIZE:], value[:KEY_SIZE]), words, strict=True):
                joined = ", ".join(part for part in (form, word) if part)
                readings.append(Reading(half, joined or "as given", joined))
        elif len(value) == KEY_SIZE:
            shown, how = ("a single key", "a file with one key, the TIK") if both else ("as given", "")
            readings.append(Reading(value, form or shown, form or how))
    return readings if is_plain else [None, *readings]


def _key_forms(raw: bytes) -> list[tuple[str, bytes]]:
    found = []
    for ending in (b"\r\n", b"\n"):
        if raw.endswith(ending):
            found.append(("a line break at its end", raw.removesuffix(ending)))
    if raw.isascii():
        text = "".join(raw.decode("ascii").split())
        if (plain := decode_base64(text)) is not None:
            found.append(("base64 text", plain))
        found += [(form.replace("digits", "text"), value) for form, value in decoded(text) if value != plain]
    return [(form, value) for form, value in found if len(value) in (KEY_SIZE, 2 * KEY_SIZE)]


def _with_zero(readings: Readings) -> Readings:
    if any(reading is not None and reading.value == _ZERO for reading in readings[:1]):
        return readings
    return [*readings, Reading(_ZERO, "all zero", "all zero")]


def read_snp_inputs(inputs: Mapping[str, Any], reported: bytes | str | Report) -> SnpInputs:
    """Read *inputs*, which are those of :func:`sevlab.load_snp_launch`, and the reported launch digest.

    The number of virtual CPUs and the CPU's signature may be left out. Raises :class:`~sevlab.errors.InputError` for
    an input that cannot be used, and for a value that is not a digest in any reading.
    """
    launch = LaunchInputs(**inputs)
    if launch.num_cpus is not None:
        parse_count(launch.num_cpus)
    report = reported if isinstance(reported, Report) else None
    value = reported.measurement if isinstance(reported, Report) else reported
    readings = read_digest(value, "measurement")
    remarks = _check(launch)
    shown = {name: _shown(name, value) for name, value in launch.given.items()}
    shown["measurement"] = value.hex() if isinstance(value, bytes) else value
    if launch.vmsa_cpu0 is None:
        shown.setdefault("profile", DEFAULT_PROFILE if launch.svsm is None else SVSM_PROFILE)
    if launch.vars_file is not None:
        shown["vars_size"] = load_size(str(launch.vars_file), "vars_file")
    return SnpInputs(measurements=readings, launch=launch, shown=shown, report=report, remarks=tuple(remarks))


def _check(launch: LaunchInputs) -> list[str]:
    """Read all that is given, and refuse what is wrong; return remarks. What may be searched is filled in."""
    whole = launch.replace(num_cpus=1)
    if not {"cpu_signature", "vmsa_cpu0", *SKU} & set(launch.given):
        whole = whole.replace(cpu_signature=0)
    has_both = launch.kernel is not None and launch.firmware is not None
    if has_both and not has_hashes(load_image(str(launch.firmware), "firmware").ovmf):
        whole = whole.replace(kernel=None, initrd=None, cmdline=None)
    return load_snp_launch(**whole.given).remarks


def read_digest(value: bytes | str, name: str) -> Readings:
    """Return the readings of a reported launch digest: plainly (hex or base64), in other forms, and bytes reversed."""
    if isinstance(value, bytes) and len(value) != DIGEST:
        raise InputError(name, f"{len(value)} bytes", f"{DIGEST} bytes", _OTHERS.get(len(value), ""))
    readings: Readings = [Reading(value, value.hex(), "")] if isinstance(value, bytes) else _read_text(value, name)
    for reading in [one for one in readings if one is not None]:
        for size, words in _WORDS:
            raw = b"".join(reading.value[at : at + size][::-1] for at in range(0, DIGEST, size))
            form = f"{reading.form}, {words}" if reading.form else words
            readings.append(Reading(raw, raw.hex(), form))
    return readings


def _read_text(value: Any, name: str) -> Readings:
    text = "".join(value.split())[: 2 * TEXT_LIMIT] if isinstance(value, str) else ""
    try:
        if re.fullmatch("[0-9a-fA-F]{64}", text):  # also valid base64 of 48 bytes, but never meant as that
            raise InputError(name, f"{quoted(text)}, 32 bytes of hex", f"{DIGEST} bytes as hex or base64")
        raw = parse_bytes(value, name, DIGEST)
        return [Reading(raw, raw.hex(), "")]
    except InputError as error:
        forms = decoded(text)
        found = [Reading(raw, raw.hex(), form) for form, raw in forms if len(raw) == DIGEST]
        if found:
            return [None, *found]
        if isinstance(value, str) and len(value) < TEXT_LIMIT and "\0" not in value and os.path.isfile(value):
            raise InputError(name, f"{quoted(value)}, a file", error.needed, f"--report {quoted(value)}") from None
        advice = next((_OTHERS[len(raw)] for _, raw in forms if len(raw) in _OTHERS), "")
        raise InputError(name, error.received, error.needed, advice or error.advice) from None
