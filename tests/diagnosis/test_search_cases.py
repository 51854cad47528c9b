"""``diagnose`` on generated mismatches: every one in the declared space is explained, rightly; others are not.

The reported measure is made here with hashlib, hmac and struct alone, from the values that the faults stand for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import struct
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.diagnosis.inputs import read_sev_inputs
from sevlab.diagnosis.model import Choice, Combination
from sevlab.diagnosis.sev import BOX, SevSpace
from sevlab.labs import samples
from tests.soak import many

SAMPLES = Path(__file__).parent.parent.parent / "notebooks" / "samples"
MNONCE = bytes(range(0x40, 0x50))
SEED = 4
#: How many cases have one, two and three faults. The longest searches are those for three.
CASES = {1: many(180, 30), 2: many(85, 10), 3: many(35, 3)}
HOPELESS = many(100, 15)

PLAIN: dict[str, Any] = {
    "api_major": 0,
    "api_minor": 22,
    "build_id": 13,
    "policy": 1,
    "firmware": str(SAMPLES / "firmware-kernel.fd"),
    "tk": str(SAMPLES / "tk.bin"),
}
KERNEL = {
    **PLAIN,
    "kernel": str(SAMPLES / "kernel.bin"),
    "initrd": str(SAMPLES / "initrd.bin"),
    "cmdline": "console=ttyS0 root=/dev/vda1 quiet",
}
ES = {**KERNEL, "policy": 5, "num_cpus": 4, "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}


def entry(guid: str, digest: bytes) -> bytes:
    return uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + digest


def launch_digest(values: dict[str, Any], es: bool) -> bytes:
    """SHA-256 of what is loaded: firmware, table, pages."""
    running = values["firmware"].running.copy()
    if values["kernel"] is not None:
        table = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 168)
        table += entry("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", values["cmdline"])
        table += entry("44baf731-3a2f-4bd7-9af1-41e29169781d", values["initrd"])
        table += entry("4de79437-abd2-427f-b835-d5b172d2045b", values["kernel"])
        running.update(table.ljust(values["table"], b"\0"))
    if es:
        start = values["reset"] or sevlab.load_ovmf(ES["firmware"]).reset_address
        state = {"signature": values["model"], "sev_features": values["features"]}
        running.update(sevlab.build_vmsa(values["profile"], **state).to_bytes())
        further = sevlab.build_vmsa(values["profile"], cpu=1, reset_address=start, **state).to_bytes()
        for _ in range(values["count"] - 1):
            running.update(further)
    return running.digest()


def report(values: dict[str, Any], key: bytes = b"") -> bytes:
    """The 48 bytes that a host reports whose launch has these values."""
    digest = launch_digest(values, bool(values["policy"] & 4))
    message = struct.pack("<I", values["policy"]) + digest + MNONCE
    if not values["message"]:
        message = bytes((4, values["api_major"], values["api_minor"], values["build_id"])) + message
    return hmac.digest(key or values["key"], message, "sha256") + MNONCE


def space_of(given: dict[str, Any]) -> SevSpace:
    return SevSpace(read_sev_inputs({**given, "measurement": base64.b64encode(bytes(48)).decode()}))


def true_values(space: SevSpace, chosen: dict[str, Choice]) -> dict[str, Any]:
    return {name: parameter.base.value for name, parameter in space.parameters.items()} | {
        n: c.value for n, c in chosen.items()
    }


def draw(space: SevSpace, combination: Combination, chance: random.Random) -> dict[str, Choice]:
    return {name: chance.choice(choices) for name, choices in zip(combination.names, combination.lists, strict=True)}


def reported_text(space: SevSpace, chosen: dict[str, Choice]) -> str:
    """The measurement as the person pastes it: with its own fault where that was drawn."""
    raw = report(true_values(space, chosen))
    if "measurement" in chosen:  # the one form that can be drawn from a measurement in the right form
        raw = raw[32:] + raw[:32]
    return base64.b64encode(raw).decode()


SPACES = {"plain": space_of(PLAIN), "kernel": space_of(KERNEL), "es": space_of(ES)}
GIVEN = {"plain": PLAIN, "kernel": KERNEL, "es": ES}


def cases(faults: int) -> list[tuple[str, dict[str, Choice]]]:
    """Faults drawn from all kinds of explanation alike; with three, over likely values, as is declared."""
    chance = random.Random(SEED * faults)
    kinds = {name: space.combinations(faults, likely=faults > 2) for name, space in SPACES.items()}
    drawn = []
    while len(drawn) < CASES[faults]:
        name = chance.choice(["es", "kernel", "plain"] if faults < 3 else ["es", "kernel", "kernel", "plain"])
        drawn.append((name, draw(SPACES[name], chance.choice(kinds[name]), chance)))
    return drawn


@pytest.mark.parametrize("faults", CASES)
def test_every_case_in_the_declared_space_is_explained_and_rightly(faults: int) -> None:
    for name, chosen in cases(faults):
        space, given = SPACES[name], GIVEN[name]
        text = reported_text(space, chosen)
        diagnosis = sevlab.diagnose({**given, "measurement": text}, budget=600, max_changes=faults)
        what = {parameter: choice.changes for parameter, choice in chosen.items()}
        assert diagnosis.status == "explained", (name, what)
        (explanation,) = diagnosis.explanations
        assert 1 <= len(explanation.hypotheses) <= faults, (name, what)
        # By another route: the values found make the very report.
        found = dict(zip((h.parameter for h in explanation.hypotheses), explanation.hypotheses, strict=True))
        if set(found) == set(chosen):
            assert set(explanation.changes) == {change for choice in chosen.values() for change in choice.changes} or (
                _same_report(space, explanation.changes, chosen)
            ), (name, what, explanation.changes)
        else:
            assert _same_report(space, explanation.changes, chosen), (name, what, explanation.changes)


def _same_report(space: SevSpace, changes: tuple[Any, ...], chosen: dict[str, Choice]) -> bool:
    """Say whether other changes than those that were drawn stand for the same launch: one that reports the same."""
    values = {name: parameter.base.value for name, parameter in space.parameters.items()}
    rest = set(changes)
    for parameter in space.parameters.values():
        for choice in parameter.choices:
            if choice.changes and set(choice.changes) <= rest:
                values[parameter.name] = choice.value
    return report(values) == report(true_values(space, chosen))


@pytest.mark.parametrize("name", GIVEN)
def test_no_hopeless_case_is_explained(name: str, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    space = SPACES[name]
    for number in range(HOPELESS // len(GIVEN) + 1):
        values = true_values(space, {})
        if number % 2:
            raw = bytearray(Path(PLAIN["firmware"]).read_bytes())
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            values["firmware"] = replace(values["firmware"], running=hashlib.sha256(raw))
            measurement = report(values)
        else:
            measurement = report(values, key=chance.randbytes(16))
        text = base64.b64encode(measurement).decode()
        diagnosis = sevlab.diagnose({**GIVEN[name], "measurement": text}, budget=300, max_changes=1, jobs=1)
        assert (diagnosis.status, diagnosis.explanations) == ("unexplained", ())
        assert diagnosis.searched


def test_the_samples_keys_are_those_of_the_cases() -> None:
    assert Path(PLAIN["tk"]).read_bytes() == samples.TEK + samples.TIK
    assert set(BOX) <= set(SPACES["es"].parameters)
