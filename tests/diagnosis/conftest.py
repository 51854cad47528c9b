"""Files of a SEV-SNP launch, and others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.snp_cases import ODD
from tests.made_images import AMD_SEV, snp_image, svsm_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Firmware, kernel, initrd; and in ``others`` another one of each."""
    folder = tmp_path_factory.mktemp("snp")
    others = folder / "others"
    others.mkdir()
    for place, seed in ((folder, 1), (others, 2)):
        (place / "fw.fd").write_bytes(snp_image(pages=8, seed=seed))
        (place / "images").mkdir()
        (place / "images" / "svsm.bin").write_bytes(svsm_image(AMD_SEV[:4], seed=seed))
        (place / "kernel").write_bytes(b"kernel %d" % seed * 200)
        (place / "initrd").write_bytes(b"initrd %d" % seed * 200)
    (folder / "odd.fd").write_bytes(snp_image(ODD, seed=5))
    (folder / "bare.fd").write_bytes(snp_image(AMD_SEV[:5], seed=5))
    return folder
