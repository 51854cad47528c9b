"""Samples, exercises, pages and the command that hands the notebooks out."""

from __future__ import annotations

import hashlib
import hmac
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

import sevlab
from sevlab.cli import lab, main
from sevlab.labs import sample_files, samples
from sevlab.layout.span import COLOURS, INK
from tests.paths import NOTEBOOKS


def measure(api_minor: int = samples.API_MINOR, build: int = samples.BUILD_ID) -> bytes:
    start = bytes([4, samples.API_MAJOR, api_minor, build]) + samples.POLICY.to_bytes(4, "little")
    return hmac.digest(samples.TIK, start + hashlib.sha256(samples.firmware()).digest() + samples.MNONCE, "sha256")


def test_samples_are_made_again_byte_for_byte(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    stored = {path.name: path.read_bytes() for path in (NOTEBOOKS / "samples").iterdir() if path.is_file()}
    assert made == stored


def test_sample_keys_are_visibly_samples() -> None:
    assert bytes(range(0x20, 0x40)) == samples.TEK + samples.TIK


@pytest.mark.parametrize("name", ["00-start-here", "01-fifty-six-bytes"])
def test_the_parameters_of_a_notebook_are_the_samples(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    source = next(cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    for line in samples.launch_text().strip().splitlines():
        option, value = (part.strip() for part in line.split(":", 1))
        written = option.removeprefix("sev-").replace("-", "_")
        shown = f'"{value}"' if written == "measurement" else f"0x{int(value):x}" if written == "policy" else value
        assert f"{written}={shown}" in source


def test_the_avalanche_is_told_in_words_and_drawn_the_same_each_time() -> None:
    message = samples.message()
    flips = []
    for position in range(448):
        raw = bytearray(message.to_bytes())
        raw[position // 8] ^= 1 << position % 8
        flips.append((int.from_bytes(hmac.digest(samples.TIK, raw, "sha256")) ^ int.from_bytes(measure())).bit_count())
    picture = sevlab.plots.charts.plot_avalanche(message, samples.TIK)
    numbers = [float(number) for number in re.findall(r"[\d.]+", repr(picture))]
    assert numbers == [448, round(sum(flips) / 448, 1), 256, min(flips), max(flips)]
    assert picture._repr_png_()[0] == sevlab.plots.charts.plot_avalanche(message, samples.TIK)._repr_png_()[0]


def test_lab_copies_and_keeps_what_people_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["lab", "--copy-only", str(folder)]) == 0
    assert (folder / lab.FIRST).read_bytes() == (NOTEBOOKS / lab.FIRST).read_bytes()
    assert (folder / "samples" / "tk.bin").read_bytes() == samples.TEK + samples.TIK
    (folder / lab.FIRST).write_text("mine")
    (folder / "samples" / "tk.bin").unlink()
    assert main(["lab", "--copy-only", str(folder)]) == 0
    assert (folder / lab.FIRST).read_text() == "mine"
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"Copied 1 files to {folder}. ")
    assert [path for path in folder.rglob("*") if "partial" in path.name or "checkpoint" in path.name] == []


def test_lab_tells_a_folder_that_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["lab", "--copy-only", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("ERROR: folder: received ")


def test_lab_names_the_extra_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    assert main(["lab", str(tmp_path / "mine")]) == 2
    assert "pip install 'sevlab[lab]'" in capsys.readouterr().err


def test_every_public_name_is_there() -> None:
    assert sevlab.__all__ == sorted(sevlab.__all__)
    for name in sevlab.__all__:
        assert getattr(sevlab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sevlab.nothing  # noqa: B018


class Balanced(HTMLParser):
    """Checks that tags close in order, and that nothing stands there that viewers strip."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style", "th", "iframe", "link"}
        assert not {name for name, _ in attrs} & {"id", "class", "onclick", "onerror"}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def pages(folder: Path) -> list[sevlab.layout.views.View]:
    sample_files.write_samples(folder)
    evidence = sevlab.load_evidence(
        measurement=sevlab.Measurement.from_bytes(samples.measurement()),
        api_major=0,
        api_minor=22,
        build_id=13,
        policy=0x85,
        firmware=str(folder / "firmware.fd"),
        kernel=str(folder / "tk.bin"),
        cmdline="<script>alert(1)</script>",
        num_cpus=3,
        vmsa_cpu0=str(vmsa(folder)),
        vmsa_cpu1=str(vmsa(folder)),
        tk=str(folder / "tk.bin"),
    )
    things = [evidence, evidence.message, evidence.policy, sevlab.compare_measure(evidence), evidence.launch]
    compared = sevlab.compare(evidence.message, evidence.message.replace(build_id=1))
    return [sevlab.explain(thing) for thing in (*things, compared)]


def vmsa(folder: Path) -> Path:
    path = folder / "vmsa.bin"
    path.write_bytes(sevlab.build_vmsa("qemu", signature=0x800F12).to_bytes())
    return path


def test_pages_are_plain_balanced_escaped_and_the_same_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    for page, again in zip(pages(folder), pages(folder), strict=True):
        assert page.html() == again.html()
        checker = Balanced()
        checker.feed(page.html())
        assert checker.open == []
        assert "<img" not in page.html()
        wide = [line for line in page.text().splitlines() if len(line) > 120 and not line.startswith("    ")]
        assert wide == []


def test_colours_keep_their_contrast() -> None:
    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS.values():
        assert (luminance(colour) + 0.05) / (luminance(INK) + 0.05) >= 10


def test_every_byte_of_the_map_carries_its_letter_and_marks_are_stars() -> None:
    message = samples.message()
    text = sevlab.compare(message, message.replace(api_minor=1)).explain().text()
    rows = text.partition("reported (*")[2].splitlines()
    first = next(i for i, row in enumerate(rows) if row.startswith("0x00"))
    assert rows[first].split()[1:5] == ["04", "00", "16*", "0d"]
    assert rows[first + 1].split() == ["A", "B", "C", "D", *"EEEE", *"FFFFFFFF"]
