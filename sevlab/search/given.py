"""What a person has when a measurement does not match: validate's inputs, some of them unreadable.

``validate`` refuses a measurement or a key file that is not in its form. Here that is often the very mistake, so both
are kept as they came, and every form in which they can be read is a candidate. All other inputs are read as strictly
as everywhere.
"""

from __future__ import annotations

import base64
import re
from collections import namedtuple
from itertools import product
from typing import TYPE_CHECKING

from ..errors import InputError, named
from ..evidence import KEYS, REPORTED, Evidence, hide_keys
from ..formats.launch_measure import Measurement
from ..formats.policy import Policy
from ..inputs import (
    KEY_SIZE,
    TEXT_LIMIT,
    check_standard_input,
    decode_base64,
    is_hex_of_other_size,
    load_hidden,
    load_key,
    parse_measurement,
    parse_number,
    parse_policy,
)
from ..keys import NoKey, Secret, refuse_keys
from ..launch import FILES, INPUTS, load_launch
from ..reading import CasePath

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: The inputs that can be read in more than one form.
_LENIENT = ("measurement", *KEYS)
_ZERO = bytes(KEY_SIZE)


class Reading(namedtuple("Reading", "value found form")):
    """One way to read an input: the value, what is shown of it, and how it was read in words ("" for plainly)."""

    __slots__ = ()


class KeyReading(Reading):
    """One way to read a key. It does not show itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<a key, hidden>"


class Given:
    """Everything given, read as far as it can be.

    ``measurements`` and ``keys`` are the readings of the measurement and of the TIK; the first is the plain one and
    is None where that fails. ``numbers`` are API major, API minor and build. ``policy`` is the guest policy. ``launch``
    holds the inputs of the launch by name. ``shown`` is what was given, by input, for showing; a key is a word.
    """

    def __init__(
        self,
        measurements: list[Reading | None],
        keys: list[Reading | None],
        numbers: tuple[int, int, int],
        policy: Policy,
        launch: dict[str, Any],
        shown: dict[str, Any],
        key_input: str,
        digest: bytes = b"",
    ) -> None:
        self.measurements, self.keys, self.numbers, self.policy = measurements, keys, numbers, policy
        self.launch, self.shown, self.key_input, self.digest = launch, shown, key_input, digest


def read_given(inputs: Mapping[str, Any]) -> Given:
    """Read *inputs*, which are those of :func:`sevlab.load_evidence`.

    Raises :class:`~sevlab.errors.InputError` for an input that no reading of a measurement or a key can mend.
    """
    inputs = hide_keys(dict(inputs))
    given = {name: value for name, value in inputs.items() if value is not None}
    if unknown := sorted(set(given) - {*REPORTED, *KEYS, *INPUTS, "digest"}):
        raise TypeError(f"diagnose has no input named {unknown[0]!r}")
    for name in (*REPORTED, "firmware"):
        if name not in given and not (name == "firmware" and "digest" in given):
            raise InputError(name, "nothing", "a value")
    check_standard_input((name, given[name]) for name in (*FILES, *KEYS) if isinstance(given.get(name), str))
    policy = parse_policy(given["policy"], "policy")
    major, minor, build = (parse_number(given[name], name, 255) for name in REPORTED[1:4])
    key_input, keys = _keys(given)
    launch = {name: value for name, value in given.items() if name in INPUTS}
    if "digest" not in given:
        load_launch(policy.replace(es=0), **launch)  # reads all that is given, and refuses what is wrong
    measurements = _measurements(given["measurement"], "measurement")
    for blob, key in product(filter(None, measurements), filter(None, keys)):
        refuse_keys(blob.value, "measurement", Secret(key.value))
    shown = {name: _shown(name, value) for name, value in given.items()}
    shown |= {"api_major": major, "api_minor": minor, "build_id": build, "policy": int(policy)}
    return Given(
        *(
            measurements,
            keys,
            (major, minor, build),
            policy,
            launch,
            shown,
        ),
        key_input=key_input,
        digest=given.get("digest", b""),
    )


def given_of(evidence: Evidence) -> Given:
    """Return what *evidence* was made of."""
    measurement = evidence.measurement
    text = base64.b64encode(measurement.to_bytes()).decode()
    numbers = evidence.api_major, evidence.api_minor, evidence.build_id
    key_input = "tk" if "tk" in evidence.files else "tik"
    keys: list[Reading | None] = [KeyReading(evidence.tik.reveal(), "as given", "")]
    if evidence.tek is not None:
        keys.append(KeyReading(evidence.tek.reveal(), *_SWAPPED))
    shown = {
        **{name: _shown(name, value) for name, value in evidence.inputs.items()},
        **dict(zip(REPORTED, (text, *numbers, int(evidence.policy)), strict=True)),
        key_input: "as given",
    }
    digest = b"" if evidence.inputs else evidence.digest
    readings = _measurements(text, "measurement")
    return Given(readings, _with_zero(keys), numbers, evidence.policy, evidence.inputs, shown, key_input, digest)


def _shown(name: str, value: Any) -> Any:
    if name in KEYS:
        return "as given"
    if isinstance(value, Measurement):
        return base64.b64encode(value.to_bytes()).decode()
    return value if isinstance(value, int) else str(value)


def _measurements(value: Any, name: str) -> list[Reading | None]:
    """Return the readings of a measurement: plainly, as hex, encoded twice, and with its two parts exchanged."""
    if isinstance(value, Measurement):
        value = base64.b64encode(value.to_bytes()).decode()
    if isinstance(value, str) and is_hex_of_other_size("".join(value.split())):
        parse_measurement(value, name, allow_hex=True)  # raises for what has another size
    try:
        plain: bytes | None = parse_measurement(value, name).to_bytes()
    except InputError:
        plain = None
    text = "".join(value.split())[: 2 * TEXT_LIMIT] if isinstance(value, str) else ""
    readings: list[tuple[bytes, str]] = []
    if plain is None:
        for form, raw in decoded(text):
            readings.append((raw, form))
        if not any(len(raw) == Measurement.size for raw, _ in readings):
            parse_measurement(value, name)  # raises, and says what it looks like
    whole = [(raw, form) for raw, form in readings if len(raw) == Measurement.size]
    swapped = [
        (raw[16:] + raw[:16], "nonce first, then measure" + (f", {form}" if form else ""))
        for raw, form in [*([(plain, "")] if plain else []), *whole]
    ]
    return [
        Reading(plain, _base64(plain), "") if plain else None,
        *(Reading(raw, _base64(raw), form) for raw, form in [*whole, *swapped]),
    ]


def decoded(text: str) -> list[tuple[str, bytes]]:
    """Return what *text* may stand for: hex, URL-safe or padded base64, and these encoded twice."""
    found = []
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    digits = digits.replace(":", "")
    if len(digits) % 2 == 0 and re.fullmatch("[0-9a-fA-F]+", digits):
        found.append(("hex digits", bytes.fromhex(digits)))
    safe = text.replace("-", "+").replace("_", "/").rstrip("=")
    raw = decode_base64(safe + "=" * (-len(safe) % 4))
    if raw is not None:
        if safe != text.rstrip("="):
            found.append(("URL-safe base64", raw))
        elif text != safe:
            found.append(("base64 with = at its end", raw))
        try:
            inner = raw.decode("ascii").strip()
        except UnicodeDecodeError:
            inner = ""
        if inner and len(inner) < len(text):
            found += [(f"{form}, inside base64", value) for form, value in decoded(inner)]
            plain = decode_base64(inner)
            if plain is not None:
                found.append(("base64 encoded twice", plain))
    return found


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


_SWAPPED = "halves swapped", "the TEK in the place of the TIK"


def _keys(given: Mapping[str, Any]) -> tuple[str, list[Reading | None]]:
    """Return the input that holds the TIK, and its readings."""
    if "tk" in given and ("tik" in given or "tek" in given):
        raise InputError("tk", f"together with {named('tik')} or {named('tek')}", "one of the two forms")
    if "tk" not in given and "tik" not in given:
        needed = f"{named('tk')}, or {named('tik')} and {named('tek')}"
        raise InputError("tk", f"neither it nor {named('tik')}", needed)
    if "tk" in given:
        return "tk", _with_zero(_both(_raw(given["tk"], "tk", 2 * KEY_SIZE)))
    readings = _single(_raw(given["tik"], "tik"))
    if "tek" in given:
        readings += [KeyReading(reading.value, *_SWAPPED) for reading in _single(_raw(given["tek"], "tek")) if reading]
    return "tik", _with_zero(readings)


def _raw(value: Any, name: str, size: int = KEY_SIZE) -> bytes:
    if isinstance(value, NoKey) or (isinstance(value, CasePath) and value.is_outside):
        # Raises, and says what it looks like; or a stranger named it: not a guess at what it holds.
        return load_key(value, name, size).reveal()
    return (value if isinstance(value, Secret) else load_hidden(str(value), name, TEXT_LIMIT)).reveal()


def _both(raw: bytes) -> list[Reading | None]:
    """Return the readings of a file that should hold TEK and TIK."""
    forms = [("", raw)] if len(raw) == 2 * KEY_SIZE else [("", raw), *_key_forms(raw)]
    readings: list[Reading | None] = []
    for form, value in forms:
        if len(value) == 2 * KEY_SIZE:
            readings.append(KeyReading(value[KEY_SIZE:], form or "as given", form))
            joined = ", ".join(part for part in (form, _SWAPPED[0]) if part)
            readings.append(KeyReading(value[:KEY_SIZE], joined, joined))
        elif len(value) == KEY_SIZE:
            readings.append(KeyReading(value, form or "a single key", form or "a file with one key, the TIK"))
    return readings if len(raw) == 2 * KEY_SIZE else [None, *readings]


def _single(raw: bytes) -> list[Reading | None]:
    """Return the readings of a file that should hold the TIK alone."""
    if len(raw) == KEY_SIZE:
        return [KeyReading(raw, "as given", "")]
    readings: list[Reading | None] = [None]
    for form, value in [("", raw), *_key_forms(raw)]:
        if len(value) == KEY_SIZE:
            readings.append(KeyReading(value, form, form))
        elif len(value) == 2 * KEY_SIZE:
            for half, word in ((value[KEY_SIZE:], "second half"), (value[:KEY_SIZE], "first half")):
                joined = ", ".join(part for part in (form, f"{word} of a file with both keys") if part)
                readings.append(KeyReading(half, joined, joined))
    return readings


def _key_forms(raw: bytes) -> list[tuple[str, bytes]]:
    """Return what a key file of the wrong size may hold."""
    found = []
    for ending, form in ((b"\r\n", "a line break at its end"), (b"\n", "a line break at its end")):
        bare = raw.removesuffix(ending)
        if bare != raw and len(bare) in (KEY_SIZE, 2 * KEY_SIZE):
            found.append((form, bare))
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        return found
    text = "".join(text.split())
    plain = decode_base64(text)
    if plain is not None:
        found.append(("base64 text", plain))
    found += [(form.replace("digits", "text"), value) for form, value in decoded(text) if value != plain]
    return [(form, value) for form, value in found if len(value) in (KEY_SIZE, 2 * KEY_SIZE)]


def _with_zero(readings: list[Reading | None]) -> list[Reading | None]:
    """Add the key of a launch without a session: all zero."""
    if any(reading is not None and reading.value == _ZERO for reading in readings[:1]):
        return readings
    return [*readings, KeyReading(_ZERO, "all zero", "all zero")]
