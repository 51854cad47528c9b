"""What is in a picture, and whether it fits."""

from __future__ import annotations

from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from sevlab.plots.drawing import MARK, Picture


def words(picture: Picture) -> list[str]:
    """Everything written in a picture, line breaks as spaces."""
    return [" ".join(text.get_text().split()) for text in picture.axes[0].texts if text.get_text()]


def boxes(picture: Picture) -> list[Rectangle]:
    return [patch for patch in picture.axes[0].patches if isinstance(patch, Rectangle)]


def marked(picture: Picture) -> list[Rectangle]:
    return [box for box in boxes(picture) if to_hex(box.get_edgecolor()) == MARK and box.get_linewidth() > 2]


def assert_fits(picture: Picture, size: int = 60_000) -> None:
    """No words leave the picture or the box they are in; nothing is written over something else; it is small."""
    picture.draw_without_rendering()
    shown = [text for text in picture.axes[0].texts if text.get_text()]
    frames = [box.get_window_extent() for box in boxes(picture)]
    extents = [text.get_window_extent() for text in shown]
    for text, extent in zip(shown, extents, strict=True):
        assert picture.bbox.x0 <= extent.x0, text.get_text()
        assert extent.x1 <= picture.bbox.x1, text.get_text()
        assert picture.bbox.y0 <= extent.y0, text.get_text()
        x, y = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
        for frame in frames:
            if frame.contains(x, y):
                assert frame.x0 <= extent.x0, text.get_text()
                assert extent.x1 <= frame.x1, text.get_text()
                assert frame.y0 <= extent.y0, text.get_text()
                assert extent.y1 <= frame.y1, text.get_text()
    for number, extent in enumerate(extents):
        assert not extent.count_overlaps([other.padded(-1) for other in extents[number + 1 :]]), shown[number]
    assert len(picture._repr_png_()[0]) < size
