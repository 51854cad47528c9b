"""omne-attest, another project's verifier of SEV-SNP reports, as the verifier suite calls verifiers.

Run it behind ``sevlab verifier-suite run --`` (docs/verifier-suite.md). It gets everything that it takes.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path

from sevlab.labs.verifier_suite.cases import VerifierInput


def accepts(given: VerifierInput) -> bool:
    """Return True when it accepts; it raises its ``Fail`` when it does not."""
    from omne_attest import Policy, Tcb, verify

    least = {"bl": 0, "tee": 0, "snp": 0, "ucode": 0}
    least |= {part: int(number) for part, _, number in (pair.partition("=") for pair in given.min_tcb.split(","))}
    policy = Policy(
        measurement=given.measurement,
        report_data=given.report_data,
        tcb_floor=Tcb(boot_loader=least["bl"], tee=least["tee"], snp=least["snp"], microcode=least["ucode"]),
        max_vmpl=given.vmpl,
        reject_debug=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a serial number of 0, as AMD's leaves have it
        pinned = hashlib.sha256(given.root).digest()
        verify(given.report, given.vcek, given.ask, given.ark, pinned, policy)
    return True


def main(words: list[str]) -> int:
    """Take {report} {vcek} {chain} {root} {measurement} {report_data} {min_tcb} {vmpl}; return the exit status."""
    report, vcek, chain, root = (Path(word).read_bytes() for word in words[:4])
    given = VerifierInput(
        *(report, vcek, chain, b"", root, ""),
        *(bytes.fromhex(words[4]), bytes.fromhex(words[5]), b"", b"", words[6], int(words[7]), 0),
    )
    accepts(given)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
