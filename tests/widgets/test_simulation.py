"""The coverage widget without a kernel: paste a configuration, see it labelled."""

from __future__ import annotations

import ipywidgets

import sevlab
from sevlab.widgets.simulation import CoverageBox

CONFIGURATION = (
    "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s,policy=0x1 "
    "-drive if=pflash,unit=0,readonly=on,file=OVMF.fd -kernel k"
)


def test_a_configuration_is_labelled_as_it_is_typed() -> None:
    box = sevlab.explore(CONFIGURATION)
    assert isinstance(box, CoverageBox)
    assert any("kernel-hashes=on" in line.words for line in box.coverage.broken)
    assert "kernel-hashes=on" in box.banner.value
    box.text.value = box.text.value.replace("policy=0x1", "policy=0x1,kernel-hashes=on")
    assert not any("kernel-hashes=on" in line.words for line in box.coverage.broken)
    box.text.value = "<domain><b>"
    assert box.coverage is None
    assert 'role="alert"' in box.alert.value
    ipywidgets.Widget.close_all()
