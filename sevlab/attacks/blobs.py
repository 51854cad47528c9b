"""A10: the firmware's check of kernel, initrd and command line, and what happens when it does not like one.

Of the table of kernel hashes only the hashes are measured. That they are those of what is booted, the firmware checks
itself, blob by blob, as the host hands them over. This is a model of that check (the blob verifier of edk2's AmdSev
build) in its two forms, and of the build of OVMF that has none. What matters is not only what the verifier says, but
what follows: whether the machine stops, or goes on by another way that nobody measured.

Sources: measured-direct-boot 2.5; incidents A10 (edk2 pull request 5769, 2024); edk2,
``OvmfPkg/AmdSev/BlobVerifierLibSevHashes`` and ``OvmfPkg/QemuKernelLoaderFsDxe``, before that pull request and after.
"""

from __future__ import annotations

import hashlib
from collections import namedtuple

from ..errors import InputError, quoted
from ..formats.kernel_hashes import KernelHashes
from ..layout.span import Explainable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..layout.views import View

#: What the verifier says of a blob. With a dead loop it says nothing any more: the machine stops.
SUCCESS, DENIED, DEAD_LOOP = "EFI_SUCCESS", "EFI_ACCESS_DENIED", "dead loop"
#: Where the loader gives up without asking the verifier.
NOT_ASKED = "not asked"
#: The verifiers, and what each does.
VERIFIERS = {
    "none": "builds of OVMF other than AmdSev, whether they have the place or not: every blob is accepted",
    "early": "AmdSev until 2024: a blob that is not the right one is denied, and the firmware goes on",
    "hardened": "AmdSev since edk2 pull request 5769 (2024): where the host cheats, the machine stops",
}
#: What comes of a boot: the host's kernel, something else that the firmware finds to boot, or nothing at all.
KERNEL, OTHER, NOTHING = "the kernel", "another boot option", "nothing"
_ROWS = {row.name: row for row in KernelHashes.rows}
#: The GUID that begins the table, and those that begin a blob's entry.
_TABLE = bytes(_ROWS["table_guid"].const)
_GUIDS = {name: bytes(_ROWS[f"{name}_guid"].const) for name in ("kernel", "initrd", "cmdline")}
#: Bytes of a GUID and a length, with which the table begins, and every entry.
_HEAD = _ROWS["cmdline_guid"].offset
_HASH = hashlib.sha256().digest_size


class Answer(namedtuple("Answer", "blob status why matches", defaults=(False,))):
    """What became of one blob: its name, a status, why in a sentence, and whether its hash was found right."""

    __slots__ = ()


class Boot(Explainable):
    """What came of a boot.

    ``answers`` tells of each blob that was handed over, up to the one that ended it; ``runs`` is :data:`KERNEL`,
    :data:`OTHER` or :data:`NOTHING`; ``verifier`` is a key of :data:`VERIFIERS`.
    """

    def __init__(self, verifier: str, answers: list[Answer], runs: str) -> None:
        self.verifier, self.answers, self.runs = verifier, answers, runs

    @property
    def unverified(self) -> list[str]:
        """The blobs that the kernel runs with though nobody found their hashes right."""
        return [answer.blob for answer in self.answers if not answer.matches] if self.runs == KERNEL else []

    def explain(self) -> View:
        """Show what runs, and what the verifier said of each blob."""
        from ..layout.views import Banner, Table, View

        words, colour = f"What runs: {self.runs}", "pink"
        if self.runs == NOTHING:
            words, colour = "The machine stopped: nothing runs", "green"
        elif self.runs == OTHER:
            words += ", of which the table of hashes says nothing"
        elif self.unverified:
            words += f", and nobody verified {', '.join(self.unverified)}"
        else:
            words, colour = words + ", and every blob has its hash in the table", "green"
        rows = [[answer.blob, answer.status, answer.why] for answer in self.answers]
        return View(Banner(words, colour), Table([f"blob ({self.verifier})", "answer", "why"], rows, mono=[0, 1]))


def make_table(hashes: Mapping[str, bytes], size: int = 0) -> bytes:
    """Return a table of kernel hashes with the given entries, in their order, filled up with zeros.

    *hashes* has hashes by blob (``cmdline``, ``initrd``, ``kernel``), of any length; with all three in this order it is
    what QEMU makes. It is filled up to a multiple of 16 bytes, and to *size*. Raises
    :class:`~sevlab.errors.InputError` for a blob that no entry is known for, and for more than a length of 16 bits can
    tell.
    """
    entries = b""
    for name, raw in hashes.items():
        if name not in _GUIDS:
            raise InputError("hashes", quoted(name), f"one of {', '.join(_GUIDS)}")
        entries += _begin(_GUIDS[name], len(raw)) + bytes(raw)
    table = _begin(_TABLE, len(entries)) + entries
    return table.ljust(max(-(-len(table) // 16) * 16, size), b"\0")


def _begin(guid: bytes, size: int) -> bytes:
    length, limit = _HEAD + size, 1 << 8 * _ROWS["table_length"].size
    if length >= limit:
        raise InputError("hashes", f"{size} bytes", f"at most {limit - _HEAD - 1}")
    return guid + length.to_bytes(_ROWS["table_length"].size, "little")


def verify_blob(area: bytes, name: str, content: bytes | None, verifier: str = "hardened") -> Answer:
    """Say what a verifier answers when the loader has fetched a blob.

    *area* are the bytes of the place for hashes, as the guest has them; *content* is the blob, None when it could not
    be fetched. Any bytes are taken. *verifier* is a key of :data:`VERIFIERS`.
    """
    if verifier not in VERIFIERS:
        raise InputError("verifier", quoted(verifier), f"one of {', '.join(VERIFIERS)}")
    if content is None:
        status, then = (DEAD_LOOP, "") if verifier == "hardened" else (NOT_ASKED, ", and the loader gives up")
        return Answer(name, status, f"it could not be fetched{then}")
    if verifier == "none":
        return Answer(name, SUCCESS, "nobody looks")
    cheated = DEAD_LOOP if verifier == "hardened" else DENIED
    entries = _entries(area)
    if not entries:
        return Answer(name, DENIED, "there is no table of hashes")
    if name not in _GUIDS:
        return Answer(name, cheated, "the verifier knows no blob of this name")
    for guid, data in _walk(entries):
        if data is None:
            return Answer(name, DEAD_LOOP, "an entry of length 0: whoever looks for the next one looks for ever")
        if guid != _GUIDS[name]:
            continue
        if len(data) != _HASH:
            return Answer(name, DENIED, f"its hash has {len(data)} bytes, not {_HASH}")
        if data == hashlib.sha256(content).digest():
            return Answer(name, SUCCESS, "its hash is the one in the table", True)
        return Answer(name, cheated, "its hash is not the one in the table")
    status = SUCCESS if verifier == "hardened" else DENIED
    return Answer(name, status, "the table has no entry for it")


def compare_verifiers(cases: Mapping[str, tuple[bytes, bytes | None]], blob: str = "initrd") -> View:
    """Show what each verifier answers in each case: the place for hashes, and the blob; see :func:`verify_blob`."""
    from ..layout.views import Table, View

    rows = []
    for case, (area, content) in cases.items():
        answers = [verify_blob(area, blob, content, verifier) for verifier in VERIFIERS]
        rows.append([case, *(answer.status for answer in answers), answers[-1].why])
    return View(Table([f"what is wrong ({blob})", *VERIFIERS, f"why ({list(VERIFIERS)[-1]})"], rows, mono=[1, 2, 3]))


def boot_blobs(area: bytes, blobs: Mapping[str, bytes | None], verifier: str = "hardened") -> Boot:
    """Boot as the firmware does: fetch each blob and have it verified, then start the kernel.

    *blobs* are what the host hands over, in this order; the command line with its NUL byte, and no initrd is an empty
    one. For *area* and *verifier* see :func:`verify_blob`.
    """
    answers: list[Answer] = []
    for name, content in blobs.items():
        answers.append(verify_blob(area, name, content, verifier))
        if answers[-1].status != SUCCESS:
            return Boot(verifier, answers, NOTHING if answers[-1].status == DEAD_LOOP else OTHER)
    return Boot(verifier, answers, KERNEL if blobs.get("kernel") else OTHER)


def _entries(area: bytes) -> bytes:
    """Return the entries of the table in an area, b"" where there is no valid table."""
    length = int.from_bytes(_ROWS["table_length"].cut(area), "little")
    return area[_HEAD:length] if area.startswith(_TABLE) and _HEAD <= length <= len(area) else b""


def _walk(entries: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield GUID and content of each entry as edk2 finds them; None for the content where it never gets any further."""
    place = 0
    while len(entries) - place >= _HEAD:
        length = int.from_bytes(_ROWS["table_length"].cut(entries[place:]), "little")
        if length > len(entries) - place:
            return
        guid = entries[place : place + len(_TABLE)]
        yield guid, entries[place + _HEAD : place + length]
        if not length:
            yield guid, None
            return
        place += length
