"""Generated mismatches of SEV and SEV-ES, and the reports that go with them.

The reported measure is made here with hashlib, hmac and struct alone, from the values that the faults stand for.
"""

from __future__ import annotations

import base64
import hmac
import random
import struct
import uuid
from typing import Any

import sevlab
from sevlab.diagnosis.inputs import read_sev_inputs
from sevlab.diagnosis.model import Choice, Combination
from sevlab.diagnosis.sev import SevSpace
from tests.paths import SAMPLES
from tests.soak import many

MNONCE = bytes(range(0x40, 0x50))
SEED = 4
#: How many cases have one, two and three faults. The longest searches are those for three.
CASES = {1: many(180, 30), 2: many(85, 10), 3: many(35, 3)}
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
    values = {name: parameter.base.value for name, parameter in space.parameters.items()}
    values |= {name: choice.value for name, choice in chosen.items()}
    if "release" in chosen:  # its three numbers go together
        values |= dict(zip(("api_major", "api_minor", "build_id"), chosen["release"].value, strict=True))
    return values


def draw(space: SevSpace, combination: Combination, chance: random.Random) -> dict[str, Choice]:
    return {name: chance.choice(choices) for name, choices in combination.lists.items()}


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


def diagnose(given: dict[str, Any], **options: Any) -> sevlab.diagnosis.result.Diagnosis:
    return sevlab.diagnose(given, **{"jobs": 1, **options})


def with_report(given: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The inputs, with the measurement of a launch that has other *values* than they say."""
    space = space_of(given)
    raw = report({**true_values(space, {}), **values})
    return {**given, "measurement": base64.b64encode(raw).decode()}


def only(diagnosis: sevlab.diagnosis.result.Diagnosis) -> Any:
    assert diagnosis.status == "explained"
    (explanation,) = diagnosis.explanations
    return explanation
