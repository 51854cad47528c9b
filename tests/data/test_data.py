"""Facts as data: every row has a source and a link, every key is known, and nothing reads them before they are used."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import sevlab
from sevlab import data
from sevlab.data import ADVISORIES, HOSTS, INCIDENTS, RELEASES, read_table
from sevlab.labs import sample_files, samples
from tests.paths import ROOT

PACKAGE = ROOT / "sevlab"
TABLES = ("incidents", "advisories", "releases", "replays")
DATE = re.compile(r"\d{4}(-\d{2}){0,2}")


def test_every_row_has_a_source_and_a_link() -> None:
    for row in (*INCIDENTS.values(), *ADVISORIES.values(), *HOSTS.values(), *RELEASES):
        assert row.source
        link = urlsplit(row.link)
        assert (link.scheme, bool(link.netloc), bool(link.path.strip("/"))) == ("https", True, True), row
        assert not re.search(r"\s", row.link)


def test_a_link_leads_to_what_the_source_names() -> None:
    for row in (*INCIDENTS.values(), *ADVISORIES.values()):
        if found := re.match(r"([\w.-]+/[\w.-]+)(?:#(\d+)| commit ([0-9a-f]+))", row.source):
            place = f"issues/{found[2]}" if found[2] else f"commit/{found[3]}"
            assert row.link == f"https://github.com/{found[1]}/{place}"
        elif found := re.match(r"CVE-\d+-\d+", row.source):
            assert row.link.endswith(found[0])


def test_dates_and_keys_have_one_form_and_titles_are_unique() -> None:
    for table in (INCIDENTS, ADVISORIES):
        assert all(DATE.fullmatch(row.date) for row in table.values())
        assert all(re.fullmatch(r"[AF]\d\db?", key) and key == row.key for key, row in table.items())
        assert len({row.title for row in table.values()}) == len(table)
        assert list(table) == sorted(table)
    assert len({release.name for release in RELEASES}) == len(RELEASES)
    assert len(read_table("releases")["hosts"]) == len(HOSTS)


def test_every_incident_that_the_code_names_exists() -> None:
    """Keys in code, that is in quotes; documents and notebooks have tests of their own."""
    named = {
        key
        for path in PACKAGE.rglob("*.py")
        for key in re.findall(r"[\"'`]([AF]\d\db?)[\"'`]", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert named <= {*INCIDENTS, *ADVISORIES}
    assert {key for host in HOSTS.values() for key in host.incidents} <= set(INCIDENTS)
    assert {key for row in read_table("replays").values() for key in row["found"]} <= set(INCIDENTS)
    assert set(read_table("replays")) <= set(INCIDENTS)


def test_a_table_is_read_when_it_is_first_used() -> None:
    code = "import sys, sevlab, sevlab.data; print('INCIDENTS' in vars(sevlab.data), 'RELEASES' in vars(sevlab.data));"
    code += (
        "from sevlab.data import INCIDENTS; print('INCIDENTS' in vars(sevlab.data), 'RELEASES' in vars(sevlab.data))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False False", "True False"]
    assert data.INCIDENTS is data.INCIDENTS is sevlab.data.INCIDENTS
    with pytest.raises(AttributeError, match="no attribute 'NOTHING'"):
        data.NOTHING  # noqa: B018


def test_a_validation_reads_no_facts(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path)
    measurement = base64.b64encode(samples.measurement()).decode()
    words = ["validate", "--quiet", "--measurement", measurement, "--firmware=firmware.fd", "--tk=tk.bin"]
    words += ["--api-major=0", "--api-minor=22", "--build-id=13", "--policy=1"]
    code = f"import sys; from sevlab.cli import main; print(main({words!r}));"
    code += "print([name for name in ('sevlab.data', 'tomllib', 'dataclasses', 'typing') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, env=light())
    assert done.stdout.splitlines() == ["0", "[]"], done.stderr


def light() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PATH": ""}


def test_the_wheel_carries_the_tables(tmp_path: Path) -> None:
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    (wheel,) = hatchling.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"sevlab/data/{name}.toml" for name in TABLES} <= names
