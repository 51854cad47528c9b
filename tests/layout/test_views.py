"""What people see, as text and as HTML: complete, narrow, the same each time, and safe."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import shlex
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.cli.terminal import painter
from sevlab.errors import escaped
from sevlab.labs import sample_files, samples
from sevlab.layout.bytemap import ByteMap, explain_spans
from sevlab.layout.span import Hidden, Span
from sevlab.layout.views import Banner, Bar, Code, Heading, Paragraph, Table, View, hex_lines

HOSTILE = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"'&<td>"
#: Attributes that survive where notebooks are read; ids and classes would clash or be stripped.
ALLOWED = {"style", "title"}
TAGS = {"p", "b", "br", "pre", "div", "span", "table", "tbody", "tr", "td"}


class Page(HTMLParser):
    """Reads HTML strictly: every tag known, closed in order, with allowed attributes only."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.titles: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ALLOWED
        self.titles += [value or "" for name, value in attrs if name == "title"]
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def evidence(tmp_path: Path) -> sevlab.launch.evidence.Evidence:
    sample_files.write_samples(tmp_path)
    return sevlab.load_evidence(
        measurement=base64.b64encode(samples.measurement()).decode(),
        api_major=samples.API_MAJOR,
        api_minor=samples.API_MINOR,
        build_id=samples.BUILD_ID,
        policy=samples.POLICY,
        firmware=str(tmp_path / "firmware.fd"),
        tk=str(tmp_path / "tk.bin"),
    )


def beside(evidence: sevlab.launch.evidence.Evidence, name: str) -> str:
    """The path of another sample."""
    return str(Path(evidence.files["firmware"]).with_name(name))


def whole_launch(evidence: sevlab.launch.evidence.Evidence, num_cpus: int = 4) -> sevlab.launch.sev.Launch:
    """Firmware, kernel hashes, and virtual CPUs in a row."""
    files = {"firmware": "firmware-kernel.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    given = {name: beside(evidence, file) for name, file in files.items()}
    return sevlab.load_launch(sevlab.Policy(5), **given, cmdline=HOSTILE, num_cpus=num_cpus, cpu_signature=0xA00F11)


def opened(evidence: sevlab.launch.evidence.Evidence, measure: bytes) -> sevlab.attestation.secret.OpenedSecret:
    """A packet for the sample's measure, opened with *measure*."""
    keys, right = (samples.TIK, samples.TEK), evidence.measurement.measure
    packet = sevlab.attestation.secret.build_secret([("luks-key", b"secret")], *keys, right, iv=bytes(16))
    return sevlab.attestation.secret.open_secret(packet.header, packet.payload, *keys, measure, files={"tk": HOSTILE})


COMMAND_LINE = (
    f"qemu-system-x86_64 -name {shlex.quote(HOSTILE)} -bios '/none/<script>.fd' -kernel '/none/<img src=x>'"
    " -object sev-guest,id=sev0,policy=0x5 -machine confidential-guest-support=sev0"
)
THINGS: dict[str, Callable[[sevlab.launch.evidence.Evidence], object]] = {
    "evidence": lambda evidence: evidence,
    "mismatch": lambda evidence: evidence.replace(policy=0x80),
    "verdict": sevlab.compare_measure,
    "message": lambda evidence: evidence.message,
    "measurement": lambda evidence: evidence.measurement,
    "old message": lambda evidence: sevlab.formats.launch_measure.OldMeasureMessage.from_bytes(bytes(range(52))),
    "policy": lambda evidence: evidence.policy,
    "odd policy": lambda evidence: sevlab.Policy(0xFFFFFFFF),
    "launch": lambda evidence: evidence.launch,
    "comparison": lambda evidence: sevlab.compare(evidence.message, evidence.message.replace(build_id=1, policy=9)),
    "HMAC": lambda evidence: sevlab.launch.measure.HmacSteps(evidence.message.to_bytes(), evidence.tik),
    "given digest": lambda evidence: evidence.replace(digest=bytes(32)),
    "whole launch": whole_launch,
    "launches": lambda evidence: sevlab.compare_launch(whole_launch(evidence), whole_launch(evidence, 3)),
    "hash table": lambda evidence: sevlab.formats.kernel_hashes.build_kernel_hashes(bytes(range(32)), None, HOSTILE),
    "firmware": lambda evidence: sevlab.load_ovmf(beside(evidence, "firmware-kernel.fd")),
    "no firmware": lambda evidence: sevlab.load_ovmf(beside(evidence, "firmware.fd")),
    "registers": lambda evidence: sevlab.build_vmsa("gce", signature=0xA00F11),
    "registers compared": lambda evidence: sevlab.compare(
        sevlab.build_vmsa("qemu", signature=0xA00F11), sevlab.build_vmsa("ec2", signature=0x800F12)
    ),
    "profile": lambda evidence: sevlab.launch.vmm.PROFILES["ec2"],
    "opened": lambda evidence: opened(evidence, evidence.measurement.measure),
    "not opened": lambda evidence: opened(evidence, bytes(32)),
    "coverage": lambda evidence: sevlab.cases.coverage.cover_command_line(COMMAND_LINE),
    "capture": lambda evidence: sevlab.cases.qemu_cmdline.parse_command_line(COMMAND_LINE),
    "host": lambda evidence: sevlab.cases.sources.parse_domlaunchsecinfo(samples.launch_text()),
}
EACH = pytest.mark.parametrize("make", THINGS.values(), ids=THINGS)


@EACH
def test_html_is_plain_and_balanced(make: Callable[..., object], evidence: sevlab.launch.evidence.Evidence) -> None:
    assert Page(sevlab.explain(make(evidence)).html()).words


@EACH
def test_pages_are_the_same_each_time(make: Callable[..., object], evidence: sevlab.launch.evidence.Evidence) -> None:
    one, two = sevlab.explain(make(evidence)), sevlab.explain(make(evidence.replace()))
    assert one is not two
    assert (one.text(), one.html()) == (two.text(), two.html())
    assert " object at 0x" not in one.text() + one.html()


@EACH
def test_text_is_about_110_columns_wide(make: Callable[..., object], evidence: sevlab.launch.evidence.Evidence) -> None:
    # A table with a whole GUID beside its bytes takes a few more.
    lines = sevlab.explain(make(evidence)).text().splitlines()
    assert lines
    # Code is indented, and is to be copied: it is not broken.
    assert [line for line in lines if len(line) > 118 and not line.startswith("    ")] == []


@EACH
def test_text_holds_no_control_characters(
    make: Callable[..., object], evidence: sevlab.launch.evidence.Evidence
) -> None:
    assert sevlab.explain(make(evidence)).text().replace("\n", "").isprintable()


@EACH
def test_text_and_html_say_the_same(make: Callable[..., object], evidence: sevlab.launch.evidence.Evidence) -> None:
    view = sevlab.explain(make(evidence))
    in_text, in_html = "".join(view.text().split()), Page(view.html()).words
    for words in in_html:
        for word in words.split():
            assert word in in_text


@pytest.mark.parametrize("name", ["message", "measurement", "policy", "verdict", "comparison", "launch"])
def test_print_and_notebook_show_the_page(name: str, evidence: sevlab.launch.evidence.Evidence) -> None:
    thing = THINGS[name](evidence)
    assert str(thing) == sevlab.explain(thing).text()
    assert thing._repr_html_() == sevlab.explain(thing).html()


@pytest.mark.parametrize("thing", [1, "text", b"bytes", None, sevlab.Policy, samples])
def test_what_cannot_be_explained_is_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="explain takes"):
        sevlab.explain(thing)


SPANS = [Span(HOSTILE, 0, 2, b"\1\2", 513, HOSTILE, HOSTILE, "blue", HOSTILE), Span("b", 2, 1, b"\3", 3, "3", "B")]
BLOCKS = {
    "heading": Heading(HOSTILE),
    "paragraph": Paragraph(HOSTILE),
    "code": Code(HOSTILE),
    "banner": Banner(HOSTILE, "green"),
    "table": Table([HOSTILE, "b"], [[HOSTILE, HOSTILE]], colours=["pink"], mono=[0]),
    "byte map": ByteMap(SPANS, [1]),
    "bar": Bar([(HOSTILE, 3, "blue"), ("b", 1, "pink")]),
    "spans": explain_spans(SPANS),
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_hostile_text_is_shown_as_text(block: object) -> None:
    html = block.html()
    page = Page(html)
    assert "<script" not in html
    assert "<img" not in html
    assert HOSTILE in "".join(page.words) or any(HOSTILE in title for title in page.titles)


@given(words=st.text(max_size=200))
def test_any_text_goes_into_html_and_comes_out(words: str) -> None:
    assert "".join(Page(View(Paragraph(words)).html()).words) == escaped(words, "\n")


def test_a_hostile_path_is_shown_as_text(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>'\"&"
    sample_files.write_samples(folder)
    evidence = sevlab.load_evidence(
        measurement=sevlab.Measurement.from_bytes(samples.measurement()),
        api_major=0,
        api_minor=22,
        build_id=13,
        policy=1,
        firmware=str(folder / "firmware.fd"),
        tk=str(folder / "tk.bin"),
    )
    html = sevlab.explain(evidence).html()
    assert "<img" not in html
    assert "<img src=x" in "".join(Page(html).words)


def test_every_byte_stands_over_the_letter_of_its_field() -> None:
    message = sevlab.MeasureMessage.from_bytes(bytes(range(56)))
    rows = ByteMap(message.spans(), [5]).text().splitlines()
    assert [row[:4] for row in rows[1::2]] == ["0x00", "0x10", "0x20", "0x30"]
    shown = [word for row in rows[1::2] for word in row.split()[1:]]
    assert shown == [f"{byte:02x}" + "*" * (byte == 5) for byte in range(56)]
    under = [word for row in rows[2::2] for word in row.split()]
    assert "".join(under) == "A" + "B" + "C" + "D" + "E" * 4 + "F" * 32 + "G" * 16


def test_html_cells_name_their_field_and_place() -> None:
    message = sevlab.MeasureMessage.from_bytes(bytes(56))
    titles = Page(ByteMap(message.spans()).html()).titles
    assert len(titles) == 56
    assert titles[0].startswith("A: context, byte 1 of 1. ")
    assert titles[5].startswith("E: policy, byte 2 of 4. ")
    assert titles[55].startswith("G: mnonce, byte 16 of 16. ")


def test_marks_are_in_the_text_of_a_cell_not_in_its_colour() -> None:
    message = sevlab.MeasureMessage.from_bytes(bytes(56))
    plain, marked = (Page(ByteMap(message.spans(), marks).html()).words for marks in ([], [0, 55]))
    assert "*" not in plain
    at = [number for number, word in enumerate(marked) if word == "*"]
    assert [marked[number - 1] for number in at] == ["00", "00"]
    assert [word for word in marked if word != "*"] == plain


@given(raw=st.binary(max_size=80), per_line=st.integers(1, 20))
def test_hex_lines_lose_nothing(raw: bytes, per_line: int) -> None:
    text = hex_lines(raw, per_line)
    assert bytes.fromhex(text) == raw
    assert all(len(bytes.fromhex(line)) <= per_line for line in text.splitlines())


def test_hidden_bytes_are_not_there() -> None:
    span = Span("key", 0, 4, b"\xde\xad\xbe\xef", b"\xde\xad\xbe\xef", "deadbeef", "A key.").hide()
    assert not any(span.raw)
    shown = explain_spans([span])
    for text in (shown.text(), shown.html(), repr(span), str(span.as_dict())):
        assert "dead" not in text
    assert span.as_dict()["hex"] is None
    assert "<4 bytes, hidden>" in shown.text()
    assert hex_lines(Hidden(4)) == "<4 bytes, hidden>"


def test_paint_is_asked_with_the_field_s_colour() -> None:
    asked = set()
    message = sevlab.MeasureMessage.from_bytes(bytes(56))
    painted = sevlab.explain(message).text(lambda text, colour: asked.add(colour) or text)
    assert painted == sevlab.explain(message).text()
    assert asked >= {row.colour for row in sevlab.MeasureMessage.rows}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment speaks against colour."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def printed(thing: object, stdout: io.StringIO) -> str:
    """What is printed where standard output is *stdout*; pytest sets its own again before each test."""
    with contextlib.redirect_stdout(stdout):
        return sevlab.explain(thing).text(painter())


@pytest.mark.parametrize("name", ["message", "firmware", "comparison", "verdict"])
def test_a_terminal_adds_colour_and_no_word(
    name: str, evidence: sevlab.launch.evidence.Evidence, colours: None
) -> None:
    thing = THINGS[name](evidence)
    assert "\x1b[" in printed(thing, Terminal())
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed(thing, Terminal())).splitlines()
    # A coloured cell is coloured to its end, so that blanks at the end of a line stay.
    assert [line.rstrip() for line in lines] == [line.rstrip() for line in sevlab.explain(thing).text().splitlines()]


@pytest.mark.parametrize("variable", [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colour_gets_none(
    variable: tuple[str, str], evidence: sevlab.launch.evidence.Evidence, colours: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*variable)
    assert printed(evidence.message, Terminal()) == sevlab.explain(evidence.message).text()


def test_a_pipe_gets_no_colour(
    evidence: sevlab.launch.evidence.Evidence, colours: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert printed(evidence.message, io.StringIO()) == sevlab.explain(evidence.message).text()
