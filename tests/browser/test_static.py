"""The notebooks where no kernel runs: as a page on the web, light and dark."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from nbconvert import HTMLExporter
from playwright.sync_api import Page

from sevlab.labs import samples
from sevlab.labs.ribbon import Ribbon
from sevlab.layout.bytemap import ByteMap
from sevlab.layout.span import COLOURS, INK
from tests.browser.lab import NOTEBOOKS

#: The notebooks with a picture among their stored outputs.
PICTURED = [path for path in sorted(NOTEBOOKS.rglob("*.ipynb")) if '"image/png": "' in path.read_text("utf-8")]


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` or ``#rrggbb`` (WCAG 2.2, definition)."""
    if colour.startswith("#"):
        channels = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    else:
        channels = [int(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_stored_notebook_shows_the_byte_map(theme: str, page: Page, tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOKS / "01-fifty-six-bytes.ipynb", as_version=4)
    html, _ = HTMLExporter(theme=theme, embed_images=True).from_notebook_node(notebook)
    # The template asks the web for scripts. Offline these fail, and what we test must do without them.
    target = tmp_path / f"{theme}.html"
    target.write_text(html, encoding="utf-8")
    page.route("http**", lambda route: route.abort())
    page.goto(target.as_uri())
    page.problems.clear()

    cell = page.locator("td[title^='C: api_minor']").first
    assert cell.inner_text().split() == ["16", "C"]
    style = cell.evaluate("node => { const s = getComputedStyle(node); return [s.color, s.backgroundColor]; }")
    assert contrast(*style) >= 10
    assert contrast(*style) == pytest.approx(contrast(INK, COLOURS["green"]), rel=0.01)

    # What is not coloured must be readable on the theme's own background.
    meaning = page.get_by_text("Minor version of the SEV API that measured.").first
    text, background = meaning.evaluate(
        """node => {
            let behind = node;
            const empty = colour => colour === 'rgba(0, 0, 0, 0)' || colour === 'transparent';
            while (behind && empty(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
            const colour = behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)';
            return [getComputedStyle(node).color, colour];
        }"""
    )
    assert contrast(text, background) >= 4.5
    assert page.locator("img[src^='data:image/png']").count() == 1
    page.problems.clear()


@pytest.mark.parametrize("path", PICTURED, ids=lambda path: path.stem)
def test_a_stored_picture_has_words_where_the_template_has_a_place_for_them(
    path: Path, page: Page, tmp_path: Path
) -> None:
    """In "classic", of nbconvert and Voila; neither "lab", which is the default of both, nor JupyterLab has one."""
    html, _ = HTMLExporter(template_name="classic").from_notebook_node(nbformat.read(path, as_version=4))
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page.route("http**", lambda route: route.abort())
    page.goto((tmp_path / "page.html").as_uri())
    page.problems.clear()
    pictures = page.locator(".output_png img")
    assert pictures.count() >= 1
    assert all(len(one.get_attribute("alt").split()) > 4 for one in pictures.all())
    found = Axe().run(page, context=".output_png", options={"runOnly": ["image-alt"]}).response
    assert (found["violations"], len(found["passes"][0]["nodes"])) == ([], pictures.count())


def test_a_map_is_copied_as_hex_and_nothing_else(page: Page) -> None:
    message = samples.message()
    blocks = {"map": ByteMap(message.spans(), [4, 55]), "ribbon": Ribbon(message.to_bytes(), [4, 55])}
    parts = "".join(f'<div id="{name}">{block.html()}</div>' for name, block in blocks.items())
    page.set_content(f"{parts}<textarea></textarea>")
    for name in blocks:
        page.evaluate("id => document.getSelection().selectAllChildren(document.getElementById(id))", name)
        page.keyboard.press("Control+c")
        page.locator("textarea").fill("")
        page.locator("textarea").focus()
        page.keyboard.press("Control+v")
        copied = page.locator("textarea").input_value()
        assert [line.split() for line in copied.splitlines() if line.strip()] == [
            [f"{byte:02x}" for byte in message.to_bytes()[start : start + 16]] for start in range(0, 56, 16)
        ], name
