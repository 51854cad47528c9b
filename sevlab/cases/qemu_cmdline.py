"""A QEMU command line: its options, however it was copied, and the inputs of a launch among them."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from ..data import read_table
from ..errors import InputError, checked
from ..launch.vmm import CPU_MODELS
from .capture import COMMAND_LINE, Capture, Collector, check_size, shown
from .sources import load_json, printable

GUEST_TYPES = ("sev-guest", "sev-snp-guest")
#: QEMU's policy when the sev-guest object names none: NODBG.
DEFAULT_POLICY = "0x1"
#: Longest command line read, in characters. libvirt's have about 10,000.
COMMAND_LIMIT = 128 << 10
#: Most levels of JSON, and of block devices on each other.
DEPTH_LIMIT = 16
_TOPOLOGY = ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")
_WORDS = read_table("words")["qemu"]
#: Options without and with an argument, and properties of the guest's object and of machines.
FLAGS = frozenset(_WORDS["flags"])
WITH_ARGUMENT = frozenset(_WORDS["options"])
GUEST_PARTS = frozenset(_WORDS["guest"])
MACHINE_PARTS = frozenset(_WORDS["machine"])
#: Other programs that start guests, by their names, and what gives QEMU's own command line.
OTHERS: dict[str, str] = _WORDS["others"]
#: Options whose argument may start with a dash.
ANY_ARGUMENT = frozenset(["-append", "-name", "-kernel", "-initrd", "-fw_cfg"])
#: Different spellings of one option.
ALIASES = {"-M": "-machine", "-no-kvm": "-accel"}
_YES = ("on", "yes", "true", "y")
#: What to give where a text was not understood.
WHOLE = "give the whole command line, best /proc/PID/cmdline"
#: The key that QEMU implies for a first part without one.
IMPLIED: dict[str, str] = _WORDS["implied"]
#: Options in which a variable of the shell changes the launch.
_MAY_BE_REPLACED = ("-append", "-kernel", "-initrd", "-bios", "-drive", "-smp")
_PROGRAM = re.compile(r"qemu-system-\w+|qemu-kvm|kvm")
#: A program that an option, or what stands between it and its options in a log, follows.
STARTED = re.compile(
    r"""(?:(?:^|(?<=[\s"'`=(\[{]))[\w.+-]*/[\w./+-]*?(?:qemu-system-\w+|qemu-kvm|kvm)"""
    r"""|(?:^|(?<=[\s"'`(\[{]))(?:qemu-system-\w+|qemu-kvm)|^kvm)"""
    r"""["']?[\s,\\]*+(?:with:?\s*+)?[\[({]?[\s*_`"'\\>]*+(?=-)""",
    re.MULTILINE,
)
_STARTS = re.compile(f"(?={STARTED.pattern})", re.MULTILINE)
#: A list of quoted words, of JSON, Python or Go.
_QUOTED = r"""(?:(?<!\\)"(?:[^"\\]|\\.)*"|(?<!\\)'(?:[^'\\]|\\.)*')"""
#: What may stand between its words: a comma, a call as in Rust, a comment.
_BETWEEN = r"(?:\.\w+\(\))?(?:[\s,]|#[^\n]{0,200}\n|//[^\n]{0,200}\n)*"
_LIST = re.compile(rf"[\[({{]\s*({_QUOTED}(?:{_BETWEEN}{_QUOTED})*){_BETWEEN}(?:NULL|nil|None)?\s*[\])}}]")
#: An array of a shell, or a quoted word: what a program that builds a command is made of.
_PIECE = re.compile(rf"\w\+?=\(([^()]*?)\)(?!\s*[,.+])|{_QUOTED}")
#: An option and its argument in one word, perhaps after those before; a program that is called with a variable.
_TWO_IN_ONE = re.compile(r"(?:\$\S+\s+)?-[a-z][\w-]* ")
_CALL = re.compile(r"""(?m)^.*\b(?:qemu-system-\w+|qemu-kvm)["']?[ \t]+(["']?\$.*)$""")
#: A list of YAML, a word in each line; an argument in the kernel's audit log, in hex if it has odd characters.
_ITEM = re.compile(r"^[ \t]*- +([^\s:].*)$", re.MULTILINE)
_AUDITED = re.compile(r"\ba\d+=(\"[^\"]*\"|(?:[0-9A-F]{2})+)(?= |$)", re.MULTILINE)
#: The beginning of a line that belongs to a log, and not to a command over several lines.
_LOGGED = re.compile(
    r"\d{4}-\d\d-\d\d[T ]|time=|[A-Z][a-z]{2} [ \d]\d \d\d:|\++ |#|\s*```|\s*\w+ +\d+ +\d+ .*\d:\d\d|\s*\d+ .*\d:\d\d "
)
#: Where a command ends by the quote before it.
_CLOSED = {"`": ["`"], "'": [r"' (?:failed|returned|exited)\b", "'"], '"': [r'(?<!\\)"']}
#: A line of options: the backslash at the end of the line before was lost.
_MORE_OPTIONS = re.compile(r"[\s>*_`]*--?[a-zA-Z]")
#: Words of a shell that end a command.
_ENDS = re.compile(r"[;|&})]|&&|\|\||(?:\d*|&)[<>].*")
#: One of them after which the command goes on: what it reads or writes, or the mark of it alone.
_REDIRECTED = re.compile(r"(?:\d*|&)(?:<|>>?)(&?\d*|[^<>].*)")
_UNQUOTED_JSON = re.compile(r'(?:^|\s)\{"')


@dataclass(frozen=True)
class Option:
    """One option: ``name`` such as ``-machine`` ("" for a bare word), and ``value`` as typed, None without one.

    ``parts`` are the value's (key, value) pairs. A bare part has the key that QEMU implies, or is a key with ``on``.
    """

    name: str
    value: str | None
    parts: list[tuple[str, str]]

    def part(self, key: str, default: str = "") -> str:
        """Return the last value of a part."""
        return dict(self.parts).get(key, default)

    @property
    def text(self) -> str:
        """The option as typed, without the shell's quotes."""
        return f"{self.name} {self.value}".strip() if self.value is not None else self.name


def _parts(name: str, value: str, remarks: list[str]) -> list[tuple[str, str]]:
    if value.startswith("{"):
        document = load_json(value)
        if isinstance(document, dict):
            return list(_flat(document, "", DEPTH_LIMIT))
        remarks.append(f"{name} is not JSON: {shown(value, 60)}")
        return []
    return split_parts(value, IMPLIED.get(name, ""))


def split_parts(text: str, implied: str = "") -> list[tuple[str, str]]:
    """Return the (key, value) pairs of ``a,b=c``; a double comma is a comma in a value."""
    pairs = []
    # Double commas are read from the left, as QEMU does. A word of a command line has no zero byte.
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


def _flat(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and depth:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key), depth - 1)
    elif isinstance(value, bool):
        yield path, "on" if value else "off"
    else:
        yield path, str(printable(value)) if isinstance(value, str | int) else "..."


#: What a report of a SEV-SNP guest shows of its object, by the object's properties.
_SNP_FACTS = {
    "snp_guest_policy": "policy",
    "host_data": "host-data",
    "id_block_value": "id-block",
    "id_auth_value": "id-auth",
    "author_key": "author-key-enabled",
}


def _is_odd(key: str, value: str, known: frozenset[str]) -> bool:
    """Return whether a part is not one that QEMU has, or has lost its value, or the comma after it."""
    misspelt = key == "kernel-hashes" and value not in (*_YES, "off", "no", "false", "n")
    return misspelt or key.partition(".")[0] not in known or not value or "=" in value.rstrip("=")


class CommandLine:
    """A QEMU command line, understood as far as a launch needs it. Raises InputError only if it is too long.

    ``options`` are its options in order, ``remarks`` say how it was read, and ``unknown`` are the words that were not
    understood. Four forms are read: words separated by zero bytes (/proc/PID/cmdline, exact), a list of quoted words
    (JSON, Python, Go), shell text with quotes and backslashes (a script, libvirt's log, Markdown), and words whose
    quotes are lost (ps, Kata's log). Of several launches the last that speaks of SEV counts.
    """

    def __init__(self, text: str) -> None:
        check_size(text, f"--{COMMAND_LINE}", COMMAND_LIMIT)
        self.options: list[Option] = []
        self.remarks: list[str] = []
        self.unknown: list[str] = []
        words, form = self._words(text)
        if (other := os.path.basename(words[0]) if words else "") in OTHERS:
            raise InputError(f"--{COMMAND_LINE}", f"a command of {other}", "QEMU's own command line", OTHERS[other])
        self._read(deque(self._from_program(words)), form)
        if "sev" in text.lower() and not any("sev" in one.text.lower() for one in self.options):
            self.unknown.append("a part that speaks of SEV")
        for key, value in self.guest.parts if self.guest else ():
            if _is_odd(key, value, GUEST_PARTS):
                self.unknown.append(f"{key}={value}")

    def _words(self, text: str) -> tuple[list[str], str]:
        text = re.sub(r"\\x00|\\0|\\u0000|\^@", "\0", text) if len(_WRITTEN_ZERO.findall(text)) > 1 else text
        if "\0" in text:
            words = text.rstrip("\n").removesuffix("\0").split("\0")
            commands = _commands(words)
            return commands[self._last_of(commands)], "exact"
        text = _logged(text)
        lists = [_unquoted(one[1]) for one in _LIST.finditer(text)]
        lists += _commands([word.strip("\"'") for word in _ITEM.findall(text)])
        lists += _commands(
            [w[1:-1] if w[0] == '"' else bytes.fromhex(w).decode(errors="replace") for w in _AUDITED.findall(text)]
        )
        lists = [words for words in lists if len(words) > 1 and any(re.match("-[a-zA-Z]", word) for word in words)]
        named = [words for words in lists if any(_PROGRAM.fullmatch(os.path.basename(word)) for word in words)]
        listed = named[self._last_of(named)] if named else (lists or [[]])[-1]
        is_whole = "sev" in str(listed).lower() or (len(lists) == 1 and "sev" not in text.lower())
        is_shell = STARTED.search(text) and len(re.findall(r"""["']-[a-z][\w-]*["' ]""", text)) < 2
        is_whole = is_whole or (not listed and bool(is_shell))
        if (not is_whole or any(map(_TWO_IN_ONE.match, listed))) and (words := _assembled(text)):
            self.remarks.append("put together from the words of a program; what it computes is not in them")
            self.unknown.append("what the program computes")
            return words, "exact"
        if listed:
            return listed, "exact"
        text = self._last_launch(text)
        if _UNQUOTED_JSON.search(text):
            self.remarks.append("the quotes are lost, as ps shows a command line; /proc/PID/cmdline is exact")
            return text.split(), "ps"
        joined = re.sub(r"\\[ \t]*\r?\n", "", text)
        try:
            return shlex.split(joined), "shell"
        except ValueError as error:
            self.remarks.append(f"read without quotes, since as shell text it has {str(error).lower()}")
            return joined.split(), "ps"

    def _last_of(self, commands: Sequence[str | list[str]]) -> int:
        """Return which of several commands is read: the last that speaks of SEV, or else the last."""
        last = len(commands) - 1
        at = next((at for at in range(last, -1, -1) if "sev" in str(commands[at])), last)
        if last > 0:
            which = "the last" if at == last else "the last that speaks of SEV"
            self.remarks.append(f"there are {last + 1} QEMU command lines; only {which} is read")
        return at

    def _last_launch(self, text: str) -> str:
        """Return the command itself: of several the last, without a log's lines around it and Markdown's marks."""
        text = re.sub(r"(?<!\S)[\u2012-\u2015\u2212](?=[A-Za-z])", "-", text.translate(_PLAIN_QUOTES))
        bare = re.sub(r"(?m)^([ \t]*#).*", r"\1", text)
        before, *commands = _STARTS.split(bare if STARTED.search(bare) else text)  # else # is the prompt
        if not commands:
            return _without_marks(text)
        at = self._last_of(commands)
        quote, text = [before, *commands][at][-1:], commands[at]
        for form in _CLOSED.get(quote, ()) if quote not in re.split(r"\s-", text, maxsplit=1)[0] else ():
            if closing := re.search(form, text):
                if re.search(r"""\s-[a-z]|["'`]-""", text[closing.start() :]):
                    self.unknown.append("what follows the quotes")
                text = text[: closing.start()]
                text = re.sub(r"\\([\"\\$`])", r"\1", text) if quote == '"' else text
                break
        more = deque(text.splitlines())
        lines = [more.popleft()]
        quotes, goes_on = Counter(lines[0]), lines[0].rstrip().endswith("\\")
        while more and not _LOGGED.match(more[0]):
            last = lines[-1].strip()
            is_open = quotes["'"] % 2 or quotes['"'] % 2  # a mail broke the line, or tr did
            is_broken = not goes_on and last and (is_open or " " not in last or re.search(r"\s-[a-z]", more[0]))
            if not (is_broken or last.endswith("\\") or _MORE_OPTIONS.match(more[0])):
                break
            lines.append(more.popleft())
            quotes.update(lines[-1])
        command = "\n".join(lines)
        if bracket := re.match(r"\S+ with:? *\[(.*)\]", command, re.DOTALL):
            return f"{command.split()[0]} {bracket[1]}"
        return _without_marks(command)

    def _from_program(self, words: list[str]) -> list[str]:
        """Return the words after the program's name: before it may be columns of ps, sudo, or variables."""
        if programs := [at for at in range(len(words)) if _is_program(words, at)]:
            return words[programs[0] + 1 :]
        start = next((number for number, word in enumerate(words) if word[:1] == "-" and len(word) > 1), len(words))
        if start:
            left_out = f"{start} word(s) before the first option left out"
            self.remarks.append(f"no program named qemu-system-... is in it; {left_out}")
            self.unknown += [word for word in words[:start] if " -" in word or "sev" in word.lower()]
        return words[start:]

    def _read(self, words: deque[str], form: str) -> None:
        while words:
            word = words.popleft()
            if not word.startswith("-") or word == "-":
                if form == "shell" and (redirected := _REDIRECTED.fullmatch(word)):
                    if not redirected[1] and words:
                        words.popleft()
                    continue
                if form == "shell" and _ENDS.fullmatch(word):
                    self.unknown += [f"{one} after {word}" for one in words if one in ("-object", "-machine")]
                    return
                if word:
                    self.options.append(Option("", word, []))
                    self.unknown.append(word)
                continue
            name = "-" + word.lstrip("-")
            name = ALIASES.get(name, name)
            if name not in FLAGS and name not in WITH_ARGUMENT:
                self.unknown.append(word)
            if name in FLAGS or not words or (words[0].startswith("-") and name not in ANY_ARGUMENT):
                if name in WITH_ARGUMENT:
                    self.unknown.append(f"{word} without its argument")
                self.options.append(Option(name, None, []))
                continue
            value = words.popleft()
            if not value and name not in ANY_ARGUMENT:
                self.unknown.append(f"{word} without its argument")
            ended = form == "shell" and words and (_ENDS.fullmatch(words[0]) or " " in value)
            if name == "-append" and form != "exact" and words and not words[0].startswith("-") and not ended:
                while words and not words[0].startswith("-") and not (form == "shell" and _ENDS.fullmatch(words[0])):
                    value += " " + words.popleft()
                self.remarks.append(f"-append has lost its quotes; read up to the next option: {shown(value, 120)}")
            self.options.append(Option(name, value, _parts(name, value, self.remarks)))
            if form == "shell" and name in _MAY_BE_REPLACED and (mark := re.search("[$`]", value)):
                self.remarks.append(f"{name} contains a '{mark[0]}', which the shell may have replaced: {shown(value)}")

    @property
    def doubt(self) -> str:
        """Why nothing may be said to be absent, "" where the text was read whole."""
        if self.unknown or self.odd_machine:
            words = ", ".join(shown(word, 40) for word in [*self.unknown, *self.odd_machine][:3])
            return f"not understood: {words}{', ...' if len(self.unknown) > 3 else ''}"
        if (option := next((one for one in self.options if "sev" in one.text.lower()), None)) is not None:
            return f"{shown(option.text, 60)} speaks of SEV"
        if self.link and self.guest is None:
            return f"-machine names {shown(self.link)} as what protects the guest's memory"
        return "-readconfig names a file that was not read" if self.named("-readconfig") else ""

    @property
    def lost(self) -> bool:
        """Whether words that were not understood may be an option, its argument, or a part of one."""
        return any(re.match(r"-|\d+(,|$)|what |a part ", word) or "=" in word for word in self.unknown)

    @property
    def link_doubt(self) -> str:
        """Why the object may yet be in use though no -machine names it, "" where that was read whole."""
        if self.unknown or self.odd_machine or not self.machine:
            return self.doubt if self.unknown or self.odd_machine else "there is no -machine"
        if self.link and all(one.part("id") != self.link for one in self.named("-object")):
            return f"-machine names {shown(self.link)}, and no object has that id"
        return ""

    @cached_property
    def odd_machine(self) -> list[str]:
        """The parts of -machine that no machine has."""
        return [f"-machine {key}={value}" for key, value in self.machine.items() if _is_odd(key, value, MACHINE_PARTS)]

    def named(self, name: str) -> list[Option]:
        return [one for one in self.options if one.name == name]

    def last(self, name: str) -> str | None:
        """Return the value of the last option of a name; QEMU lets the last one win."""
        return next((one.value for one in reversed(self.named(name)) if one.value is not None), None)

    def parts(self, name: str) -> dict[str, str]:
        """Return the parts of all options of a name together."""
        return {key: value for one in self.named(name) for key, value in one.parts}

    @property
    def repeated(self) -> list[str]:
        """Sentences about settings that are given twice and differ. QEMU silently takes the last."""
        found = [
            f"{name} comes more than once; the last one counts, as in QEMU"
            for name in ("-kernel", "-initrd", "-append", "-bios")
            if len({one.value for one in self.named(name)} - {None}) > 1
        ]
        if guest := self.guest:
            for key in dict.fromkeys(key for key, _ in guest.parts):
                if len({value for name, value in guest.parts if name == key}) > 1:
                    where = f"-object {guest.part('qom-type')},{shown(key)}"
                    found.append(f"{where} comes more than once; the last one counts")
        if len(self._guests) > 1:
            found.append(f"{len(self._guests)} objects can make it an SEV guest; the one that -machine names counts")
        return found

    @cached_property
    def _guests(self) -> list[Option]:
        return [one for one in self.named("-object") if one.part("qom-type") in GUEST_TYPES]

    @cached_property
    def machine(self) -> dict[str, str]:
        """The parts of all -machine options together. QEMU takes an underscore in a key for a dash."""
        return {key.replace("_", "-"): value for key, value in self.parts("-machine").items()}

    @property
    def link(self) -> str:
        """The id of the object that protects the guest's memory, "" if -machine names none."""
        return self.machine.get("confidential-guest-support") or self.machine.get("memory-encryption", "")

    @cached_property
    def guest(self) -> Option | None:
        """The object that makes it an SEV guest: the one -machine names, else the first."""
        linked = (one for one in self._guests if one.part("id") == self.link)
        return next(linked, self._guests[0] if self._guests else None)

    @property
    def linked(self) -> bool:
        """True if -machine names the guest object; otherwise the guest runs without SEV."""
        return self.guest is not None and bool(self.link) and self.guest.part("id") == self.link

    @property
    def igvm(self) -> str:
        """The path of the IGVM file that decides the launch, "" without one."""
        return next((one.part("file") for one in self.named("-object") if one.part("qom-type") == "igvm-cfg"), "")

    @property
    def kernel_hashes(self) -> bool:
        """True if QEMU puts the kernel's hash into measured memory. Off by default."""
        return self.guest is not None and self.guest.part("kernel-hashes") in _YES

    @cached_property
    def units(self) -> dict[int, int]:
        """The flash units of options, by their position: 0 is the firmware, 1 its variables."""
        units: dict[int, int] = {}
        taken: set[int] = set()
        free = 0
        for number, one in enumerate(self.options):
            if one.name == "-pflash" or (one.name == "-drive" and one.part("if") == "pflash"):
                given = (one.part("unit") or one.part("index")) if one.name == "-drive" else ""
                units[number] = int(given) if re.fullmatch("[0-9]{1,3}", given) else free
                taken.add(units[number])
                while free in taken:
                    free += 1
        options = enumerate(self.options)
        nodes = {one.part("node-name"): number for number, one in options if one.name == "-blockdev"}
        for unit in (0, 1):
            node = self.machine.get(f"pflash{unit}", "")
            for _ in range(DEPTH_LIMIT):
                if not node or node not in nodes or nodes[node] in units:
                    break
                units[nodes[node]] = unit
                node = self.options[nodes[node]].part("file")
        return units

    def flash(self, unit: int) -> str | None:
        for option in (self.options[number] for number, own in self.units.items() if own == unit):
            path = option.part("file.filename") or option.part("filename")
            if option.name == "-pflash":
                path = str(option.value)
            elif option.name == "-drive":
                path = path or option.part("file")
            if path:
                return path
        return None

    @property
    def cpus(self) -> str:
        """The number of virtual CPUs at the start, which QEMU works out of -smp; "1" without it."""
        parts = self.parts("-smp")
        if given := parts.get("cpus") or parts.get("maxcpus"):
            return given
        counts = (parts.get(key, "") for key in _TOPOLOGY)
        return str(math.prod(int(one) for one in counts if re.fullmatch("[0-9]{1,5}", one)))


def _unquoted(listed: str) -> list[str]:
    """Return the words of a list, without their quotes; [] where one of them cannot be read."""
    words = []
    for word in re.findall(_QUOTED, listed):
        if word[0] == "'":
            word = '"' + word[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
        if not isinstance(plain := load_json(word), str):
            return []
        words.append(plain)
    return words


def _assembled(text: str) -> list[str]:
    """Return the words from which the text of a program or a script builds a command, piece by piece."""
    text = re.sub(r"(?m)^[ \t]*(?:#|//).*$", "", text)
    if call := _CALL.search(text):  # what is in it comes last
        text = f"{text.replace(call[0], '')}\na=({call[1]})"
    words: list[str] = []
    for piece in _PIECE.finditer(text):
        for one in [piece[1]] if piece[1] is not None else _unquoted(piece[0]):
            if piece[1] is None and not _TWO_IN_ONE.match(one):
                words.append(one)
                continue
            with suppress(ValueError):
                words += [word for word in shlex.split(one, comments=True) if word[:1] != "$"]
    programs = [at for at in range(len(words)) if _is_program(words, at)]
    start = max((at for at in programs if any(word[:1] == "-" for word in words[at:])), default=-1)
    words = [word for at, word in enumerate(words) if at > start and at not in programs]
    return words if sum(word in WITH_ARGUMENT for word in words) > 1 else []


def _commands(words: list[str]) -> list[list[str]]:
    """Return the commands that words consist of: each begins with a program that an option follows."""
    starts = [at for at in range(len(words) - 1) if _is_program(words, at) and words[at + 1][:1] == "-"]
    return [words[at:end] for at, end in pairwise([*starts, len(words)])] or [words]


def _is_program(words: list[str], at: int) -> bool:
    """Return whether a word names the program: an argument (-accel kvm) may look like it."""
    is_argument = at > 0 and words[at - 1] in WITH_ARGUMENT
    return not is_argument and bool(_PROGRAM.fullmatch(os.path.basename(words[at])))


def _logged(text: str) -> str:
    """Return the last command that a string in lines of JSON has, as journald and containers log it; else the text."""
    documents = (load_json(line) for line in text.splitlines() if line.lstrip().startswith("{"))
    strings = [value for one in documents if isinstance(one, dict) for _, value in _flat(one, "", DEPTH_LIMIT)]
    return next((value for value in reversed(strings) if STARTED.search(value)), text)


#: Zero bytes as editors and logs write them.
_WRITTEN_ZERO = re.compile(r"(?:\\x00|\\0|\\u0000|\^@)-[a-zA-Z]")
#: What word processors make of quotes and spaces.
_PLAIN_QUOTES = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0xA0: " ", 0x200B: None, 0xFEFF: None}


def _without_marks(text: str) -> str:
    """Return text without what Markdown puts around words, and without a prompt before them."""
    text = re.sub(r"(?m)^[ \t]*(?:>[ \t]*|[$#][ \t]+)+", "", text)
    text = re.sub(r"(?<![\w*])\*\*(.+?)\*\*(?![\w*])", r"\1", text)
    return re.sub(r"""```\w*|(?<![\w"'])`|`(?![\w"'])|<br ?/?>""", "", text)


@checked
def parse_command_line(text: str) -> Capture:
    """Read a QEMU command line: from a script, from libvirt's log, from ps, or from /proc/PID/cmdline."""
    command, found = CommandLine(text), Collector(COMMAND_LINE)
    has_options = any(one.name for one in command.options)
    for words in (*command.remarks, *(command.repeated if has_options else ())):
        found.remark(words)
    if not has_options:
        return found.capture()
    if command.last("-readconfig"):
        found.remark("-readconfig names a file with more options, which was not read")
    _firmware(command, found)
    _guest(command, found)
    for name, option in (("kernel", "-kernel"), ("initrd", "-initrd"), ("cmdline", "-append")):
        if (value := command.last(option)) is not None:
            found.add(name, value, option)
    if command.last("-smp") or not command.unknown:
        found.add("num_cpus", command.cpus, "-smp" if command.last("-smp") else "without -smp")
    _cpu(command, found)
    return found.capture()


def _firmware(command: CommandLine, found: Collector) -> None:
    flash, bios = command.flash(0), command.last("-bios")
    if flash:
        found.add("firmware", flash, "flash unit 0")
        if bios:
            found.remark("there is a flash unit 0, too, which QEMU uses instead of -bios")
    elif bios:
        found.add("firmware", bios, "-bios")
        if command.guest is not None and command.guest.part("qom-type") != "sev-guest":
            return  # QEMU releases that know SEV-SNP all measure it
        found.remark("-bios: QEMU measures this firmware from version 7.1 on; before, it did not")
    else:
        found.remark("no firmware was found (flash unit 0 or -bios); QEMU's own default can't start an SEV guest")
    if variables := command.flash(1):
        found.add("nvram", variables, "flash unit 1")
        found.remark("flash unit 1 is for the firmware's variables: the host can change them, nothing measures them")


def _guest(command: CommandLine, found: Collector) -> None:
    guest = command.guest
    if guest is None:
        if command.doubt:
            found.remark(f"no -object sev-guest was found, but {command.doubt}; {WHOLE}")
        else:
            found.remark("there is no -object sev-guest: this guest does not use SEV")
        return
    if command.unknown:
        found.remark(f"{command.doubt}; {WHOLE}")
    if command.kernel_hashes or not command.lost:  # off by default, but never because of a word that was not understood
        found.add("kernel_hashes", command.kernel_hashes, f"-object {guest.part('qom-type')},kernel-hashes")
    kind = guest.part("qom-type")
    where = f"-object {kind}"
    found.add("guest", kind.removesuffix("-guest"), where)
    if not command.linked:
        option = f"-machine confidential-guest-support={shown(guest.part('id') or 'ID')}"
        doubt = command.link_doubt
        end = f", but not all was understood ({doubt}); {WHOLE}" if doubt else ": this guest runs without SEV"
        found.remark(f"no {option} names the {kind} object{end}")
    if command.machine.get("igvm-cfg") or any(one.part("qom-type") == "igvm-cfg" for one in command.named("-object")):
        found.add("igvm", command.igvm or "a file that is not named", "-object igvm-cfg")
    if guest.part("legacy-vm-type") == "off":
        found.add("profile", "qemu", f"{where},legacy-vm-type")
    if kind != "sev-guest":
        found.add("mode", "snp", where)
        for name, key in _SNP_FACTS.items():
            if value := guest.part(key):
                found.add(name, value, f"{where},{key}")
        return
    policy = guest.part("policy")
    if re.fullmatch("0[0-7]+", policy):
        found.remark(f"{where},policy={policy} starts with 0, which QEMU reads as octal")
        policy = str(int(policy[:24], 8))
    if policy or not command.unknown:
        found.add(
            "policy", policy or DEFAULT_POLICY, f"{where},policy" if policy else f"{where}, QEMU's default policy"
        )


def _cpu(command: CommandLine, found: Collector) -> None:
    option = next((one for one in reversed(command.options) if one.name == "-cpu" and one.parts), None)
    if option is None:
        return
    name = option.parts[0][1] if option.parts[0][0] == "model" else ""
    if name:
        found.add("cpu", name[:80], "-cpu")
    numbers = CPU_MODELS.get(name, ("", "", ""))
    for key, number in zip(("family", "model", "stepping"), numbers, strict=True):
        # The model's name is the first part, so a later part called model is the number.
        given = next((value for part, value in reversed(option.parts[1:]) if part == key), "")
        if given or number != "":
            found.add(f"cpu_{key}", given or number, f"-cpu {name[:40]}" + (f",{key}" if given else ""))
