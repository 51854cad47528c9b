"""The rows of the benchmark about SEV-SNP: the launch digest, against sev-snp-measure in the same run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CPUS, MORE_CPUS = 64, 256
SIGNATURE, MODEL = 0x800F12, "EPYC-v4"


def forget() -> None:
    """Make the next digest a first one: forget files, pages and prefixes."""
    from sevlab.launch import pages as region
    from sevlab.launch import snp as load

    load._known.clear()
    region._extend.cache_clear()
    region._extend_large.cache_clear()


def snp_rows(image: Path, rounds: int, row: Callable[..., Any], compared: Any, process: Any) -> Iterator[Any]:
    """A launch with 64 virtual CPUs: in process, as a whole process, and with up to 255 more CPUs."""
    from sevlab.launch.snp import load_snp_launch

    inputs = {"firmware": str(image), "num_cpus": CPUS, "cpu_signature": SIGNATURE}

    def ours() -> bytes:
        return load_snp_launch(**inputs).digest

    def all_counts() -> None:
        load_snp_launch(**{**inputs, "num_cpus": 1}).cpu_digests(MORE_CPUS)

    def one_count() -> None:
        load_snp_launch(**{**inputs, "num_cpus": 1}).cpu_digests(1)

    try:
        from sevsnpmeasure import guest
        from sevsnpmeasure.sev_mode import SevMode
    except ImportError:
        yield row("SEV-SNP digest / sev-snp-measure", skipped="no sev-snp-measure: pip install sev-snp-measure")
    else:

        def theirs() -> bytes:
            mode = SevMode.SEV_SNP
            return bytes(guest.calc_launch_digest(mode, CPUS, SIGNATURE, str(image), None, None, None, 1))

        if ours() != theirs():
            raise RuntimeError("the two programs disagree about the digest")
        name = f"SEV-SNP digest, {CPUS} CPUs, {{}} / sev-snp-measure, in process"
        yield compared(name.format("first call"), 1 / 1.5, 5 * rounds, ours, theirs, forget)
        yield compared(name.format("known file"), 1 / 5, rounds, ours, theirs)
        options = ["--mode", "snp", "--vcpus", str(CPUS), "--vcpu-type", MODEL, "--ovmf", str(image)]
        bin = Path(sys.executable).parent
        words = [[str(bin / "sevlab"), "digest", *options], [str(bin / "sev-snp-measure"), *options]]
        yield compared("sevlab digest / sev-snp-measure, whole process", 1.0, rounds, *map(process, words))
    name = f"SEV-SNP digests of 1 to {MORE_CPUS} CPUs / of 1 CPU"
    yield compared(name, 1.05, 5 * rounds, all_counts, one_count, forget)
