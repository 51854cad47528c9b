"""What a person has when a launch digest does not match: digest's inputs, some of them not known, and the report."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ...errors import InputError, quoted
from ...formats.page_info import DIGEST, ZEROS
from ...formats.report import SIZE, Report
from ...inputs import TEXT_LIMIT, parse_bytes, parse_number
from ...launch import SKU
from ...registers import CPU_LIMIT
from ...snp.load import DEFAULT_PROFILE, INPUTS, SVSM_PROFILE, load_image, load_size, load_snp_launch
from ...snp.order import has_hashes
from ..given import Reading, decoded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

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


def read_snp_given(inputs: Mapping[str, Any], measurement: bytes | str | Report) -> SnpGiven:
    """Read *inputs*, which are those of :func:`sevlab.load_snp_launch`, and the reported launch digest.

    The number of virtual CPUs and the CPU's signature may be left out. Raises :class:`~sevlab.errors.InputError` for
    an input that cannot be used, and for a digest that is none in any reading.
    """
    launch = {name: value for name, value in inputs.items() if value is not None}
    if unknown := sorted(set(launch) - {*INPUTS, "cpu_signature"}):
        raise TypeError(f"diagnose_snp has no input named {unknown[0]!r}")
    count = parse_number(launch["num_cpus"], "num_cpus", CPU_LIMIT) if "num_cpus" in launch else 1
    if not count:
        raise InputError("num_cpus", "0", f"1 to {CPU_LIMIT}")
    report = measurement if isinstance(measurement, Report) else None
    value = measurement.measurement if isinstance(measurement, Report) else measurement
    readings = read_digest(value, "measurement")
    remarks = _check(launch)
    shown = {name: _shown(value) for name, value in launch.items()}
    shown["measurement"] = value.hex() if isinstance(value, bytes) else value
    if "vmsa_cpu0" not in launch:
        shown.setdefault("profile", SVSM_PROFILE if "svsm" in launch else DEFAULT_PROFILE)
    if "vars_file" in launch:
        shown["vars_size"] = load_size(str(launch["vars_file"]), "vars_file")
    return SnpGiven(readings, launch, shown, report, remarks)


def _shown(value: Any) -> Any:
    """Return what is shown of an input: numbers as they are, bytes as hex."""
    if isinstance(value, int):
        return value
    return value.hex() if type(value) is bytes else str(value)


def _check(launch: Mapping[str, Any]) -> list[str]:
    """Read all that is given, and refuse what is wrong; return what is odd. What may be searched is filled in."""
    whole = {**launch, "num_cpus": 1}
    if not {"cpu_signature", "vmsa_cpu0", *SKU} & set(launch):
        whole["cpu_signature"] = 0
    if {"kernel", "firmware"} <= set(launch):
        image = load_image(str(launch["firmware"]), "firmware")
        for name in () if has_hashes(image.ovmf) else ("kernel", "initrd", "cmdline"):
            whole.pop(name, None)
    return load_snp_launch(**whole).remarks


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
