"""Mistakes in what the host reports: the firmware's version, and the guest policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.policy import Policy
from ..hypothesis import Hypothesis, Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..start import Start

#: Versions of the SEV firmware seen in public: API major and minor, build; and where.
RELEASES = (
    (0, 16, 5, "AMDESE/AMDSEV#31"),
    (0, 16, 12, "AMDESE/AMDSEV#41"),
    (0, 17, 1, "AMDESE/AMDSEV#32"),
    (0, 17, 22, "AMDESE/AMDSEV#41"),
    (0, 18, 15, "AMDESE/sev-tool, README"),
    (0, 22, 13, "libvirt, manual of virt-qemu-sev-validate"),
    (0, 24, 15, "libvirt, manual of virsh"),
    (1, 28, 28, "AMDESE/sev-tool#65"),
    (1, 33, 3, "AMDESE/sev-tool#65"),
    (1, 51, 3, "enarx/enarx#2263"),
    (1, 53, 5, "AMDESE/AMDSEV#195"),
    (1, 55, 17, "AMDESE/AMDSEV#271"),
    (1, 55, 21, "AMDESE/AMDSEV#271"),
    (1, 55, 22, "AMD-SB-3015"),
    (1, 55, 25, "amd/AMD-ASPFW"),
)
#: Least API versions that a policy may ask for, major and minor: those of the releases.
MINIMUMS = tuple(dict.fromkeys((major, minor) for major, minor, _, _ in RELEASES))
NUMBERS = ("api_major", "api_minor", "build_id")


def _hex_for_decimal(number: int) -> Iterator[int]:
    """The digits were hex and were read as decimal: 16 for 0x16, which is 22."""
    if number >= 10:
        yield int(str(number), 16)


def _decimal_for_hex(number: int) -> Iterator[int]:
    """The digits were decimal and were read as hex: 0x22, which is 34, for 22."""
    digits = format(number, "x")
    if number >= 10 and digits.isdigit():
        yield int(digits)


def _byte(numbers: Iterable[int]) -> Iterator[Option]:
    return (Option(number, number) for number in numbers if 0 <= number <= 255)


def _released(start: Start, position: int) -> Iterator[Option]:
    return _byte(dict.fromkeys((major, minor, build)[position] for major, minor, build, _ in RELEASES))


def _any_byte(start: Start, position: int) -> Iterator[Option]:
    given = start.given.numbers[position]
    near = {given - 1, given + 1} | (set(range(32)) if position == 2 else set())
    return (Option(number, number, number in near or (position == 0 and number < 2)) for number in range(256))


def numbers() -> Iterator[Hypothesis]:
    """The mistakes of a version's three numbers."""
    for position, axis in enumerate(NUMBERS):
        word = axis.replace("_", " ").replace("api", "API").replace("build id", "build")
        yield Hypothesis(
            f"{word} in hex, read as decimal",
            axis,
            0.5,
            lambda start, position=position: _byte(_hex_for_decimal(start.given.numbers[position])),
            "Its digits are hex and were read as decimal. Some tools print versions in one base and take them in the "
            "other.",
            ("F27",),
        )
        yield Hypothesis(
            f"{word} in decimal, read as hex",
            axis,
            0.5,
            lambda start, position=position: _byte(_decimal_for_hex(start.given.numbers[position])),
            "Its digits are decimal and were read as hex. Some tools print versions in one base and take them in the "
            "other.",
            ("F27",),
        )
        yield Hypothesis(
            f"{word} of another platform",
            axis,
            0.4,
            lambda start, position=position: _released(start, position),
            "It is that of another firmware: of the owner's own machine, or of the host before or after an update. The "
            "measurement is made with the version of the firmware that ran.",
            ("F28",),
        )
        yield Hypothesis(
            f"any {word}",
            axis,
            0.2,
            lambda start, position=position: _any_byte(start, position),
            "A wrong number, from a typing error or from another host.",
            ("F28",),
        )


def _policies(numbers: Iterable[int], likely: bool = True) -> Iterator[Option]:
    return (Option(Policy(number), number, likely) for number in numbers if 0 <= number <= 0xFFFFFFFF)


def _other_flags(start: Start) -> Iterator[Option]:
    upper = int(start.given.policy) & ~0x3F
    return _policies(upper | flags for flags in range(64))


def _other_minimum(start: Start) -> Iterator[Option]:
    policy = start.given.policy
    major, minor, _ = start.given.numbers
    pairs = dict.fromkeys([(0, 0), (major, minor), (policy.api_minor, policy.api_major), *MINIMUMS])
    for major, minor in pairs:
        upper = major << 16 | minor << 24 | int(policy) & 0xFFC0
        yield from _policies([upper | int(policy) & 0x3F])
        yield from _policies((upper | flags for flags in range(64)), likely=False)


def _policy_bytes(start: Start) -> Iterator[Option]:
    return _policies([int.from_bytes(int(start.given.policy).to_bytes(4, "little"), "big")])


def _policy_base(start: Start) -> Iterator[Option]:
    number = int(start.given.policy)
    return _policies([*_hex_for_decimal(number), *_decimal_for_hex(number)])


POLICY = (
    Hypothesis(
        "policy in the wrong base",
        "policy",
        0.5,
        _policy_base,
        "Its digits are hex and were read as decimal, or the other way round.",
        ("F27",),
    ),
    Hypothesis(
        "policy with its bytes reversed",
        "policy",
        0.3,
        _policy_bytes,
        "Its four bytes were read in the wrong order. They are little-endian: flags first, API minor last.",
    ),
    Hypothesis(
        "another flag in the policy",
        "policy",
        0.7,
        _other_flags,
        "A flag is set or clear that was not meant to be: the guest was started with another policy than noted.",
    ),
    Hypothesis(
        "another minimum version in the policy",
        "policy",
        0.3,
        _other_minimum,
        "The upper two bytes, the least API version that may launch the guest, are others than noted.",
    ),
)
