"""sevlab: learn, debug and re-examine AMD SEV attestation.

The public names, handed on when first used, so that ``import sevlab`` stays light.
"""

from __future__ import annotations

__version__ = "0.1.0"

_HOME = {
    "AttestationReport": "formats.attestation",
    "BAD": "verify",
    "CPU_MODELS": "cpu",
    "Capture": "capture",
    "Case": "case",
    "Chain": "chain",
    "ChainVerdict": "chain",
    "Comparison": "layout.diff",
    "Coverage": "coverage",
    "Diagnosis": "search",
    "Evidence": "evidence",
    "Explanation": "search",
    "GOOD": "verify",
    "Guid": "formats.guid",
    "HashTable": "formats.hashtable",
    "HmacSteps": "measure",
    "INCIDENTS": "incidents",
    "IdBlockVerdict": "idblock",
    "InputError": "errors",
    "Launch": "launch",
    "LayoutError": "errors",
    "MeasureMessage": "formats.message",
    "Measurement": "formats.message",
    "MismatchError": "errors",
    "OldMeasureMessage": "formats.message",
    "OpenedSecret": "secret",
    "Ovmf": "formats.ovmf",
    "PROFILES": "profiles",
    "PageInfo": "formats.pageinfo",
    "Policy": "formats.policy",
    "SNP_PROFILES": "profiles",
    "Secret": "keys",
    "SecretHeader": "formats.secret",
    "SecretPacket": "secret",
    "SecretTable": "formats.secret",
    "Segment": "formats.vmsa",
    "SessionBlob": "formats.session",
    "SevCertificate": "formats.sevcert",
    "SevFeatures": "formats.vmsa",
    "SevlabError": "errors",
    "SignedIdBlock": "idblock",
    "SnpLaunch": "snp",
    "SnpPolicy": "formats.snppolicy",
    "UnsupportedError": "errors",
    "Verdict": "verify",
    "View": "layout.page",
    "Vmsa": "formats.vmsa",
    "build_hash_table": "formats.hashtable",
    "build_id_block": "idblock",
    "build_secret": "secret",
    "build_vmsa": "profiles",
    "compare": "layout.diff",
    "compare_launch": "launch",
    "compare_measure": "verify",
    "compare_snp_launch": "snp",
    "compute_digest": "digest",
    "compute_measure": "measure",
    "cover_case": "coverage",
    "cover_command_line": "coverage",
    "cover_domain": "coverage",
    "cpu_signature": "cpu",
    "debugger": "widgets",
    "derive_key": "session",
    "derive_session_keys": "session",
    "diagnose": "search",
    "exchange": "session",
    "exercises": "",
    "explain": "walkthrough",
    "explore": "widgets",
    "godh_certificate": "session",
    "load_case": "case",
    "load_chain": "chain",
    "load_digest": "digest",
    "load_evidence": "evidence",
    "load_id_block": "idblock",
    "load_key": "inputs",
    "load_launch": "launch",
    "load_ovmf": "firmware",
    "load_private_key": "idblock",
    "load_secret": "secret",
    "load_snp_launch": "snp",
    "load_vmsa": "inputs",
    "make_case": "case",
    "make_private": "session",
    "make_session": "session",
    "open_secret": "secret",
    "open_session": "session",
    "openssl_route": "walkthrough",
    "parse_anything": "capture",
    "parse_certificates": "formats.sevcert",
    "parse_command_line": "capture",
    "parse_cpu_model": "cpu",
    "parse_dmesg": "capture",
    "parse_domain": "capture",
    "parse_domlaunchsecinfo": "capture",
    "parse_measurement": "inputs",
    "parse_ovmf": "formats.ovmf",
    "parse_policy": "inputs",
    "parse_qmp": "capture",
    "plot_avalanche": "plots",
    "plot_flash": "plots",
    "plot_launch": "plots",
    "plot_transcript": "plots",
    "public_key": "session",
    "python_route": "walkthrough",
    "read_case": "case",
    "recognize_vmsa": "profiles",
    "sample_roots": "simulator.identity",
    "seeded": "session",
    "simulate_launch": "simulator.launch",
    "split_signature": "cpu",
    "verify_attestation": "chain",
    "verify_chain": "chain",
    "verify_id_block": "idblock",
    "verify_measure": "verify",
    "wrap_keys": "session",
    "write_case": "case",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'sevlab' has no attribute {name!r}")
    if not _HOME[name]:
        return import_module(f"sevlab.{name}")
    value = getattr(import_module(f"sevlab.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
