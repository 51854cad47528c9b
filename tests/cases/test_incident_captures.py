"""Every incident, written out as its host's texts, with words dropped, doubled and misspelt, and captured."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sevlab.cases import open_case
from sevlab.cases.capture import HERE, Capture, Found, Remark
from sevlab.cases.case import BY_NAME, make_case
from sevlab.cases.coverage import cover_command_line, cover_domain
from sevlab.cases.locate import locate
from sevlab.cases.recognize import READERS
from sevlab.cases.verify import verify_case
from sevlab.errors import SevlabError
from sevlab.launch.reading import load_file
from sevlab.launch.snp import load_snp_launch
from tests.cases.launch_texts import NAMES, reported_in, spoilt, texts_of
from tests.cases.sample_cases import inputs_of
from tests.paths import NOTEBOOKS
from tests.soak import SOAK, some

INCIDENTS = sorted(path.stem for path in (NOTEBOOKS / "incidents" / "cases").glob("*.sevcase"))
#: What no text of a host says, and what the owner therefore gives.
OWNED = ("tk", "tik", "tek", "profile", "guest_features")
FORMS = ("script", "ps", "zero bytes", "JSON", "libvirt's log", "ps of libvirt", "XML")
ABSENT = re.compile("does not use SEV|runs without SEV|no SEV guest|without SEV")
OFF = re.compile("kernel-hashes=no?[ ,\0\n]")


class Desk:
    """A folder with the files of a case, and the captures of its texts."""

    def __init__(self, inputs: Mapping[str, Any], folder: Path) -> None:
        self.folder = folder
        for name, path in NAMES.items():
            if name in inputs:
                shutil.copyfile(str(inputs[name]), folder / Path(path).name)
        self.owned = {name: inputs[name] for name in OWNED if name in inputs}
        self.snp = str(inputs["mode"]).startswith("snp")
        report = load_file(str(inputs["report"]), "report", 1 << 16)[-0x4A0:] if "report" in inputs else b""
        self.reported = report[0x90:0xC0] or inputs.get("reported_measurement", b"")
        self._known: dict[str, Any] = {}

    def capture(self, texts: Mapping[str, str]) -> Capture:
        """Return the capture of texts, with the files that are here."""
        capture = sum((READERS[source](text) for source, text in texts.items()), Capture())
        found = []
        for name in NAMES:
            if (one := capture.inputs.get(name)) is not None:
                path, _ = locate(str(one.value), str(self.folder), BY_NAME[name].limit)
                found += [Found(name, path, HERE, "here")] if path else []
        return capture + Capture(tuple(found))

    def inputs(self, capture: Capture) -> dict[str, Any]:
        return {name: one.value for name, one in capture.inputs.items()} | self.owned

    def judged(self, capture: Capture) -> object:
        """Return the digest of SEV-SNP, or whether the measurement validates; None where something is missing."""
        needed = [one.name for one in capture.missing if one.name != "tik, tek"]
        inputs = self.inputs(capture)
        key = repr((needed, sorted(inputs.items(), key=repr)))
        if key not in self._known:
            self._known[key] = None if needed else self._judge(inputs)
        return self._known[key]

    def _judge(self, inputs: dict[str, Any]) -> object:
        try:
            case = make_case(inputs)
            if self.snp:
                return load_snp_launch(**case.snp_launch).digest
            return verify_case(case).status == "match"
        except SevlabError:
            return None


def said(capture: Capture) -> set[str]:
    """Everything that a capture says beside its values."""
    return {one.words for one in capture.remarks} | {f"{key}: {why}" for key, why in capture.left_out.items()}


@pytest.fixture(params=[*INCIDENTS, "the sample of SEV", "the sample of SEV-ES"])
def launched(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Any]]:
    name = str(request.param)
    if name not in INCIDENTS:
        kind = "seves" if name.endswith("ES") else "sev"
        yield {**inputs_of(kind), "mode": kind}
        return
    with open_case(str(NOTEBOOKS / "incidents" / "cases" / f"{name}.sevcase")) as case:
        yield {"firmware": str(case.path), **case.inputs}


def damaged(texts: Mapping[str, str], seed: int) -> Iterator[dict[str, str]]:
    for source in texts:
        for text in some(spoilt(texts[source], seed), 40):
            yield {**texts, source: text}


@pytest.mark.parametrize("form", FORMS if SOAK else ["any form"])
def test_nothing_is_absent_or_right_because_a_word_was_lost(
    launched: Mapping[str, Any], form: str, tmp_path: Path
) -> None:
    """No text is called one without SEV, and none validates that would not, or silently with other inputs.

    What is lost of the inputs is said, too.
    """
    desk, number = Desk(launched, tmp_path), sum(map(ord, repr(sorted(launched))))
    forms = texts_of(launched)
    for name in [form] if SOAK else some(FORMS[number % 2 :], 2):
        source = "xml" if name == "XML" else "qemu-cmdline"
        for beside in [{}] if desk.snp else [{key: text} for key, text in reported_in(launched).items()]:
            whole = {source: forms[name], **beside}
            right = desk.capture(whole)
            result = desk.judged(right)
            expected, known = desk.inputs(right), said(right)
            for texts in damaged(whole, number):
                try:
                    capture = desk.capture(texts)
                except SevlabError as error:
                    capture = Capture(remarks=(Remark("", str(error)),))
                told = said(capture) - known
                assert not ABSENT.search(" ".join(told)), texts
                assert_coverage(texts)
                # A domain without a whole element or attribute is a domain, and "no" is an answer of QEMU's.
                if name != "XML" and not OFF.search(texts[source]):
                    assert not [words for words in told if "hashes are off" in words], texts
                    lost = expected.keys() - desk.inputs(capture).keys()
                    assert not lost or told or capture.missing != right.missing, (lost, texts)
                if (judged := desk.judged(capture)) is None or desk.inputs(capture) == expected:
                    continue
                for reported in {desk.reported, result} if desk.snp else {True}:
                    if judged == reported:
                        assert told, (texts, desk.inputs(capture))


def assert_coverage(texts: Mapping[str, str]) -> None:
    cover, words = None, ""
    try:
        cover = cover_domain(texts["xml"]) if "xml" in texts else cover_command_line(texts["qemu-cmdline"])
    except SevlabError as error:
        words = str(error)
    assert not ABSENT.search(words), texts
    assert cover is None or not [line for line in cover.lines if line.path in ("absent sev-guest", "absent link")], (
        texts
    )
