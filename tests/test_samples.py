"""The samples: the same to the last byte each time, and a launch that validates."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sevlab
from sevlab import samples

STORED = Path(__file__).resolve().parents[1] / "notebooks" / "samples"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_stored_samples_are_those_that_are_made(tmp_path: Path) -> None:
    samples.write_samples(tmp_path / "new" / "folder")
    assert contents(tmp_path / "new" / "folder") == contents(STORED)


def test_the_script_makes_them_too(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "sevlab.samples", "made here"], cwd=tmp_path, check=True, timeout=60)
    assert contents(tmp_path / "made here") == contents(STORED)


def test_keys_are_visibly_samples() -> None:
    files = contents(STORED)
    assert files["tek.bin"].hex(" ") == "20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f"
    assert files["tik.bin"].hex(" ") == "30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f"
    assert files["tk.bin"] == files["tek.bin"] + files["tik.bin"]


@pytest.mark.parametrize("keys", [{"tk": "tk.bin"}, {"tik": "tik.bin", "tek": "tek.bin"}], ids=["tk", "tik and tek"])
def test_the_stored_sample_validates(keys: dict[str, str]) -> None:
    lines = (line.split(":", 1) for line in (STORED / "launch.txt").read_text().strip().splitlines())
    reported = {name.strip().removeprefix("sev-").replace("-", "_"): value.strip() for name, value in lines}
    evidence = sevlab.load_evidence(
        **reported,
        firmware=str(STORED / "firmware.fd"),
        **{name: str(STORED / file) for name, file in keys.items()},
    )
    verdict = sevlab.verify_measure(evidence)
    assert verdict.reported == base64.b64decode(reported["measurement"])[:32]
    assert verdict.warnings == []


def test_the_readme_names_every_file_and_is_right_about_sizes() -> None:
    text, files = (STORED / "README.md").read_text(), contents(STORED)
    for name in set(files) - {"README.md"}:
        assert f"`{name}`" in text
    sizes = {name: int(size) for name, size in re.findall(r"\| `([^`]+)` \| (\d+) \|", text)}
    assert sizes
    assert sizes == {name: len(files[name]) for name in sizes}
