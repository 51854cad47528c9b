"""Incidents of SEV without SEV-SNP: which file is measured, and the numbers in the measured message.

To compute a measurement its keys are needed, so these bundles hold them. They are the samples' own (``20 21 22 ...``).
"""

from __future__ import annotations

import base64

from ..formats.launch_measure import MeasureMessage
from ..formats.policy import Policy
from ..launch import load_launch
from ..measure import compute_measure
from ..samples import MNONCE, POLICY, TIK
from .replay import Replay, write_inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_KEYS = "The keys are in the bundle, because nothing can be judged without them: they are visibly samples."
#: The guest that these rows are about: plain SEV, no kernel.
_PLAIN = {"firmware": "OVMF.fd", "policy": POLICY, "tk": "tk.bin"}


def measured_case(replay: Replay, folder: Path) -> dict[str, Any]:
    """Return what the owner had, and the measurement that the host's firmware made."""
    owner = {**_PLAIN, **replay.owner}
    host = write_inputs({**owner, **replay.host}, folder)
    message = MeasureMessage(
        api_major=host["api_major"],
        api_minor=host["api_minor"],
        build_id=host["build_id"],
        policy=Policy(POLICY),
        digest=load_launch(Policy(POLICY), firmware=host["firmware"]).digest,
        mnonce=MNONCE,
    )
    measurement = base64.b64encode(compute_measure(message, TIK) + MNONCE).decode()
    return {"mode": "sev", "measurement": measurement, **write_inputs(owner, folder)}


MESSAGES = (
    Replay(
        "F25",
        "Which file is it that the measurement covers?",
        "OVMF as one file, and as OVMF_CODE.fd and OVMF_VARS.fd",
        {"firmware": "OVMF-whole.fd", "api_major": 0, "api_minor": 22, "build_id": 13},
        {"firmware": "OVMF_CODE.fd"},
        measured_case,
        ("F25",),
        _KEYS,
    ),
    Replay(
        "F27",
        "calc_measurement prints another measure than the platform, with the numbers that the platform shows",
        "sev-tool in September 2021; the platform shows API 0.17, build 22",
        {"api_major": 0, "api_minor": 0x17, "build_id": 0x22},
        {"api_minor": 17, "build_id": 22},
        measured_case,
        ("F27",),
        _KEYS,
    ),
    Replay(
        "F28",
        "The measurement verifies on the server, and not on the owner's laptop",
        "sev-tool in 2020; the laptop is a platform too, with another firmware",
        {"api_major": 0, "api_minor": 22, "build_id": 13},
        {"api_minor": 17, "build_id": 22},
        measured_case,
        ("F28",),
        _KEYS,
    ),
)
