"""Charts: the right numbers, the same bytes each time, and described in words."""

from __future__ import annotations

import hashlib
import hmac
import struct
import subprocess
import sys

import pytest
from IPython.core.formatters import DisplayFormatter

import sevlab
from sevlab.formats.report import MilanTcb, TurinTcb
from sevlab.labs import samples
from sevlab.labs import snp_samples as snp
from sevlab.plots.charts import SIGNS, Avalanche
from tests.plots.pictures import assert_fits, marked, words

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
    message = samples.message()
    counted = flips(message.to_bytes(), samples.TIK)
    avalanche = Avalanche(message, samples.TIK)
    assert avalanche.flips == counted
    words = repr(avalanche)
    assert words.startswith("448 bits of the message, each flipped alone: ")
    assert f"{sum(counted) / 448:.1f} of the measure's 256 bits" in words
    assert f"{min(counted)} at least, {max(counted)} at most" in words


def test_the_dots_are_the_counts() -> None:
    message = samples.message()
    (axes,) = sevlab.plots.charts.plot_avalanche(message, samples.TIK).axes
    (dots,) = axes.collections
    offsets = dots.get_offsets().tolist()
    expected = flips(message.to_bytes(), samples.TIK)
    assert [[place, count] for place, count in offsets] == [[p / 8, count] for p, count in enumerate(expected)]
    assert [text.get_text() for text in axes.texts] == [span.name for span in message.spans()]
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    assert axes.get_title()


def test_a_picture_is_the_same_each_time_and_speaks() -> None:
    message = samples.message()
    one, two = (sevlab.plots.charts.plot_avalanche(message, samples.TIK) for _ in range(2))
    assert one._repr_png_()[0] == two._repr_png_()[0]
    assert one._repr_png_()[0].startswith(PNG)
    assert b"Software" not in one._repr_png_()[0]
    assert str(one) == repr(one) == repr(Avalanche(message, samples.TIK))
    other = sevlab.plots.charts.plot_avalanche(message.replace(build_id=0), samples.TIK)
    assert other._repr_png_()[0] != one._repr_png_()[0]


def test_a_picture_goes_to_a_notebook_with_its_first_line_as_alternative_text() -> None:
    picture = sevlab.plots.charts.plot_avalanche(samples.message(), samples.TIK)
    data, metadata = DisplayFormatter().format(picture)
    assert data == {"image/png": picture._repr_png_()[0], "text/plain": repr(picture)}
    assert metadata == {"image/png": {"alt": repr(picture).strip().split("\n")[0]}}


def test_a_picture_takes_a_secret_and_does_not_show_it() -> None:
    picture = sevlab.plots.charts.plot_avalanche(samples.message(), sevlab.SecretBytes(samples.TIK))
    assert samples.TIK.hex() not in repr(picture)
    assert samples.TIK not in picture._repr_png_()[0]


def test_a_picture_has_a_size_that_a_notebook_can_carry() -> None:
    png = sevlab.plots.charts.plot_avalanche(samples.message(), samples.TIK)._repr_png_()[0]
    width, height = struct.unpack(">II", png[16:24])
    assert 600 <= width <= 1200
    assert 200 <= height <= 800
    assert len(png) < 100_000


def test_only_a_plot_imports_matplotlib() -> None:
    lines = (
        "import sys, sevlab\n"
        "sevlab.Policy, sevlab.explain, sevlab.load_evidence, sevlab.labs.samples\n"
        "heavy = {'matplotlib', 'ipywidgets', 'anywidget', 'IPython', 'rich', 'cryptography', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "sevlab.plots.charts.plot_avalanche\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["[]", "True False"], done.stderr


@pytest.mark.parametrize("size", [0, 15, 32])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(sevlab.InputError, match="needed 16 bytes"):
        sevlab.plots.charts.plot_avalanche(samples.message(), bytes(size))


def test_the_ladder_has_a_rung_for_each_number_and_marks_the_one_that_signs() -> None:
    picture = sevlab.plots.charts.plot_tcb(snp.snp_report())
    written = words(picture)
    legend = written.index("C", written.index("213") + 4 if "213" in written else 0)
    assert legend
    # Part by part, from the lowest rung up: its number, then the letters of the TCBs that have it.
    drawn = written[1 : 1 + 4 + 7 + 16]
    ladders = "bl 4 C K L R tee 1 C K L R snp 22 R 23 K L 24 C ucode 213 L R 219 C K"
    assert drawn == ladders.split()
    assert len(marked(picture)) == 5  # one for each part, one in the legend
    assert "snp 23 22 23 24" in " ".join(str(picture).split())
    assert_fits(picture)


def test_a_turin_has_five_ladders_and_a_broken_order_is_told() -> None:
    tcb = TurinTcb(fmc=1, bl=2, tee=3, snp=4, ucode=255)
    names = ("current_tcb", "committed_tcb", "launch_tcb", SIGNS)
    raw = bytearray(snp.snp_report().to_bytes())
    raw[0x188] = 0x1A  # the family of a Turin
    report = sevlab.formats.report.parse_report(bytes(raw)).replace(**dict.fromkeys(names, tcb))
    assert [word for word in words(sevlab.plots.charts.plot_tcb(report)) if word.startswith("UNEXPECTED")] == []
    broken = sevlab.plots.charts.plot_tcb(report.replace(reported_tcb=tcb.replace(bl=200)))
    (odd,) = (word for word in words(broken) if word.startswith("UNEXPECTED"))
    assert "bl: REPORTED_TCB is 200, above COMMITTED_TCB with 2" in odd
    assert "fmc" in words(broken)
    assert_fits(broken)


def test_of_an_unknown_version_no_ladder_is_drawn() -> None:
    raw = b"\x63" + snp.snp_report().to_bytes()[1:]
    with pytest.raises(sevlab.InputError, match="report of version 99"):
        sevlab.plots.charts.plot_tcb(sevlab.formats.report.parse_report(raw))
    assert isinstance(sevlab.formats.report.parse_report(raw, "Milan").reported_tcb, MilanTcb)
    assert_fits(sevlab.plots.charts.plot_tcb(sevlab.formats.report.parse_report(raw, "Milan")))
