"""The debugger, without a browser: paste, read, upload, search, apply, go on."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.cases.capture import TEXT_LIMIT
from sevlab.labs import samples
from sevlab.labs.classroom import broken_launch
from sevlab.widgets.debugger import Debugger, debugger
from tests.diagnosis.sev_cases import SPACES, report, true_values
from tests.paths import SAMPLES

ES = {
    "firmware": str(SAMPLES / "firmware-kernel.fd"),
    "tk": str(SAMPLES / "tk.bin"),
    "kernel": str(SAMPLES / "kernel.bin"),
    "initrd": str(SAMPLES / "initrd.bin"),
    "cmdline": "console=ttyS0",
    "num_cpus": 4,
    "cpu_family": 25,
    "cpu_model": 1,
    "cpu_stepping": 1,
}


def paste(page: Debugger, text: str) -> None:
    page.paste.value = text
    page.read.click()


def search(page: Debugger) -> None:
    page.why.click()
    page.wait(300)


@pytest.fixture
def page() -> Debugger:
    """A page with the second sample on it, which validates."""
    page = debugger(ES)
    paste(page, (SAMPLES / "launch-es.txt").read_text())
    return page


def test_from_a_paste_to_the_verdict(page: Debugger) -> None:
    assert page.error == ""
    assert page.verdict is not None
    assert page.verdict.matches
    assert "Understood" in page.understood.value
    assert "OK: Looks good to me" in page.banner.value


def test_from_a_mismatch_to_the_reason_and_on(page: Debugger) -> None:
    page.boxes["build_id"].value = "19"
    page.boxes["num_cpus"].value = "8"
    assert page.verdict is not None
    assert not page.verdict.matches
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.status == "explained"
    text, button, note = page.result.children
    assert "EXPLAINED" in text.value
    assert "Decimal versus hex" in text.value
    assert (button.disabled, note.value) == (False, "")
    button.click()
    assert page.verdict.matches
    assert button.disabled is True
    assert "Applied" in note.value
    assert "OK: Looks good to me" in repr(page)
    assert (page.boxes["build_id"].value, page.boxes["num_cpus"].value) == ("13", "4")
    assert page.why.disabled is False
    assert page.stop.disabled is True


def test_an_empty_page_is_no_error() -> None:
    page = debugger()
    assert (page.error, page.verdict, page.alert.value) == ("", None, "")
    assert "Nothing is given yet" in page.banner.value
    search(page)
    assert "alert" in page.progress.value
    assert page.why.disabled is False


def test_a_case_is_taken_by_paste_and_by_name(tmp_path: Path) -> None:
    lines = dict(line.split(":", 1) for line in (SAMPLES / "launch-es.txt").read_text().splitlines() if line)
    given = {**ES, **{key.strip()[4:].replace("-", "_"): value.strip() for key, value in lines.items()}}
    numbers = {name: int(given[name], 0) for name in ("api_major", "api_minor", "build_id", "policy")}
    case = sevlab.cases.case.make_case({**given, **numbers})
    page = debugger(case)
    assert page.verdict is not None
    assert page.verdict.matches
    path = tmp_path / "case.toml"
    sevlab.cases.case_toml.write_case(case, str(path))
    text = path.read_text()
    page = debugger()
    paste(page, text)
    assert "A case file with" in page.understood.value
    assert page.boxes["num_cpus"].value == "4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "<",
        "<a>" * 100_000,
        "{",
        "[reported]",
        "format = 2\n[reported]\nmeasurement = 5\n",
        "\0" * 1000,
        "<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>",
        "x" * (2 << 20),
        "a line of text\n" * 700_000,
        "\ud800",
        "sev-measurement: nonsense",
    ],
)
def test_a_hostile_paste_is_one_line_and_loses_nothing(text: str, page: Debugger) -> None:
    before = page.inputs
    paste(page, text)
    assert page.inputs == before
    assert page.verdict is not None
    assert page.verdict.matches
    assert len(page.understood.value) < 100_000


@pytest.mark.parametrize("length", [TEXT_LIMIT + 1, 10_000_000, 10**12])
def test_a_paste_too_long_to_send_is_told(length: int, page: Debugger) -> None:
    before = page.inputs
    page.paste._handle_custom_msg({"refused": length}, [])
    assert f"{length} characters" in page.understood.value
    assert 'role="alert"' in page.understood.value
    assert page.inputs == before
    page.read.click()  # what stood in the box is still there
    assert "Understood" in page.understood.value
    for nonsense in (None, {}, [], {"refused": "<b>"}, "x"):
        page.paste._handle_custom_msg(nonsense, [])
    assert "Understood" in page.understood.value


def send(page: Debugger, name: str, raw: bytes) -> None:
    """Upload as the browser does."""
    item = {"name": name, "type": "", "size": len(raw), "content": memoryview(raw), "last_modified": 1700000000000}
    page.uploads[name].set_state({"value": [item]})
    assert page.uploads[name].value == ()
    assert page.uploads[name].get_state()["value"] == []


def test_uploads_are_taken_and_keys_do_not_stay(page: Debugger) -> None:
    for name, raw in (
        ("firmware", samples.firmware_for_kernels()),
        ("kernel", samples.KERNEL),
        ("initrd", samples.INITRD),
        ("tk", samples.TEK + samples.TIK),
    ):
        page.boxes[name].value = ""
        send(page, name, raw)
    assert page.error == ""
    assert page.verdict is not None
    assert page.verdict.matches
    assert page.boxes["tk"].value == "(uploaded)"
    assert samples.TIK.hex() not in repr(page.inputs)
    page.boxes["policy"].value = "0x7"
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.explanations[0].found == {"policy": 5}


@pytest.mark.parametrize("raw", [b"", b"short", (samples.TEK + samples.TIK).hex().encode()])
def test_a_key_upload_of_another_size_is_told_and_searched(raw: bytes, page: Debugger) -> None:
    send(page, "tk", raw)
    assert "Key file" in page.error
    assert samples.TIK.hex() not in page.error
    if len(raw) == 64:
        search(page)
        assert page.diagnosis is not None
        assert page.diagnosis.explanations[0].found == {"tk": "hex text"}
        page.result.children[1].click()
        assert page.verdict is not None
        assert page.verdict.matches


def test_without_threads_the_search_runs_at_once(page: Debugger, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    page.boxes["policy"].value = "3"
    monkeypatch.setattr(threading.Thread, "start", start)
    page.why.click()
    assert page.diagnosis is not None
    assert page.diagnosis.status == "explained"
    assert (page.why.disabled, page.stop.disabled) == (False, True)


def test_a_search_can_be_stopped(page: Debugger) -> None:
    page.boxes["tk"].value = ""
    send(page, "tk", bytes(range(32)))
    page.why.click()
    assert page.why.disabled is True
    assert page.stop.disabled is False
    page.stop.click()
    page.wait(300)
    assert page.diagnosis is not None
    assert page.diagnosis.stopped == "it was interrupted"
    assert page.why.disabled is False


def test_an_emptied_page_stays_empty_and_can_search_at_once(page: Debugger) -> None:
    good = {name: box.value for name, box in page.boxes.items()}
    send(page, "tk", bytes(range(32)))
    page.why.click()
    first = page._thread
    page.clear.click()
    assert page.why.disabled is False
    page.set_inputs({**good, "build_id": 19})
    search(page)
    assert first is not None
    first.join(30)
    assert page.diagnosis is not None
    assert page.diagnosis.explanations[0].found == {"build_id": 13}
    assert "EXPLAINED" in page.result.children[0].value
    send(page, "tk", bytes(range(32)))
    page.why.click()
    page.clear.click()
    page.wait(300)
    assert (page.diagnosis, page.result.children, page.progress.value) == (None, (), "")


@pytest.mark.parametrize("when", ["after", "while"])
def test_an_explanation_of_other_inputs_is_not_applied(
    when: str, page: Debugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.boxes["build_id"].value = "19"
    if when == "while":

        def change_then_search(*args: Any, **options: Any) -> sevlab.diagnosis.result.Diagnosis:
            diagnosis = sevlab.diagnose(*args, **options)
            page.boxes["policy"].value = "0x1"
            return diagnosis

        monkeypatch.setitem(Debugger.search.__globals__, "diagnose", change_then_search)
    search(page)
    if when == "after":
        page.boxes["policy"].value = "0x1"
    text, button, note = page.result.children
    assert "EXPLAINED" in text.value
    assert button.disabled is True
    assert "have changed since" in note.value
    assert "EXPLAINED" not in repr(page)


def test_an_error_of_ours_is_told_in_the_page(page: Debugger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("inside")

    monkeypatch.setitem(Debugger.search.__globals__, "diagnose", fail)
    with pytest.raises(RuntimeError):
        page.search()
    assert "An error in sevlab: RuntimeError" in page.progress.value
    assert page.why.disabled is False


def test_a_folder_that_is_not_there_is_named_as_on_the_page(page: Debugger) -> None:
    page.boxes["build_id"].value = "19"
    page.candidates.value = "/nonexistent"
    search(page)
    assert "Candidates: received" in page.progress.value


def test_an_explanation_that_no_input_can_say_is_told(page: Debugger) -> None:
    raw = report({**true_values(SPACES["es"], {}), "message": True})
    given = {**SPACES["es"].inputs.launch.given, "tk": ES["tk"], "policy": 5}
    given |= {"api_major": 0, "api_minor": 22, "build_id": 13}
    page.set_inputs({**given, "measurement": base64.b64encode(raw).decode()})
    search(page)
    page.result.children[1].click()
    assert "not supported" in page.progress.value


def test_starting_again_empties_the_page(page: Debugger) -> None:
    page.clear.click()
    assert page.inputs == {}
    assert (page.paste.value, page.understood.value, page.result.children) == ("", "", ())


def test_a_broken_launch_of_the_classroom_is_explained() -> None:
    launch = broken_launch(4, 2)
    page = debugger(launch.inputs)
    search(page)
    page.result.children[1].click()
    assert page.verdict is not None
    assert page.verdict.matches


def test_coverage_is_shown_for_a_configuration(page: Debugger) -> None:
    words = "-object sev-guest,id=sev0,policy=0x5 -machine confidential-guest-support=sev0 -drive file=d"
    paste(page, f"qemu-system-x86_64 {words}")
    assert "measured" in page.coverage.value


def test_it_has_a_static_twin(page: Debugger) -> None:
    bundle = page._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "OK: Looks good to me" in data["text/plain"]
    assert "OK: Looks good to me" in data["text/html"]
