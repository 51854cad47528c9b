"""What people have: pastes, captures, case files, bundles, coverage, libvirt.

The functions that notebooks use are handed on from here; everything else is in its module.
"""

from __future__ import annotations

from .. import hand_on

_HOME = {
    "advise_case": "verify",
    "cover_command_line": "coverage",
    "explain_case": "verify",
    "load_bundle": "bundle",
    "open_case": "bundle",
}
__all__ = sorted(_HOME)
__getattr__ = hand_on(__name__, _HOME)
