"""The lesson on the 56 bytes, read as a reader without a kernel would: what is stored must show every field."""

from __future__ import annotations

import ast
import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from sevlab.formats.launch_measure import MeasureMessage
from sevlab.labs import samples
from tests.labs.test_ribbon import cells, ribbons
from tests.paths import NOTEBOOKS

LESSON, START = NOTEBOOKS / "01-fifty-six-bytes.ipynb", NOTEBOOKS / "00-start-here.ipynb"
FIELDS = {row.name: range(row.offset, row.offset + row.size) for row in MeasureMessage.rows}
MESSAGE, REPORTED = samples.message().to_bytes(), samples.measurement()[:32]


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def stored(cell: nbformat.NotebookNode, kind: str = "text/plain") -> str:
    return "\n".join(output.data[kind] for output in cell.outputs if kind in output.get("data", {}))


def measures(text: str) -> dict[str, list[str]]:
    """The cells of the measures in a view's text, by who they are from."""
    rows = [line for line in text.splitlines() if line.startswith(("reported", "computed"))]
    return {
        name: [c for row in rows if row.startswith(name) for c in cells(row[10:])] for name in ("reported", "computed")
    }


def changes() -> dict[str, list[tuple[bytes, str]]]:
    """For every field the messages that the lesson shows after a change in this field alone, with the stored text."""
    found: dict[str, list[tuple[bytes, str]]] = {name: [] for name in FIELDS}
    for cell in code(LESSON):
        text = stored(cell)
        shown = ribbons(text)
        if len(shown) != 2 or not measures(text)["computed"]:
            continue
        before, after = (bytes(int(byte[:2], 16) for byte in one) for one in shown)
        assert before == MESSAGE
        stars = [{i for i, byte in enumerate(one) if byte.endswith("*")} for one in shown]
        differing = {i for i in range(56) if before[i] != after[i]}
        assert stars == [differing, differing]
        for name, places in FIELDS.items():
            if differing <= set(places):
                found[name].append((after, text))
    return found


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_has_its_bytes_before_and_after_and_both_measures(field: str) -> None:
    shown = changes()[field]
    assert shown, f"no change of {field} is shown"
    for changed, text in shown:
        computed = hmac.digest(samples.TIK, changed, "sha256")
        for name, raw in (("reported", REPORTED), ("computed", computed)):
            assert measures(text)[name] == [
                f"{byte:02x}{'*' * (one != other)}" for byte, one, other in zip(raw, REPORTED, computed, strict=True)
            ]
        bits = (int.from_bytes(REPORTED, "big") ^ int.from_bytes(computed, "big")).bit_count()
        assert f"MISMATCH: {bits} of 256 bits differ" in text


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_has_a_widget_of_its_own_that_reads_without_a_kernel(field: str) -> None:
    (cell,) = (cell for cell in code(LESSON) if re.search(rf'FieldBox\(.*"{field}"', cell.source))
    assert ribbons(stored(cell)) == [[f"{byte:02x}" for byte in MESSAGE]]
    assert "MATCH: all 256 bits are equal" in stored(cell, "text/html")


def test_the_message_grows_field_by_field() -> None:
    sizes = [
        sum(byte != ".." for byte in ribbons(stored(cell))[0])
        for cell in code(LESSON)
        if re.search(r"^sevlab\.labs\.show_message\(message\)$", cell.source, re.MULTILINE)
    ]
    assert sizes == [1, 2, 3, 4, 8, 40, 56]


class _Blocked:
    """Stands for sevlab where the page must do without it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"sevlab.{name} is used to build the message")


def run_without_sevlab(path: Path, until: str) -> dict[str, Any]:
    """Run a page's code up to the cell with *until* in it, without what only shows or loads something by sevlab."""
    names: dict[str, Any] = {"sevlab": _Blocked()}
    for cell in code(path):
        tree = ast.parse(cell.source)
        body = [one for one in tree.body if not _is_sevlabs(one)]
        exec(compile(ast.Module(body, []), path.name, "exec"), names)
        if until in cell.source:
            return names
    raise AssertionError(f"{path.name} has no cell with {until}")


def _is_sevlabs(statement: ast.stmt) -> bool:
    """Whether a statement imports sevlab, shows something by it, or keeps a value that it computed."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return "sevlab" in ast.unparse(statement)
    used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return bool(used & {"sevlab", "evidence", "verdict"})


@pytest.mark.parametrize(
    ("path", "until"),
    [(START, "message = bytes("), (LESSON, "computed = ")],
    ids=["00", "01"],
)
def test_the_message_and_its_hmac_are_built_without_sevlab(
    path: Path, until: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(NOTEBOOKS)
    names = run_without_sevlab(path, until)
    assert names["message"] == MESSAGE
    assert names["computed"] == REPORTED
    assert names["tik"] == samples.TIK


def test_sha_256_on_the_page_is_sha_256(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(NOTEBOOKS)
    names = run_without_sevlab(LESSON, "def by_hand(")
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000):
        raw = bytes(i % 251 for i in range(size))
        assert names["sha256"](raw) == hashlib.sha256(raw).digest()
        assert names["by_hand"](samples.TIK, raw) == hmac.digest(samples.TIK, raw, "sha256")
    sources = [cell.source for cell in code(LESSON)]
    (alone,) = (source for source in sources if "def sha256(" in source)
    assert not re.search(r"\b(?:import|hashlib|hmac|sevlab)\b", alone)


def test_a_replay_passes_under_the_same_key_and_fails_under_a_fresh_one() -> None:
    (cell,) = (cell for cell in code(LESSON) if "fresh_tik" in cell.source)
    answers = dict(line.rsplit(maxsplit=1) for line in cell.outputs[0].text.splitlines())
    assert answers == {
        "today's own measurement, same TIK:": "False",
        "yesterday's measurement, same TIK:": "True",
        "yesterday's measurement, fresh TIK:": "False",
    }


def test_no_wrong_claim_has_come_back() -> None:
    for path in (START, LESSON):
        words = " ".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        for claim in (
            r"can read none of it",
            r"is 48 bytes\. ",
            r"three independent programs",
            r"shares no code",
            r"inside the session",
            r"each starts with its own number",
            r"\(bits 4 and 5 clear\)",
            r"<\d+ bytes, hidden>",
        ):
            assert not re.search(claim, " ".join(words.split())), claim
