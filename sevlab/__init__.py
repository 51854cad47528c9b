"""sevlab: learn, debug and re-examine AMD SEV attestation.

Forty names at most, handed on when first used, so that ``import sevlab`` stays light. Everything else is under its
room: :mod:`sevlab.attestation`, :mod:`sevlab.cases` and so on.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__version__ = "0.2.0"
_HOME = {
    "InputError": "errors",
    "KernelHashes": "formats.kernel_hashes",
    "LayoutError": "errors",
    "MeasureMessage": "formats.launch_measure",
    "Measurement": "formats.launch_measure",
    "MismatchError": "errors",
    "Policy": "formats.policy",
    "Report": "formats.report",
    "SecretBytes": "launch.keys",
    "SevlabError": "errors",
    "SnpPolicy": "formats.policy",
    "UnsupportedError": "errors",
    "Vmsa": "formats.vmsa",
    "build_vmsa": "launch.vmm",
    "compare": "layout.structure",
    "compare_launch": "launch.compare",
    "compare_measure": "launch.verify",
    "compute_digest": "launch.sev",
    "compute_measure": "launch.measure",
    "debugger": "widgets.debugger",
    "diagnose": "diagnosis.run",
    "diagnose_case": "diagnosis.case",
    "explain": "launch.explain",
    "explore": "widgets",
    "load_case": "cases.case_toml",
    "load_certificates": "attestation.certificates",
    "load_chain": "attestation.sev_chain",
    "load_evidence": "launch.evidence",
    "load_launch": "launch.inputs",
    "load_ovmf": "launch.inputs",
    "load_report": "attestation.report",
    "load_snp_launch": "launch.snp",
    "simulate_launch": "simulator.launch",
    "simulate_snp_launch": "simulator.snp_launch",
    "verify_case": "cases.verify",
    "verify_chain": "attestation.sev_chain",
    "verify_measure": "launch.verify",
    "verify_report": "attestation.report",
}
__all__ = sorted(_HOME)


def hand_on(room: str, home: dict[str, str]) -> Callable[[str], object]:
    """Return a ``__getattr__`` for *room*: it imports a public name, or a module of the room, when first asked for."""

    def get(name: str) -> object:
        from importlib import import_module
        from importlib.util import find_spec

        if name in home:
            value: object = getattr(import_module(f"{room}.{home[name]}"), name)
        elif not name.startswith("_") and find_spec(f"{room}.{name}") is not None:
            value = import_module(f"{room}.{name}")
        else:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        setattr(import_module(room), name, value)
        return value

    return get


__getattr__ = hand_on(__name__, _HOME)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
