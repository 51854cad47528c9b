"""Widgets: change any input and watch what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..attestation.session import OpenedSession
from ..formats.kernel_hashes import KernelHashes
from ..formats.report import Report
from ..formats.vmsa import Vmsa
from ..launch.evidence import Evidence
from ..launch.snp import SnpLaunch
from ..launch.verify import Verdict
from ..layout.structure import Layout
from ..simulator.launch import SimulatedLaunch
from .bytemap import ByteMap
from .debugger import Debugger, debugger
from .explorers import Explorer, SnpExplorer
from .simulation import CoverageBox, TranscriptExplorer
from .structure_explorers import ReportExplorer, SessionExplorer, TableExplorer, VmsaExplorer
from .trial import FieldBox, Trial

if TYPE_CHECKING:
    from ipywidgets import Widget


__all__ = [
    "ByteMap",
    "CoverageBox",
    "Debugger",
    "Explorer",
    "FieldBox",
    "ReportExplorer",
    "SessionExplorer",
    "SnpExplorer",
    "TableExplorer",
    "TranscriptExplorer",
    "Trial",
    "VmsaExplorer",
    "debugger",
    "explore",
]


def explore(
    thing: Evidence | Verdict | Layout | OpenedSession | SimulatedLaunch | SnpLaunch | Mapping[str, object] | str,
    **inputs: Any,
) -> Widget:
    """Return a widget for *thing*, the live twin of :func:`sevlab.explain`. Raises TypeError for anything else.

    - evidence, or its verdict: every input in a box;
    - a SEV-SNP launch, link by link, or its inputs (those of :func:`sevlab.load_snp_launch`, in a mapping) in boxes;
    - a kernel-hashes table or a VMSA, with the chain it is part of; an attestation report, with its checklist: *inputs*
      are what :class:`TableExplorer`, :class:`VmsaExplorer` and :class:`ReportExplorer` take;
    - an opened launch session, every part of it to edit; a simulated launch, with a host to make dishonest;
    - the text of a QEMU command line or a libvirt domain XML: what the measurement covers of it;
    - any other structure: its byte map.
    """
    if isinstance(thing, KernelHashes):
        return TableExplorer(thing, **inputs)
    if isinstance(thing, Vmsa):
        return VmsaExplorer(thing, **inputs)
    if isinstance(thing, Report):
        return ReportExplorer(thing, **inputs)
    if inputs:
        raise TypeError(f"explore takes {sorted(inputs)[0]} for a table, a VMSA or a report only")
    if isinstance(thing, Verdict):
        thing = thing.evidence
    if isinstance(thing, Evidence):
        return Explorer(thing)
    if isinstance(thing, OpenedSession):
        return SessionExplorer(thing)
    if isinstance(thing, SimulatedLaunch):
        return TranscriptExplorer(thing)
    if isinstance(thing, Layout):
        return ByteMap(type(thing).__name__, thing.spans())
    if isinstance(thing, str):
        return CoverageBox(thing)
    if isinstance(thing, SnpLaunch | Mapping):
        return SnpExplorer(thing)
    raise TypeError(
        "explore takes evidence, a verdict, a structure, a report, an opened session, a simulated launch, a launch of "
        f"SEV-SNP or its inputs, or a configuration, not {type(thing).__name__}"
    )
