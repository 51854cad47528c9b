"""Maps of a flash image, and the page that explains it.

Three maps, from far to near: the volumes of the file, the last bytes with the footer table, and the ranges of guest
memory that the tables name. Text, HTML and plot are drawn from the same regions.
"""

from __future__ import annotations

from collections import namedtuple
from itertools import pairwise

from ..layout.span import letters
from ..layout.views import Banner, Bar, Heading, Paragraph, Table, View
from .ovmf_tables import RESET_VECTOR, EntryEnd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..layout.views import Block
    from .ovmf import Ovmf

#: Regions drawn in one map, and lines of one list. A real image has at most about ten; a broken one may have thousands.
REGION_LIMIT = 26

#: A run of bytes in a map: its name, where it starts and how many bytes it has, what it is, its colour.
Region = namedtuple("Region", "name start size doc colour")


class FlashMap(namedtuple("FlashMap", "title regions shift")):
    """Regions that follow each other. ``shift``, added to a start, gives a guest address; None when there is none."""

    __slots__ = ()

    def labels(self) -> list[str]:
        """One letter for each region."""
        return letters(len(self.regions))

    def view(self) -> View:
        """Show the bar and its legend."""
        places = self.places()
        rows = [
            [label, region.name, *place, amount(region.size), region.doc]
            for label, region, place in zip(self.labels(), self.regions, places[1:], strict=True)
        ]
        colours = [region.colour for region in self.regions]
        header = ["", "region", *places[0], "size", "what it is"]
        table = Table(header, rows, colours=colours, mono=[0, *range(2, 2 + len(places[0]))])
        return View(Heading(self.title), Bar([(r.name, r.size, r.colour) for r in self.regions]), table)

    def places(self) -> list[list[str]]:
        """Return where each region starts, as columns for people: first their headings, then a row per region."""
        # With a shift of 0 the starts are guest addresses already.
        columns = ["file offset"] if self.shift != 0 else []
        shifts = [0] if columns else []
        if self.shift is not None:
            columns, shifts = [*columns, "guest address"], [*shifts, self.shift]
        return [columns, *([f"0x{shift + region.start:x}" for shift in shifts] for region in self.regions)]


def amount(size: int) -> str:
    """Return a number of bytes for people: whole MiB or KiB where it is."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def _size(size: int) -> str:
    """Return a number of bytes, exact, and in larger units where they fit."""
    return f"{size} bytes" if amount(size).endswith("bytes") else f"{size} bytes ({amount(size)})"


def maps(ovmf: Ovmf) -> list[FlashMap]:
    """Return the maps of an image; fewer when it has no table or names no memory."""
    made = []
    shift = ovmf.base_address if ovmf.table or ovmf.kind_key == "old" else None
    if ovmf.size:
        made.append(FlashMap("Map of the file", _limited(_file_regions(ovmf)), shift))
    if ovmf.table:
        regions = _limited(_table_regions(ovmf))
        count = sum(region.size for region in regions)
        title = f"Map of its last {count} bytes: the footer table"
        made.append(FlashMap(title, regions, None if ovmf.trailing else shift))
    if memory := _memory_regions(ovmf):
        made.append(FlashMap("Map of the guest memory that its tables name", _limited(memory), 0))
    return made


def _limited(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Keep a broken image from filling the screen."""
    if len(regions) <= REGION_LIMIT:
        return tuple(regions)
    kept, rest = regions[: REGION_LIMIT - 1], regions[REGION_LIMIT - 1 :]
    size = rest[-1].start + rest[-1].size - rest[0].start
    return (*kept, Region(f"{len(rest)} more", rest[0].start, size, "Not shown one by one.", "grey"))


def _file_regions(ovmf: Ovmf) -> list[Region]:
    """Divide the whole file into volumes and what lies between them."""
    regions, place = [], 0
    for volume in ovmf.volumes:
        if volume.offset > place:
            regions.append(_between(ovmf, place, volume.offset))
        end = min(volume.end, ovmf.size)
        if volume.is_nvram:
            name, doc, colour = "variable store", "NVRAM: what the firmware remembers. No code.", "yellow"
        elif volume.end == ovmf.end and (ovmf.table or ovmf.kind_key == "old"):
            name, doc, colour = "boot volume", "The guest's first code, the footer table, the reset vector.", "orange"
        else:
            name, doc, colour = "main volume", "The rest of the firmware, compressed.", "blue"
        if volume.end > ovmf.size:
            doc = f"{doc} Cut off: {volume.end - ovmf.size} bytes are missing."
        regions.append(Region(name, volume.offset, end - volume.offset, doc, colour))
        place = end
    if place < ovmf.end:
        regions.append(_between(ovmf, place, ovmf.end))
        place = ovmf.end
    if place < ovmf.size:
        regions.append(Region("added bytes", place, ovmf.size - place, "Behind the end of the image.", "pink"))
    return regions


def _between(ovmf: Ovmf, start: int, end: int) -> Region:
    """Describe bytes outside every volume."""
    byte = ovmf.image[start]
    if ovmf.image.count(byte, start, end) == end - start:
        return Region("padding", start, end - start, f"Nothing but 0x{byte:02x}.", "grey")
    return Region("other bytes", start, end - start, "Outside every firmware volume.", "grey")


def _table_regions(ovmf: Ovmf) -> list[Region]:
    """Divide the end of the image into table entries, footer and reset vector."""
    assert ovmf.table is not None
    colours = ("teal", "purple", "yellow", "green", "blue", "pink", "brown")
    regions = [
        Region(entry.name, entry.offset, entry.size, entry.doc, colours[number % len(colours)])
        for number, entry in enumerate(ovmf.entries)
    ]
    regions.reverse()
    stop = ovmf.end - RESET_VECTOR
    first = regions[0].start if regions else stop - EntryEnd.size
    if ovmf.table.offset < first:
        doc = "Bytes of the table that no entry could be made of."
        regions.insert(0, Region("unreadable", ovmf.table.offset, first - ovmf.table.offset, doc, "grey"))
    doc = "The length of the table and the GUID it is found by."
    regions.append(Region("footer", stop - EntryEnd.size, EntryEnd.size, doc, "grey"))
    doc = "The processor starts 16 bytes before the end, at 0xfffffff0."
    return [*regions, Region("reset vector", stop, RESET_VECTOR, doc, "orange")]


_SECTION_COLOURS = {
    "SEC_MEM": "blue",
    "SECRETS": "pink",
    "CPUID": "purple",
    "SVSM_CAA": "teal",
    "KERNEL_HASHES": "green",
}


def _memory_regions(ovmf: Ovmf) -> list[Region]:
    """Divide the guest memory that sections and areas name; an area shows within the section that holds it."""
    # Later ones are drawn over earlier ones.
    named = [
        Region(section.name, section.base, section.size, section.kind.doc, _SECTION_COLOURS.get(section.name, "brown"))
        for section in ovmf.sections
    ]
    if ovmf.secret_area:
        named.append(Region("secret area", *ovmf.secret_area, "Where the host injects a launch secret.", "orange"))
    if ovmf.hash_area:
        named.append(Region("hash area", *ovmf.hash_area, "Where the host writes the kernel-hashes table.", "yellow"))
    edges = sorted({edge for region in named for edge in (region.start, region.start + region.size)})
    regions: list[Region] = []
    drawn: list[int | None] = []
    for start, end in pairwise(edges):
        holders = [i for i, region in enumerate(named) if region.start <= start and end <= region.start + region.size]
        top = holders[-1] if holders else None
        if drawn and top is not None and drawn[-1] == top:
            regions[-1] = regions[-1]._replace(size=end - regions[-1].start)
            continue
        name, _, _, doc, colour = (
            named[top] if top is not None else Region("not named", 0, 0, "No table of the image names it.", "grey")
        )
        regions.append(Region(name, start, end - start, doc, colour))
        drawn.append(top)
    return regions


def explain_ovmf(ovmf: Ovmf) -> View:
    """Return the page about an image."""
    return View(
        Banner(f"{ovmf.kind[:1].upper()}{ovmf.kind[1:]}.", "green" if ovmf.is_usable else "pink"),
        Paragraph(f"{_size(ovmf.size)}. {_ADVICE.get(ovmf.kind_key, _ADVICE['other'])}"),
        *_findings(ovmf),
        Heading("What it can do"),
        _abilities(ovmf),
        *(made.view() for made in maps(ovmf)),
        *_tables(ovmf),
    )


def _findings(ovmf: Ovmf) -> list[Block]:
    """Show what is odd, the serious first, as far as a reader can take it."""
    shown = ovmf.findings[:REGION_LIMIT]
    blocks: list[Block] = [Paragraph(f"FINDING: {finding}") for finding in shown]
    if len(ovmf.findings) > len(shown):
        blocks.append(Paragraph(f"And {len(ovmf.findings) - len(shown)} more findings; --json lists all."))
    return blocks


def _abilities(ovmf: Ovmf) -> Block:
    """Show the answers; one reason for all of them is given once."""
    abilities = ovmf.abilities()
    first = abilities[0]
    if len({ability.sentence for ability in abilities}) == 1:
        return Paragraph(
            f"{first.answer.capitalize()}, for kernel hashes, SEV-ES, SEV-SNP and secrets. {first.sentence}"
        )
    colours = {"yes": "green", "no": "pink", "unknown": "grey"}
    rows = [[ability.answer, ability.question, ability.sentence] for ability in abilities]
    return Table(["answer", "question", "why"], rows, colours=[colours[ability.answer] for ability in abilities])


#: What to do with each kind of file.
_ADVICE = {
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


def _tables(ovmf: Ovmf) -> list[Block]:
    """Show the entries and the sections, as far as there are any."""
    blocks: list[Block] = []
    if ovmf.entries:
        shown = ovmf.entries[:REGION_LIMIT]
        rows = [
            [f"{entry.name}\n{entry.guid}", f"0x{entry.offset:x}", str(len(entry.data)), entry.text] for entry in shown
        ]
        title = "Entries of the footer table, from the end backwards" if ovmf.table else "In the legacy place"
        header = ["entry and GUID", "data at", "bytes", "value"]
        blocks += [Heading(title), Table(header, rows, mono=[1, 2, 3])]
        if len(ovmf.entries) > len(shown):
            blocks.append(Paragraph(f"And {len(ovmf.entries) - len(shown)} more; --json lists all."))
    if ovmf.metadata:
        rows = [
            [str(number), f"0x{s.base:x}", f"0x{s.size:x}", f"0x{s.type:x} {s.name}", str(s.kind.page_type)]
            for number, s in enumerate(ovmf.metadata.sections[:REGION_LIMIT], 1)
        ]
        title = f"SEV metadata at file offset 0x{ovmf.metadata.offset:x}: {len(ovmf.metadata.sections)} sections"
        header = ["", "base", "size", "type", "SNP page type"]
        blocks += [Heading(title), Table(header, rows, mono=[0, 1, 2, 3])]
        if len(ovmf.metadata.sections) > len(rows):
            blocks.append(Paragraph(f"And {len(ovmf.metadata.sections) - len(rows)} more; --json lists all."))
    return blocks


def as_dict(ovmf: Ovmf) -> dict[str, object]:
    """Return everything about an image as JSON-ready data. docs/ovmf.md describes the keys."""

    def area(pair: tuple[int, int] | None) -> dict[str, int] | None:
        return {"base": pair[0], "size": pair[1]} if pair else None

    return {
        "status": "good" if ovmf.is_usable else "bad",
        "kind": ovmf.kind_key,
        "kind_text": ovmf.kind,
        "size": ovmf.size,
        "base_address": ovmf.base_address if ovmf.table else None,
        "trailing": ovmf.trailing,
        "findings": ovmf.findings,
        "abilities": [ability._asdict() for ability in ovmf.abilities()],
        "reset_address": ovmf.reset_address,
        "hash_area": area(ovmf.hash_area),
        "secret_area": area(ovmf.secret_area),
        "enforcement": ovmf.enforcement.as_dict() if ovmf.enforcement else None,
        "table": {"offset": ovmf.table.offset, "size": ovmf.table.size} if ovmf.table else None,
        "entries": [
            {
                "name": entry.name,
                "guid": str(entry.guid),
                "known": entry.known,
                "offset": entry.offset,
                "size": len(entry.data),
                "hex": entry.data.hex(),
                "value": {span.name: int(span.value) for span in entry.value.spans()} if entry.value else None,
            }
            for entry in ovmf.entries
        ],
        "metadata_offset": ovmf.metadata.offset if ovmf.metadata else None,
        "sections": [
            {"base": s.base, "size": s.size, "type": s.type, "name": s.name, "page_type": s.kind.page_type}
            for s in (ovmf.metadata.sections if ovmf.metadata else ())
        ],
        "volumes": [
            {"offset": v.offset, "size": v.size, "guid": str(v.file_system), "name": v.file_system.name}
            for v in ovmf.volumes
        ],
    }
