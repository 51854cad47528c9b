"""The debugger, without a browser: paste, read, upload, search, apply, go on."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab import samples
from sevlab.exercises import broken_launch
from sevlab.widgets.debugger import Debugger, debugger
from tests.test_search_cases import SPACES, report, true_values

SAMPLES = Path(__file__).parent.parent / "notebooks" / "samples"
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
    page.wait(60)


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
    text, button = page.result.children
    assert "EXPLAINED" in text.value
    assert "Decimal versus hex" in text.value
    button.click()
    assert page.verdict.matches
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
    case = sevlab.make_case({**given, **numbers})
    page = debugger(case)
    assert page.verdict is not None
    assert page.verdict.matches
    path = tmp_path / "case.toml"
    sevlab.write_case(case, str(path))
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
        "format = 1\n[reported]\nmeasurement = 5\n",
        "\0" * 1000,
        "<!DOCTYPE d [<!ENTITY a 'b'>]><domain>&a;</domain>",
        "x" * (2 << 20),
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


def test_uploads_are_taken_and_keys_do_not_stay(page: Debugger, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, raw in (
        ("firmware", samples.firmware_for_kernels()),
        ("kernel", samples.KERNEL),
        ("initrd", samples.INITRD),
        ("tk", samples.TEK + samples.TIK),
    ):
        page.boxes[name].value = ""
        page.uploads[name].value = (
            ({"name": name, "type": "", "size": len(raw), "content": memoryview(raw)},) if False else ()
        )
        monkeypatch.setattr(page, "uploads", {**page.uploads, name: _Upload(raw)})
        page._uploaded(name)
        assert page.uploads[name].value == ()
    assert page.error == ""
    assert page.verdict is not None
    assert page.verdict.matches
    assert page.boxes["tk"].value == "(uploaded)"
    assert samples.TIK.hex() not in repr(page.inputs)
    page.boxes["policy"].value = "0x7"
    search(page)
    assert page.diagnosis is not None
    assert page.diagnosis.explanations[0].found == {"policy": 5}


class _Upload:
    def __init__(self, raw: bytes) -> None:
        self.value: tuple[Any, ...] = (_Content(raw),)


class _Content:
    def __init__(self, raw: bytes) -> None:
        self.content = memoryview(raw)


@pytest.mark.parametrize("raw", [b"", b"short", (samples.TEK + samples.TIK).hex().encode()])
def test_a_key_upload_of_another_size_is_told_and_searched(raw: bytes, page: Debugger) -> None:
    page.uploads = {**page.uploads, "tk": _Upload(raw)}  # type: ignore[dict-item]
    page._uploaded("tk")
    assert "Key file" in page.error
    assert samples.TIK.hex() not in page.error
    if len(raw) == 64:
        search(page)
        assert page.diagnosis is not None
        assert page.diagnosis.explanations[0].found == {"tk": "hex text"}
        page.result.children[1].click()
        assert page.verdict is not None
        assert page.verdict.matches


def test_a_search_can_be_stopped(page: Debugger) -> None:
    page.boxes["tk"].value = ""
    page.uploads = {**page.uploads, "tk": _Upload(bytes(range(32)))}  # type: ignore[dict-item]
    page._uploaded("tk")
    page.why.click()
    assert page.why.disabled is True
    assert page.stop.disabled is False
    page.stop.click()
    page.wait(30)
    assert page.diagnosis is not None
    assert page.diagnosis.stopped == "it was interrupted"
    assert page.why.disabled is False


def test_an_explanation_that_no_input_can_say_is_told(page: Debugger) -> None:
    raw = report({**true_values(SPACES["es"], {}), "message": True})
    given = {**SPACES["es"].given.launch, "tk": ES["tk"], "policy": 5, "api_major": 0, "api_minor": 22, "build_id": 13}
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
