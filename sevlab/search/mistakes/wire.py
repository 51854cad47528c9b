"""Mistakes in the form of the measurement, of the key files, and of the message itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..hypothesis import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..start import Start


def _measurement_readings(start: Start) -> Iterator[Option]:
    for reading in start.given.measurements[1:]:
        if reading is not None:
            yield Option(reading.value, reading.found)


def _keys_like(start: Start, *words: str, invert: bool = False) -> Iterator[Option]:
    for reading in start.given.keys[1:]:
        if reading is not None and any(word in reading.found for word in words) != invert:
            yield Option(reading.value, reading.found)


WIRE = (
    Hypothesis(
        "measurement in another form",
        "measurement",
        0.6,
        _measurement_readings,
        "It was copied in another form than base64 of 48 bytes, the measure first and then the nonce.",
        ("F33",),
    ),
    Hypothesis(
        "keys exchanged",
        "key",
        0.6,
        lambda start: _keys_like(start, "swapped"),
        "TEK and TIK are in each other's place. A key file holds the TEK first and then the TIK.",
        ("F34",),
    ),
    Hypothesis(
        "launch without a session",
        "key",
        0.4,
        lambda start: _keys_like(start, "all zero"),
        "The guest was started without a session, or with key files that were written before the keys were made: its "
        "keys are all zero. ANYONE CAN MAKE THIS MEASUREMENT, so it proves nothing about the guest.",
        ("F30",),
    ),
    Hypothesis(
        "key file in another form",
        "key",
        0.6,
        lambda start: _keys_like(start, "swapped", "all zero", invert=True),
        "The key file holds text, a line break or another number of keys, where raw bytes are needed.",
        ("F33",),
    ),
    Hypothesis(
        "message of API before 0.17",
        "message",
        0.15,
        lambda start: [Option(True, "52 bytes, without context byte and version")],
        "Firmware older than API 0.17 makes the HMAC over another message, without context byte and version.",
        ("F28",),
    ),
)
