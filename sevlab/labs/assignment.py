"""Assignments: broken launches for one student each, whose solutions only the course's key opens; and their marks.

The seed of a task is an HMAC of the student and the task under the course's key, so nobody without the key draws the
same launch. The solution lies beside the task, encrypted (AES-256-GCM) and bound to both. Marking reads
``answers.toml`` and the sealed solutions, and runs nothing.
"""

from __future__ import annotations

import csv
import hmac
import io
import json
import os
import re
import secrets
import textwrap
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..cases.case import DOT_LIMIT, make_case
from ..cases.case_toml import format_case
from ..cases.writing import reason_of, refuse_key_name, temporary_folder, usual_mode, write_files
from ..errors import InputError, escaped, is_shown, quoted
from ..launch.keys import SecretBytes
from ..launch.reading import CasePath, load_file, load_hidden, opened_once
from ..layout.views import View
from .classroom import FILES, NONCE_SIZE, SOLUTION_SIZE, BrokenLaunch, check_count, mark_answer, vocabulary
from .sample_files import write_samples

KEY_SIZE = 32
MOST_TASKS, ID_LIMIT = 20, 64
ANSWERS = "answers.toml"
#: Largest answer file that is read, in bytes, and most characters of a sentence that are handed on.
ANSWERS_LIMIT, SENTENCE_LIMIT = 64 << 10, 1000
#: Points of a task: its faults, which diagnose finds, their values, and the sentence, which the teacher marks.
FAULTS, VALUES, SENTENCE = 60, 20, 20
_README = Path(__file__).with_name("assignment.md")
#: Signs that begin a formula in a spreadsheet, and what NFKC makes one of them. Quotes and separators may be before it.
_SIGNS = r"=+\-@\u2212\u207a-\u207c\u208a-\u208c\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
_FORMULA = re.compile(rf"""(^|[;|])([\s"'`]*)(?=[{_SIGNS}])""")


def make_course_key(path: str, name: str) -> None:
    """Write a new course key, 32 random bytes that only their owner can read. A file that exists is never replaced."""
    if os.path.lexists(path):
        raise InputError(name, f"{quoted(path)}, which exists", "a new file")
    write_files([(path, secrets.token_bytes(KEY_SIZE), name)], private=True)


def load_course_key(path: str, name: str) -> SecretBytes:
    """Read a course key. Raises :class:`~sevlab.errors.InputError` with *name* for anything else."""
    key = load_hidden(path, name, KEY_SIZE)
    if len(key) != KEY_SIZE or len(set(key.reveal())) == 1:
        received = f"{quoted(path)}, {len(key)} bytes" + " all alike" * (len(key) == KEY_SIZE)
        raise InputError(name, received, f"a course key: {KEY_SIZE} random bytes", "--new-course-key FILE")
    return key


def check_student(student: str, name: str) -> str:
    """Return a student's name or number in one form (NFC); refuse what cannot be seen or compared."""
    student = unicodedata.normalize("NFC", student)
    if not 0 < len(student) <= ID_LIMIT or student != student.strip() or not all(map(is_shown, student)):
        raise InputError(name, quoted(student), f"1 to {ID_LIMIT} visible characters, no space first or last")
    return student


def _bound(use: str, student: str, number: int) -> bytes:
    """Return what a seed or a sealed solution is bound to, in one way only."""
    return json.dumps(["sevlab assignment 1", use, student, number]).encode()


def task_seed(key: SecretBytes, student: str, number: int) -> str:
    """Return the seed of a student's task, in hex."""
    return hmac.digest(key.reveal(), _bound("seed", student, number), "sha256").hex()


def unseal(key: SecretBytes, student: str, number: int, sealed: bytes) -> bytes:
    """Return a solution. Raises InputError for one that is changed, or sealed for another student, task or key."""
    try:
        nonce, rest = sealed[:NONCE_SIZE].ljust(NONCE_SIZE), sealed[NONCE_SIZE:]
        return AESGCM(key.reveal()).decrypt(nonce, rest, _bound("solution", student, number))
    except InvalidTag:
        needed = "the file that came with the task"
        raise InputError("solution", "changed, or of another student, task or course key", needed) from None


def write_assignment(folder: str, key: SecretBytes, student: str, count: int, faults: int, name: str) -> None:
    """Write *count* tasks for a student into a new folder, whole or not at all; InputError with *name*."""
    check_count(faults, "--faults")
    refuse_key_name(folder, name)
    if os.path.lexists(folder):
        raise InputError(name, f"{quoted(folder)}, which exists", "a new folder")
    try:
        with temporary_folder(".sevlab-", os.path.dirname(os.path.abspath(folder))) as made:
            write_samples(made, FILES.values())
            for file, content in _files(made, key, student, count, faults):
                Path(made, file).write_bytes(content)
            os.chmod(made, usual_mode(0o777))
            os.rename(made, folder)
    except (OSError, ValueError) as error:
        raise InputError(name, f"{quoted(folder)}: {reason_of(error)}", "a folder that can be made") from None


def _files(folder: str, key: SecretBytes, student: str, count: int, faults: int) -> Iterator[tuple[str, bytes]]:
    for number in range(1, count + 1):
        seed = task_seed(key, student, number)
        launch = BrokenLaunch(seed, faults, folder, f"Task {number} of {count}")
        yield f"task-{number}.txt", f"{View(*launch.evidence()).text()}\n".encode()
        with opened_once():
            yield f"task-{number}.toml", format_case(make_case(launch.inputs), folder).encode()
        yield f"task-{number}.sealed", launch.seal(key, _bound("solution", student, number), count)
    yield ANSWERS, _form(student, count).encode()
    rows = [f"- {inputs.replace(chr(10), ', ')}: {about}" for inputs, about in vocabulary()]
    lines = "\n".join(textwrap.fill(row, 79, subsequent_indent="  ", break_on_hyphens=False) for row in rows)
    points = {"faults": FAULTS, "values": VALUES, "sentence": SENTENCE}
    yield "README.md", _README.read_text("utf-8").format(student=student, count=count, rows=lines, **points).encode()


def _form(student: str, count: int) -> str:
    import tomli_w

    tables = [f'\n[task-{number}]\nsentence = ""\n\n[task-{number}.faults]\n' for number in range(1, count + 1)]
    return f"# See README.md.\n{tomli_w.dumps({'student': student})}{''.join(tables)}"


@dataclass(frozen=True)
class Row:
    """One line of the marks. Without a task, the folder could not be marked at all; ``note`` says why."""

    folder: str
    student: str = ""
    task: str = ""
    right: str = ""
    wrong: str = ""
    missing: str = ""
    values: str = ""
    points: str = ""
    sentence: str = ""
    note: str = ""
    solution: str = ""

    @property
    def is_marked(self) -> bool:
        return bool(self.points)


def grade(folders: Iterable[str], key: SecretBytes) -> list[Row]:
    """Mark the answers in folders that :func:`write_assignment` made. What cannot be marked is a row that says why."""
    rows, seen = [], dict[str, str]()
    for folder in folders:
        try:
            data, student = _read(folder)
        except InputError as error:
            rows.append(Row(folder, note=f"{ANSWERS}: {error.received}"))
            continue
        found = list(_grade(folder, key, data, student))
        if student in seen:
            note = f"the same student as in {seen[student]}"
            found = [Row(folder, student, note=note)]
        elif any(row.is_marked for row in found):  # who only writes a name takes nobody's place
            seen[student] = folder
        rows += found
    return rows


def _load(folder: str, name: str, limit: int) -> bytes:
    with opened_once(fresh=True):  # hundreds of folders: nothing stays open
        return load_file(CasePath(os.path.join(folder, name), folder), name, limit)


def _read(folder: str) -> tuple[dict[str, object], str]:
    """Return a folder's answers, and whose they are. Everything in the file may be hostile."""
    raw = _load(folder, ANSWERS, ANSWERS_LIMIT)
    received = f"more than {DOT_LIMIT} dots"  # over which Python's TOML reader may sit for long
    if raw.count(b".") <= DOT_LIMIT:
        try:
            data = tomllib.loads(raw.decode())
            if isinstance(student := data.get("student"), str):
                return data, check_student(student, ANSWERS)
            received = "no student"
        except InputError as error:
            received = f"student {error.received}"
        except UnicodeDecodeError:
            received = "bytes that are not UTF-8"
        except ValueError as error:
            received = f"text that is not TOML: {quoted(error, 120)[1:-1]}"
        except RecursionError:
            received = "values nested too deeply"
    raise InputError(ANSWERS, received, "the answer form, filled in")


def _grade(folder: str, key: SecretBytes, data: dict[str, object], student: str) -> Iterator[Row]:
    opened, broken = dict[int, bytes](), dict[int, str]()
    for number in range(1, MOST_TASKS + 1):
        name = f"task-{number}.sealed"
        try:
            opened[number] = unseal(key, student, number, _load(folder, name, 2 * SOLUTION_SIZE))
        except InputError as error:
            broken[number] = f"{name}: {error.received}"
    if not opened:
        yield Row(folder, student, note=broken[1])
        return
    count = max(json.loads(solution)["of"] for solution in opened.values())
    for number in range(1, count + 1):
        if number in opened:
            yield _mark(Row(folder, student, str(number)), opened[number], data.get(f"task-{number}"))
        else:
            yield Row(folder, student, str(number), note=broken[number])


def _mark(row: Row, solution_json: bytes, answer: object) -> Row:
    solution = json.loads(solution_json)["faults"]
    shown = "; ".join(
        f"{name.replace('_', '-')} = {'none' if found is None else hex(found) if name == 'policy' else repr(found)}"
        for inputs in solution.values()
        for name, (wrote, found) in inputs.items()
        if wrote != found
    )
    table = answer if isinstance(answer, dict) else {}
    named, sentence = table.get("faults", {}), table.get("sentence", "")
    notes = {
        f"no table [task-{row.task}]": isinstance(answer, dict),
        "faults is no table": isinstance(named, dict),
        "sentence is no text": isinstance(sentence, str),
    }
    marked = mark_answer(solution, named if isinstance(named, dict) else {})
    notes[f"no inputs: {_short(', '.join(marked.unknown), 200)}"] = not marked.unknown
    names = {one: "/".join(solution[one]).replace("_", "-") for one in solution}
    earned = ((FAULTS, marked.right), (VALUES, marked.values))
    points = sum(most * max(0, len(good) - len(marked.extra)) for most, good in earned) / len(solution)
    return replace(
        row,
        right=" ".join(names[one] for one in marked.right),
        wrong=_short(" ".join(marked.extra), 200),
        missing=" ".join(names[one] for one in marked.missing),
        values=" ".join(names[one] for one in marked.values),
        points=f"{round(points, 1):g}",
        sentence=_short(sentence if isinstance(sentence, str) else "", SENTENCE_LIMIT),
        note="; ".join(note for note, is_good in notes.items() if not is_good),
        solution=shown,
    )


def _short(text: str, limit: int) -> str:
    text = escaped(" ".join(text[: 2 * limit].split()))
    return text if len(text) <= limit else f"{text[:limit]}... (cut)"


def marks_csv(rows: Iterable[Row]) -> list[str]:
    """Return the marks as lines of CSV. No cell is a formula to a spreadsheet."""
    names = [field.name for field in fields(Row)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in astuple(row)] for row in rows)
    return stream.getvalue().splitlines()


def _cell(text: str) -> str:
    """Return text with an apostrophe before what a spreadsheet would take for a formula."""
    return _FORMULA.sub(r"\1'\2", escaped(text))
