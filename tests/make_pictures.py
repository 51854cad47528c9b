"""Write the pictures of README into ``docs/pictures/`` (``make pictures``): views, as a browser shows them.

Beside each is its view as text. The digest of that text is in the picture, so a test finds a picture that is out of
date without looking at a pixel, which depends on fonts.
"""

from __future__ import annotations

import base64
import hashlib
import io
import sys
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser

import sevlab
from sevlab.labs import samples
from sevlab.layout.views import View
from sevlab.widgets import FieldBox
from tests.browser.lab import chromium_browser, chromium_path
from tests.paths import DOCS, SAMPLES

FOLDER = DOCS / "pictures"
#: The name under which a picture holds the digest of its text.
DIGEST = "SHA-256 of the text"
#: The wrong input of both pictures: 13 in hex, read as decimal.
BUILD = "19"
WIDTH = 800
THEMES = {"light": ("#ffffff", "#1f2328"), "dark": ("#0d1117", "#f0f6fc")}


def byte_diff() -> View:
    """The 56 bytes with one that is wrong, and the measure reported above the one computed."""
    box = FieldBox(samples.message().to_bytes(), samples.TIK, samples.measurement()[:32], "build_id")
    box.boxes["build_id"].value = BUILD
    return box.static()


def answer() -> View:
    """What the debugger says about the same launch."""
    message = samples.message()
    inputs = {name: str(int(getattr(message, name))) for name in ("api_major", "api_minor", "policy")}
    files = {"firmware": str(SAMPLES / "firmware.fd"), "tk": str(SAMPLES / "tk.bin")}
    measurement = base64.b64encode(samples.measurement()).decode()
    debugger = sevlab.debugger({**inputs, **files, "measurement": measurement, "build_id": BUILD})
    debugger.search()
    return debugger.static()


VIEWS = {"bytes": byte_diff, "answer": answer}


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def picture(browser: Browser, view: View, theme: str) -> bytes:
    """The view as a PNG of at most 64 colours."""
    back, ink = THEMES[theme]
    page = browser.new_context(viewport={"width": WIDTH, "height": 600}, device_scale_factor=1.5).new_page()
    style = f"margin:0;background:{back};color:{ink};font:14px/1.5 sans-serif"
    page.set_content(
        f'<!doctype html><body style="{style}"><main style="padding:12px 16px">{view.html()}</main></body>'
    )
    raw = page.locator("main").screenshot()
    page.context.close()
    words, made = PngInfo(), io.BytesIO()
    words.add_text(DIGEST, digest_of(str(view)))
    Image.open(io.BytesIO(raw)).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
        made, "PNG", optimize=True, pnginfo=words
    )
    return made.getvalue()


def main(folder: Path = FOLDER) -> int:
    if chromium_path() is None:
        print("Chromium is missing; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    folder.mkdir(exist_ok=True)
    with chromium_browser() as browser:
        for name, make in VIEWS.items():
            view = make()
            (folder / f"{name}.txt").write_text(f"{view}\n", encoding="utf-8")
            for theme in THEMES:
                (folder / f"{name}-{theme}.png").write_bytes(picture(browser, view, theme))
    return 0


if __name__ == "__main__":
    sys.exit(main())
