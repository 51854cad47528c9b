"""Capture: what people have, read as evidence.

People do not have six numbers. They have the output of ``virsh domlaunchsecinfo``, a QMP transcript, a domain XML, a
QEMU command line, the kernel's log. Each reader here takes one such text and returns a :class:`Capture`: the values
found, where each came from, and remarks. Captures add up, and the sum says what contradicts and what is still missing.

Every such text was written by the host, which is the party under suspicion. So sizes are capped, nothing in it is
opened or run, anything unexpected becomes a remark, and whatever the host names for the owner (a firmware path, a
command line) is marked as named by the host: a launch validated with those says only that the host told the same story
twice.
"""

from __future__ import annotations

from .capture import Capture, Contradiction, Found, Missing, Remark
from .domain_xml import parse_domain
from .locate import locate
from .qemu_cmdline import CommandLine, parse_command_line
from .recognize import parse_anything, recognize_text
from .sources import parse_dmesg, parse_domlaunchsecinfo, parse_qmp

__all__ = [
    "Capture",
    "CommandLine",
    "Contradiction",
    "Found",
    "Missing",
    "Remark",
    "locate",
    "parse_anything",
    "parse_command_line",
    "parse_dmesg",
    "parse_domain",
    "parse_domlaunchsecinfo",
    "parse_qmp",
    "recognize_text",
]
