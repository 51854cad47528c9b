"""``sevlab assignment`` and ``grade``: one key for a course, a folder for a student, a table for the teacher."""

from __future__ import annotations

import csv
import os
import stat
from pathlib import Path

import pytest

from sevlab.cli import main


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def course() -> str:
    assert main(["assignment", "--new-course-key", "course.key"]) == 0
    return "course.key"


def refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ERROR: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_course_key_is_random_private_and_never_replaced(course: str, capsys: pytest.CaptureFixture[str]) -> None:
    raw = Path(course).read_bytes()
    assert len(raw) == 32
    assert stat.S_IMODE(os.stat(course).st_mode) == 0o600
    refused(["assignment", "--new-course-key", course], "--new-course-key: received 'course.key', which exists", capsys)
    Path("dangling").symlink_to("elsewhere")
    refused(["assignment", "--new-course-key", "dangling"], "which exists", capsys)
    refused(["assignment", "--new-course-key", "no/such"], "--new-course-key: received 'no/such'", capsys)
    refused(["assignment", "--new-course-key", "other", "--student", "ada"], "it alone", capsys)
    refused(["assignment", "--new-course-key", "-"], "the name of a file", capsys)
    assert Path(course).read_bytes() == raw
    assert not Path("elsewhere").exists()
    assert main(["assignment", "--new-course-key", "second"]) == 0
    assert Path("second").read_bytes() != raw


def test_a_class_from_its_key_to_its_marks(course: str, capsys: pytest.CaptureFixture[str]) -> None:
    for student in ("ada", "bob"):
        assert main(["assignment", "--course-key", course, "--student", student, "-n", "2", student]) == 0
    out, err = capsys.readouterr()
    assert "Wrote 2 tasks for bob to bob." in out
    assert err == ""
    assert sorted(path.name for path in Path("ada").glob("task*")) == [
        f"task-{number}.{end}" for number in (1, 2) for end in ("sealed", "toml", "txt")
    ]
    assert main(["grade", "--course-key", course, "ada", "bob"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(out.splitlines()))
    assert [(row["student"], row["task"], row["points"]) for row in rows] == [
        (student, task, "0") for student in ("ada", "bob") for task in "12"
    ]
    assert Path(course).read_bytes().hex() not in out + err
    (Path("ada") / "answers.toml").unlink()
    assert main(["grade", "--course-key", course, "ada", "bob"]) == 2
    out, err = capsys.readouterr()
    assert [row["note"] for row in csv.DictReader(out.splitlines())][1:] == ["", ""]
    assert "no such file" in out.splitlines()[1]


def test_diagnose_finds_a_task_by_its_case_file(course: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["assignment", "--course-key", course, "--student", "ada", "-n", "1", "--faults", "1", "ada"]
    assert main(words) == 0
    assert main(["validate", "--case", "ada/task-1.toml"]) == 1
    assert main(["diagnose", "--case", "ada/task-1.toml"]) == 1
    assert "explained" in capsys.readouterr().out.lower()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--course-key": None}, "--course-key: received nothing"),
        ({"--student": None}, "--student: received nothing"),
        ({"": None}, "FOLDER: received nothing"),
        ({"--student": ""}, "--student: received ''"),
        ({"--student": " ada"}, "no space first or last"),
        ({"--student": "a\nb"}, "visible characters"),
        ({"--student": "x" * 65}, "visible characters"),
        ({"-n": "0"}, "-n: received 0; needed 1 to 20"),
        ({"-n": "21"}, "-n: received"),
        ({"-n": "two"}, "-n: received"),
        ({"--faults": "4"}, "--faults: received"),
        ({"--faults": "0"}, "--faults: received"),
        ({"": "course.key"}, "FOLDER: received 'course.key', which exists"),
        ({"": "no/such"}, "FOLDER: received 'no/such': no such file or directory"),
        ({"": "a\0b"}, "FOLDER: received"),
        ({"--course-key": "missing"}, "--course-key: received 'missing': no such file"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_made(
    changes: dict[str, str | None], said: str, course: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--course-key": course, "--student": "ada", "": "new"} | changes
    words = [
        word for name, value in given.items() if value is not None for word in ([name, value] if name else [value])
    ]
    refused(["assignment", *words], said, capsys)
    assert [path.name for path in Path().iterdir()] == ["course.key"]


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(range(33)), bytes(32), b"x" * 5000])
def test_what_is_no_course_key_is_refused_unseen(raw: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad").write_bytes(raw)
    refused(["grade", "--course-key", "bad", "ada"], "--course-key: received 'bad'", capsys)


def test_a_key_that_others_can_read_is_warned_of(course: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.chmod(course, 0o644)
    assert main(["assignment", "--course-key", course, "--student", "ada", "-n", "1", "ada"]) == 0
    assert "WARNING: --course-key: others can read course.key" in capsys.readouterr().err
