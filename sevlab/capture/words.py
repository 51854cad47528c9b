"""A QEMU command line taken apart into words, options and their parts, however it was copied."""

from __future__ import annotations

import os
import re
import shlex
from collections import namedtuple

from .found import COMMAND_LINE, check_size, shown
from .qmp import load_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Longest command line read, in characters. libvirt's have about 10,000.
COMMAND_LIMIT = 128 << 10
DEPTH_LIMIT = 16

#: Options that take no argument. Source: QEMU's -help (7.2), and the options of later releases known by name.
# fmt: off
FLAGS = frozenset((
    "-h", "-help", "-version", "-S", "-s", "-nographic", "-enable-kvm", "-daemonize", "-nodefaults",
    "-no-user-config", "-nouserconfig", "-no-reboot", "-no-shutdown", "-no-acpi", "-no-hpet", "-no-fd-bootchk",
    "-win2k-hack", "-snapshot", "-usb", "-full-screen", "-portrait", "-mem-prealloc", "-singlestep",
    "-one-insn-per-tb", "-preconfig", "-only-migratable", "-enable-sync-profile", "-async-teardown", "-audio-help",
    "-xen-attach", "-xen-domid-restrict", "-curses", "-sdl", "-alt-grab", "-ctrl-grab", "-no-quit",
))
# fmt: on
#: Options whose argument may start with a dash.
ANY_ARGUMENT = frozenset(["-append", "-name", "-kernel", "-initrd", "-fw_cfg"])
#: Different spellings of one option.
ALIASES = {"-M": "-machine", "-no-kvm": "-accel"}
#: The key of a part that has none, where QEMU implies one.
IMPLIED = {
    "-machine": "type",
    "-object": "qom-type",
    "-cpu": "model",
    "-smp": "cpus",
    "-accel": "accel",
    "-device": "driver",
    "-blockdev": "driver",
    "-m": "size",
}

_PROGRAM = re.compile(r"qemu-system-\w+|qemu-kvm|kvm")
_UNQUOTED_JSON = re.compile(r'(?:^|\s)\{"')


class Option(namedtuple("Option", "name value parts")):
    """One option: ``name`` such as ``-machine`` ("" for a bare word), ``value`` as it stands, None when it has none.

    ``parts`` are the value's (key, value) pairs, a bare part having the key QEMU implies, or its own name and ``on``.
    """

    __slots__ = ()

    def part(self, key: str, default: str = "") -> str:
        """Return the last value of a part."""
        return next((str(value) for name, value in reversed(self.parts) if name == key), default)

    @property
    def text(self) -> str:
        """The option as typed, without the shell's quotes."""
        return f"{self.name} {self.value}".strip() if self.value is not None else str(self.name)


def split_options(text: str) -> tuple[list[Option], list[str]]:
    """Return the options of a command line, and remarks on how it was read.

    Three forms are told apart: words separated by zero bytes (/proc/PID/cmdline, exact), shell text with quotes and
    backslashes (a script, libvirt's log), and what ``ps`` shows, in which the quotes are lost.
    """
    check_size(text, COMMAND_LINE, COMMAND_LIMIT)
    words, form, remarks = _words(text)
    return _options(_from_program(words, remarks), form, remarks), remarks


def _words(text: str) -> tuple[list[str], str, list[str]]:
    if "\0" in text:
        return text.rstrip("\n").removesuffix("\0").split("\0"), "exact", []
    if _UNQUOTED_JSON.search(text):
        return text.split(), "ps", ["the quotes are lost, as ps shows a command line; /proc/PID/cmdline is exact"]
    joined = re.sub(r"\\[ \t]*\r?\n", "", text)
    try:
        return shlex.split(joined), "shell", []
    except ValueError as error:
        return joined.split(), "ps", [f"read without quotes, since as shell text it has {str(error).lower()}"]


def _from_program(words: list[str], remarks: list[str]) -> list[str]:
    """Return the words after the program's name, without what stands before it (ps columns, sudo, environment)."""
    for number, word in enumerate(words):
        if _PROGRAM.fullmatch(os.path.basename(word)):
            return words[number + 1 :]
    start = next((number for number, word in enumerate(words) if word[:1] == "-" and len(word) > 1), len(words))
    if start:
        remarks.append(f"no program named qemu-system-... is in it; {start} word(s) before the first option left out")
    return words[start:]


def _options(words: list[str], form: str, remarks: list[str]) -> list[Option]:
    options: list[Option] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not (word.startswith("-") and len(word) > 1):
            if _PROGRAM.fullmatch(os.path.basename(word)):
                remarks.append("there is more than one QEMU command line; only the first is read")
                break
            if word:
                options.append(Option("", word, []))
            continue
        name = "-" + word.lstrip("-")
        name = ALIASES.get(name, name)
        if name in FLAGS:
            options.append(Option(name, None, []))
            continue
        if position == len(words) or (words[position].startswith("-") and name not in ANY_ARGUMENT):
            options.append(Option(name, None, []))
            continue
        value = words[position]
        position += 1
        if name == "-append" and form != "exact":
            start = position
            while position < len(words) and not words[position].startswith("-"):
                position += 1
            if position > start:
                value = " ".join([value, *words[start:position]])
                remarks.append(f"-append had no quotes left and was taken up to the next option: {shown(value, 120)}")
        options.append(Option(name, value, _parts(name, value, remarks)))
        if form == "shell" and "$" in value and name in ("-append", "-kernel", "-initrd", "-bios", "-drive", "-smp"):
            remarks.append(f"{name} holds a '$', which the shell may have replaced: {shown(value)}")
    return options


def _parts(name: str, value: str, remarks: list[str]) -> list[tuple[str, str]]:
    if value.startswith("{"):
        document = load_json(value)
        if isinstance(document, dict):
            return list(_flat(document, "", DEPTH_LIMIT))
        remarks.append(f"{name} holds what is not JSON: {shown(value, 60)}")
        return []
    return split_parts(value, IMPLIED.get(name, ""))


def split_parts(text: str, implied: str = "") -> list[tuple[str, str]]:
    """Return the (key, value) pairs of ``a,b=c``; two commas stand for one that does not separate."""
    pairs = []
    # Pairs of commas are read from the left, as QEMU does. A word of a command line holds no zero byte.
    for number, part in enumerate(text.replace(",,", "\0").split(",")):
        part = part.replace("\0", ",")
        key, equals, value = part.partition("=")
        if equals:
            pairs.append((key, value))
        elif number == 0 and implied:
            pairs.append((implied, part))
        elif part:
            pairs.append((part, "on"))
    return pairs


def _flat(value: Any, path: str, depth: int) -> list[tuple[str, str]]:
    """Return a JSON value as QEMU's dotted pairs."""
    if isinstance(value, dict) and depth:
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(inner, f"{path}.{key}" if path else str(key), depth - 1)
        ]
    if isinstance(value, bool):
        return [(path, "on" if value else "off")]
    if isinstance(value, int) and abs(value) >= 1 << 128:
        return [(path, "a huge number")]
    return [(path, str(value) if isinstance(value, str | int) else "...")]
