"""Maps of a flash image, and the tables that explain it.

Three maps, from far to near: the volumes of the file, the last bytes with the footer table, and the ranges of guest
memory that the tables name. Text, HTML and plot are drawn from the same regions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ..layout.span import letters
from ..layout.views import Bar, Heading, Paragraph, Table, View
from .ovmf_tables import RESET_VECTOR, EntryEnd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..layout.views import Block
    from .ovmf_tables import Area, Entry, Metadata, Section, Volume
    from .ovmf_tables import Table as TableOfEntries

#: Regions drawn in one map, and lines of one list. A real image has at most about ten; a broken one may have thousands.
REGION_LIMIT = 26
#: The colour of each section of the metadata.
_COLOURS = {"SEC_MEM": "blue", "SECRETS": "pink", "CPUID": "purple", "SVSM_CAA": "teal", "KERNEL_HASHES": "green"}
#: What to do with each kind of file.
ADVICE = {
    "combined": "It is measured whole, with its variable store, when the host loads it as its only flash unit.",
    "code": "It is measured alone when the host loads it as flash unit 0; the variable store beside it is not.",
    "vars": "It is never measured as firmware. Give the CODE half or the combined image instead.",
    "svsm": "It is measured with the firmware of an SEV-SNP guest; SEV and SEV-ES have no SVSM.",
    "old": "It can be measured for plain SEV. What has to be looked up in the footer table cannot.",
    "fragment": "A digest over it is not the digest of the image it came from.",
    "empty": "Check how it was copied.",
    "other": "Give the file the host loads as flash unit 0, such as OVMF.fd or OVMF_CODE.fd.",
    "truncated": "Copy it again and compare the sizes.",
    "padded": "A digest covers the padding too, and the host finds no table.",
    "trailing": "A digest covers what follows too, and the host finds no table.",
    "swapped": "Join them again: cat OVMF_VARS.fd OVMF_CODE.fd > OVMF.fd",
}


class Ability(NamedTuple):
    """A question about an image, its answer (yes, no or unknown), and one sentence that says why."""

    question: str
    answer: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Region:
    """A run of bytes in a map: its name, where it starts, how many bytes it has, what it is, its colour."""

    name: str
    start: int
    size: int
    doc: str
    colour: str


@dataclass(frozen=True, slots=True)
class FlashMap:
    """Regions that follow each other. ``shift``, added to a start, gives a guest address; None when there is none."""

    title: str
    regions: tuple[Region, ...]
    shift: int | None

    def labels(self) -> list[str]:
        return letters(len(self.regions))

    def view(self) -> View:
        columns, *places = self.places()
        rows = [
            [label, region.name, *place, amount(region.size), region.doc]
            for label, region, place in zip(self.labels(), self.regions, places, strict=True)
        ]
        colours = [region.colour for region in self.regions]
        header = ["", "region", *columns, "size", "what it is"]
        table = Table(header, rows, colours=colours, mono=[0, *range(2, 2 + len(columns))])
        return View(Heading(self.title), Bar([(r.name, r.size, r.colour) for r in self.regions]), table)

    def places(self) -> list[list[str]]:
        """Return where each region starts, as columns for people: first their headings, then a row per region."""
        # With a shift of 0 the starts are guest addresses already.
        shifts = {"file offset": 0} if self.shift != 0 else {}
        if self.shift is not None:
            shifts["guest address"] = self.shift
        rows = ([f"0x{shift + region.start:x}" for shift in shifts.values()] for region in self.regions)
        return [list(shifts), *rows]


def amount(size: int) -> str:
    """Format a size, in MiB or KiB when exact."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def _limited(regions: Sequence[Region]) -> tuple[Region, ...]:
    if len(regions) <= REGION_LIMIT:
        return tuple(regions)
    kept, rest = regions[: REGION_LIMIT - 1], regions[REGION_LIMIT - 1 :]
    size = rest[-1].start + rest[-1].size - rest[0].start
    return (*kept, Region(f"{len(rest)} more", rest[0].start, size, "Not shown one by one.", "grey"))


def map_file(image: bytes, volumes: Sequence[Volume], end: int, boots: bool, shift: int | None) -> FlashMap:
    """Divide a file, whose image ends at *end*, into volumes and what lies between them."""
    regions, place = [], 0
    for volume in volumes:
        if volume.offset > place:
            regions.append(_between(image, place, volume.offset))
        stop = min(volume.end, len(image))
        if volume.is_nvram:
            name, doc, colour = "variable store", "NVRAM: what the firmware remembers. No code.", "yellow"
        elif volume.end == end and boots:
            name, doc, colour = "boot volume", "The guest's first code, the footer table, the reset vector.", "orange"
        else:
            name, doc, colour = "main volume", "The rest of the firmware, compressed.", "blue"
        if volume.end > len(image):
            doc = f"{doc} Cut off: {volume.end - len(image)} bytes are missing."
        regions.append(Region(name, volume.offset, stop - volume.offset, doc, colour))
        place = stop
    if place < end:
        regions.append(_between(image, place, end))
    if (place := max(place, end)) < len(image):
        regions.append(Region("added bytes", place, len(image) - place, "Behind the end of the image.", "pink"))
    return FlashMap("Map of the file", _limited(regions), shift)


def _between(image: bytes, start: int, end: int) -> Region:
    byte, size = image[start], end - start
    if image.count(byte, start, end) == size:
        return Region("padding", start, size, f"Nothing but 0x{byte:02x}.", "grey")
    return Region("other bytes", start, size, "Outside every firmware volume.", "grey")


def map_table(table: TableOfEntries, end: int, shift: int | None) -> FlashMap:
    """Divide the end of an image into table entries, footer and reset vector."""
    colours = ("teal", "purple", "yellow", "green", "blue", "pink", "brown")
    stop = end - RESET_VECTOR
    reset = "The processor starts 16 bytes before the end, at 0xfffffff0."
    footer = "The length of the table and the GUID it is found by."
    # From the end backwards, as the table is read.
    regions = [
        Region("reset vector", stop, RESET_VECTOR, reset, "orange"),
        Region("footer", stop - EntryEnd.size, EntryEnd.size, footer, "grey"),
    ]
    for number, entry in enumerate(table.entries):
        regions.append(Region(entry.name, entry.offset, entry.size, entry.doc, colours[number % len(colours)]))
    if table.offset < (first := regions[-1].start):
        doc = "Bytes of the table that no entry could be made of."
        regions.append(Region("unreadable", table.offset, first - table.offset, doc, "grey"))
    shown = _limited(regions[::-1])
    count = sum(region.size for region in shown)
    return FlashMap(f"Map of its last {count} bytes: the footer table", shown, shift)


def map_memory(sections: Sequence[Section], secret_area: Area | None, hash_area: Area | None) -> FlashMap:
    """Divide the guest memory that sections and areas name; an area shows within the section that holds it."""
    # Later ones are drawn over earlier ones.
    named = [
        Region(section.name, section.base, section.size, section.kind.doc, _COLOURS.get(section.name, "brown"))
        for section in sections
    ]
    if secret_area:
        named.append(Region("secret area", *secret_area, "Where the host injects a launch secret.", "orange"))
    if hash_area:
        named.append(Region("hash area", *hash_area, "Where the host writes the kernel-hashes table.", "yellow"))
    unnamed = Region("not named", 0, 0, "No table of the image names it.", "grey")
    edges = sorted({edge for region in named for edge in (region.start, region.start + region.size)})
    regions: list[Region] = []
    last = None
    for start, end in pairwise(edges):
        holders = [region for region in named if region.start <= start and end <= region.start + region.size]
        top = holders[-1] if holders else unnamed
        if top is last and holders:
            regions[-1] = replace(regions[-1], size=end - regions[-1].start)
        else:
            regions.append(replace(top, start=start, size=end - start))
        last = top
    return FlashMap("Map of the guest memory that its tables name", _limited(regions), 0)


def show_findings(findings: Sequence[str]) -> list[Block]:
    """Show what is unexpected, the serious first, as far as a reader can take it."""
    return [*(Paragraph(f"FINDING: {finding}") for finding in findings[:REGION_LIMIT]), *_rest(findings, " findings")]


def _rest(things: Sequence[object], what: str = "") -> list[Block]:
    count = len(things) - REGION_LIMIT
    return [Paragraph(f"And {count} more{what}; --json lists all.")] if count > 0 else []


def show_abilities(abilities: Sequence[Ability]) -> Block:
    """Show the answers; one reason for all of them is given once."""
    first = abilities[0]
    if len({ability.sentence for ability in abilities}) == 1:
        words = f"{first.answer.capitalize()}, for kernel hashes, SEV-ES, SEV-SNP and secrets."
        return Paragraph(f"{words} {first.sentence}")
    colours = {"yes": "green", "no": "pink", "unknown": "grey"}
    rows = [[ability.answer, ability.question, ability.sentence] for ability in abilities]
    return Table(["answer", "question", "why"], rows, colours=[colours[ability.answer] for ability in abilities])


def show_entries(entries: Sequence[Entry], in_table: bool) -> list[Block]:
    """Show the entries of the footer table, or the one in the legacy place, as far as there are any."""
    if not entries:
        return []
    title = "Entries of the footer table, from the end backwards" if in_table else "In the legacy place"
    header = ["entry and GUID", "data at", "bytes", "value"]
    rows = [
        [f"{entry.name}\n{entry.guid}", f"0x{entry.offset:x}", str(len(entry.data)), entry.text]
        for entry in entries[:REGION_LIMIT]
    ]
    return [Heading(title), Table(header, rows, mono=[1, 2, 3]), *_rest(entries)]


def show_sections(metadata: Metadata | None) -> list[Block]:
    """Show the sections of the SEV metadata, if there is any."""
    if not metadata:
        return []
    title = f"SEV metadata at file offset 0x{metadata.offset:x}: {len(metadata.sections)} sections"
    header = ["", "base", "size", "type", "SNP page type"]
    rows = [
        [str(number), f"0x{s.base:x}", f"0x{s.size:x}", f"0x{s.type:x} {s.name}", str(s.kind.page_type)]
        for number, s in enumerate(metadata.sections[:REGION_LIMIT], 1)
    ]
    return [Heading(title), Table(header, rows, mono=[0, 1, 2, 3]), *_rest(metadata.sections)]
