"""Digests that were told in public, to be set beside those of a replay.

They are of the reporters' own firmware, which is not at hand. So none of them can be computed here, and none must be
equal to one of ours: what is done again is the difference between them.
"""

from __future__ import annotations

from collections import namedtuple

from ..incidents import INCIDENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..diagnosis.case import CaseDiagnosis
    from ..layout.page import View


class Digest(namedtuple("Digest", "what value")):
    """A launch digest that somebody told: what it is, and its 48 bytes as lower-case hex."""

    __slots__ = ()


#: What was told, by the incident.
PUBLISHED: dict[str, tuple[Digest, ...]] = {
    "F04": (
        Digest(
            "the report",
            "a9a7e9e3934ed876f7182bb59547f0e94fedba4419b62d2663de8d755b8f3afb281be5ed74a13bd5c7f0decde0e310b2",
        ),
        Digest(
            "release 0.0.10",
            "6a864d21d8cbd6302f949997183ea172898d726e4598056e4b15a201ecf6efb3cb0d8c023607af769eaf3b6b547bf500",
        ),
        Digest(
            "releases 0.0.7, 0.0.8",
            "1d93125f21d79bdb10c307751ad7351a5e44accb709b19659ffec341bd737b714c29a54faf8089c34e303c240132dfdd",
        ),
    ),
    "F06": (
        Digest(
            "the report",
            "d7b9f49e254f5d3eeda91e2966ad68504c2b54710ff6a21d05bc1279bfd77aba8de2e582a00eaebb37c004be12c37830",
        ),
        Digest(
            "the tool",
            "47246d40591cdc7433a67639809fc824d0398912f32ed600b1222111a1d01f2cb94eaf26ca7008cea5141168dbbfa027",
        ),
    ),
    "F07": (
        Digest(
            "the report",
            "b756dde72c548e42560ba6b43955b68c1239682104c78fa07989ed3d15478107cb0e0a2a9637604586b9615eb8da7617",
        ),
        Digest(
            "from the build",
            "12964f88c88186cc8cf8a908bd172194029df044a2262632eda9889572475ff5ed2b7cd402b5785280f313f135f1a285",
        ),
    ),
    "F08": (
        Digest(
            "the report",
            "25ac810f5c4750890fb1a158f097962e04d4d7fb640d1d08a99829cf4a70543a47cc6fb192bbe90aa713142361a66155",
        ),
    ),
    "F10": (
        Digest(
            "igvmmeasure, at first",
            "b3796d635250de73c94982bc55f5372de4ff9d730115ce71d042a123b6b0ba0534aa38699e054b1629f3305557bbf9b5",
        ),
        Digest(
            "after both fixes",
            "b520b306fe8f57d3b14ea1f755a48a9f2e77642a41167b4ac0183af8bd1bb629e2c3fcb224892e92110100c178ea148c",
        ),
    ),
    "F21": (
        Digest(
            "the report",
            "5f150e289cc75c525939c89ed242131b7be08be075a7e658efe39542ca0c12005766e90b133da18d1a1d517253f691a8",
        ),
    ),
}


def published(key: str, result: CaseDiagnosis | None = None) -> View:
    """Show the digests that were told of an incident; those of a replay's result beside them."""
    from ..layout.page import Paragraph, Table, View

    incident = INCIDENTS[key]
    rows = [["public", one.what, _lines(one.value)] for one in PUBLISHED.get(key, ())]
    verdict = result.verdict if result is not None else None
    if verdict is not None and verdict.digest is not None:
        rows += [["ours", "the report", _lines(verdict.digest.reported.hex())]]
        rows += [["ours", "computed from what was given", _lines(verdict.digest.computed.hex())]]
    words = (
        f"Public: {incident.source}, {incident.date}. These are digests of the reporter's firmware, which is not at "
        "hand, so they cannot be computed here. Ours are of the sample firmware: done again is what was changed, not "
        "the digest."
    )
    return View(Table(["whose", "what", "launch digest"], rows, mono=[2]), Paragraph(words))


def _lines(digits: str) -> str:
    """Return a digest in two lines, as hex: so it can be searched for in a thread, half by half."""
    return "\n".join((digits[:48], digits[48:]))
