"""Pictures: the right numbers, the same bytes each time, and told in words."""

from __future__ import annotations

import hashlib
import hmac
import struct
import subprocess
import sys

import pytest

import sevlab
from sevlab import exercises, samples
from sevlab.plots import Avalanche

PNG = b"\x89PNG\r\n\x1a\n"


def flips(raw: bytes, key: bytes) -> list[int]:
    """Bits of the measure that change with each bit of the message, counted here."""
    before = hmac.new(key, raw, hashlib.sha256).digest()
    counts = []
    for position in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[position // 8] ^= 1 << position % 8
        after = hmac.new(key, bytes(changed), hashlib.sha256).digest()
        counts.append(sum(bin(a ^ b).count("1") for a, b in zip(before, after, strict=True)))
    return counts


def test_the_avalanche_counts_right() -> None:
    message = exercises.sample_message()
    counted = flips(message.to_bytes(), samples.TIK)
    avalanche = Avalanche(message, samples.TIK)
    assert avalanche.flips == counted
    words = repr(avalanche)
    assert words.startswith("448 bits of the message, each flipped alone: ")
    assert f"{sum(counted) / 448:.1f} of the measure's 256 bits" in words
    assert f"{min(counted)} at least, {max(counted)} at most" in words


def test_the_dots_are_the_counts() -> None:
    message = exercises.sample_message()
    (axes,) = sevlab.plot_avalanche(message, samples.TIK).axes
    (dots,) = axes.collections
    offsets = dots.get_offsets().tolist()
    expected = flips(message.to_bytes(), samples.TIK)
    assert [[place, count] for place, count in offsets] == [[p / 8, count] for p, count in enumerate(expected)]
    assert [text.get_text() for text in axes.texts] == [span.name for span in message.spans()]
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert axes.get_title()


def test_a_picture_is_the_same_each_time_and_speaks() -> None:
    message = exercises.sample_message()
    one, two = (sevlab.plot_avalanche(message, samples.TIK) for _ in range(2))
    assert one._repr_png_() == two._repr_png_()
    assert one._repr_png_().startswith(PNG)
    assert b"Software" not in one._repr_png_()
    assert str(one) == repr(one) == repr(Avalanche(message, samples.TIK))
    other = sevlab.plot_avalanche(message.replace(build_id=0), samples.TIK)
    assert other._repr_png_() != one._repr_png_()


def test_a_picture_takes_a_secret_and_does_not_show_it() -> None:
    picture = sevlab.plot_avalanche(exercises.sample_message(), sevlab.Secret(samples.TIK))
    assert samples.TIK.hex() not in repr(picture)
    assert samples.TIK not in picture._repr_png_()


def test_a_picture_has_a_size_that_a_notebook_can_carry() -> None:
    png = sevlab.plot_avalanche(exercises.sample_message(), samples.TIK)._repr_png_()
    width, height = struct.unpack(">II", png[16:24])
    assert 600 <= width <= 1200
    assert 200 <= height <= 800
    assert len(png) < 100_000


def test_only_a_plot_imports_matplotlib() -> None:
    lines = (
        "import sys, sevlab\n"
        "sevlab.Policy, sevlab.explain, sevlab.load_evidence, sevlab.exercises\n"
        "heavy = {'matplotlib', 'ipywidgets', 'anywidget', 'IPython', 'rich', 'cryptography', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "sevlab.plot_avalanche\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["[]", "True False"], done.stderr


@pytest.mark.parametrize("size", [0, 15, 32])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(sevlab.InputError, match="needed 16 bytes"):
        sevlab.plot_avalanche(exercises.sample_message(), bytes(size))
