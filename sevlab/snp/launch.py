"""A SEV-SNP launch: its pages, their chain, and what it looks like."""

from __future__ import annotations

from collections import namedtuple

from ..formats.page_info import PAGE_DOCS, VMSA, ZEROS, PageType
from ..launch import Booting
from .region import digests, extend, fold, links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..formats.ovmf import Ovmf
    from ..layout.views import View
    from .region import Link, Region

#: The colour of each page type in every table and drawing.
TYPE_COLOURS = {
    "NORMAL": "blue",
    "VMSA": "purple",
    "ZERO": "grey",
    "UNMEASURED": "brown",
    "SECRETS": "pink",
    "CPUID": "yellow",
}


class Loaded(namedtuple("Loaded", "region after")):
    """Pages of one region, and the launch digest after them."""

    __slots__ = ()

    @property
    def loaded(self) -> object:
        """What compares equal for regions that add the same links."""
        return self.region.loaded


class SnpLaunch(Booting):
    """Pages in order. ``digest`` is the launch digest: 48 bytes, what the report calls MEASUREMENT.

    ``regions`` are the pages, equal kinds in a row as one. ``start`` is the digest before them: zeros, or the digest
    after the firmware where only that was given. ``further`` is CONTENTS of the page that one more virtual CPU would
    add (48 bytes), None where it is not known. For the other arguments see :class:`~sevlab.launch.Booting`.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        warnings: Sequence[str] = (),
        start: bytes = ZEROS,
        further: bytes | None = None,
        firmware: Ovmf | None = None,
    ) -> None:
        super().__init__(warnings, firmware)
        self.regions, self.start, self.further = tuple(regions), start, further
        self.after: list[bytes] = []
        digest = start
        for region in self.regions:
            digest = extend(digest, region)
            self.after.append(digest)
        self.digest = digest

    @property
    def pages(self) -> int:
        """How many pages are loaded, each one a link of the chain."""
        return sum(len(region.contents) for region in self.regions)

    @property
    def is_whole(self) -> bool:
        """Whether the chain begins at zero; false when it goes on from a digest that was given."""
        return self.start == ZEROS

    def links(self) -> Iterator[Link]:
        """Yield every link of the chain, page by page."""
        return links(self.regions, self.start)

    def runs(self) -> list[Loaded]:
        """Return the pages as they are shown: by region."""
        return [Loaded(*pair) for pair in zip(self.regions, self.after, strict=True)]

    def cpu_digests(self, count: int) -> list[bytes]:
        """Return the launch digests with 1, 2, ... *count* virtual CPUs; each is one more link than the one before.

        Where nothing is known of further ones, the list ends with the first.
        """
        cpus = [region for region in self.regions if region.page_type == VMSA]
        if not cpus:
            return []
        contents = cpus[0].contents[:1] + (() if self.further is None else (self.further,) * (count - 1))
        before = fold(self.regions[: len(self.regions) - len(cpus)], self.start)
        return list(digests(cpus[0]._replace(contents=contents), before))

    def as_dict(self) -> dict[str, Any]:
        """Return the launch as JSON-ready data, region by region; digests are lower-case hex."""
        return {
            "digest": self.digest.hex(),
            "start": self.start.hex(),
            "regions": [
                {
                    "name": region.name,
                    "type": region.type_name,
                    "gpa": region.gpa,
                    "pages": len(region.contents),
                    "digest_after": after.hex(),
                }
                for region, after in self.runs()
            ],
            **self.judged(),
        }

    def explain(self) -> View:
        """Show the chain, region by region, and what each page type binds."""
        from ..layout.views import Heading, Paragraph, Table, View, hex_lines

        rows = [
            [region.name, place(region), str(len(region.contents)), region.type_name, hex_lines(after, 12), region.doc]
            for region, after in self.runs()
        ]
        colours = [TYPE_COLOURS[region.type_name] for region in self.regions]
        header = ["what", "guest address", "pages", "type", "launch digest after it", "what it is"]
        kinds = dict.fromkeys(region.page_type for region in self.regions)
        types = [[PageType(kind).short, PAGE_DOCS[kind]] for kind in kinds]
        begin = "48 zero bytes" if self.is_whole else f"the digest that was given: {self.start.hex()}"
        return View(
            Heading(f"{self.pages} pages, in {len(self.regions)} regions"),
            Paragraph(f"The chain begins with {begin}."),
            Table(header, rows, colours=colours, mono=[0, 1, 2, 3, 4]),
            *(Paragraph(line) for line in self.remarks),
            Table(["type", "what of it is bound, beside its address and its place in the order"], types, mono=[0]),
            Paragraph(f"Launch digest: {self.digest.hex()}"),
        )


def place(region: Region) -> str:
    """Return where a region is: its first and last address."""
    if region.page_type == VMSA or len(region.contents) == 1:
        return f"0x{region.gpa:x}"
    return f"0x{region.gpa:x} to\n0x{region.gpa + region.size - 1:x}"
