"""Assignments: what a student gets tells nothing, and every answer file is marked as it should be or said to be bad."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import tomllib
import unicodedata
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import sevlab
from sevlab.labs import assignment, classroom
from sevlab.labs.assignment import Row, grade, marks_csv, write_assignment
from sevlab.labs.classroom import FILES, faults
from sevlab.launch.keys import SecretBytes
from tests.soak import many

KEY, OTHER = SecretBytes(bytes(range(32))), SecretBytes(bytes(range(1, 33)))
TASKS = 3


def make(folder: Path, student: str = "ada", key: SecretBytes = KEY, count: int = TASKS, per_task: int = 2) -> Path:
    write_assignment(str(folder), key, student, count, per_task, "FOLDER")
    return folder


def solution(number: int, student: str = "ada") -> dict[str, dict[str, list[object]]]:
    """By fault: its inputs, with what the record says and what was launched."""
    return drawn(assignment.task_seed(KEY, student, number))


def drawn(seed: int | str) -> dict[str, dict[str, list[object]]]:
    found: dict[str, dict[str, list[object]]] = json.loads(json.dumps(classroom._draw(seed, 2).solution))
    return found


def right(number: int, student: str = "ada") -> dict[str, object]:
    inputs = [pair for inputs in solution(number, student).values() for pair in inputs.items()]
    return {name.replace("_", "-"): "none" if new is None else new for name, (old, new) in inputs if old != new}


def answer(folder: Path, *tables: dict[str, object], sentence: str = "", student: str = "ada") -> None:
    import tomli_w

    data = {f"task-{n}": {"sentence": sentence, "faults": table} for n, table in enumerate(tables, 1)}
    (folder / "answers.toml").write_text(tomli_w.dumps({"student": student, **data}), encoding="utf-8")


def marked(folder: Path) -> list[Row]:
    return grade([str(folder)], KEY)


def test_the_right_answer_earns_what_is_marked_and_the_sentence_is_the_teacher_s(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    answer(folder, *(right(number) for number in range(1, TASKS + 1)), sentence="It was\n the kernel.")
    rows = marked(folder)
    assert [(row.task, row.points, row.wrong, row.missing, row.note) for row in rows] == [
        (str(number), "80", "", "", "") for number in range(1, TASKS + 1)
    ]
    assert {row.sentence for row in rows} == {"It was the kernel."}
    for row in rows:  # in the words of the student's page
        named = {"/".join(one).replace("_", "-") for one in solution(int(row.task)).values()}
        assert set(row.right.split()) == set(row.values.split()) == named
        assert all(f"\n- {one.replace('/', ', ')}:" in (folder / "README.md").read_text("utf-8") for one in named)


def test_names_alone_earn_sixty_half_of_them_thirty_and_a_wrong_one_takes_its_share(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    both = dict.fromkeys(solution(1), "?")
    one = next(iter(both))
    wrong = next(
        name for name in faults() if not {*faults()[name].inputs} & {*faults()[one].inputs} and name not in both
    )
    for given, points in (
        ({}, "0"),
        (both, "60"),
        ({one: "?"}, "30"),
        ({one: "?", wrong: 1}, "0"),
        ({**both, wrong: 1}, "30"),
        ({**both, "firmware": 1}, "30"),
        ({wrong: 1, "firmware": 1}, "0"),
        ({**both, "nonsense": 1}, "60"),
    ):
        answer(folder, given)
        assert marked(folder)[0].points == points, given
    assert "no inputs: nonsense" in marked(folder)[0].note
    answer(folder, right(1))
    assert marked(folder)[0].points == "80"
    name, value = next(iter(right(1).items()))
    answer(folder, {f"--{name.upper().replace('-', '_')}": value})
    assert float(marked(folder)[0].points) >= 30


def test_naming_every_input_earns_nothing_for_values_that_can_be_only_one(tmp_path: Path) -> None:
    """A fault of the key, the kernel or the initrd has the same value always."""
    folder, numbers = make(tmp_path / "a", count=15), range(1, 16)
    every = {name: "?" for fault in faults().values() for name in fault.inputs}
    every |= {"tk": "swapped", "kernel": "none", "initrd": "none"}
    answer(folder, *[every] * len(numbers))
    assert any(row.values for row in marked(folder))
    assert {row.points for row in marked(folder)} == {"0"}


@pytest.mark.parametrize("seed", range(many(1000, 20)))
def test_diagnose_s_words_earn_the_values(seed: int) -> None:
    """What is found in each task of a class can be written as TOML, and earns all that is not the sentence."""
    found = drawn(seed)
    changed = {one: new for inputs in found.values() for one, (old, new) in inputs.items() if old != new}
    import tomli_w

    given = tomllib.loads(tomli_w.dumps({one: "none" if new is None else new for one, new in changed.items()}))
    done = classroom.mark_answer(found, given)
    assert (done.missing, done.extra, done.unknown, done.wrong_values) == ([], [], [], [])
    assert set(done.values) == set(found)


def test_students_differ_and_the_same_student_s_assignment_is_the_same(tmp_path: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    one = contents(make(tmp_path / "one"))
    assert one == contents(make(tmp_path / "two"))
    for other in (make(tmp_path / "bob", "bob"), make(tmp_path / "key", key=OTHER)):
        differing = {name for name, raw in contents(other).items() if raw != one[name]} - {"README.md", "answers.toml"}
        assert differing == {f"task-{n}.{end}" for n in range(1, TASKS + 1) for end in ("txt", "toml", "sealed")}
    # No two names and numbers are one text: ada's task 11 is not that of ada1.
    assert assignment.task_seed(KEY, "ada", 11) != assignment.task_seed(KEY, "ada1", 1)


@pytest.mark.parametrize("number", range(many(1000, 20)))
def test_no_solution_can_be_read_from_the_folder(number: int, tmp_path: Path) -> None:
    student = f"student {number}"
    folder = make(tmp_path / "a", student, count=1)
    seed = assignment.task_seed(KEY, student, 1)
    found = solution(1, student)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not any(KEY.is_in(raw) or seed.encode() in raw or bytes.fromhex(seed) in raw for raw in files.values())
    assert len(files["task-1.sealed"]) == 12 + 1024 + 16, "its length tells nothing"
    common = {"README.md", "answers.toml", *FILES.values()}
    text = b"\n".join(raw for name, raw in files.items() if name not in common).decode("latin-1")
    lines = {" ".join(line.split()) for line in text.splitlines()}
    for name, (wrote, new) in (pair for inputs in found.values() for pair in inputs.items()):
        option = name.replace("_", "-")
        if new != wrote:
            assert not {f"{option} = {json.dumps(new)}", f"{option} {new}"} & lines, name
            assert not isinstance(new, str) or len(new) < 8 or name == "profile" or f"'{new}'" not in text
            assert name != "policy" or f"0x{new:x}," not in text
    # What is the same for every student tells nothing about one.
    stranger = make(tmp_path / "b", "x", count=1)
    for name in common - {"README.md", "answers.toml"}:
        assert (stranger / name).read_bytes() == files[name]
    for name in ("README.md", "answers.toml"):
        assert (stranger / name).read_text() == files[name].decode().replace(student, "x")


def test_the_case_and_the_text_are_one_launch(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    for number in range(1, TASKS + 1):
        case = sevlab.load_case(str(folder / f"task-{number}.toml"))
        assert not sevlab.compare_measure(case).matches
        text = (folder / f"task-{number}.txt").read_text()
        assert base64.b64encode(case.measurement.to_bytes()).decode() in text
        assert max(map(len, text.splitlines())) <= 88
    assert max(map(len, (folder / "README.md").read_text().splitlines())) <= 80


def test_a_solution_is_aes_gcm_under_the_key_and_bound_to_student_and_task(tmp_path: Path) -> None:
    sealed = (make(tmp_path / "a") / "task-2.sealed").read_bytes()
    bound = b'["sevlab assignment 1", "solution", "ada", 2]'
    opened = AESGCM(KEY.reveal()).decrypt(sealed[:12], sealed[12:], bound)
    assert json.loads(opened) == {"of": TASKS, "faults": solution(2)}
    for key, student, number in ((OTHER, "ada", 2), (KEY, "bob", 2), (KEY, "ada", 1)):
        assert not opens(key, student, number, sealed)
    for place in range(0, len(sealed), 97):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        assert not opens(KEY, "ada", 2, changed)
    for size in (0, 5, 12, 20, len(sealed) - 1):
        assert not opens(KEY, "ada", 2, sealed[:size])


def opens(key: SecretBytes, student: str, number: int, sealed: bytes) -> bool:
    try:
        return bool(assignment.unseal(key, student, number, sealed))
    except sevlab.InputError:
        return False


#: Answer files that are none, and what is said of each.
HOSTILE = {
    "empty": (b"", "no student"),
    "no student": (b"[task-1]\n", "no student"),
    "a number": (b"student = 5\n", "no student"),
    "a list": (b"student = ['ada']\n", "no student"),
    "an invisible one": (b'student = "a\\u202eda"\n', "student 'a\\u202eda'"),
    "a long one": (b'student = "' + b"x" * 99 + b'"\n', "99 characters"),
    "not TOML": (b"student = \n", "not TOML"),
    "not UTF-8": (b'student = "\xff"\n', "not UTF-8"),
    "UTF-16": ('student = "ada"'.encode("utf-16"), "not UTF-8"),
    "a NUL": (b'student = "a\0"\n', "not TOML"),
    "twice": (b'student = "ada"\nstudent = "ada"\n', "not TOML"),
    "deep lists": (b"a = " + b"[" * 30000, "nested too deeply"),
    "deep tables": (b"a = " + b"{a=" * 20000, "nested too deeply"),
    "a long key": (b"a" + b".a" * 30000 + b" = 1\n", "dots"),
    "a huge number": (b'student = "ada"\na = ' + b"9" * 5000, "not TOML"),
    "too large": (b"#" * (65 << 10), "more than 65536 bytes"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_answer_file_is_one_row_and_the_others_are_marked(kind: str, tmp_path: Path) -> None:
    raw, words = HOSTILE[kind]
    bad, good = make(tmp_path / "bad"), make(tmp_path / "good", "bob")
    (bad / "answers.toml").write_bytes(raw)
    first, *rest = grade([str(bad), str(good)], KEY)
    assert (first.folder, first.task, first.is_marked) == (str(bad), "", False)
    assert words in first.note
    assert len(first.note) < 400
    assert [(row.student, row.is_marked) for row in rest] == [("bob", True)] * TASKS


@pytest.mark.parametrize(
    ("table", "note"),
    [
        ("task-1 = 5", "no table [task-1]"),
        ("task-1 = []", "no table [task-1]"),
        ("", "no table [task-1]"),
        ("[task-1]\nfaults = 5", "faults is no table"),
        ("[task-1]\nfaults = ['kernel']\nsentence = 5", "faults is no table; sentence is no text"),
        ("[[task-1]]\nsentence = ''", "no table [task-1]"),
        ("[task-1]\nsentence = {a = 1}", "sentence is no text"),
        ("[task-1.faults]\n'\\u001b[2J' = 1\n", "no inputs: \\u001b[2J"),
        ("[task-1.faults]\n" + "".join(f"n{n} = 1\n" for n in range(500)), "... (cut)"),
    ],
)
def test_tables_of_a_wrong_type_are_marked_as_nothing(table: str, note: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    (folder / "answers.toml").write_text(f'student = "ada"\n{table}\n')
    row = marked(folder)[0]
    assert (row.points, row.right, row.sentence) == ("0", "", "")
    assert note in row.note


@pytest.mark.parametrize(
    "value",
    [
        "{a = 1}",
        "[1]",
        "1979-05-27",
        "nan",
        "inf",
        "true",
        "0x" + "f" * 20000,
        '"' + "9" * 5000 + '"',
        "''",
        "07:32:00",
    ],
)
def test_values_of_any_type_are_wrong_values(value: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    names = [inputs for fault in solution(1) for inputs in faults()[fault].inputs]
    lines = "\n".join(f"{name} = {value}" for name in names)
    (folder / "answers.toml").write_text(f'student = "ada"\n[task-1.faults]\n{lines}\n')
    row = marked(folder)[0]
    assert (row.points, row.values) == ("60", "")


def test_what_was_copied_changed_swapped_or_lost_is_said_task_by_task(tmp_path: Path) -> None:
    ada, bob = make(tmp_path / "ada"), make(tmp_path / "bob", "bob")
    sealed = {n: (ada / f"task-{n}.sealed").read_bytes() for n in (1, 2, 3)}

    def notes() -> list[str]:
        return [row.note.partition(":")[2].strip() for row in marked(ada) if not row.is_marked]

    changed = "changed, or of another student, task or course key"
    (ada / "task-1.sealed").write_bytes(sealed[2])
    (ada / "task-2.sealed").write_bytes(sealed[1])
    assert notes() == [changed, changed]
    (ada / "task-1.sealed").write_bytes((bob / "task-1.sealed").read_bytes())
    (ada / "task-2.sealed").write_bytes(sealed[2])
    assert notes() == [changed]
    (ada / "task-1.sealed").unlink()
    assert "no such file" in notes()[0]
    (ada / "task-1.sealed").write_bytes(bytes(9999))
    assert "more than 2048 bytes" in notes()[0]
    (ada / "task-1.sealed").write_bytes(sealed[1])
    assert notes() == []
    assert [(row.task, row.is_marked) for row in grade([str(ada)], OTHER)] == [("", False)]
    for number in (1, 2, 3):
        (ada / f"task-{number}.sealed").unlink()
    assert [(row.task, row.is_marked) for row in marked(ada)] == [("", False)]


def test_a_copy_of_another_student_s_folder_is_no_work_of_one_s_own(tmp_path: Path) -> None:
    ada = make(tmp_path / "ada")
    answer(ada, right(1))
    copy = Path(shutil.copytree(ada, tmp_path / "bob"))
    rows = grade([str(ada), str(copy)], KEY)
    assert [row.is_marked for row in rows] == [True] * TASKS + [False]
    assert rows[-1].note == f"the same student as in {ada}"
    answer(copy, right(1), student="bob")  # with a name of his own, no solution opens
    assert [(row.student, row.is_marked) for row in grade([str(copy), str(ada)], KEY)][:2] == [
        ("bob", False),
        ("ada", True),
    ]


def test_only_plain_files_in_the_folder_are_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.toml"
    secret.write_text('student = "ada"\n[task-1]\nsentence = "of somebody else"\n')
    kinds = {
        "link": lambda path: path.symlink_to(secret),
        "folder": lambda path: path.mkdir(),
        "pipe": lambda path: os.mkfifo(path),
        "loop": lambda path: path.symlink_to(path),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "missing": lambda path: None,
    }
    folders = []
    for kind, put in kinds.items():
        folder = make(tmp_path / kind)
        (folder / "answers.toml").unlink()
        put(folder / "answers.toml")
        folders.append(str(folder))
    folders += [str(tmp_path / "none"), str(secret), "a\0b", "", "-", "/dev/fd"]
    rows = grade([*folders, str(make(tmp_path / "good", "bob"))], KEY)
    assert [row.is_marked for row in rows] == [False] * len(folders) + [True] * TASKS
    assert not any("somebody" in cell for row in rows for cell in (row.note, row.sentence))


#: Signs that begin a formula, and what NFKC makes one of them: fullwidth and small forms, and the minus of mathematics.
SIGNS = "".join(
    sign for sign in map(chr, range(0x30000)) if unicodedata.normalize("NFKC", sign)[:1] in tuple("=+-@\u2212")
)


@pytest.mark.parametrize(
    "text",
    ["".join(f"{before}{sign}1; " for sign in SIGNS) for before in ("", " ", '"', ' "', "\u3000", "a;", "a; ")]
    + [*SIGNS]
    + [f"{before}=1" for before in ("\t", "\r", "\n", "'", "`", "\u200b", "\ufeff", "\u00a0", "\x00"[:0])],
)
def test_no_cell_is_a_formula(text: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    answer(folder, {text: 1}, sentence=text)
    for row in csv.reader(marks_csv(marked(folder))):
        for cell in row:
            for part in cell.split(";"):
                assert part.strip(' "`')[:1] not in (*SIGNS, "\t", "\r"), cell
            assert cell.isprintable()


def test_a_sentence_stays_as_it_was_written(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    words = 'He said: "1 + 1 = 2", naïve - and 5 < 6, a, b; c'
    answer(folder, {}, sentence=words)
    table = list(csv.DictReader(marks_csv(marked(folder))))
    assert table[0]["sentence"] == words
    answer(folder, {}, sentence="x" * 5000)
    assert len(marked(folder)[0].sentence) < 1100
