"""The zoo against omne-attest, a verifier of another project: what docs/zoo.md tells of it is what it does."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

import sevlab
from sevlab.cli import main
from tests.omne_verifier import accepts
from tests.peers import ROOT

pytestmark = pytest.mark.peer

#: The version that docs/zoo.md speaks of.
VERSION = "0.1.0"
peer = pytest.importorskip("omne_attest", reason=f"no omne-attest: pip install omne-attest=={VERSION}")
if (found := importlib.metadata.version("omne-attest")) != VERSION:
    pytest.skip(f"omne-attest {found}, not {VERSION}: pip install omne-attest=={VERSION}", allow_module_level=True)


def told(heading: str) -> set[str]:
    """The animals in the table below a heading of docs/zoo.md."""
    section = (ROOT / "docs" / "zoo.md").read_text().split(f"### {heading}\n")[1].split("\n#")[0]
    return {
        key for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`([a-z0-9-]+)`", row)
    }


def test_it_does_what_the_documentation_says() -> None:
    trial = sevlab.run_zoo(accepts)
    assert {outcome.animal.key for outcome in trial.let_through} == told("Accepted, though bad")
    assert {outcome.animal.key for outcome in trial.wrongly_refused} == told("Refused, though genuine")
    bad = trial.of("bad")
    words = f"Of {len(bad)} bad animals it refuses {len(bad) - len(trial.let_through)}"
    assert words in (ROOT / "docs" / "zoo.md").read_text()
    for outcome in trial.outcomes:
        assert outcome.accepted or outcome.words.startswith("Fail: "), "it refuses by its own words, not by an accident"


def test_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command of docs/zoo.md."""
    place = str(Path(peer.__file__).parent.parent)
    adapter = (
        f"import sys; sys.path[:0] = {[place, str(ROOT)]!r}; from tests.omne_verifier import main; main(sys.argv[1:])"
    )
    names = ("report", "vcek", "chain", "root", "measurement", "report_data", "min_tcb", "vmpl")
    command = [sys.executable, "-c", adapter, *(f"{{{name}}}" for name in names)]
    assert main(["zoo", "run", "--only", "milan-v3,genoa-v3,other-measurement,old-tcb", "--", *command]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "OK: none of 2 bad ones accepted, all of 2 genuine ones" in text
    assert "launch measurement is not the expected image" in text
