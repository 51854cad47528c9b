"""omne-attest, a verifier of another project, against the suite: it does what docs/verifier-suite.md says."""

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

#: The version that docs/verifier-suite.md speaks of.
VERSION = "0.1.0"
peer = pytest.importorskip("omne_attest", reason=f"no omne-attest: pip install omne-attest=={VERSION}")
if (found := importlib.metadata.version("omne-attest")) != VERSION:
    pytest.skip(f"omne-attest {found}, not {VERSION}: pip install omne-attest=={VERSION}", allow_module_level=True)


def told(heading: str) -> set[str]:
    """The test cases in the table below a heading of docs/verifier-suite.md."""
    section = (ROOT / "docs" / "verifier-suite.md").read_text().split(f"### {heading}\n")[1].split("\n#")[0]
    return {
        key for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`([a-z0-9-]+)`", row)
    }


def test_it_does_what_the_documentation_says() -> None:
    results = sevlab.labs.verifier_suite.run.run_verifier_suite(accepts)
    assert {outcome.case.key for outcome in results.false_accepts} == told("False accepts")
    assert {outcome.case.key for outcome in results.false_rejects} == told("False rejects")
    invalid = results.of("invalid")
    words = f"Of {len(invalid)} invalid test cases it refuses {len(invalid) - len(results.false_accepts)}"
    assert words in (ROOT / "docs" / "verifier-suite.md").read_text()
    for outcome in results.outcomes:
        assert outcome.accepted or outcome.words.startswith("Fail: "), "it refuses by its own words, not by an accident"


def test_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command of docs/verifier-suite.md."""
    place = str(Path(peer.__file__).parent.parent)
    adapter = (
        f"import sys; sys.path[:0] = {[place, str(ROOT)]!r}; from tests.omne_verifier import main; main(sys.argv[1:])"
    )
    names = ("report", "vcek", "chain", "root", "measurement", "report_data", "min_tcb", "vmpl")
    command = [sys.executable, "-c", adapter, *(f"{{{name}}}" for name in names)]
    assert main(["verifier-suite", "run", "--only", "milan-v3,genoa-v3,other-measurement,old-tcb", "--", *command]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "OK: 0 of 2 invalid accepted, 0 of 2 valid refused" in text
    assert "launch measurement is not the expected image" in text
