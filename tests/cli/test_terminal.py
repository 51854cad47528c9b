"""Words of strangers on the screen: none is printed raw, and none passes for an answer of sevlab."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from sevlab.cases.bundle import pack_case
from sevlab.cases.case import ABOUT, ROWS, TEXT, Case, make_case
from sevlab.cases.case_toml import format_case, parse_case, write_case
from sevlab.cli import VERBS, main
from sevlab.cli.terminal import painter
from sevlab.errors import (
    ConfigurationError,
    InputError,
    LayoutError,
    MismatchError,
    StateError,
    UnsupportedError,
    escaped,
    is_shown,
    shell_word,
)
from sevlab.labs.assignment import write_assignment
from sevlab.launch.keys import SecretBytes
from sevlab.layout.bytemap import ByteMap
from sevlab.layout.span import Span
from sevlab.layout.views import VERDICTS, Banner, Bar, Code, Heading, Paragraph, Quote, Table, View
from sevlab.simulator.identity import Identity, sample_roots
from tests.cases.sample_cases import at, inputs_of
from tests.make_screens import screen
from tests.paths import ROOT
from tests.soak import SOAK, many

#: What no line of ours says after a verdict's word.
FORGED = "FORGED"
#: Characters that move, hide or reorder what is on a screen, or end a line in one program and not in another.
HOSTILE = {
    "escape": "\x1b[2J\x1b[H",
    "title": "\x1b]0;x\x07",
    "return": "\r",
    "backspace": "\b\b",
    "tab": "\t",
    "delete": "\x7f",
    "csi": "\x9b2J",
    "next line": "\x85",
    "vertical": "\x0b\x0c",
    "separators": "\x1c\x1d\x1e",
    "override": "\u202e",
    "isolate": "\u2066\u2069",
    "marks": "\u200e\u200f\u061c",
    "lines": "\u2028\u2029",
    "zero width": "\u200b\u200d\u2060\ufeff",
    "soft hyphen": "\xad",
    "tag": "\U000e0041",
    "filler": "\u3164\u115f",
    "byte": "\udc9b\udcff",
    "private": "\ue000",
}
#: A stranger's words with all of them, in which later lines look like answers.
FORGERY = f"\nOK: {FORGED}\n OK: {FORGED}\nERROR: {FORGED}\nWARNING: {FORGED}"


def assert_safe(text: str, keep: str = "\n") -> None:
    """Nothing raw, and no line that a stranger's words make an answer."""
    raw = sorted({c for c in text if c not in keep and not is_shown(c)})
    assert not raw, [f"U+{ord(c):04X}" for c in raw]
    verdicts = "|".join(VERDICTS)
    for line in text.split("\n"):
        assert not re.match(rf"\W{{0,2}}(?:{verdicts})\W*{FORGED}", line), line


# What is safe to print.


def test_what_is_shown_is_seen_and_moves_nothing() -> None:
    bad = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if unicodedata.category(character) in bad or (character.isspace() and character != " "):
            assert not is_shown(character), hex(number)
    assert all(map(is_shown, "azAZ09 ~é日€–’"))
    for words in HOSTILE.values():
        assert not any(is_shown(c) for c in words if not (c.isascii() and c.isprintable()))


@given(text=st.text(), keep=st.sampled_from(["", "\n"]))
def test_escaping_leaves_nothing_raw_and_changes_nothing_else(text: str, keep: str) -> None:
    shown = escaped(text, keep)
    assert all(c in keep or is_shown(c) for c in shown)
    assert escaped(shown, keep) == shown
    if all(c in keep or is_shown(c) for c in text):
        assert shown == text


NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=many(50, 3), deadline=None)
@given(names=st.lists(NAMES | st.binary(min_size=1).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"x"))), min_size=1))
def test_a_shell_reads_a_name_back_to_the_last_byte(names: list[str]) -> None:
    names += [*HOSTILE.values(), "-e", "a'b\\c\x1b'd\\", "\x1b0011", "~", "$(x)\x1b", "!a%d\x1b", "\n\x1b`", ""]
    words = [shell_word(name) for name in names]
    for word in words:
        assert_safe(word, keep="")
    script = "".join(f"printf '%s\\0' {word}\n" for word in words)
    expected = [f"./{name}" if name[:1] == "-" and name != "-" else name for name in names]
    for shell in ("bash", "sh"):
        if shell == "sh" and any(name.endswith("\n") for name in names):
            continue  # $'...' is for newer shells
        read = subprocess.run([shell, "-c", script], capture_output=True, check=True).stdout.split(b"\0")[:-1]
        assert [os.fsdecode(raw) for raw in read] == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda w: LayoutError(w, w, w),
        lambda w: InputError(w, w, w, w),
        lambda w: ConfigurationError(w, w, w),
        lambda w: StateError(w, w, w),
        lambda w: UnsupportedError(w, w),
        lambda w: MismatchError(w, None),
    ],
)
def test_an_error_is_one_line_that_is_safe(make: Callable[[str], Exception]) -> None:
    for words in HOSTILE.values():
        assert_safe(str(make(f"x{words}{FORGERY}")), keep="")


# Pages.


class Page(HTMLParser):
    """Which tags and attributes HTML has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(name for name, _ in attrs)}


def span(words: str) -> Span:
    return Span(words, 0, 2, b"ab", 1, words, words, "blue", words)


#: How to make a block of each class from any words.
BLOCKS: dict[type, Callable[[str], Any]] = {
    Heading: Heading,
    Paragraph: Paragraph,
    Quote: lambda words: Quote(f"Somebody says{words}:", words),
    Code: Code,
    Banner: lambda words: Banner(words, "green"),
    Table: lambda words: Table(["a", words], [["a", words]], colours=["pink"], mono=[0], wrapped={1: 9}),
    ByteMap: lambda words: ByteMap([span(words)], [1]),
    Bar: lambda words: Bar([(words, 3, "blue"), ("b", 1, "pink")]),
    View: lambda words: View(Paragraph(words), View(Code(words))),
}


#: All of sevlab's source, by path.
SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "sevlab").rglob("*.py"))}


def test_every_class_of_a_block_is_among_those_tried() -> None:
    found = set()
    for node in (node for tree in SOURCES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        if {"text", "html"} <= {one.name for one in node.body if isinstance(one, ast.FunctionDef)}:
            found.add(node.name)
    # Block is the protocol that they fulfil; the ribbon's take bytes and names of fields, never a stranger's words.
    assert found == {one.__name__ for one in BLOCKS} | {"Block", "Letters", "Measures"}


def paint(text: str, colour: str) -> str:
    return f"<<{colour}>>{text}<</>>"


WORDS = st.text() | st.lists(st.sampled_from([*HOSTILE.values(), FORGERY, "<b>", "x" * 120, "a b"])).map("".join)


@settings(max_examples=many(1000, 60))
@pytest.mark.parametrize("block", BLOCKS.values(), ids=[one.__name__ for one in BLOCKS])
@given(words=WORDS)
def test_no_block_shows_anything_raw(block: Callable[[str], Any], words: str) -> None:
    page = View(block(words))
    for text in (page.text(), str(page), page.text(paint), page.html()):
        assert all(c == "\n" or is_shown(c) for c in text)
    allowed = {"p", "b", "br", "pre", "div", "span", "table", "tbody", "tr", "td", "style", "title"}
    assert Page(page.html()).seen <= allowed


@given(words=st.lists(st.sampled_from([*VERDICTS, "x" * 30, "y" * 99, "a", "\n"]), min_size=1).map(" ".join))
def test_no_line_of_a_paragraph_begins_as_an_answer_but_the_first(words: str) -> None:
    for block in (Paragraph(f"Told: {words}"), Heading(f"Told: {words}")):
        for line in block.text().split("\n"):
            assert not line.startswith(VERDICTS), line


@given(words=st.lists(st.sampled_from([*VERDICTS, FORGERY, "x" * 130, "\n"])).map(" ".join))
def test_each_line_of_a_quote_is_marked(words: str) -> None:
    label, *lines = Quote("The case says:", words).text().split("\n")
    assert label == "The case says:"
    assert lines
    assert all(line.startswith("    >") and len(line) <= 100 for line in lines)


def test_every_answer_of_ours_is_known_as_one() -> None:
    """What a banner, a warning or a verdict's words begin with, in capitals, is in VERDICTS."""
    found = set()
    for node in (node for tree in SOURCES.values() for node in ast.walk(tree)):
        told: list[ast.AST] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Banner", "say", "Paragraph"):
            told = [*node.args[:1]]
        elif isinstance(node, ast.FunctionDef) and node.name in ("_words", "words", "_banner", "explain"):
            told = [node]
        for one in (one for top in told for one in ast.walk(top) if isinstance(one, ast.Constant)):
            found |= set(re.findall(r"^([A-Z]{2,}(?: [A-Z]+)*): ", str(one.value)))
    assert found <= set(VERDICTS)
    assert {"OK", "ERROR", "WARNING", "MATCH", "EXPLAINED", "NOT CHECKED"} <= found


def test_colour_goes_around_words_that_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLORTERM", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    words = f"x{''.join(HOSTILE.values())}{FORGERY}"
    text = View(*(block(words) for block in BLOCKS.values())).text(painter(Terminal()))  # type: ignore[arg-type]
    assert "\x1b[" in text
    assert_safe(re.sub(r"\x1b\[[0-9;]*m", "", text))


# The text of a case.


@settings(max_examples=many(1000, 100))
@given(words=st.text(st.characters(exclude_categories=["Cs"])))
def test_toml_is_safe_to_print_and_reads_back(words: str) -> None:
    about = {row.name: words for row in ABOUT}
    inputs = {row.name: words for row in ROWS if row.kind == TEXT}
    case = Case({"policy": 1, **inputs}, origin={"policy": words}, about=about)
    text = format_case(case)
    assert all(c == "\n" or is_shown(c) for c in text)
    again = parse_case(text, "x.toml")
    assert (again.about, again.origin, again.inputs) == (case.about, case.origin, case.inputs)


# One place to print.


def test_verbs_print_through_one_module() -> None:
    """Nothing in sevlab.cli prints or writes to a standard stream by itself, but for the module that is made for it."""
    found = []
    for path, tree in SOURCES.items():
        if path.parent.name != "cli":
            continue
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            called = ast.unparse(node.func)
            if called == "print" or re.fullmatch(r"sys\.std(out|err)(\.buffer)?\.write(lines)?", called):
                found.append((path.name, called))
    # A page of HTML and raw bytes for '-': the one is made of blocks, the other is what was asked for.
    written = {("files.py", "sys.stdout.write"), ("files.py", "sys.stdout.buffer.write")}
    assert {one for one in found if one[0] != "terminal.py"} <= written
    assert ("terminal.py", "print") in found


# The findings, as they were found.

CLEAR = f"\x1b[2J\x1b[H OK: Looks good to me \x1b[8m{FORGERY}"


def bundle_that_lies(folder: Path) -> str:
    """A bundle whose explanation and origin clear the screen and show a verdict."""
    inputs = {name: value for name, value in inputs_of("sev").items() if name != "tk"} | {"build_id": 14}
    origin = {"measurement": f"redacted: {CLEAR}"}
    path = str(folder / "lies.sevcase")
    pack_case(make_case(inputs, origin, {"explanation": CLEAR}), path)
    return path


def test_a_bundle_forges_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundle_that_lies(tmp_path)
    assert main(["case", "verify", path, f"--tk={at('tk.bin')}"]) == 1
    out = capsys.readouterr().out
    assert_safe(out)
    assert out.startswith(" ERROR: Measurement does not match")
    assert "The case says:\n    > \\x1b[2J\\x1b[H OK: Looks good to me \\x1b[8m\n    > OK: FORGED\n" in out
    assert not re.search(r"^\W{0,2}OK", out, re.MULTILINE)


def test_what_a_case_says_was_redacted_is_not_told_as_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", "redact", bundle_that_lies(tmp_path), "-o", str(tmp_path / "x.sevcase")]) == 0
    out = capsys.readouterr().out
    assert_safe(out)
    assert "Looks good" not in out
    assert "digest: the launch digest of everything that was loaded" in out


def test_the_id_of_a_guest_object_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "qemu-system-x86_64 -machine q35,confidential-guest-support=s0 -object sev-guest,id=s0\x07\x9b2J\u202e"
    (tmp_path / "line").write_text(f"{line},policy=1 -bios /x")
    assert main(["capture", "--qemu-cmdline", str(tmp_path / "line"), "-o", str(tmp_path / "x.toml")]) == 0
    out = capsys.readouterr().out
    assert_safe(out)
    assert "s0\\x07\\x9b2J\\u202e" in out


# The sweep: verbs, texts from outside, hostile characters.


class Given:
    """A folder of files, with hostile *words*, and the *name* that a file may have of them."""

    def __init__(self, folder: Path, words: str) -> None:
        self.folder, self.words = folder, f"x{words}{FORGERY}"
        self.name = self.words.replace("/", "_")
        #: What TOML and XML can hold: TOML no half of a pair, XML neither that nor most of C0.
        self.text = re.sub("[\ud800-\udfff]", "", self.words)
        self.xml = re.sub("[\0-\x08\x0b\x0c\x0e-\x1f]", "", self.text)
        self.json = json.dumps(self.words)

    def file(self, content: bytes | str, name: str = "") -> str:
        path = self.folder / (name or self.name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
        return str(path)

    def sample(self, sample: str) -> str:
        """A sample under the hostile name."""
        return self.file(Path(at(sample)).read_bytes())

    def named(self, sample: str) -> str:
        """A sample under a hostile name that a case can hold."""
        return self.file(Path(at(sample)).read_bytes(), self.text.replace("/", "_"))

    @property
    def path(self) -> str:
        """A name where no file is."""
        return str(self.folder / self.name)

    def case(self, **changes: object) -> str:
        """A case file with hostile words in every text it can hold."""
        about = {row.name: self.text for row in ABOUT}
        inputs = inputs_of("sev") | changes
        case = make_case({k: v for k, v in inputs.items() if v is not None}, dict.fromkeys(inputs, self.text), about)
        write_case(case, str(self.folder / "case.toml"))
        return str(self.folder / "case.toml")

    def bundle(self, *, redacted: str = "") -> str:
        """A bundle with hostile words in every text, under the hostile name."""
        path = f"{self.path}.sevcase"
        origin = dict.fromkeys(("firmware", "measurement", "policy", "digest", "tk"), f"{redacted}{self.text}")
        about = {row.name: self.text for row in ABOUT}
        pack_case(make_case(inputs_of("sev") | {"build_id": 14}, origin, about), path)
        return path

    def toml(self, **document: object) -> str:
        return self.file(tomli_w.dumps({"format": 2, **document}))

    def certificate(self) -> str:
        """A certificate whose names are hostile, and longer than X.509 allows."""
        parts = (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a long name, which is what we want
            name = x509.Name([x509.NameAttribute(oid, self.text, _validate=False) for oid in parts])
        key = ec.generate_private_key(ec.SECP384R1())
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        dates = made.not_valid_before(datetime(2025, 1, 1)).not_valid_after(datetime(2035, 1, 1)).serial_number(1)
        return self.file(dates.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.DER))

    def chain(self) -> str:
        chain = Identity(os.urandom, (1, 55)).chain
        return self.file(chain.to_bytes())

    def command_line(self) -> str:
        words = [
            *("qemu-system-x86_64", "-machine", f"q35,confidential-guest-support={self.words}"),
            *("-object", f"sev-guest,id={self.words}2,policy=0x5", f"-{self.words}", self.words, "-bios", self.words),
            *("-kernel", self.words, "-append", self.words, "-cpu", self.words, "-smp", self.words),
            *("-device", self.words, "-drive", f"if=pflash,unit=1,file={self.words}"),
        ]
        return self.file("\0".join(words), "line")

    def domain(self, kind: str = "sev") -> str:
        from xml.sax.saxutils import escape, quoteattr

        words, quoted = escape(self.xml), quoteattr(self.xml)
        return self.file(
            f"<domain type={quoted}><name>{words}</name><os><loader>{words}</loader><kernel>{words}</kernel>"
            f"<cmdline>{words}</cmdline><nvram>{words}</nvram></os><cpu><model>{words}</model></cpu>"
            f"<vcpu current={quoted}>1</vcpu><launchSecurity type={quoteattr(kind)} kernelHashes='yes'>"
            f"<policy>{words}</policy><dhCert>{words}</dhCert></launchSecurity><devices><disk a={quoted}>{words}</disk>"
            f"</devices></domain>",
            "domain.xml",
        )

    def program(self) -> str:
        return self.file(f"import sys\nsys.stdout.buffer.write({os.fsencode(self.words)!r})\nsys.exit(1)\n", "p.py")


LAUNCH = ["--api-major=0", "--api-minor=22", "--build-id=13", "--policy=1"]
MEASUREMENT = f"--measurement={inputs_of('sev')['measurement']}"
LEGACY = [MEASUREMENT, *LAUNCH]
TK, FIRMWARE = f"--tk={at('tk.bin')}", f"--firmware={at('firmware.fd')}"
SNP = ["--mode=snp", f"--ovmf={at('firmware-snp.fd')}", "--vcpus=1", "--vcpu-type=EPYC-v4"]
REPORT = at("report-snp.bin")
GUID = "736869e5-84f0-4973-92ec-06879ce3da0b"

#: What is done with words from outside: a verb, and where the words are.
SWEEP: dict[str, Callable[[Given], list[str]]] = {
    "a verb": lambda g: [g.words],
    "validate, no such firmware": lambda g: ["validate", *LEGACY, TK, f"--firmware={g.path}"],
    "validate, measurement": lambda g: ["validate", f"--measurement={g.words}", *LAUNCH, TK, FIRMWARE],
    "validate, policy": lambda g: ["validate", *LEGACY, f"--policy={g.words}", TK, FIRMWARE],
    "validate, profile": lambda g: ["validate", *LEGACY, f"--profile={g.words}", TK, FIRMWARE],
    "validate, an option": lambda g: ["validate", f"--{g.words}"],
    "validate, a key": lambda g: ["validate", *LEGACY, f"--tk={g.file(b'x')}", FIRMWARE],
    "validate, a secret": lambda g: [
        *("validate", *LEGACY, TK, FIRMWARE, f"--inject-secret={g.words}"),
        *(f"--secret-header={g.folder}/h", f"--secret-payload={g.folder}/p"),
    ],
    "validate, a case": lambda g: ["validate", "--case", g.case(build_id=14)],
    "validate, a case with a hostile name": lambda g: ["validate", "--case", g.bundle(), TK, "--policy=1"],
    "validate, a case that is none": lambda g: ["validate", "--case", g.file(g.words)],
    "validate, a key of a case": lambda g: ["validate", "--case", g.toml(reported={g.text: g.text})],
    "validate, a section of a case": lambda g: ["validate", "--case", g.toml(**{g.text: {"a": 1}})],
    "validate, debug": lambda g: ["validate", "--debug", "--case", g.case()],
    "explain": lambda g: ["explain", *LEGACY, TK, f"--firmware={g.sample('firmware.fd')}"],
    "explain, key": lambda g: ["explain", *LEGACY, FIRMWARE, f"--tk={g.sample('tk.bin')}"],
    "explain, page": lambda g: ["explain", *LEGACY, FIRMWARE, f"--tk={g.sample('tk.bin')}", "--html=-"],
    "explain, json": lambda g: ["explain", "--json", "--case", g.case(firmware=g.named("firmware.fd"))],
    "diagnose": lambda g: [
        *("diagnose", *LEGACY[:-2], "--build-id=14", "--policy=1", TK, f"--firmware={g.sample('kernel.bin')}"),
        *(f"--candidates={g.folder}", "--budget=0.2", "--jobs=1"),
    ],
    "diagnose, in vain": lambda g: [
        *("diagnose", f"--measurement={'A' * 64}", *LAUNCH, TK, f"--firmware={g.sample('firmware.fd')}"),
        *(
            f"--candidates={g.folder}",
            "--budget=0.2",
            "--jobs=1",
            f"--cmdline={g.text}",
            f"--kernel={at('kernel.bin')}",
        ),
    ],
    "diagnose, candidates": lambda g: ["diagnose", *LEGACY, TK, FIRMWARE, f"--candidates={g.path}"],
    "diagnose, budget": lambda g: ["diagnose", *LEGACY, TK, FIRMWARE, f"--budget={g.words}"],
    "diagnose, report": lambda g: [
        *("diagnose", *SNP, f"--report={g.sample('report-snp.bin')}", f"--append={g.text}", "--budget=0.2"),
        f"--kernel={at('kernel.bin')}",
    ],
    "diagnose, mode": lambda g: ["diagnose", f"--mode={g.words}"],
    "digest": lambda g: ["digest", "--mode=sev", f"--ovmf={g.sample('firmware.fd')}", "--verbose"],
    "digest, kernel": lambda g: [
        *("digest", "--mode=sev", f"--ovmf={at('firmware-kernel.fd')}", f"--kernel={g.sample('kernel.bin')}"),
        *(f"--append={g.text}", "--verbose"),
    ],
    "digest, trace": lambda g: ["digest", *SNP, f"--append={g.text}", f"--kernel={g.sample('kernel.bin')}", "--trace"],
    "digest, model": lambda g: ["digest", *SNP[:-1], f"--vcpu-type={g.words}"],
    "digest, type": lambda g: ["digest", *SNP, f"--vmm-type={g.words}"],
    "digest, mode": lambda g: ["digest", f"--mode={g.words}"],
    "digest, a case": lambda g: ["digest", "--mode=sev", "--case", g.case(), "--ovmf", g.sample("firmware.fd")],
    "measure": lambda g: [
        *("measure", *LAUNCH, f"--tik={at('tik.bin')}", f"--nonce={'0' * 32}", FIRMWARE, f"--outfile={g.path}")
    ],
    "measure, json": lambda g: [
        *("measure", *LAUNCH, f"--tik={at('tik.bin')}", f"--nonce={'0' * 32}", FIRMWARE, f"--outfile={g.path}"),
        "--json",
    ],
    "measure, nonce": lambda g: ["measure", *LAUNCH, f"--tik={at('tik.bin')}", f"--nonce={g.words}", FIRMWARE],
    "secret build": lambda g: [
        *("secret", "build", TK, f"--launch-measure-blob={'A' * 64}", f"--secret={GUID}:{g.file(b'a secret', 's')}"),
        *(g.path, f"{g.path}2"),
    ],
    "secret build, secret": lambda g: [
        *("secret", "build", TK, f"--launch-measure-blob={'A' * 64}", f"--secret={g.words}:x", g.path, f"{g.path}2")
    ],
    "secret open": lambda g: [
        *("secret", "open", f"--tk={g.sample('tk.bin')}", f"--launch-measure-blob={'A' * 64}"),
        *(g.file(bytes(52), "h"), g.file(bytes(64), "p")),
    ],
    "secret open, payload": lambda g: [
        *("secret", "open", TK, f"--launch-measure-blob={'A' * 64}", g.file(bytes(52), "h"), g.file(bytes(64)))
    ],
    "ovmf": lambda g: ["ovmf", g.sample("firmware.fd")],
    "ovmf, none": lambda g: ["ovmf", g.path],
    "ovmf, other": lambda g: ["ovmf", g.file(g.words)],
    "vmsa build": lambda g: ["vmsa", "build", "--cpu=0", "--vcpu-type=EPYC-v4", g.path],
    "vmsa build, profile": lambda g: ["vmsa", "build", "--cpu=0", f"--profile={g.words}", g.path],
    "vmsa show": lambda g: ["vmsa", "show", g.file(bytes(4096))],
    "vmsa diff": lambda g: ["vmsa", "diff", g.file(bytes(4096)), g.file(bytes(4095) + b"x", "b")],
    "vmsa update": lambda g: ["vmsa", "update", "--cpu=0", "--vcpu-type=EPYC-v4", g.file(bytes(4096))],
    "vmsa, act": lambda g: ["vmsa", g.words],
    "profiles": lambda g: ["profiles", g.words],
    "profiles, mode": lambda g: ["profiles", "--matrix", f"--mode={g.words}"],
    "capture, line": lambda g: ["capture", "--qemu-cmdline", g.command_line(), "-o", f"{g.path}.toml"],
    "capture, line, printed": lambda g: ["capture", "--qemu-cmdline", g.command_line(), "-o", "-"],
    "capture, line, json": lambda g: [
        *("capture", "--qemu-cmdline", g.command_line(), "-o", str(g.folder / "c"), "--json")
    ],
    "capture, domain": lambda g: ["capture", "--xml", g.domain(), "-o", "-"],
    "capture, domain of another kind": lambda g: ["capture", "--xml", g.domain(g.xml), "-o", str(g.folder / "c.toml")],
    "capture, no domain": lambda g: ["capture", "--xml", g.file(f"<a>{g.text}"), "-o", "-"],
    "capture, information": lambda g: [
        *("capture", "--domlaunchsecinfo", g.file(f"sev-policy: 1\nsev-{g.words}: {g.words}\n", "info"), "-o", "-")
    ],
    "capture, qmp": lambda g: [
        *("capture", "--qmp", g.file(f'{{"return": {{"policy": 1, "state": {g.json}, "api-major": {g.json}}}}}', "q")),
        *("-o", "-"),
    ],
    "capture, qmp error": lambda g: [
        *("capture", "--qmp", g.file(f'{{"error": {{"desc": {g.json}}}}} {{{g.words}', "q"), "-o", "-")
    ],
    "capture, log": lambda g: [
        *("capture", "--dmesg", g.file(f"ccp 0000:47:00.1: SEV API:1.53 build:5{g.words}\nSEV: {g.words}\n", "d")),
        *("-o", "-"),
    ],
    "capture, two": lambda g: [
        *("capture", "--xml", g.domain(), "--qemu-cmdline", g.command_line(), "-o", f"{g.path}.toml")
    ],
    "capture, kernel": lambda g: [
        *("capture", "--qemu-cmdline", g.command_line(), f"--kernel={g.sample('kernel.bin')}", TK, "-o", "-")
    ],
    "coverage, line": lambda g: ["coverage", "--qemu-cmdline", g.command_line()],
    "coverage, domain": lambda g: ["coverage", "--xml", g.domain()],
    "coverage, case": lambda g: ["coverage", "--case", g.case(kernel=at("kernel.bin"), cmdline=g.text)],
    "coverage, json": lambda g: ["coverage", "--json", "--qemu-cmdline", g.command_line()],
    "case new": lambda g: ["case", "new", *LEGACY, FIRMWARE, f"--title={g.text}", "-o", f"{g.path}.toml"],
    "case new, bundle": lambda g: ["case", "new", *LEGACY, FIRMWARE, f"--note={g.text}", "-o", f"{g.path}.sevcase"],
    "case new, text": lambda g: ["case", "new", *LEGACY, FIRMWARE, f"--note={g.words}", "-o", f"{g.path}.sevcase"],
    "case new, diagnosed": lambda g: [
        *("case", "new", *LEGACY[:-2], "--build-id=14", "--policy=1", f"--firmware={g.sample('firmware.fd')}", TK),
        *("--diagnose", "--budget=2", "-o", f"{g.path}.toml"),
    ],
    "case show": lambda g: ["case", "show", g.case()],
    "case show, bundle": lambda g: ["case", "show", g.bundle()],
    "case show, json": lambda g: ["case", "show", "--json", g.bundle()],
    "case show, command line": lambda g: [
        "case",
        "show",
        g.case(kernel=at("kernel.bin"), cmdline=g.text, profile=g.text),
    ],
    "case verify": lambda g: ["case", "verify", g.case(build_id=14)],
    "case verify, bundle": lambda g: ["case", "verify", g.bundle(), TK],
    "case verify, changed": lambda g: ["case", "verify", changed(g)],
    "case verify, date": lambda g: ["case", "verify", g.case(), f"--at={g.words}"],
    "case verify, json": lambda g: ["case", "verify", "--json", g.bundle(), TK],
    "case pack": lambda g: ["case", "pack", g.case(), "-o", f"{g.path}.sevcase"],
    "case unpack": lambda g: ["case", "unpack", g.bundle(), g.path],
    "case redact": lambda g: ["case", "redact", g.bundle(redacted="redacted: "), "-o", str(g.folder / "r.sevcase")],
    "case redact, name": lambda g: ["case", "redact", g.case(), "-o", f"{g.path}r.sevcase"],
    "report show": lambda g: ["report", "show", g.sample("report-snp.bin")],
    "report show, product": lambda g: ["report", "show", REPORT, f"--product={g.words}"],
    "report verify": lambda g: ["report", "verify", g.sample("report-snp.bin")],
    "report verify, leaf": lambda g: ["report", "verify", REPORT, "--vcek", g.certificate()],
    "report verify, root": lambda g: ["report", "verify", REPORT, "--trust-root", g.certificate()],
    "report verify, ask": lambda g: ["report", "verify", REPORT, "--ask", g.certificate(), "--ark", g.certificate()],
    "report verify, cloud": lambda g: ["report", "verify", REPORT, f"--csp-id={g.words}"],
    "report verify, least": lambda g: ["report", "verify", REPORT, f"--min-tcb={g.words}"],
    "report verify, json": lambda g: ["report", "verify", REPORT, "--vcek", g.certificate(), "--json"],
    "advise, accept": lambda g: ["advise", "--api=1.55", f"--accept={g.words}"],
    "advise, product": lambda g: ["advise", "--api=1.55", f"--product={g.words}"],
    "advise, case": lambda g: ["advise", "--case", changed(g)],
    "verifier-suite make": lambda g: ["verifier-suite", "make", g.path],
    "verifier-suite list": lambda g: ["verifier-suite", "list", f"--only={g.words}"],
    "verifier-suite run": lambda g: [
        *("verifier-suite", "run", "--only=good-vcek,b-policy-debug", "--", sys.executable, g.program(), "{report}")
    ],
    "verifier-suite run, no program": lambda g: ["verifier-suite", "run", "--only=good-vcek", "--", g.path, "{report}"],
    "chain show": lambda g: ["chain", "show", g.chain()],
    "chain verify": lambda g: ["chain", "verify", g.chain()],
    "chain, none": lambda g: ["chain", "show", g.file(g.words)],
    "session": lambda g: ["session", f"--name={g.path}", g.chain(), "5"],
    "session open": lambda g: ["session", "open", f"--pdh-key={g.path}", g.path, g.path],
    "id-block build": lambda g: ["id-block", "build", f"--measurement={'0' * 96}", f"--idkey={g.path}"],
    "id-block show": lambda g: ["id-block", "show", g.file(g.words)],
    "lab": lambda g: ["lab", "--copy-only", g.path],
    "lab, a file": lambda g: ["lab", "--copy-only", f"{g.file(b'')}/x"],
    "assignment": lambda g: ["assignment", "--course-key", g.file(COURSE), "--student=a", "-n1", f"{g.path}d"],
    "assignment, student": lambda g: ["assignment", "--course-key", g.file(COURSE), "--student", g.words, "-n1", "new"],
    "assignment, key": lambda g: ["assignment", "--new-course-key", g.path],
    "grade, folder": lambda g: ["grade", "--course-key", g.file(COURSE), g.path],
    "grade, answers": lambda g: ["grade", "--course-key", g.file(COURSE), answered(g, student=g.text)],
    "grade, sentence": lambda g: [
        *("grade", "--course-key", g.file(COURSE)),
        answered(g, student="a", **{"task-1": {"sentence": g.text, "faults": {g.text: g.text}}}),
    ],
}
COURSE = bytes(range(32))


def answered(one: Given, **answers: Any) -> str:
    """An assignment with hostile answers."""
    folder = f"{one.folder}/answered"
    write_assignment(folder, SecretBytes(COURSE), "a", 1, 1, "FOLDER")
    Path(folder, "answers.toml").write_text(tomli_w.dumps(answers), "utf-8")
    return folder


def changed(one: Given) -> str:
    """A case one of whose files, with a hostile name, is another one today."""
    path = one.case(firmware=one.named("firmware.fd"))
    one.named("kernel.bin")
    return path


def test_every_verb_is_in_the_sweep() -> None:
    assert {name.split(",")[0].split()[0] for name in SWEEP} - {"a"} == set(VERBS)


#: In `make test` each verb meets all the characters at once; in `make soak` each of them by itself, too.
TOGETHER = "".join(HOSTILE.values())
SETS = {"all": TOGETHER, **HOSTILE} if SOAK else {"all": TOGETHER}


@pytest.mark.parametrize("scenario", SWEEP.values(), ids=SWEEP)
def test_no_verb_prints_a_stranger_s_words_raw(
    scenario: Callable[[Given], list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The verb first: it keeps the roots that it finds when it is imported.
    monkeypatch.setattr("sevlab.cli.session.ROOTS", sample_roots())
    monkeypatch.setattr("sevlab.attestation.sev_chain.ROOTS", sample_roots())
    for name, characters in SETS.items():
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        words = scenario(Given(folder, characters))
        capsys.readouterr()
        status = main(words)
        out, err = capsys.readouterr()
        assert status in (0, 1, 2), (name, err)
        assert_safe(out)
        assert_safe(err)
        if name == "all":
            assert_safe(screen(words, 80)[1])  # a short answer; what was written before is not written again


# What is shown elsewhere than on a page.

ALL = f"[red]x[/red] $a${TOGETHER}{FORGERY}"


def test_a_figure_shows_a_stranger_s_words_escaped() -> None:
    from matplotlib.text import Text

    from sevlab.launch.sev import Launch, Step
    from sevlab.plots.launch import plot_launch

    figure = plot_launch(Launch([Step(ALL, b"a", ALL), Step("b", b"b", "b")]))
    texts = [one.get_text() for one in figure.findobj(Text)]
    assert any("\\x1b[2J" in text for text in texts)
    for text in (*texts, str(figure)):
        assert_safe(text)


def test_the_name_of_an_upload_is_escaped() -> None:
    from sevlab.widgets.boxes import FileBox

    box = FileBox("Firmware", "", "Upload", lambda: None, lambda error: None)
    item = {"name": ALL, "type": "", "size": 1, "content": memoryview(b"x"), "last_modified": 0}
    box.upload.set_state({"value": [item]})
    assert box.text.placeholder.startswith("uploaded: [red]x[/red] $a$\\x1b")
    assert_safe(box.text.placeholder, keep="")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_progress_of_a_search_is_escaped(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.status import Status

    from sevlab.cli.diagnose import _shown
    from sevlab.diagnosis.engine import Progress

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    told: list[Any] = []
    monkeypatch.setattr(Status, "update", lambda status, text, **how: told.append(text))
    monkeypatch.setattr(sys, "stderr", Stream())
    with _shown() as progress:
        assert (progress is not None) is is_terminal
        if progress is not None:
            progress(Progress(ALL, 3, 1.0))
    for text in told:
        assert "now: [red]x[/red]" in text.plain
        assert text.spans == []
        assert_safe(text.plain, keep="")
    assert len(told) == is_terminal
