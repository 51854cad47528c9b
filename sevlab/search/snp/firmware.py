"""A firmware image as the search keeps it: what its pages leave in the chain, and what its tables say."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

from ...formats.ovmf_tables import SVSM_INFO
from ...formats.page_info import PAGE
from ...snp.order import firmware_region
from ...snp.region import fold, hash_pages

if TYPE_CHECKING:
    from ...formats.ovmf import Ovmf


class Firmware(namedtuple("Firmware", "digest size sections hash_area reset_address entry contents")):
    """An image without its bytes.

    ``digest`` is the launch digest (48 bytes) after its pages, loaded so that they end at 4 GiB. ``sections``,
    ``hash_area`` and ``reset_address`` are as in :class:`~sevlab.formats.ovmf.Ovmf`. For an SVSM image ``entry`` is how
    many bytes from its beginning it starts, and ``contents`` the hash of each of its pages; else None and ().
    """

    __slots__ = ()
    #: Its bytes are not kept.
    image = None


def measure_firmware(ovmf: Ovmf, contents: tuple[bytes, ...] = ()) -> Firmware | None:
    """Return an image as the search keeps it; None for one that is not made of whole pages.

    *contents* are the hashes of its pages where they are known already.
    """
    if not ovmf.size or ovmf.size % PAGE:
        return None
    contents = contents or hash_pages(ovmf.image)
    info = None if ovmf.trailing else ovmf.find(SVSM_INFO)
    entry = info.value.offset if info is not None and info.value is not None else None
    return Firmware(
        fold([firmware_region(ovmf, contents)]),
        ovmf.size,
        ovmf.sections,
        ovmf.hash_area,
        ovmf.reset_address,
        entry,
        () if entry is None else contents,
    )
