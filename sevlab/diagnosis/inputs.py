"""What a person has when a measurement does not match: validate's inputs, some of them unreadable.

``validate`` refuses a measurement or a key file that is not in its form. Here that is often the very mistake, so both
are kept as they came, and every form in which they can be read is a candidate. All other inputs are read as strictly
as everywhere.
"""

from __future__ import annotations

import base64
import os
import re
from collections import namedtuple
from itertools import product
from typing import TYPE_CHECKING

from ..errors import InputError, quoted
from ..evidence import KEYS, REPORTED, Evidence, as_written, hide_keys
from ..formats.message import Measurement
from ..formats.pageinfo import DIGEST, ZEROS
from ..formats.policy import Policy
from ..formats.report import SIZE, Report
from ..inputs import (
    KEY_SIZE,
    TEXT_LIMIT,
    check_standard_input,
    decode_base64,
    is_hex_of_other_size,
    load_hidden,
    load_key,
    parse_bytes,
    parse_measurement,
    parse_number,
    parse_policy,
)
from ..keys import NoKey, Secret, refuse_keys
from ..launch import FILES, INPUTS, SKU, load_launch
from ..reading import CasePath
from ..registers import CPU_LIMIT
from ..snp.load import DEFAULT_PROFILE, SVSM_PROFILE, load_image, load_size, load_snp_launch
from ..snp.load import INPUTS as SNP_INPUTS
from ..snp.order import has_hashes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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


def read_given(inputs: Mapping[str, Any], names: Callable[[str], str] = as_written) -> Given:
    """Read *inputs*, which are those of :func:`sevlab.load_evidence`.

    Raises :class:`~sevlab.errors.InputError` for an input that no reading of a measurement or a key can mend.
    """
    inputs = hide_keys(dict(inputs))
    given = {name: value for name, value in inputs.items() if value is not None}
    if unknown := sorted(set(given) - {*REPORTED, *KEYS, *INPUTS, "digest"}):
        raise TypeError(f"diagnose has no input named {unknown[0]!r}")
    for name in (*REPORTED, "firmware"):
        if name not in given and not (name == "firmware" and "digest" in given):
            raise InputError(names(name), "nothing", "a value")
    check_standard_input((names(name), given[name]) for name in (*FILES, *KEYS) if isinstance(given.get(name), str))
    policy = parse_policy(given["policy"], names("policy"))
    major, minor, build = (parse_number(given[name], names(name), 255) for name in REPORTED[1:4])
    key_input, keys = _keys(given, names)
    launch = {name: value for name, value in given.items() if name in INPUTS}
    if "digest" not in given:
        load_launch(policy.replace(es=0), names, **launch)  # reads all that is given, and refuses what is wrong
    measurements = _measurements(given["measurement"], names("measurement"))
    for blob, key in product(filter(None, measurements), filter(None, keys)):
        refuse_keys(blob.value, names("measurement"), Secret(key.value))
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


def _keys(given: Mapping[str, Any], names: Callable[[str], str]) -> tuple[str, list[Reading | None]]:
    """Return the input that holds the TIK, and its readings."""
    if "tk" in given and ("tik" in given or "tek" in given):
        raise InputError(names("tk"), f"together with {names('tik')} or {names('tek')}", "one of the two forms")
    if "tk" not in given and "tik" not in given:
        needed = f"{names('tk')}, or {names('tik')} and {names('tek')}"
        raise InputError(names("tk"), f"neither it nor {names('tik')}", needed)
    if "tk" in given:
        return "tk", _with_zero(_both(_raw(given["tk"], names("tk"), 2 * KEY_SIZE)))
    readings = _single(_raw(given["tik"], names("tik")))
    if "tek" in given:
        readings += [
            KeyReading(reading.value, *_SWAPPED) for reading in _single(_raw(given["tek"], names("tek"))) if reading
        ]
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


#: Where the words of a digest may be reversed, in bytes: as one number, and as dumps of words show it.
_WORDS = ((DIGEST, "its bytes reversed"), (8, "words of 8 bytes reversed"), (4, "words of 4 bytes reversed"))
#: What bytes of another length are.
_OTHERS = {
    32: "the MEASUREMENT of the report: 32 bytes are a digest of SEV or SEV-ES, or another field of the report",
    64: "the MEASUREMENT of the report: 64 bytes may be its REPORT_DATA or CHIP_ID",
    SIZE: "the MEASUREMENT alone, or the report's file in the place of it: these bytes are a whole report",
}


class SnpGiven:
    """Everything given, read as far as it can be.

    ``measurements`` are the readings of the reported digest; the first is the plain one and is None where that fails.
    ``launch`` holds the inputs of the launch by name, ``shown`` what was given, by input, for showing (defaults
    included). ``report`` is the whole report, None where only its digest was given. ``remarks`` are lines about
    inputs that fit together badly.
    """

    def __init__(
        self,
        measurements: list[Reading | None],
        launch: dict[str, Any],
        shown: dict[str, Any],
        report: Report | None,
        remarks: list[str],
    ) -> None:
        self.measurements, self.launch, self.shown = measurements, launch, shown
        self.report, self.remarks = report, remarks
        #: Of legacy SEV, where a digest may stand for what was loaded.
        self.digest = b""


def read_snp_given(
    inputs: Mapping[str, Any], measurement: bytes | str | Report, names: Callable[[str], str]
) -> SnpGiven:
    """Read *inputs*, which are those of :func:`sevlab.load_snp_launch`, and the reported launch digest.

    The number of virtual CPUs and the CPU's signature may be left out. Raises :class:`~sevlab.errors.InputError` for
    an input that cannot be used, and for a digest that is none in any reading.
    """
    launch = {name: value for name, value in inputs.items() if value is not None}
    if unknown := sorted(set(launch) - {*SNP_INPUTS, "cpu_signature"}):
        raise TypeError(f"diagnose_snp has no input named {unknown[0]!r}")
    count = parse_number(launch["num_cpus"], names("num_cpus"), CPU_LIMIT) if "num_cpus" in launch else 1
    if not count:
        raise InputError(names("num_cpus"), "0", f"1 to {CPU_LIMIT}")
    report = measurement if isinstance(measurement, Report) else None
    value = measurement.measurement if isinstance(measurement, Report) else measurement
    readings = read_digest(value, names("measurement"))
    remarks = _check(launch, names)
    shown = {name: _snp_shown(value) for name, value in launch.items()}
    shown["measurement"] = value.hex() if isinstance(value, bytes) else value
    if "vmsa_cpu0" not in launch:
        shown.setdefault("profile", SVSM_PROFILE if "svsm" in launch else DEFAULT_PROFILE)
    if "vars_file" in launch:
        shown["vars_size"] = load_size(str(launch["vars_file"]), names("vars_file"))
    return SnpGiven(readings, launch, shown, report, remarks)


def _snp_shown(value: Any) -> Any:
    """Return what is shown of an input: numbers as they are, bytes as hex."""
    if isinstance(value, int):
        return value
    return value.hex() if type(value) is bytes else str(value)


def _check(launch: Mapping[str, Any], names: Callable[[str], str]) -> list[str]:
    """Read all that is given, and refuse what is wrong; return what is odd. What may be searched is filled in."""
    whole = {**launch, "num_cpus": 1}
    if not {"cpu_signature", "vmsa_cpu0", *SKU} & set(launch):
        whole["cpu_signature"] = 0
    if {"kernel", "firmware"} <= set(launch):
        image = load_image(str(launch["firmware"]), names("firmware"))
        for name in () if has_hashes(image.ovmf) else ("kernel", "initrd", "cmdline"):
            whole.pop(name, None)
    return load_snp_launch(names, **whole).remarks


def read_digest(value: Any, name: str) -> list[Reading | None]:
    """Return the readings of a reported launch digest: plainly (hex or base64), in other forms, and bytes reversed."""
    readings: list[Reading | None] = []
    if isinstance(value, bytes):
        if len(value) != DIGEST:
            raise InputError(name, f"{len(value)} bytes", f"{DIGEST} bytes", _OTHERS.get(len(value), ""))
        readings.append(Reading(value, value.hex(), ""))
    else:
        readings += _read_text(value, name)
    for reading in [one for one in readings if one is not None]:
        for size, words in _WORDS:
            raw = b"".join(reading.value[at : at + size][::-1] for at in range(0, DIGEST, size))
            form = f"{reading.form}, {words}" if reading.form else words
            readings.append(Reading(raw, raw.hex(), form))
    return readings


def _read_text(value: Any, name: str) -> list[Reading | None]:
    text = "".join(value.split())[: 2 * TEXT_LIMIT] if isinstance(value, str) else ""
    try:
        if re.fullmatch("[0-9a-fA-F]{64}", text):  # base64 of 48 bytes too, but nobody's base64 has only such letters
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
        sizes = [len(raw) for form, raw in forms]
        advice = next((_OTHERS[size] for size in sizes if size in _OTHERS), "")
        raise InputError(name, error.received, error.needed, advice or error.advice) from None


def is_zero(given: SnpGiven) -> bool:
    """Say whether the reported digest is all zero: no launch that loads a page has it."""
    return any(reading is not None and reading.value == ZEROS for reading in given.measurements)
