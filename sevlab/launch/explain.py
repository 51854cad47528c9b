"""The walkthrough: a launch measurement taken apart to the last byte, and computed again by a second route."""

from __future__ import annotations

import base64

from ..errors import shell_word
from ..layout.bits import Bits
from ..layout.bytemap import explain_spans
from ..layout.structure import Layout, compare
from ..layout.views import Code, Heading, Paragraph, View
from .evidence import Evidence
from .measure import KEY_IS_SHOWN, HmacSteps
from .verify import Verdict, compare_measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Explained(Protocol):
        def explain(self) -> View: ...


def explain(thing: Layout | Bits | Explained | Evidence, *, show_keys: bool = False) -> View:
    """Return a view of *thing*: print it, or let a notebook show it.

    A structure is shown byte by byte, a policy bit by bit, and evidence from the reported bytes to the verdict.
    Anything else needs an ``explain`` method of its own, or TypeError is raised. Keys and the blocks made from them are
    hidden unless *show_keys* is set.
    """
    if isinstance(thing, Evidence):
        return walk(compare_measure(thing), show_keys=show_keys)
    if hasattr(thing, "explain") and not isinstance(thing, type):
        return thing.explain()
    raise TypeError(f"explain takes evidence, a layout, bits, or what can explain itself, not {type(thing).__name__}")


def walk(verdict: Verdict, *, show_keys: bool = False) -> View:
    evidence, message = verdict.evidence, verdict.evidence.message
    reported = evidence.measurement
    return View(
        verdict.explain(),
        Heading("1. What the host reported: the measurement, 48 bytes"),
        explain_spans(reported.spans()),
        Heading("2. What was loaded: the launch digest, 32 bytes"),
        evidence.launch.explain(),
        Paragraph(_covered(evidence)),
        Heading("3. What the SEV firmware put under the HMAC: the message, 56 bytes"),
        explain_spans(message.spans()),
        evidence.policy.explain(),
        Heading("4. The HMAC, step by step"),
        HmacSteps(message.to_bytes(), evidence.tik).explain(show_keys=show_keys),
        Heading("5. Reported against computed, byte by byte"),
        compare(reported, reported.replace(measure=verdict.computed)).explain(),
        Heading("6. The same number by a second route"),
        Paragraph("With OpenSSL, in a shell. The base64 text is the message of step 3:"),
        Code(openssl_route(evidence)),
        Paragraph("With three lines of Python, from the inputs themselves:"),
        Code(python_route(evidence)),
    )


def _covered(evidence: Evidence) -> str:
    has_kernel = evidence.inputs is not None and evidence.inputs.kernel is not None
    parts = ["the firmware"] + (["the hashes of kernel, initrd and command line"] if has_kernel else [])
    parts += ["the virtual CPUs' registers"] if evidence.policy.es else []
    missing = ["the disk"] + ([] if has_kernel else ["a kernel"])
    missing += [] if evidence.policy.es else ["the registers of virtual CPUs"]
    return f"The digest covers {' and '.join(parts)}, in this order. It does not cover {' or '.join(missing)}."


def _key_file(evidence: Evidence) -> tuple[str, int]:
    """Return the file that holds the TIK, and the TIK's offset in it (bytes)."""
    files = evidence.files
    name, offset = (files["tk"], 16) if "tk" in files else (files.get("tik", "TIK_FILE"), 0)
    return (name, offset) if name != "-" else ("TIK_FILE", 0)  # standard input is not a file


def openssl_route(evidence: Evidence) -> str:
    """Return a shell line that computes the same measure with OpenSSL alone."""
    name, offset = _key_file(evidence)
    skip = f"-j{offset} " if offset else ""
    message = base64.b64encode(evidence.message.to_bytes()).decode()
    return (
        f"{KEY_IS_SHOWN}\n"
        f"echo {message} | openssl base64 -d -A |\n"
        f"  openssl dgst -sha256 -mac HMAC -macopt hexkey:$(od -An -v -tx1 {skip}{shell_word(name)} | tr -d ' \\n')"
    )


def python_route(evidence: Evidence) -> str:
    """Return three lines of Python that compute the same measure from the inputs, without sevlab."""
    raw, firmware = evidence.message.to_bytes(), evidence.files.get("firmware", "-")
    digest = f'bytes.fromhex("{evidence.digest.hex()}")'
    if firmware != "-" and len(evidence.launch.steps) == 1:
        digest = f"hashlib.sha256(open({firmware!r}, 'rb').read()).digest()"
    name, offset = _key_file(evidence)
    key = f"open({name!r}, 'rb').read()" + (f"[{offset}:]" if offset else "")
    return (
        "import hashlib, hmac\n"
        f'message = bytes.fromhex("{raw[:8].hex()}") + {digest} + bytes.fromhex("{raw[40:].hex()}")\n'
        f'print(hmac.new({key}, message, "sha256").hexdigest())'
    )


def walk_as_dict(verdict: Verdict, *, show_keys: bool = False) -> dict[str, object]:
    """Return the walk as JSON-ready data; bytes are lower-case hex, keys are left out unless asked for."""
    evidence = verdict.evidence
    steps = HmacSteps(evidence.message.to_bytes(), evidence.tik)
    hmac_steps = {"inner": steps.inner.hex(), "measure": steps.measure.hex()}
    if show_keys:
        hmac_steps["key_block"] = steps.key_block.reveal().hex()
    return {
        **verdict.as_dict(),
        "measurement": [span.as_dict() for span in evidence.measurement.spans()],
        "message": [span.as_dict() for span in evidence.message.spans()],
        "policy": [{"bits": row.position, "name": row.name, "value": value} for row, value in evidence.policy.items()],
        "digest": evidence.digest.hex(),
        "launch": [
            {"step": step.name, "size": step.size, "sha256": step.digest.hex(), "digest_after": after.hex()}
            for step, after in zip(evidence.launch.steps, evidence.launch.digests, strict=True)
        ],
        "hmac": hmac_steps,
        "second_route": {"openssl": openssl_route(evidence), "python": python_route(evidence)},
    }
