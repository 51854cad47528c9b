"""The benchmark's machinery, on work that costs nothing. Nothing here depends on how long anything takes."""

from __future__ import annotations

import sys

import pytest

from tests.bench import Row, compared, process, report, timed

TRIVIAL = [sys.executable, "-I", "-S", "-c", "pass"]


def test_work_is_warmed_up_once_then_timed_in_turns() -> None:
    done: list[str] = []
    times = timed(2, lambda: done.append("A"), lambda: done.append("B"))
    assert "".join(done) == "ABABAB"
    assert [len(column) for column in times] == [2, 2]


def test_a_row_of_two_processes() -> None:
    row = compared("nothing / nothing", None, 1, process(TRIVIAL), process(TRIVIAL))
    assert row.ratio > 0
    assert not row.missed
    assert str(row).endswith(" ms")


def test_a_process_with_another_exit_status_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="ended with 3: because"):
        process([*TRIVIAL[:-1], "import sys; print('because', file=sys.stderr); sys.exit(3)"])()


@pytest.mark.parametrize(
    ("row", "state", "missed"),
    [
        (Row("x", 0.5, 0.5), "OK", False),
        (Row("x", 0.51, 0.5), "MISSED", True),
        (Row("x", 9.0), "9.000", False),
        (Row("x", limit=0.5, skipped="no such tool"), "-", False),
    ],
)
def test_a_row_says_how_it_went(row: Row, state: str, missed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(row).split()[0] == state
    assert row.missed is missed
    assert report([row, Row("other", 0.1, 1.0)]) == int(missed)
    assert capsys.readouterr().out.splitlines()[0] == str(row)


def test_a_skipped_row_says_why() -> None:
    assert "skipped: no such tool" in str(Row("x", limit=0.5, skipped="no such tool"))
