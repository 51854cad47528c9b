"""Case files: what is read comes back as written, and what does not belong is refused in one line."""

from __future__ import annotations

import ast
import base64
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sevlab.attestation.requirements import SIZES
from sevlab.cases.case import ABOUT, BY_NAME, MODES, ROWS, Case, Row, make_case
from sevlab.cases.case_toml import (
    find_line,
    format_case,
    parse_case,
    read_case,
    record_explanation,
    write_case,
)
from sevlab.errors import InputError
from sevlab.formats.policy import Policy
from sevlab.launch.inputs import Sha256, load_launch
from sevlab.launch.keys import describe_path
from tests.cases.sample_cases import Told, case_of
from tests.paths import DOCS, ROOT


@pytest.mark.parametrize("inputs", [None, {"tik": "k"}, {"message": 1}, {"firmware": "no such file"}, {"policy": -1}])
def test_what_no_input_says_is_noted_in_words(inputs: dict[str, object] | None) -> None:
    case = record_explanation(case_of("sev"), Told(inputs))
    assert (case.found, case.about["explanation"]) == ({}, "because")


def test_an_input_that_must_go_is_noted_as_gone() -> None:
    case = record_explanation(case_of("seves"), Told({"kernel": None, "initrd": None, "cmdline": None, "svsm": None}))
    assert case.found == {"kernel": None, "initrd": None, "cmdline": None}
    assert "kernel = false" in format_case(case)


MEASUREMENT = "7vHlsVKpvBaUHU5jzpNtfLMFAljbBnVrkqO51p3Ny3sZHribEtvolLvSRs0SqW8a"


PAGE = (DOCS / "case.md").read_text(encoding="utf-8")


def documented() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_documented_example_is_read_in_full():
    case = parse_case(documented(), "cases/web.toml")
    assert case.inputs["measurement"] == MEASUREMENT
    assert (case.inputs["api_minor"], case.inputs["policy"], case.inputs["num_cpus"]) == (22, 5, 4)
    assert case.inputs["kernel"] == os.path.join("cases", "boot/vmlinuz")
    assert case.inputs["tik"] == os.path.join("cases", "keys/tik.bin")
    assert case.origin["kernel"].endswith("named by the host")
    assert set(case.hashes) == {"firmware", "kernel", "initrd"}


def test_the_documentation_lists_every_key_with_its_meaning_and_no_other():
    listed = re.findall(r"^\| `\[(\w+)\]` \| `([\w-]+)` \| (.*) \|$", PAGE, re.MULTILINE)
    rows = (*ROWS, *ABOUT)
    assert [(section, key) for section, key, _ in listed] == [(row.section, row.key) for row in rows]
    for row, (_, _, words) in zip(rows, listed, strict=True):
        assert words.startswith(row.doc)


@pytest.mark.parametrize("text", re.findall(r"^    ERROR: (.*)$", PAGE, re.MULTILINE))
def test_the_documented_error_is_the_real_one(text):
    broken = documented().replace("api-minor = 22", "api_minor = 22")
    with pytest.raises(InputError) as caught:
        parse_case(broken, "case.toml")
    assert str(caught.value) == text


VALUES = {
    "measurement": st.binary(min_size=48, max_size=48).map(lambda raw: base64.b64encode(raw).decode()),
    "number": st.integers(0, 15),
    "count": st.integers(1, 4096),
    "text": st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    "file": st.from_regex(r"[a-z][a-z/]{0,20}[a-z]", fullmatch=True),
    # A path of 16 bytes that names no file may be the key itself, and is refused.
    "key file": st.from_regex(r"[a-z][a-z/]{0,20}[a-z]", fullmatch=True).filter(lambda path: not describe_path(path)),
    "forbid": st.booleans(),
    "mode": st.sampled_from(list(MODES)),
}


def values_of(row: Row) -> st.SearchStrategy:
    """Return values that a case may have under a key."""
    if row.name == "snp_min_tcb":
        return st.sampled_from(["bl=4,tee=0,snp=24,ucode=219", "fmc=1"])
    if row.kind == "requirement":
        size = SIZES[row.name.removeprefix("snp_")]
        return st.binary(min_size=size, max_size=size).map(bytes.hex)
    if row.kind == "bytes":
        return st.binary(min_size=row.limit, max_size=row.limit)
    if row.name in ("kernel", "initrd"):
        return VALUES["file"] | st.binary(min_size=32, max_size=32).map(Sha256)
    return st.integers(0, 3) if row.name == "snp_vmpl" else VALUES[row.kind]


def some(names: Sequence[str]) -> st.SearchStrategy:
    """Return inputs that a case may have, any of *names*."""
    rows = [BY_NAME[name] for name in names]
    return st.fixed_dictionaries({}, optional={row.name: values_of(row) for row in rows})


#: Inputs that contradict no other, and those that may be found.
FREE = [name for name in BY_NAME if name not in ("digest", "mode")]


FOUND = [name for name in BY_NAME if BY_NAME[name].kind not in ("key file", "forbid")]


@given(
    some(FREE) | some(["digest", "tik", "api_major"]) | some(["mode", "svsm", "num_cpus"]),
    some(FOUND),
    st.sets(st.sampled_from(FOUND)),
    st.dictionaries(st.sampled_from([row.name for row in ABOUT]), VALUES["text"]),
    st.binary(max_size=8),
)
@example({"tik": "./" + "a" * 16}, {}, set(), {}, b"")
def test_what_is_written_is_read_back(inputs, found, gone, about, salt):
    found |= dict.fromkeys(gone)
    sha256 = hashlib.sha256(salt).hexdigest()
    hashes, found_hashes = (
        {name: sha256 for name, value in some.items() if BY_NAME[name].kind == "file" and isinstance(value, str)}
        for some in (inputs, found)
    )
    case = Case(inputs, hashes, {name: f"from {name}" for name in inputs}, "", about, found, found_hashes)
    again = parse_case(format_case(case), "")
    for part in ("inputs", "hashes", "origin", "about", "found", "found_hashes"):
        assert getattr(again, part) == getattr(case, part)
    assert format_case(again) == format_case(case)


@given(st.text(max_size=400) | st.text("[]{}=.\"'\n# format1owner-abc", max_size=400))
def test_any_text_gives_a_case_or_one_line(text):
    message = ""
    try:
        parse_case(text, "x.toml")
    except InputError as error:
        message = str(error)
    assert "\n" not in message


REFUSED = {
    "no TOML": ("format = = 1\n", 1, "text that is not TOML"),
    "no format": ("[owner]\n", 0, "no format key"),
    "other format": ("# c\nformat = 3\n", 2, "format: received '3'; needed 2, the only"),
    "format before all": ("format = 0\n", 1, "format: received '0'"),
    "format 1": ("format = 1\n", 1, "format: received '1'; needed 2, the only format this sevlab reads"),
    "no path for firmware": (f"format = 2\n[owner]\nfirmware = {{ sha256 = '{'a' * 64}' }}\n", 3, "received no path"),
    "no such mode": ("format = 2\n[launch]\nmode = 'tdx'\n", 3, "needed one of sev, seves, snp, snp:svsm"),
    "mode against policy": ("format = 2\n[reported]\npolicy = 1\n[launch]\nmode = 'seves'\n", 5, "needed 'sev'"),
    "short digest": ("format = 2\n[owner]\ndigest = 'aa'\n", 3, "needed 32 bytes"),
    "digest and firmware": (
        f"format = 2\n[owner]\ndigest = '{'a' * 64}'\nfirmware = {{ path = 'f', sha256 = '{'a' * 64}' }}\n",
        3,
        "it together with firmware",
    ),
    "about no text": ("format = 2\n[about]\nnote = 3\n", 3, "about.note: received a number"),
    "unknown about": ("format = 2\n[about]\nnotes = ''\n", 3, "about.notes: received an unknown key"),
    "found key": ("format = 2\n[found]\ntik = 'k'\n", 3, "found.tik: received a key file"),
    "found with true": ("format = 2\n[found]\nkernel = true\n", 3, "found.kernel: received true or false"),
    "true as format": ("format = true\n", 1, "true or false"),
    "unknown section": ("format = 2\n\n[owners]\ncmdline = 'x'\n", 3, "owners: received an unknown key"),
    "unknown key": ("format = 2\n[owner]\ncmdline = 'x'\nfirmwear = 'y'\n", 4, "owner.firmwear: received an unknown"),
    "hostile key": ('format = 2\n[owner]\n"a\\u001b[2Jb" = 1\n', 3, "\\x1b[2Jb"),
    "section no table": ("format = 2\nowner = 3\n", 2, "owner: received a number; needed a table"),
    "array of tables": ("format = 2\n[[owner]]\ncmdline = 'x'\n", 2, "a list"),
    "text for number": ("format = 2\n[reported]\napi-minor = '22'\n", 3, "reported.api-minor: received text"),
    "truth for number": ("format = 2\n[reported]\napi-minor = true\n", 3, "received true or false"),
    "fraction": ("format = 2\n[reported]\napi-minor = 2.5\n", 3, "a number with a fraction"),
    "date": ("format = 2\n[owner]\ncmdline = 2020-01-01\n", 3, "a date or time"),
    "too large": ("format = 2\n[reported]\napi-major = 1\napi-minor = 256\n", 4, "0 to 255"),
    "negative": ("format = 2\n[reported]\npolicy = -1\n", 3, "0 to 4294967295"),
    "no CPU": ("format = 2\n[owner]\nnum-cpus = 0\n", 3, "1 to 4096"),
    "huge": ("format = 2\n[owner]\nnum-cpus = 0x" + "f" * 9000 + "\n", 3, "a huge number"),
    "short wanted": ("format = 2\n[snp]\nsnp-measurement = 'aa'\n", 3, "snp.snp-measurement: received 'aa'"),
    "no such part": ("format = 2\n[snp]\nsnp-min-tcb = 'cpu=1'\n", 3, "the part 'cpu'"),
    "no decision": ("format = 2\n[snp]\nsnp-forbid-debug = 1\n", 3, "needed true or false"),
    "no such VMPL": ("format = 2\n[snp]\nsnp-vmpl = 4\n", 3, "0 to 3"),
    "huge format": ("format = 0x" + "f" * 9000 + "\n", 1, "a huge number"),
    "huge decimal": ("format = " + "9" * 9000 + "\n", 0, "text that is not TOML"),
    "short measurement": ("format = 2\n[reported]\nmeasurement = 'AAAA'\n", 3, "3 bytes"),
    "path only": ("format = 2\n[owner]\nfirmware = 'OVMF.fd'\n", 3, "owner.firmware: received text"),
    "no hash": ("format = 2\n[owner]\nfirmware = { path = 'OVMF.fd' }\n", 3, "no sha256"),
    "no path": ("format = 2\n[owner]\nfirmware = { sha256 = 'aa' }\n", 3, "no path"),
    "bad hash": ("format = 2\n[owner.firmware]\npath = 'OVMF.fd'\nsha256 = 'abc'\n", 4, "owner.firmware.sha256"),
    "bad hash inline": ("format = 2\n[owner]\nfirmware = {path='f', sha256='abc'}\n", 3, "64 hex digits"),
    "extra in file": ("format = 2\n[owner.kernel]\npath = 'k'\nsize = 4\n", 4, "owner.kernel.size"),
    "empty path": (f"format = 2\n[owner]\nkernel = {{path='', sha256='{'a' * 64}'}}\n", 3, "the path of a file"),
    "zero byte": ('format = 2\n[owner]\ntik = "a\\u0000b"\n', 3, "path of a file"),
    "unknown origin": ("format = 2\n[origin]\nowner = 'x'\n", 3, "origin.owner"),
    "origin no text": ("format = 2\n[origin]\npolicy = 3\n", 3, "origin.policy: received a number"),
    "nested": ("format = " + "[" * 20000 + "\n", 0, "nested too deeply"),
    "many dots": ("a" + ".a" * 20000 + " = 1\n", 0, "dots"),
    "dotted keys": ("format = 2\nowner.num-cpus = 2\nowner.cmdline = 4\n", 3, "owner.cmdline"),
    "after a long text": (
        'format = 2\n[owner]\ncmdline = """\nnum-cpus = 1\n"""\nnum-cpus = "x"\n',
        6,
        "owner.num-cpus",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_belong_is_refused_with_its_line(name):
    text, line, words = REFUSED[name]
    with pytest.raises(InputError) as caught:
        parse_case(text, "c.toml")
    message = str(caught.value)
    assert words in message
    assert message.startswith("'c.toml'")
    assert "\n" not in message
    if line:
        assert f"line {line}" in message


@pytest.mark.parametrize("key", ["00112233445566778899aabbccddeeff", "ABEiM0RVZneImaq7zN3u/w=="])
def test_a_key_in_place_of_a_path_is_refused_and_not_shown(key):
    with pytest.raises(InputError) as caught:
        parse_case(f"format = 2\n[owner]\ntik = '{key}'\n", "c.toml")
    assert "looks like a key itself" in str(caught.value)
    assert key not in str(caught.value)
    assert key not in repr(caught.value)


@given(st.sampled_from([row for row in ROWS if row.kind != "file"]), st.integers(0, 6))
def test_the_line_is_that_of_the_key(row, blanks):
    text = "format = 2\n" + "\n" * blanks + f"[{row.section}]\n# {row.key} = 0\n{row.key} = {{}}\n"
    assert find_line(text, (row.section, row.key)) == blanks + 4


def test_the_line_of_what_is_not_there_is_unknown():
    assert find_line("format = 2\n", ("owner", "cmdline")) == 0


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"format = 2\n" + b"#" * 70000])
def test_files_that_are_no_case_are_refused(tmp_path, raw):
    path = tmp_path / "c.toml"
    path.write_bytes(raw)
    with pytest.raises(InputError):
        read_case(str(path))


def test_a_missing_case_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError):
            read_case(str(path))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "fw").mkdir()
    (tmp_path / "fw" / "OVMF.fd").write_bytes(b"firmware")
    (tmp_path / "tik.bin").write_bytes(bytes(16))
    return tmp_path


def inputs_of(folder: Path) -> dict[str, object]:
    return {
        "measurement": MEASUREMENT,
        "policy": 5,
        "firmware": str(folder / "fw" / "OVMF.fd"),
        "cmdline": "console=ttyS0 ",
        "tik": str(folder / "tik.bin"),
    }


def test_written_files_are_named_relative_to_the_case(files):
    path = files / "case.toml"
    write_case(make_case(inputs_of(files), {"policy": "asked"}), str(path))
    text = path.read_text(encoding="utf-8")
    assert 'path = "fw/OVMF.fd"' in text
    assert str(files) not in text
    assert bytes(16).hex() not in text
    moved = files.parent / (files.name + "-moved")
    files.rename(moved)
    case = read_case(str(moved / "case.toml"))
    assert Path(case.inputs["firmware"]).read_bytes() == b"firmware"
    assert case.changed == []


def test_files_elsewhere_are_named_absolutely(files):
    (files / "cases").mkdir()
    write_case(make_case(inputs_of(files)), str(files / "cases" / "case.toml"))
    case = read_case(str(files / "cases" / "case.toml"))
    assert case.inputs["firmware"] == str(files / "fw" / "OVMF.fd")


def test_the_hash_of_a_key_file_is_not_written(files):
    text = format_case(make_case(inputs_of(files)))
    assert hashlib.sha256(bytes(16)).hexdigest() not in text
    assert hashlib.sha256(b"firmware").hexdigest() in text


def test_a_changed_file_is_told_and_does_not_stop_the_reading(files):
    path = files / "case.toml"
    write_case(make_case(inputs_of(files)), str(path))
    (files / "fw" / "OVMF.fd").write_bytes(b"other firmware")
    case = read_case(str(path))
    [change] = case.changed
    assert change.name == "firmware"
    assert change.now == hashlib.sha256(b"other firmware").hexdigest()
    assert "has changed" in str(change)
    (files / "fw" / "OVMF.fd").unlink()
    [change] = case.changed
    assert change.now == ""
    assert "can't be read" in str(change)


def test_an_existing_case_is_replaced_only_when_forced(files):
    path = files / "case.toml"
    path.write_text("mine", encoding="utf-8")
    case = make_case(inputs_of(files))
    with pytest.raises(InputError, match="--force"):
        write_case(case, str(path))
    assert path.read_text(encoding="utf-8") == "mine"
    write_case(case, str(path), force=True)
    assert read_case(str(path)).inputs["policy"] == 5
    assert not [name for name in os.listdir(files) if name.startswith(".sevlab")]


def test_a_dangling_link_is_not_written_through(files):
    path = files / "case.toml"
    path.symlink_to(files / "elsewhere")
    with pytest.raises(InputError, match="--force"):
        write_case(make_case(inputs_of(files)), str(path))
    assert not (files / "elsewhere").exists()
    write_case(make_case(inputs_of(files)), str(path), force=True)
    assert path.is_symlink()
    assert read_case(str(files / "elsewhere")).inputs["policy"] == 5


@pytest.mark.parametrize(
    "value", [{"policy": 1 << 32}, {"cmdline": "\udcff"}, {"num_cpus": True}, {"cmdline": "x" * 70000}]
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, value):
    with pytest.raises(InputError):
        write_case(Case(value), str(tmp_path / "c.toml"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        write_case(Case({"policy": 1}), str(tmp_path / "none" / "c.toml"))


def test_a_kernel_may_be_known_by_its_hash(files) -> None:
    text = f"format = 2\n[owner]\nkernel = {{ sha256 = '{hashlib.sha256(b'k').hexdigest().upper()}' }}\n"
    case = parse_case(text, "c.toml")
    assert case.inputs["kernel"] == hashlib.sha256(b"k").digest()
    assert str(case.inputs["kernel"]) == f"SHA-256 {hashlib.sha256(b'k').hexdigest()}"
    assert (case.hashes, case.changed) == ({}, [])
    (files / "kernel").write_bytes(b"k")
    by_file, by_hash = (
        load_launch(Policy(1), firmware=str(files / "fw" / "OVMF.fd"), kernel=kernel)
        for kernel in (str(files / "kernel"), case.inputs["kernel"])
    )
    assert by_file.digest == by_hash.digest


def test_reading_stays_light():
    code = (
        "import sys; from sevlab.cases.case_toml import parse_case; parse_case('format = 2', 'x'); "
        "print([m for m in ('cryptography', 'tempfile', 'tomli_w') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ast.literal_eval(done.stdout) == []


def test_standard_input_is_read_once(capsys: pytest.CaptureFixture[str]) -> None:
    from sevlab.cli import main

    assert main(["validate", "--case", "-", "--firmware", "-"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "--firmware: received '-' when --case already reads standard input" in captured.err


def test_a_case_that_cannot_be_opened_is_named_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    from sevlab.cli import main

    for verb in ("validate", "explain", "diagnose"):
        assert main([verb, "--case", "no such file"]) == 2
        assert capsys.readouterr().err.startswith("ERROR: --case: received 'no such file'")
