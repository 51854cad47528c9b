"""The core of the library, from bytes and numbers alone: what a student reads in one evening."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sevlab.errors import ArgumentError
from sevlab.formats.kernel_hashes import KernelHashes, build_kernel_hashes
from sevlab.formats.launch_measure import MeasureMessage
from sevlab.formats.policy import Policy
from sevlab.labs import samples
from sevlab.labs import snp_samples as snp
from sevlab.launch.compare import compare_launch
from sevlab.launch.inputs import LaunchInputs, load_launch
from sevlab.launch.measure import compute_measure
from sevlab.launch.sev import Launch, Step

#: The evening core: what README lists for a student to read.
CORE = (
    *(f"sevlab.layout.{name}" for name in ("span", "bits", "structure")),
    *(f"sevlab.formats.{name}" for name in ("launch_measure", "policy", "kernel_hashes", "page_info")),
    *(f"sevlab.launch.{name}" for name in ("sev", "pages", "measure", "verify")),
)
#: What reads files, options or incidents.
OTHERS = {
    *(f"sevlab.launch.{name}" for name in ("reading", "files", "values", "inputs", "evidence")),
    *("sevlab.data", "sevlab.cli"),
}


def test_a_measurement_is_validated_from_bytes_and_numbers_alone() -> None:
    reported = samples.measurement()
    launch = Launch([Step("firmware", samples.firmware(), "The firmware image.")])
    message = MeasureMessage(
        api_major=0, api_minor=22, build_id=13, policy=Policy(1), digest=launch.digest, mnonce=reported[32:]
    )
    assert compute_measure(message, samples.TIK) == reported[:32]
    wrong = message.replace(digest=Launch([Step("firmware", samples.firmware() + b"\0", "")]).digest)
    assert compute_measure(wrong, samples.TIK) != reported[:32]


def test_the_core_reads_no_files_and_knows_no_incidents() -> None:
    lines = f"import sys, {', '.join(CORE)}\nprint(*(name for name in sys.modules if name.startswith('sevlab.')))"
    loaded = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout.split()
    assert set(CORE) <= set(loaded)
    assert OTHERS.isdisjoint(loaded)


def test_links_are_the_digests_one_by_one() -> None:
    table = build_kernel_hashes(bytes(32), None, None).to_bytes()
    launch = Launch([Step("firmware", b"firmware", ""), Step("kernel hashes", table, "")])
    assert [link.digest for link in launch.links()] == launch.digests
    assert launch.links()[-1].digest == launch.digest
    assert KernelHashes.from_bytes(launch.links()[1].loaded).kernel == bytes(32)


def test_inputs_that_no_launch_has_are_refused_by_python() -> None:
    with pytest.raises(TypeError, match="'kernal'"):
        LaunchInputs(kernal="bzImage")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'svsm'"):
        load_launch(Policy(1), firmware="gone", svsm="gone")


def test_an_input_that_is_changed_to_none_is_left_out() -> None:
    inputs = LaunchInputs(firmware="a", num_cpus=2, cmdline="")
    assert inputs.given == {"firmware": "a", "cmdline": "", "num_cpus": 2}
    assert inputs.replace(num_cpus=None, firmware="b").given == {"firmware": "b", "cmdline": ""}


def test_launches_of_two_kinds_are_not_compared() -> None:
    with pytest.raises(ArgumentError, match="computed: received SnpLaunch; needed a Launch"):
        compare_launch(samples.es_launch(), snp.snp_launch())
