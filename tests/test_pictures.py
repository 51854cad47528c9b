"""The pictures of README are of today's views: the texts are compared, because pixels depend on fonts."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from tests.make_pictures import DIGEST, FOLDER, THEMES, VIEWS, WIDTH, digest_of
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", VIEWS)
def test_a_picture_is_not_stale(name: str) -> None:
    text = str(VIEWS[name]())
    assert (FOLDER / f"{name}.txt").read_text(encoding="utf-8") == f"{text}\n", "run: make pictures"
    for theme in THEMES:
        path = FOLDER / f"{name}-{theme}.png"
        with Image.open(path) as shown:
            assert shown.info[DIGEST] == digest_of(text), "run: make pictures"
            assert shown.width >= WIDTH
        assert path.stat().st_size <= 150_000
        assert f"docs/pictures/{path.name}" in README.partition("## Start")[0]


@pytest.mark.parametrize("name", VIEWS)
def test_a_picture_is_told_in_words_too(name: str) -> None:
    """The words for who does not see it have its first sentence, without the colour of its bar."""
    (words,) = re.findall(rf'{name}-light\.png" alt="([^"]*)"', README)
    first = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").partition("\n")[0].strip()
    assert first.partition(": ")[2].partition(".")[0] in " ".join(words.split())


def test_every_picture_has_a_view() -> None:
    made = {f"{name}{end}" for name in VIEWS for end in (".txt", *(f"-{theme}.png" for theme in THEMES))}
    assert {path.name for path in FOLDER.iterdir()} == made
