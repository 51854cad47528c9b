"""axe on what sevlab puts on a page: labels, roles, contrast, ids; and whether all of it is in reach.

The pages are Voila's: what a cell shows is the same there as in JupyterLab, whose frame has faults of its own and hides
the texts of a notebook from axe.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, TimeoutError

from sevlab.cli.lab import copy_notebooks
from tests.browser.lab import KINDS, TOKEN, app_server, needed, new_page, write_notebook
from tests.browser.test_harness import WITH_WIDGETS

#: All that cells show: texts, widgets, and the HTML of static views.
OURS = "#rendered_cells"
#: A text box without a name, a faint text, and an id that two elements have.
BAD = '<div class="faults"><p id="twice"><input></p><p id="twice" style="background:#fff;color:#ccc">faint</p></div>'
FAULTS = ".faults"
SECONDS_TO_SHOW = 120
WIDTHS = (400, 800, 1280, 1920)

#: What is out of reach: beyond an edge of the page, or cut off by a box that does not scroll.
OUT_OF_REACH = """() => [...document.querySelectorAll("#rendered_cells *")].filter(node => {
    const { left, right, width, height } = node.getBoundingClientRect();
    if (!width || !height || getComputedStyle(node).visibility === "hidden") return false;
    for (let box = node.parentElement; box; box = box.parentElement) {
        const { overflowX } = getComputedStyle(box), edges = box.getBoundingClientRect();
        if (["auto", "scroll"].includes(overflowX) && box.scrollWidth > box.clientWidth) return false;
        if (["hidden", "clip"].includes(overflowX) && width > 1 && right > edges.right + 1) return edges.width > 1;
    }
    return right > innerWidth + 1 || left < -1;
}).map(node => `${node.tagName} ${node.className}: ${node.textContent.slice(0, 40)}`)"""


def findings(page: Page, ours: str = OURS, without: str = "#nothing") -> list[str]:
    """What axe calls serious or critical, one line an element: the rule, where, and the element."""
    assert page.locator(ours).count()
    # axe leaves out what is scrolled out of sight.
    height = page.evaluate("() => document.querySelector('#rendered_cells').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": height})
    context = {"include": [ours], "exclude": [without]}
    found = Axe().run(page, context=context, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {' '.join(map(str, node['target']))}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def equal_ids(page: Page, ours: str = OURS) -> list[str]:
    """The ids that two elements of the page have, of which one is ours."""
    return page.evaluate(
        """ours => [...new Set([...document.querySelectorAll(ours)].flatMap(
            output => [...output.querySelectorAll("[id]")].map(node => node.id)))]
            .filter(id => document.querySelectorAll(`[id="${CSS.escape(id)}"]`).length > 1)""",
        ours,
    )


def out_of_reach(page: Page, width: int) -> list[str]:
    """What nobody can see on a page of this width."""
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    with contextlib.suppress(TimeoutError):  # the page is laid out anew a moment after its width has changed
        page.wait_for_function(f"() => ({OUT_OF_REACH})().length === 0")
    return page.evaluate(OUT_OF_REACH)


def show(page: Page, url: str, name: str = "") -> None:
    """Open a notebook in Voila and wait until every cell has run and every widget is there."""
    page.goto(f"{url}/{name}?token={TOKEN}", timeout=SECONDS_TO_SHOW * 1000)
    page.locator("#loading").wait_for(state="hidden", timeout=SECONDS_TO_SHOW * 1000)
    page.locator(".lm-Widget[class*='sevlab-']").first.wait_for(timeout=SECONDS_TO_SHOW * 1000)


@pytest.fixture(scope="module")
def kinds(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page with one of each kind, and two faults for axe to find."""
    folder = tmp_path_factory.mktemp("kinds")
    copy_notebooks(folder)
    bad = f"import ipywidgets\nipywidgets.HTML({BAD!r})"
    write_notebook(folder / "kinds.ipynb", *(cell for name, what in KINDS for cell in needed(name, what)), bad)
    page = new_page(browser)
    with app_server(folder / "kinds.ipynb") as url:
        show(page, url)
        yield page
        page.context.close()


def test_one_of_each_kind_is_on_the_page(kinds: Page) -> None:
    widgets = kinds.locator("[class*='-explorer'], .sevlab-explorer, .sevlab-debugger, .sevlab-field, .sevlab-coverage")
    assert widgets.count() >= 10
    assert kinds.get_by_text("There was an error when executing").count() == 0


def test_faults_are_found(kinds: Page) -> None:
    """Or nothing would be said by finding none."""
    assert {line.split()[0] for line in findings(kinds, FAULTS)} == {"label", "color-contrast"}
    assert equal_ids(kinds, FAULTS) == ["twice"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_one_of_each_kind_on_a_page(kinds: Page, scheme: str) -> None:
    kinds.emulate_media(color_scheme=scheme)
    assert findings(kinds, without=FAULTS) == []
    assert [one for one in equal_ids(kinds) if one != "twice"] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_narrow_page_loses_nothing(kinds: Page, width: int) -> None:
    assert out_of_reach(kinds, width) == []


@pytest.fixture(scope="module")
def course(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("course")
    copy_notebooks(folder)
    with app_server(folder) as url:
        yield url


@pytest.mark.soak
@pytest.mark.parametrize("name", WITH_WIDGETS)
def test_a_whole_notebook(course: str, browser: Browser, name: str) -> None:
    page = new_page(browser)
    show(page, course, f"voila/render/{name}")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        # nbconvert's template, which Voila uses, has no place for the words of a picture (Picture.words).
        assert findings(page, without=".jp-RenderedImage") == []
    assert equal_ids(page) == []
    page.context.close()
