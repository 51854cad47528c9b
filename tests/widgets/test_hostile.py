"""Hostile text in every box of every widget, and as the name of every upload: it reaches the page dead.

The widgets are those of the notebooks, walked as they are: a box that is added is tried without a word here.
"""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets as w
import pytest
import traitlets

from sevlab.errors import InputError
from sevlab.labs import sample_files
from sevlab.layout.views import Paragraph, View
from sevlab.widgets import Trial
from sevlab.widgets.action import Button
from sevlab.widgets.bytemap import StaticBox
from sevlab.widgets.explorers import BaseExplorer
from tests.browser.lab import KINDS, needed

MARKUP = "\"'><img src=x onerror=alert(1)><script>alert(1)</script><a href=javascript:alert(1)>x</a>"
CONTROLS = "\x1b[2J\x1b]0;alert(1)\x07\u202ealert(1)\u2066\u200f\x00\u2028"
LONG = MARKUP * (10 * 2**20 // len(MARKUP))
TEXTS = {"markup": MARKUP, "controls": CONTROLS, "10 MB": LONG}
#: What may not come of a text: elements that run, load or cover something. (A style sheet of ours may be there.)
LIVE = {"a", "audio", "base", "embed", "form", "frame", "iframe", "img", "input", "link", "math", "meta", "object"}
LIVE |= {"picture", "script", "source", "svg", "template", "textarea", "title", "video"}
#: Of one widget, in characters: 10 MB that were typed do not come back.
MOST_SHOWN = 2 << 20


def echo(text: str = "", refuse: str = "") -> View:
    """Says what it is given: in its answer, or in an error."""
    if refuse:
        raise InputError("refuse", refuse[:4000], refuse[:4000], refuse[:4000])
    return View(Paragraph(text[:4000]))


def made(name: str, what: str) -> w.Widget:
    """The widget that a cell of a notebook shows."""
    *before, shown = ast.parse("\n".join(needed(name, what))).body
    assert isinstance(shown, ast.Expr)
    scope: dict[str, Any] = {"display": lambda *things: None}
    exec(compile(ast.Module(before, []), name, "exec"), scope)
    return eval(compile(ast.Expression(shown.value), name, "eval"), scope)


WIDGETS = {f"{name[:2]} {what}": (name, what) for name, what in KINDS if "explain(" not in what}


@pytest.fixture(params=[*WIDGETS, "an echo"])
def widget(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> w.Widget:
    if request.param == "an echo":
        return Trial(echo, text="", refuse="")
    sample_files.write_samples(tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    return made(*WIDGETS[request.param])


def parts(widget: w.Widget) -> Iterator[w.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def is_box(part: w.Widget) -> bool:
    """Whether people type text into it."""
    return isinstance(part.traits().get("value"), traitlets.Unicode) and not isinstance(part, w.HTML | w.Label | w.VBox)


class Elements(HTMLParser):
    """The elements of a piece of HTML that could do something, and its text as a page shows it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.texts += [value or "" for value in named.values()]
        link = tag == "a" and (named.get("href") or "").startswith(("https://", "#"))
        if (tag in LIVE and not link) or any(name.startswith("on") for name in named):
            self.live.append(self.get_starttag_text() or tag)

    def handle_data(self, text: str) -> None:
        self.texts.append(text)


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.items():
            yield from strings(list(one))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)


def assert_dead(widget: w.Widget) -> str:
    """Look at all that reaches the page, but for what was typed into its own box; return it as one text."""
    shown: list[str] = []
    for part in parts(widget):
        # The front end's code and look are ours, and layout and style are widgets of their own.
        state = {name: one for name, one in part.get_state().items() if name not in ("_esm", "_css")}
        if is_box(part) or isinstance(part, w.HTML):
            value = state.pop("value")
        if isinstance(part, w.HTML):
            elements = Elements(value)
            assert elements.live == []
            shown += elements.texts
        shown += strings(state)
    if isinstance(widget, StaticBox):
        elements = Elements(widget.static().html())
        assert elements.live == []
        shown += [*elements.texts, repr(widget)]
    text = "\n".join(shown)
    bad = {c for c in set(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert bad <= {"\n", "\u200b"}  # the second is ipywidgets' own, in an empty placeholder
    assert len(text) < MOST_SHOWN
    return text


def say(part: w.Widget, text: str) -> None:
    """Type a text into a box, as the page sends it: as a value, or as an edit in a message."""
    if is_box(part):
        part.set_state({"value": text})
    field = part.spans[0]["name"] if getattr(part, "spans", None) else ""
    for name in (field, text):
        part._handle_custom_msg({"entered": text, "edit": text, "field": name, "byte": 0, "state": []}, [])


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_in_every_box_is_dead(widget: w.Widget, name: str) -> None:
    before, seen = assert_dead(widget), set()
    answer = widget.banner.value if isinstance(widget, BaseExplorer) else ""
    for part in list(parts(widget)):
        if isinstance(part, w.Button | Button):
            continue
        right = part.value if is_box(part) else ""
        say(part, TEXTS[name])
        seen.add(assert_dead(widget))
        say(part, right)
        if isinstance(widget, BaseExplorer):
            assert widget.error == ""
            assert widget.banner.value == answer, "what was right before is right again"
    if any(is_box(part) for part in parts(widget)):
        assert seen - {before}, "no box does anything"
    if isinstance(widget, Trial):
        assert all("alert(1)" in text for text in seen - {before}), "the text must be shown to be seen dead"


def test_a_hostile_name_of_an_upload_is_dead(widget: w.Widget) -> None:
    uploads = [part for part in parts(widget) if isinstance(part, w.FileUpload)]
    for upload in uploads:
        for text in TEXTS.values():
            raw = text[:100].encode()
            item = {"name": text[:4000], "type": text[:100], "size": len(raw), "last_modified": 0}
            upload.set_state({"value": [{**item, "content": memoryview(raw)}]})
            assert_dead(widget)
            assert upload.value == ()
