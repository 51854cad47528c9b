"""Chains and memory maps: what is in them is what the launch says, and it fits."""

from __future__ import annotations

import functools
import hashlib
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from PIL import Image

import sevlab
from sevlab.formats.page_info import NORMAL, UNMEASURED, VMSA
from sevlab.labs import sample_files, samples
from sevlab.labs import snp_samples as snp
from sevlab.launch.pages import Region
from sevlab.launch.sev import Step
from sevlab.launch.snp import TYPE_COLOURS
from sevlab.layout.span import COLOURS
from sevlab.layout.views import hex_lines
from sevlab.plots.drawing import DIFFERS, FIRST, FOLLOWS, SAME, Picture
from sevlab.plots.launch import HATCHES, REGION_LIMIT, UNKNOWN
from tests.plots.pictures import assert_fits, boxes, marked, words

PNG = b"\x89PNG\r\n\x1a\n"

KINDS = ["firmware", "SEC_MEM", "SEC_MEM", "SECRETS", "CPUID", "SVSM_CAA", "kernel hashes", "SEC_MEM", "vCPU 0"]


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


def flat(raw: bytes, per_line: int) -> list[str]:
    return [" ".join(line.split()) for line in hex_lines(raw, per_line).split("\n")]


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


def test_two_chains_are_marked_where_they_diverge(folder: Path) -> None:
    reported, computed = launch(folder), launch(folder, cmdline="console=ttyS0 ")
    picture = sevlab.plots.launch.plot_launch(reported, computed)
    comparison = sevlab.compare_launch(reported, computed)
    assert str(picture) == str(comparison)
    assert picture._repr_png_()[0] == sevlab.plots.launch.plot_launch(comparison)._repr_png_()[0]
    written = words(picture)
    assert written[0] == "First step that differs: kernel hashes"
    assert [written.count(word) for word in ("launched with", "computed", "same", FOLLOWS)] == [1, 1, 1, 2]
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
    assert len(sevlab.plots.launch.plot_launch(many)._repr_png_()[0]) < 50_000


def test_a_launch_of_many_different_steps_is_cut_and_says_so() -> None:
    steps = [Step(f"page {number}", bytes([number]), "A page.") for number in range(200)]
    changed = [*steps[:77], Step("page 77", b"?", "A page."), *steps[78:]]
    chain = sevlab.plots.launch.plot_launch(sevlab.launch.sev.Launch(steps))
    assert {"page 0", "page 199", "185 more, not drawn"} <= set(words(chain))
    assert_fits(chain, 200_000)
    both = sevlab.plots.launch.plot_launch(sevlab.launch.sev.Launch(steps), sevlab.launch.sev.Launch(changed))
    assert {"page 0", "page 76", "page 77", "page 78", "page 199"} <= set(words(both))
    assert [words(both).count(f"{count} more, not drawn") for count in (65, 115)] == [2, 2]
    assert len(marked(both)) == 4
    assert "page 120" in both.words  # the words leave nothing out
    assert_fits(both, 200_000)


@pytest.mark.parametrize("name", ["long" * 99, "long " * 99, "$x^2$ {\\frac", "W" * 40, "two\nlines", ""])
def test_a_name_of_any_kind_stays_in_its_box(name: str) -> None:
    given = sevlab.launch.sev.Launch([Step(name, bytes(9), name)])
    for picture in (
        sevlab.plots.launch.plot_launch(given),
        sevlab.plots.launch.plot_launch(given, sevlab.launch.sev.Launch([Step(name, b"", name)])),
    ):
        assert_fits(picture)
        picture._repr_png_()[0]
    assert "A launch of 1 step, and" in words(sevlab.plots.launch.plot_launch(given))[0]


def test_the_chain_is_the_same_each_time_small_and_in_true_colours(folder: Path) -> None:
    draw = functools.partial(sevlab.plots.launch.plot_launch, launch(folder))
    png = draw()._repr_png_()[0]
    assert png == draw()._repr_png_()[0]
    assert png.startswith(PNG)
    assert len(png) < 50_000
    with Image.open(BytesIO(png)) as picture:
        colours = {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {COLOURS[name] for name in ("blue", "orange", "green", "purple")} | {"#ffffff"} <= colours
    assert draw(launch(folder, num_cpus=5))._repr_png_()[0] != png


def test_only_launches_are_drawn(folder: Path) -> None:
    whole = launch(folder)
    with pytest.raises(TypeError, match="not bytes"):
        sevlab.plots.launch.plot_launch(b"")
    with pytest.raises(TypeError, match="not a Launch beside a LaunchComparison"):
        sevlab.plots.launch.plot_launch(sevlab.compare_launch(whole, whole), whole)


# SEV-SNP: regions of pages


@pytest.fixture(scope="module")
def snp_launch() -> sevlab.launch.snp.SnpLaunch:
    return snp.snp_launch()


def test_the_snp_chain_shows_every_region_and_the_whole_digest(snp_launch: sevlab.launch.snp.SnpLaunch) -> None:
    picture = sevlab.plots.launch.plot_launch(snp_launch)
    written = words(picture)
    assert written[0] == "A SEV-SNP launch: 51 pages in 10 regions"
    assert [word for word in written if word in KINDS] == KINDS
    assert "16 pages, type NORMAL, at 0xffff0000" in written
    assert f"{snp_launch.after[0][:8].hex(' ', 1)} ...".replace(" ", "") in "".join(written).replace(" ", "")
    assert snp_launch.digest.hex() in written
    assert str(picture) == str(snp_launch)
    assert_fits(picture)


def test_a_region_has_the_colour_of_its_row_in_the_table(snp_launch: sevlab.launch.snp.SnpLaunch) -> None:
    colours = [to_hex(box.get_facecolor()) for box in boxes(sevlab.plots.launch.plot_launch(snp_launch))]
    wanted = [COLOURS[TYPE_COLOURS[region.type_name]] for region in snp_launch.regions]
    assert [colour for colour in colours if colour != "#ffffff"] == wanted


@pytest.mark.parametrize(
    ("changes", "first", "after"),
    [
        ({"cmdline": "console=ttyS1"}, 6, [FOLLOWS] * 3),
        ({"num_cpus": 5}, 9, []),
        ({"profile": "ec2"}, 4, [DIFFERS] * 5),
        ({}, None, []),
    ],
)
def test_two_snp_chains_are_marked_where_they_diverge(
    snp_launch: sevlab.launch.snp.SnpLaunch, changes: dict[str, object], first: int | None, after: list[str]
) -> None:
    other = snp.snp_launch(**changes)
    picture = sevlab.plots.launch.plot_launch(
        *((snp_launch, other) if changes else (sevlab.compare_launch(snp_launch, other),))
    )
    written = words(picture)
    assert written[0] == sevlab.compare_launch(snp_launch, other).words
    said = [word for word in written if word in {SAME, FIRST, FOLLOWS, DIFFERS}]
    # Of the equal regions before the first that differs, the last is drawn, the others as one.
    assert said == ([SAME] * 10 if first is None else [SAME, SAME, FIRST, *after])
    assert first is None or f"{first - 1} regions, not drawn" in written
    assert len(marked(picture)) == (0 if first is None else 4)
    assert {snp_launch.digest.hex(), other.digest.hex()} <= set(written)
    assert_fits(picture)


def test_chains_that_begin_otherwise_are_not_said_to_diverge_anywhere(snp_launch: sevlab.launch.snp.SnpLaunch) -> None:
    picture = sevlab.plots.launch.plot_launch(
        snp_launch, sevlab.launch.snp.SnpLaunch(snp_launch.regions, start=bytes([1] * 48))
    )
    assert not marked(picture)
    assert not set(words(picture)) & {SAME, FIRST, FOLLOWS, DIFFERS}
    assert_fits(picture)


def test_launches_of_two_kinds_are_not_drawn_beside_each_other(snp_launch: sevlab.launch.snp.SnpLaunch) -> None:
    with pytest.raises(TypeError, match="not a Launch beside a SnpLaunch"):
        sevlab.plots.launch.plot_launch(snp_launch, sevlab.launch.sev.Launch((), digest=bytes(32)))


def test_the_memory_map_shows_every_stretch_by_address_and_every_letter(
    snp_launch: sevlab.launch.snp.SnpLaunch,
) -> None:
    picture = sevlab.plots.launch.plot_memory(snp_launch)
    written = words(picture)
    for edge in ("0x800000", "0x81ffff", "0xffff0000", "0xffffffff", "0xfffffffff000", "0xffffffffffff"):
        assert edge in written
    assert [word for word in written[:20] if word in {*"BCDEFGHA", "I, J"}] == [*"BCDEFGHA", "I, J"]
    assert {"NORMAL", "ZERO", "SECRETS", "CPUID", "VMSA"} <= set(written)
    assert "B (gap) C D E F G H" in str(picture)
    assert_fits(picture)


def test_a_page_type_is_told_by_pattern_too() -> None:
    assert len(set(HATCHES.values())) == len(HATCHES)
    assert set(HATCHES) == set(TYPE_COLOURS)


def test_a_memory_map_of_any_launch_fits() -> None:
    one = (bytes(48),)
    overlap = [Region("a", NORMAL, 0, one * 9, "?"), Region("b $x", UNMEASURED, 4096, one, "? " * 99)]
    many = [Region(f"region {n}", NORMAL, n << 13, one, "A page.") for n in range(90)]
    high = [Region("c", NORMAL, (1 << 64) - 4096, one, ""), Region("vCPU", VMSA, 0xFFFFFFFFF000, one * 512, "")]
    for regions in ([], overlap, high):
        assert_fits(sevlab.plots.launch.plot_memory(sevlab.launch.snp.SnpLaunch(regions)))
    picture = sevlab.plots.launch.plot_memory(sevlab.launch.snp.SnpLaunch(many))
    assert f"{90 - REGION_LIMIT} more regions, not drawn" in words(picture)
    assert "region 89" in str(picture)
    picture._repr_png_()[0]
