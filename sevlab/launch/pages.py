"""The launch digest of SEV-SNP (GCTX.LD): a chain with one link for each page that SNP_LAUNCH_UPDATE loads.

The digest after a page follows from the digest before it and the page alone. So a launch that begins like another one
can go on from its digest, and one more virtual CPU is one more link. Source: snp-launch 2.1 (AMD 56860).
"""

from __future__ import annotations

import hashlib
from collections import namedtuple
from functools import lru_cache, reduce

from ..formats.page_info import HASHED_TYPES, PAGE, VMSA, VMSA_GPA, ZEROS, PageInfo, PageType
from ..formats.vmsa import UNHASHED, Vmsa

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Where the digest before the page ends and the rest of PAGE_INFO begins, and where the address is.
_REST, _GPA = PageInfo.length.offset, PageInfo.gpa.offset  # type: ignore[attr-defined]
#: Of regions with more pages than this only a few are remembered (4 MiB).
_LARGE = 1024
#: An empty hash. Copying it takes two thirds of the time of making one, because OpenSSL looks the algorithm up.
_EMPTY = hashlib.sha384()
#: Fields of a VMSA that the firmware takes as zero: GUEST_TSC_SCALE and GUEST_TSC_OFFSET.
_MASKED = dict.fromkeys(UNHASHED, 0)


class Region(namedtuple("Region", "name page_type gpa contents doc raw first", defaults=("", None, 0))):
    """Pages of one type, one after the other.

    ``gpa`` is the guest physical address of the first. ``contents`` holds CONTENTS of each page (48 bytes): SHA-384 of
    its bytes, or zeros for the types whose bytes are not hashed. ``raw`` are the bytes that are loaded, or None.
    ``first`` is the number of the first virtual CPU, for VMSA pages.
    """

    __slots__ = ()

    @property
    def size(self) -> int:
        return PAGE * len(self.contents)

    @property
    def type_name(self) -> str:
        return PageType.NAMES[self.page_type]

    @property
    def step(self) -> int:
        """From one page's address to the next: 4096, but 0 for VMSA pages, which all have the same."""
        return 0 if self.page_type == VMSA else PAGE

    @property
    def loaded(self) -> tuple[object, ...]:
        """A value that is equal for regions that add the same links."""
        return self.page_type, self.gpa, self.contents

    def page(self, number: int) -> bytes:
        if self.raw is None:
            return bytes(PAGE)
        return bytes(self.raw if self.page_type == VMSA else self.raw[number * PAGE : (number + 1) * PAGE])

    def info(self, number: int, digest: bytes) -> PageInfo:
        """Return the PAGE_INFO of one page, after the launch digest *digest* (48 bytes)."""
        unused = dict.fromkeys(("imi_page", "vmpl1_perms", "vmpl2_perms", "vmpl3_perms"), 0)
        gpa, contents = self.gpa + number * self.step, self.contents[number]
        return PageInfo(digest_cur=digest, contents=contents, page_type=self.page_type, gpa=gpa, **unused)


class Link(namedtuple("Link", "region number digest")):
    """One page of a launch: its region, its number in it (from 0), and the launch digest after it (48 bytes)."""

    __slots__ = ()

    @property
    def gpa(self) -> int:
        return int(self.region.gpa + self.number * self.region.step)

    @property
    def contents(self) -> bytes:
        return bytes(self.region.contents[self.number])

    @property
    def name(self) -> str:
        if self.region.page_type == VMSA:
            return f"vCPU {self.region.first + self.number}"
        pages = len(self.region.contents)
        return self.region.name if pages == 1 else f"{self.region.name}, page {self.number + 1} of {pages}"

    @property
    def loaded(self) -> object:
        return self.region.page_type, self.gpa, self.contents

    def as_dict(self) -> dict[str, object]:
        """Return the link as JSON-ready data; digests are lower-case hex."""
        return {
            "page": self.name,
            "gpa": self.gpa,
            "type": self.region.type_name,
            "contents": self.contents.hex(),
            "digest_after": self.digest.hex(),
        }


def hash_pages(raw: bytes) -> tuple[bytes, ...]:
    """Return the SHA-384 of every page of 4096 bytes (48 bytes each). Of equal neighbours only the first is hashed."""
    found: list[bytes] = []
    page = digest = b""
    for place in range(0, len(raw), PAGE):
        if not page or not raw.startswith(page, place):
            page = raw[place : place + PAGE]
            digest = hashlib.sha384(page).digest()
        found.append(digest)
    return tuple(found)


def hash_vmsa(page: Vmsa) -> bytes:
    """Return CONTENTS of a VMSA page (48 bytes): its SHA-384 with the two time stamp counter fields set to zero."""
    return hashlib.sha384(page.replace(**_MASKED).to_bytes()).digest()


def blank_region(name: str, page_type: int, gpa: int, size: int, doc: str) -> Region:
    """Return pages of *size* bytes whose content is not measured, only type and address."""
    assert page_type not in HASHED_TYPES
    return Region(name, page_type, gpa, (ZEROS,) * (size // PAGE), doc)


def cpu_region(page: Vmsa, first: int, count: int, doc: str, gpa: int = VMSA_GPA) -> Region:
    """Return the pages of *count* virtual CPUs that start with the same registers, from number *first*."""
    name = f"vCPU {first}" if count == 1 else f"vCPU {first} to {first + count - 1}"
    return Region(name, VMSA, gpa, (hash_vmsa(page),) * count, doc, page.to_bytes(), first)


@lru_cache(maxsize=256)
def _rest(page_type: int) -> bytes:
    """Return the bytes of PAGE_INFO between CONTENTS and the address, the same for all pages of a type."""
    return Region("", page_type, 0, (ZEROS,)).info(0, ZEROS).to_bytes()[_REST:_GPA]


def digests(region: Region, digest: bytes) -> Iterator[bytes]:
    """Yield the launch digest after each page of a region, going on from *digest*."""
    rest, gpa, start = _rest(region.page_type), region.gpa, _EMPTY.copy
    if not region.step:  # further CPUs: one address, and one page after the first
        place, last, tail = rest + gpa.to_bytes(8, "little"), b"", b""
        for contents in region.contents:
            if contents is not last:
                last, tail = contents, contents + place
            link = start()
            link.update(digest + tail)
            digest = link.digest()
            yield digest
        return
    for contents in region.contents:
        link = start()
        link.update(digest + contents + rest + gpa.to_bytes(8, "little"))
        digest = link.digest()
        yield digest
        gpa += PAGE


def extend(digest: bytes, region: Region) -> bytes:
    """Return the launch digest after a region, going on from *digest*. Recent results are remembered."""
    remembered = _extend if len(region.contents) < _LARGE else _extend_large
    return remembered(digest, region.page_type, region.gpa, region.contents)


def _last(digest: bytes, page_type: int, gpa: int, contents: tuple[bytes, ...]) -> bytes:
    for after in digests(Region("", page_type, gpa, contents), digest):
        digest = after
    return digest


# A remembered result keeps the hashes of its pages, so of large images there must be few.
_extend, _extend_large = lru_cache(maxsize=256)(_last), lru_cache(maxsize=4)(_last)


def fold(regions: Iterable[Region], start: bytes = ZEROS) -> bytes:
    """Return the launch digest (48 bytes) of pages in order, going on from *start*."""
    return reduce(extend, regions, start)


def links(regions: Iterable[Region], start: bytes = ZEROS) -> Iterator[Link]:
    """Yield every link of the chain, page by page."""
    digest = start
    for region in regions:
        for number, after in enumerate(digests(region, digest)):
            digest = after
            yield Link(region, number, after)
