"""The drawings of SEV-SNP: what stands in them is what the launch and the report say, and it fits."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

import sevlab
from sevlab.formats.page_info import NORMAL, UNMEASURED, VMSA
from sevlab.formats.report import MilanTcb, TurinTcb
from sevlab.labs import snp_samples as snp
from sevlab.launch.pages import Region
from sevlab.launch.snp import TYPE_COLOURS
from sevlab.layout.span import COLOURS
from sevlab.plots.charts import SIGNS
from sevlab.plots.drawing import DIFFERS, FIRST, FOLLOWS, MARK, SAME, Picture
from sevlab.plots.launch import HATCHES, REGION_LIMIT

KINDS = ["firmware", "SEC_MEM", "SEC_MEM", "SECRETS", "CPUID", "SVSM_CAA", "kernel hashes", "SEC_MEM", "vCPU 0"]


@pytest.fixture(scope="module")
def launch() -> sevlab.launch.snp.SnpLaunch:
    return snp.snp_launch()


def words(picture: Picture) -> list[str]:
    """Everything written in a picture, line breaks as spaces."""
    return [" ".join(text.get_text().split()) for text in picture.axes[0].texts if text.get_text()]


def boxes(picture: Picture) -> list[Rectangle]:
    return [patch for patch in picture.axes[0].patches if isinstance(patch, Rectangle)]


def marked(picture: Picture) -> list[Rectangle]:
    return [box for box in boxes(picture) if to_hex(box.get_edgecolor()) == MARK]


def assert_fits(picture: Picture) -> None:
    """No words leave the picture, nothing is written over something else, and two drawings are the same bytes."""
    picture.draw_without_rendering()
    shown = [text for text in picture.axes[0].texts if text.get_text()]
    extents = [text.get_window_extent() for text in shown]
    for text, extent in zip(shown, extents, strict=True):
        assert picture.bbox.x0 <= extent.x0, text.get_text()
        assert extent.x1 <= picture.bbox.x1, text.get_text()
        assert picture.bbox.y0 <= extent.y0, text.get_text()
    for number, extent in enumerate(extents):
        assert not extent.count_overlaps([other.padded(-1) for other in extents[number + 1 :]]), shown[number]
    assert len(picture._repr_png_()) < 60_000


def test_the_chain_shows_every_region_and_the_whole_digest(launch: sevlab.launch.snp.SnpLaunch) -> None:
    picture = sevlab.plots.launch.plot_launch(launch)
    written = words(picture)
    assert written[0] == "A SEV-SNP launch: 51 pages in 10 regions"
    assert [word for word in written if word in KINDS] == KINDS
    assert "16 pages, type NORMAL, at 0xffff0000" in written
    assert f"{launch.after[0][:8].hex(' ', 1)} ...".replace(" ", "") in "".join(written).replace(" ", "")
    assert launch.digest.hex() in written
    assert str(picture) == str(launch)
    assert_fits(picture)


def test_a_region_has_the_colour_of_its_row_in_the_table(launch: sevlab.launch.snp.SnpLaunch) -> None:
    colours = [to_hex(box.get_facecolor()) for box in boxes(sevlab.plots.launch.plot_launch(launch))]
    wanted = [COLOURS[TYPE_COLOURS[region.type_name]] for region in launch.regions]
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
def test_two_chains_are_marked_where_they_part(
    launch: sevlab.launch.snp.SnpLaunch, changes: dict[str, object], first: int | None, after: list[str]
) -> None:
    other = snp.snp_launch(**changes)
    picture = sevlab.plots.launch.plot_launch(
        *((launch, other) if changes else (sevlab.compare_launch(launch, other),))
    )
    written = words(picture)
    assert written[0] == sevlab.compare_launch(launch, other).words
    said = [word for word in written if word in {SAME, FIRST, FOLLOWS, DIFFERS}]
    # Of the equal regions before the first that differs, the last is drawn, the others as one.
    assert said == ([SAME] * 10 if first is None else [SAME, SAME, FIRST, *after])
    assert first is None or f"{first - 1} regions, not drawn" in written
    assert len(marked(picture)) == (0 if first is None else 4)
    assert {launch.digest.hex(), other.digest.hex()} <= set(written)
    assert_fits(picture)


def test_chains_that_begin_otherwise_are_not_said_to_part_anywhere(launch: sevlab.launch.snp.SnpLaunch) -> None:
    picture = sevlab.plots.launch.plot_launch(
        launch, sevlab.launch.snp.SnpLaunch(launch.regions, start=bytes([1] * 48))
    )
    assert not marked(picture)
    assert not set(words(picture)) & {SAME, FIRST, FOLLOWS, DIFFERS}
    assert_fits(picture)


def test_launches_of_two_kinds_are_not_drawn_beside_each_other(launch: sevlab.launch.snp.SnpLaunch) -> None:
    with pytest.raises(TypeError, match="not a Launch beside a SnpLaunch"):
        sevlab.plots.launch.plot_launch(launch, sevlab.launch.sev.Launch((), digest=bytes(32)))


def test_the_memory_map_shows_every_stretch_by_address_and_every_letter(launch: sevlab.launch.snp.SnpLaunch) -> None:
    picture = sevlab.plots.launch.plot_memory(launch)
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
    picture._repr_png_()


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
    assert [word for word in words(sevlab.plots.charts.plot_tcb(report)) if word.startswith("ODD")] == []
    broken = sevlab.plots.charts.plot_tcb(report.replace(reported_tcb=tcb.replace(bl=200)))
    (odd,) = (word for word in words(broken) if word.startswith("ODD"))
    assert "bl: REPORTED_TCB is 200, above COMMITTED_TCB with 2" in odd
    assert "fmc" in words(broken)
    assert_fits(broken)


def test_of_an_unknown_version_no_ladder_is_drawn() -> None:
    raw = b"\x63" + snp.snp_report().to_bytes()[1:]
    with pytest.raises(sevlab.InputError, match="report of version 99"):
        sevlab.plots.charts.plot_tcb(sevlab.formats.report.parse_report(raw))
    assert isinstance(sevlab.formats.report.parse_report(raw, "Milan").reported_tcb, MilanTcb)
    assert_fits(sevlab.plots.charts.plot_tcb(sevlab.formats.report.parse_report(raw, "Milan")))
