"""Cases of the samples, for tests."""

from __future__ import annotations

import hashlib
from functools import cache

from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import record_explanation
from sevlab.diagnosis.run import diagnose
from sevlab.errors import UnsupportedError
from sevlab.labs import samples as sev
from sevlab.labs.snp_samples import snp_report
from tests.paths import SAMPLES

KINDS = ("sev", "seves", "snp", "report")


def at(name: str) -> str:
    return str(SAMPLES / name)


def launch_values(name: str) -> dict[str, object]:
    """The values that a sample's host reports."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    pairs = dict(line.replace(" ", "").split(":") for line in text.split("\n") if line)
    names = {"measurement": str, "api_major": int, "api_minor": int, "build_id": int, "policy": int}
    return {name: kind(pairs[f"sev-{name.replace('_', '-')}"]) for name, kind in names.items()}


def inputs_of(kind: str) -> dict[str, object]:
    """The inputs of one of the samples."""
    direct = {"kernel": at("kernel.bin"), "initrd": at("initrd.bin"), "cmdline": sev.CMDLINE}
    report = {name: at(f"{name}-snp.{end}") for name, end in (("report", "bin"), ("vcek", "der"), ("chain", "pem"))}
    cpus = {"num_cpus": sev.ES_CPUS}
    if kind == "sev":
        return {**launch_values("launch.txt"), "firmware": at("firmware.fd"), "tk": at("tk.bin")}
    if kind == "seves":
        sku = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), sev.ES_CPU, strict=True))
        keys = {"tik": at("tik.bin"), "tek": at("tek.bin")}
        return {**launch_values("launch-es.txt"), "firmware": at("firmware-kernel.fd"), **direct, **cpus, **sku, **keys}
    if kind == "report":
        measurement = snp_report().measurement.hex()
        return {"mode": "snp", **report, "snp_measurement": measurement, "snp_policy": 0x30000}
    return {"mode": "snp", "firmware": at("firmware-snp.fd"), **direct, **cpus, "cpu_signature": 0xA00F11, **report}


def trust() -> dict[str, str]:
    return {hashlib.sha256((SAMPLES / "ark-snp.der").read_bytes()).hexdigest(): "sample"}


def case_of(kind: str, **changes: object) -> Case:
    inputs = {name: value for name, value in (inputs_of(kind) | changes).items() if value is not None}
    return make_case(inputs, {"firmware": "bought"} if "firmware" in inputs else {}, {"title": kind, "note": "a\nb"})


@cache
def explained(kind: str) -> Case:
    """A case in which one input is wrong, with what a search found."""
    if kind == "snp":
        case = case_of("snp", num_cpus=2)
        found = diagnose(case.snp_launch, snp_report())
    else:
        case = case_of(kind, **({"num_cpus": 3} if kind == "seves" else {"build_id": 12}))
        found = diagnose(case.part(), jobs=1)
    return record_explanation(case, found.explanations[0])


class Told:
    """An explanation with other inputs than a case can hold."""

    sentence = "because"

    def __init__(self, inputs: dict[str, object] | None) -> None:
        self._inputs = inputs

    @property
    def inputs(self) -> dict[str, object]:
        if self._inputs is None:
            raise UnsupportedError("this", "that")
        return self._inputs
