"""Mistakes in the digest that was compared: what it is of, and how it was written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...hypothesis import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..start import SnpStart


def _parts(start: SnpStart) -> Iterator[Option]:
    image = start.base_image if start.svsm is None else start.svsm
    names = ["the firmware", *(["the SVSM image"] if start.svsm is not None else [])]
    names += [f"section {place} of the metadata ({one.name})" for place, one in enumerate(image.sections, 1)]
    for number, name in enumerate(names):
        yield Option(number, f"the digest after {name}, with nothing after it")


def _readings(start: SnpStart) -> Iterator[Option]:
    for reading in start.given.measurements[1:]:
        if reading is not None:
            yield Option(reading.value, f"{reading.found} ({reading.form})")


REPORTED = (
    Hypothesis(
        "digest of a part of the launch",
        "part",
        0.5,
        _parts,
        "The value is a digest from within the launch: it covers what was loaded up to there, and no registers. The "
        "digest after the firmware is what --snp-ovmf-hash takes; a report holds the digest after all pages.",
    ),
    Hypothesis(
        "digest in another form",
        "measurement",
        0.6,
        _readings,
        "It was copied in another form than 48 bytes in their order, as hex or base64.",
        ("F33",),
    ),
)
