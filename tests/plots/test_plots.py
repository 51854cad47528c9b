"""Pictures: the right numbers, the same bytes each time, and told in words."""

from __future__ import annotations

import functools
import hashlib
import hmac
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image

import sevlab
from sevlab.labs import exercises, sample_files, samples
from sevlab.launch.sev import Step
from sevlab.layout.span import COLOURS
from sevlab.layout.views import hex_lines
from sevlab.plots.charts import Avalanche
from sevlab.plots.drawing import FOLLOWS, MARK, Picture
from sevlab.plots.launch import UNKNOWN

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
    message = exercises.sample_message()
    one, two = (sevlab.plots.charts.plot_avalanche(message, samples.TIK) for _ in range(2))
    assert one._repr_png_() == two._repr_png_()
    assert one._repr_png_().startswith(PNG)
    assert b"Software" not in one._repr_png_()
    assert str(one) == repr(one) == repr(Avalanche(message, samples.TIK))
    other = sevlab.plots.charts.plot_avalanche(message.replace(build_id=0), samples.TIK)
    assert other._repr_png_() != one._repr_png_()


def test_a_picture_takes_a_secret_and_does_not_show_it() -> None:
    picture = sevlab.plots.charts.plot_avalanche(exercises.sample_message(), sevlab.Secret(samples.TIK))
    assert samples.TIK.hex() not in repr(picture)
    assert samples.TIK not in picture._repr_png_()


def test_a_picture_has_a_size_that_a_notebook_can_carry() -> None:
    png = sevlab.plots.charts.plot_avalanche(exercises.sample_message(), samples.TIK)._repr_png_()
    width, height = struct.unpack(">II", png[16:24])
    assert 600 <= width <= 1200
    assert 200 <= height <= 800
    assert len(png) < 100_000


def test_only_a_plot_imports_matplotlib() -> None:
    lines = (
        "import sys, sevlab\n"
        "sevlab.Policy, sevlab.explain, sevlab.load_evidence, sevlab.labs.exercises\n"
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
        sevlab.plots.charts.plot_avalanche(exercises.sample_message(), bytes(size))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("samples")
    sample_files.write_samples(made)
    return made


def launch(folder: Path, **changes: object) -> sevlab.launch.sev.Launch:
    files = {"firmware": "firmware-kernel.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    cpu = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), samples.ES_CPU, strict=True))
    inputs = {name: str(folder / file) for name, file in files.items()} | cpu
    inputs |= {"cmdline": samples.CMDLINE, "num_cpus": samples.ES_CPUS} | changes
    return sevlab.load_launch(sevlab.Policy(samples.ES_POLICY), **inputs)


NO_KERNEL = {"kernel": None, "initrd": None, "cmdline": None}


def words(picture: Picture) -> list[str]:
    """Everything written in a picture, line breaks as spaces."""
    return [" ".join(text.get_text().split()) for text in picture.axes[0].texts if text.get_text()]


def flat(raw: bytes, per_line: int) -> list[str]:
    return [" ".join(line.split()) for line in hex_lines(raw, per_line).split("\n")]


def boxes(picture: Picture) -> list[Rectangle]:
    return [patch for patch in picture.axes[0].patches if isinstance(patch, Rectangle)]


def marked(picture: Picture) -> list[Rectangle]:
    return [box for box in boxes(picture) if to_hex(box.get_edgecolor()) == MARK and box.get_linewidth() > 2]


def assert_fits(picture: Picture) -> None:
    """No words leave the picture, and those that stand in a box stay in it; nothing is written over something else."""
    picture.draw_without_rendering()
    shown = [text for text in picture.axes[0].texts if text.get_text()]
    frames = [box.get_window_extent() for box in boxes(picture)]
    extents = [text.get_window_extent() for text in shown]
    for text, extent in zip(shown, extents, strict=True):
        assert picture.bbox.x0 <= extent.x0, text.get_text()
        assert extent.x1 <= picture.bbox.x1, text.get_text()
        x, y = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
        for frame in frames:
            if frame.contains(x, y):
                assert frame.x0 <= extent.x0, text.get_text()
                assert extent.x1 <= frame.x1, text.get_text()
                assert frame.y0 <= extent.y0, text.get_text()
                assert extent.y1 <= frame.y1, text.get_text()
    for number, extent in enumerate(extents):
        assert not extent.count_overlaps([other.padded(-1) for other in extents[number + 1 :]]), shown[number]


def test_the_chain_shows_every_step_its_own_hash_and_the_digest_after_it(folder: Path) -> None:
    given = launch(folder)
    picture = sevlab.plots.launch.plot_launch(given)
    assert isinstance(picture, Picture)
    assert str(picture) == str(given)
    written = words(picture)
    assert [word for word in written if word in {"firmware", "kernel hashes", "vCPU 0", "vCPU 1 to vCPU 3"}] == [
        *("firmware", "kernel hashes", "vCPU 0", "vCPU 1 to vCPU 3")
    ]
    assert written[0] == "A launch of 6 steps, and the launch digest after each"
    assert {"3 x", "3 x 4096 bytes. Initial registers of a further CPU."} <= set(written)
    raw = [(folder / "firmware-kernel.fd").read_bytes(), *(step.content for step in given.steps[1:])]
    for number in (0, 1, 2, 5):
        alone, after = hashlib.sha256(raw[number]), hashlib.sha256(b"".join(raw[: number + 1]))
        for line in (*flat(alone.digest(), 16), *flat(after.digest(), 16)):
            assert line in written
    between = flat(hashlib.sha256(b"".join(raw[:4])).digest(), 16)
    assert not set(between) & set(written)  # within a group only the last digest is shown
    assert_fits(picture)


@pytest.mark.parametrize("changes", [{}, NO_KERNEL, {"num_cpus": 1}], ids=["whole", "no kernel", "one CPU"])
def test_a_step_has_the_colour_of_its_row_in_the_table(folder: Path, changes: dict[str, object]) -> None:
    given = launch(folder, **changes)
    colours = [to_hex(box.get_facecolor()) for box in boxes(sevlab.plots.launch.plot_launch(given))]
    names = [run.colour for run in given.runs()]
    assert [colour for colour in colours if colour != "#ffffff"] == [COLOURS[name] for name in names]
    assert given.explain().blocks[0].colours == names
    by_name = {run.first.name: run.colour for run in launch(folder).runs()}
    assert names == [by_name[run.first.name] for run in given.runs()]  # whatever stands before it


def test_two_chains_are_marked_where_they_part(folder: Path) -> None:
    reported, computed = launch(folder), launch(folder, cmdline="console=ttyS0 ")
    picture = sevlab.plots.launch.plot_launch(reported, computed)
    comparison = sevlab.compare_launch(reported, computed)
    assert str(picture) == str(comparison)
    assert picture._repr_png_() == sevlab.plots.launch.plot_launch(comparison)._repr_png_()
    written = words(picture)
    assert written[0] == "First step that differs: kernel hashes"
    assert [written.count(word) for word in ("reported", "computed", "same", FOLLOWS)] == [1, 1, 1, 2]
    assert written.count("FIRST DIFFERENCE") == 1
    sides = boxes(picture)[::2]  # the step's boxes; the digest's boxes stand between them
    assert len(marked(picture)) == 4
    assert [sides.index(box) for box in marked(picture) if box in sides] == [1, 5]
    for given in (reported, computed):
        for digest in (given.digests[1], given.digests[-1], given.steps[1].digest):
            assert set(flat(digest, 8)) <= set(written)
    assert_fits(picture)


def test_a_step_that_only_one_side_has_is_told(folder: Path) -> None:
    four, five = launch(folder), launch(folder, num_cpus=5)
    for sides, first in (((four, five), "vCPU 4"), ((five, four), "vCPU 4"), ((four, launch(folder)), "")):
        picture = sevlab.plots.launch.plot_launch(*sides)
        assert ("no such step" in words(picture)) == bool(first)
        assert words(picture).count("FIRST DIFFERENCE") == bool(first)
        assert len(marked(picture)) == (2 if first else 0)
        assert sevlab.compare_launch(*sides).first == first
        assert_fits(picture)
    without = words(sevlab.plots.launch.plot_launch(four, launch(folder, **NO_KERNEL)))
    assert without[0] == "First step that differs: kernel hashes"
    assert {"differs too", "no such step"} <= set(without)


def test_of_a_digest_alone_no_step_is_claimed(folder: Path) -> None:
    digest, whole = sevlab.launch.sev.Launch((), digest=hashlib.sha256(b"?").digest()), launch(folder)
    alone = words(sevlab.plots.launch.plot_launch(digest))
    assert alone.count(UNKNOWN) == 2
    assert set(flat(digest.digest, 16)) <= set(alone)
    for sides in ((digest, whole), (whole, digest), (digest, digest)):
        comparison = sevlab.compare_launch(*sides)
        assert comparison.first == ""
        picture = sevlab.plots.launch.plot_launch(comparison)
        assert not marked(picture)
        assert "FIRST DIFFERENCE" not in words(picture)
        assert set(flat(digest.digest, 8)) <= set(words(picture))
        assert_fits(picture)
    assert "not known" in sevlab.plots.launch.plot_launch(whole, digest).words
    assert sevlab.compare_launch(whole, sevlab.launch.sev.Launch((), digest=whole.digest)).matches


def test_thousands_of_cpus_are_one_box(folder: Path) -> None:
    many = launch(folder, num_cpus=4096)
    picture = sevlab.plots.launch.plot_launch(many, launch(folder, num_cpus=4095))
    assert {"vCPU 1 to vCPU 4094", "4094 x 4096 bytes", "4094 x", "vCPU 4095"} <= set(words(picture))
    assert_fits(picture)
    assert len(sevlab.plots.launch.plot_launch(many)._repr_png_()) < 50_000


def test_a_launch_of_many_different_steps_is_cut_and_says_so() -> None:
    steps = [Step(f"page {number}", bytes([number]), "A page.") for number in range(200)]
    changed = [*steps[:77], Step("page 77", b"?", "A page."), *steps[78:]]
    chain = sevlab.plots.launch.plot_launch(sevlab.launch.sev.Launch(steps))
    assert {"page 0", "page 199", "185 more, not drawn"} <= set(words(chain))
    assert_fits(chain)
    both = sevlab.plots.launch.plot_launch(sevlab.launch.sev.Launch(steps), sevlab.launch.sev.Launch(changed))
    assert {"page 0", "page 76", "page 77", "page 78", "page 199"} <= set(words(both))
    assert [words(both).count(f"{count} more, not drawn") for count in (65, 115)] == [2, 2]
    assert len(marked(both)) == 4
    assert "page 120" in both.words  # the words leave nothing out
    assert_fits(both)


@pytest.mark.parametrize("name", ["long" * 99, "long " * 99, "$x^2$ {\\frac", "W" * 40, "two\nlines", ""])
def test_a_name_of_any_kind_stays_in_its_box(name: str) -> None:
    given = sevlab.launch.sev.Launch([Step(name, bytes(9), name)])
    for picture in (
        sevlab.plots.launch.plot_launch(given),
        sevlab.plots.launch.plot_launch(given, sevlab.launch.sev.Launch([Step(name, b"", name)])),
    ):
        assert_fits(picture)
        picture._repr_png_()
    assert "A launch of 1 step, and" in words(sevlab.plots.launch.plot_launch(given))[0]


def test_the_chain_is_the_same_each_time_small_and_in_true_colours(folder: Path) -> None:
    draw = functools.partial(sevlab.plots.launch.plot_launch, launch(folder))
    png = draw()._repr_png_()
    assert png == draw()._repr_png_()
    assert png.startswith(PNG)
    assert len(png) < 50_000
    with Image.open(BytesIO(png)) as picture:
        colours = {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {COLOURS[name] for name in ("blue", "orange", "green", "purple")} | {"#ffffff"} <= colours
    assert draw(launch(folder, num_cpus=5))._repr_png_() != png


def test_only_launches_are_drawn(folder: Path) -> None:
    whole = launch(folder)
    with pytest.raises(TypeError, match="not bytes"):
        sevlab.plots.launch.plot_launch(b"")
    with pytest.raises(TypeError, match="not a Launch beside a LaunchComparison"):
        sevlab.plots.launch.plot_launch(sevlab.compare_launch(whole, whole), whole)
