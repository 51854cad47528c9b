"""The debugger: give it what you have, see the verdict, press a button, read why, apply it, take it along.

There is a box for each input that a case file can hold, so what is in the boxes *is* a case: the verdict is that of
``sevlab case verify``, and the reason that of ``sevlab diagnose --case``.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import functools
import os
import re
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from ..attestation.certificates import parse_certificate, roots_with
from ..attestation.report import read_report
from ..cases.bundle import open_case, pack_case
from ..cases.capture import COMMAND_LINE, SOURCES, TEXT_LIMIT, XML, Capture, in_cell
from ..cases.case import BY_NAME, COUNT, FILE, FORBID, KEY, MEASUREMENT, MODE, NUMBER, ROWS, SNP, TEXT, Case, make_case
from ..cases.case_toml import parse_case, parse_text, record_explanation
from ..cases.coverage import cover_command_line, cover_domain
from ..cases.recognize import parse_anything, recognize_file
from ..cases.verify import CaseVerdict, verify_case
from ..data.requirements import lacking
from ..diagnosis.case import CaseDiagnosis, diagnose_case
from ..diagnosis.engine import Progress
from ..diagnosis.result import Diagnosis, Explanation
from ..diagnosis.run import SearchOptions, diagnose
from ..errors import InputError, SevlabError, UnsupportedError, escaped, quoted, renaming, shell_word
from ..launch.inputs import INPUTS, KEYS, REPORTED, SKU, SNP_INPUTS, Sha256, as_option, as_peer
from ..launch.keys import SecretBytes
from ..launch.snp import DEFAULT_PROFILE
from ..launch.values import KEY_SIZE, parse_measurement, parse_number, parse_policy
from ..launch.vmm import CPU_MODELS, PROFILES, SNP_PROFILES
from ..layout.views import Banner, Heading, Paragraph, Table, View, hex_lines
from .action import Button
from .boxes import FileBox, NumberBox, PasteBox, alert, choice, flag, keep_file, label_of, output, row, status, text_box
from .bytemap import StaticBox

if TYPE_CHECKING:
    from ..cases.case import Value


SEV, ES, SEV_SNP = "SEV", "SEV-ES", "SEV-SNP"
#: The inputs of a launch of SEV or SEV-ES, and of SEV-SNP with its report: of both there are boxes.
LEGACY = {*REPORTED, *KEYS, *INPUTS, "digest"}
SNP_LAUNCH = {*INPUTS, *SNP_INPUTS, "cpu_signature"}
SNP_CASE = SNP_LAUNCH | {one.name for one in ROWS if one.section in ("launch", *SNP) and one.kind != MODE}
_SEARCHED = (label_of("num_cpus"), label_of("vcpu_type"))
#: The boxes that are always there. Any other is there when it holds something, or when all are asked for.
_LOADED = ("firmware", "tk", "kernel", "initrd", "cmdline")
_CPUS = ("num_cpus", "profile", "guest_features")
USUAL = {SEV: (*REPORTED, *_LOADED), ES: (*REPORTED, *_LOADED, *_CPUS)}
USUAL[SEV_SNP] = ("report", "reported_measurement", "vcek", "chain", *_LOADED, *_CPUS)
_ORDER = dict.fromkeys([*USUAL[ES][:5], *USUAL[SEV_SNP], *(one.name for one in ROWS if one.kind != MODE)])
#: What the box of a key says when the key is in memory alone.
UPLOADED, OTHER, _DEFAULT = "(uploaded)", "(by the numbers)", ("(default)", "")
PASTE = """virsh domlaunchsecinfo, a domain XML, a QEMU command line, QMP answers, a case file, a report, a measurement\
 or PEM, or several together. Or drop files here: a .sevcase, a report, certificates, firmware, kernel, keys."""
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----[ \t]*\n?", re.DOTALL)
_CASE = re.compile(r"^[ \t]*format[ \t]*=[ \t]*\d|^[ \t]*\[(reported|owner|launch|snp)\][ \t\r]*$", re.MULTILINE)
#: The first example: a launch whose reason takes less than a second.
FIRST_EXAMPLE = 12
_URGENT = ("WARNING", "CHANGED", "NOTE")
#: How the words of an example's file end.
OF_EXAMPLE = " (example)"
_EXAMPLE = "An example: the host's measurement does not match the owner's record of the launch."
COMMAND, PYTHON = "as a command", "as Python"
TAKE = (COMMAND, PYTHON, *(f"{side}, {form}" for side in ("reported", "computed") for form in ("hex", "base64")))


MINE, ROOT, LABELLED = "This case is mine", "Trusted root", (*BY_NAME, "candidates", "vcpu_type")
#: Options of the command line, as its words name them, and the boxes of the same meaning.
_BOXES = {one.option[2:]: label_of(one.name) for one in reversed(ROWS)} | {source: f"{source}:" for source in SOURCES}
_BOXES |= {spell(name)[2:]: label_of(name) for spell in (as_peer, as_option) for name in LABELLED}
_BOXES |= {"own-case": f"tick '{MINE}'", "with report verify": "in the boxes of More inputs"}
_BOXES |= {name: label_of(name) for name in LABELLED if "_" in name}
#: Four bytes of text outside tags: a line breaks between them, and not within.
_FOUR = re.compile(r"\b(?:[0-9a-f]{2} ){3}[0-9a-f]{2}\b(?=[^<>]*<)")
_OPTION = re.compile(
    r"--([a-z][a-z0-9-]*[a-z0-9])(?: (?:FILE|DIR|DOMAIN|HEX|N)\b)?|\b([a-z]+(?:_[a-z0-9]+)+)(?=:)"
    r"|\b(tk|tik|tek)(?=\)|,? (?:and )?t[ei]k| (?:was|were) taken)|\b(with report verify)\b"
)


class Debugger(StaticBox):
    """One form from what somebody has to why it does not match.

    ``inputs`` are the current inputs, as they are in the boxes, and ``case`` is the case they make. ``verdict`` is
    theirs, None while something is ``missing`` or cannot be used (``error``); ``diagnosis`` is the last one. The
    search runs in the background, and can be stopped. *inputs* are a case, or inputs by name, as in
    :func:`sevlab.load_evidence` or :func:`sevlab.load_snp_launch`; None shows an example, ``{}`` an empty form.
    """

    def __init__(self, inputs: Mapping[str, object] | Case | None = None) -> None:
        self.verdict: CaseVerdict | None = None
        self.diagnosis: Diagnosis | None = None
        self.error, self._seed, self._all, self._quiet = "", FIRST_EXAMPLE - 1, False, False
        self._stop, self._thread, self._outdated = threading.Event(), threading.Thread(), ""
        self._open = contextlib.ExitStack()
        weakref.finalize(self, self._open.close)
        self._build()
        super().__init__(self._parts())
        self.add_class("sevlab-page").add_class("sevlab-debugger")
        self.start_again()
        if isinstance(inputs, Case):
            self._take_case(inputs)
        elif inputs is None:
            self.show_example()
        else:
            self.set_inputs(inputs)

    def _build(self) -> None:
        self.paste = PasteBox("What you have", TEXT_LIMIT, self._refused, PASTE, self._take_file)
        self.mode = choice("Mode", (SEV, ES, SEV_SNP), SEV, "100%")
        self.boxes = {name: self._box(name) for name in _ORDER}
        self.cpu = choice(label_of("vcpu_type"), [OTHER, *CPU_MODELS], OTHER, "100%")
        self.budget = NumberBox("Seconds", 60, 1, 3600, "10em")
        folder = "a folder of firmware, kernels and initrds to try"
        self.candidates = text_box(label_of("candidates"), width="100%", placeholder=folder)
        self.own = flag(MINE, "Its keys and requirements count as yours, and it may name files anywhere.", "auto")
        self.example, self.understood, self.taken = output("example"), output("understood"), output("taken")
        told = self.refresh, lambda error: self.understood.set_trait("value", alert(self._words(error)))
        keep = functools.partial(parse_certificate, name=ROOT)
        self.root = FileBox(ROOT, "", "Upload an ARK to trust", *told, keep=keep, optional=True)
        self.take, self.with_keys = choice("Take it", TAKE, COMMAND), flag("with the keys", "Not to be sent.", "auto")
        self.alert, self.banner, self.compared = output("error"), output("verdict"), output("bytes")
        self.progress, self.result, self.note = output("progress"), self._group("diagnosis"), w.HTML()
        self.read = self._button("Read it", self.read_paste, "primary")
        self.clear = self._button("Start empty", self.start_again)
        self.another = self._button("Another broken launch", self.show_example)
        self.more = self._button("More inputs", self._open_more)
        self.why = self._button("Find out why", self.start, "primary")
        self.stop = self._button("Stop", lambda: self._stop.set())
        self.copying, self.saving = self._button("Copy", self.copy_it), self._button("Save as .sevcase", self.save_it)
        self.more.expanded, self.stop.disabled = False, True
        for box, act in {self.mode: self._mode_chosen, self.cpu: self._cpu_chosen}.items():
            box.observe(lambda change, act=act: self._quiet or act(), "value")
        for box in (*self.boxes.values(), self.own):
            box.observe(lambda change: self.refresh(), "value")

    def _box(self, name: str) -> w.Widget:
        is_number, is_long = BY_NAME[name].kind in (NUMBER, COUNT), BY_NAME[name].limit > 0xFFFF
        look = "sevlab-wide" if not is_number else "sevlab-middle" if is_long else "sevlab-narrow"
        if BY_NAME[name].kind == FORBID:
            return flag(label_of(name), BY_NAME[name].doc, "auto")
        if name == "profile":
            return choice(label_of(name), [_DEFAULT], "", "100%")
        if name == "cmdline":
            return w.Textarea(description=label_of(name), rows=2, continuous_update=False).add_class(look)
        hint = "a path, or drop the file above" if BY_NAME[name].kind in (FILE, KEY) else ""
        return text_box(label_of(name), width="100%", placeholder=hint, tooltip=BY_NAME[name].doc).add_class(look)

    def _button(self, words: str, act: Callable[[], object], look: str = "") -> Button:
        beside = [self.paste, self.mode, *self.boxes.values(), self.candidates, self.budget, self.own, self.root.text]
        return Button(words, act, [*beside, self.take, self.with_keys], look)

    def _group(self, name: str, *parts: w.Widget) -> w.VBox:
        return w.VBox(parts).add_class(f"sevlab-{name}")

    def _parts(self) -> list[w.Widget]:
        inputs = [self.mode, *self.boxes.values()]
        for box, before in ((self.cpu, "num_cpus"), (self.root, "chain")):
            inputs.insert(inputs.index(self.boxes[before]) + 1, box)
        paste, boxes = self._group("paste", self.paste, self.read), self._group("inputs", *inputs)
        start = row(self.another, self.clear)
        left = self._group("left", self.example, start, paste, self.understood, self.own, boxes, self.more)
        along = self._group("take", row(self.take, self.copying), row(self.saving, self.with_keys), self.taken)
        search = row(self.why, self.stop, self.budget).add_class("sevlab-search")
        answer = self.banner, self.alert, self.compared, search, self.candidates, self.progress, self.result, along
        right = self._group("right", *answer)
        return [self._group("columns", left, right)]

    def _say(self, *blocks: Any) -> View:
        """Return blocks in the words of the page: boxes instead of options, and files as their boxes call them."""
        files = {held: words for words, held in self._held.values() if isinstance(held, str)}

        def said(words: str, is_ours: bool = True) -> str:
            words = functools.reduce(lambda text, path: text.replace(path, files[path]), files, words)
            boxed = _OPTION.sub(lambda match: _BOXES.get(str(match[match.lastindex or 0]), match[0]), words)
            return boxed if is_ours else words

        blocks = tuple(map(copy.copy, blocks))
        for block in blocks:
            if isinstance(block, Table):
                mono = block.mono - {0}
                block.rows = [[said(cell, column not in mono) for column, cell in enumerate(row)] for row in block.rows]
            elif isinstance(block, Banner | Paragraph):
                block.words = said(block.words)
        return View(*blocks)

    def _tell(self, *blocks: Any, more: str = "") -> None:
        """Add to what is said about the last things that came in."""
        before = self.understood.value
        self.understood.value = before * (len(before) < TEXT_LIMIT) + status(self._say(*blocks)) + more

    @contextlib.contextmanager
    def _telling(self, place: w.HTML) -> Iterator[None]:
        """Show at a place what goes wrong in this block."""
        try:
            with renaming(label_of):
                yield
        except (SevlabError, ImportError) as error:  # cryptography, in a browser
            place.value += alert(self._words(error))

    def _words(self, error: Exception) -> str:
        known = lacking(error) or error if isinstance(error, SevlabError | ImportError) else None
        words = f"An error in sevlab: {type(error).__name__}. Please report it." if known is None else str(known)
        return str(self._say(Paragraph(words)).blocks[0].words)  # type: ignore[attr-defined]

    def _arrange(self) -> None:
        """Show the boxes that count, and as much of the lists as counts."""
        mode, counting = str(self.mode.value), SNP_CASE if self.is_snp else LEGACY
        for name, box in self.boxes.items():
            is_shown = name in counting and (self._all or name in USUAL[mode] or bool(box.value))
            box.layout.display = None if is_shown else "none"
        self.cpu.layout.display = "none" if mode == SEV and not self._all else None
        self.root.layout.display = None if self.is_snp and self.boxes["report"].value else "none"
        self.own.layout.display = "none" if self._base.own else None
        profile = self.boxes["profile"]
        texts = [self.boxes[one].value * (one in counting) for one in (*SKU, "cpu_signature")]
        known = dict.fromkeys([*(SNP_PROFILES if self.is_snp else PROFILES), profile.value])
        names = (_DEFAULT, *((name, name) for name in known if name))
        if profile.options != names:
            profile.options, profile.value = names, profile.value
        signed = {name: ([*map(str, cpu)], hex(cpu.signature)) for name, cpu in CPU_MODELS.items()}
        near = [name for name, (sku, signature) in signed.items() if sku == texts[:3] or signature == texts[3]]
        self.cpu.value = self.cpu.value if self.cpu.value in near else [*near, OTHER][0]

    def _open_more(self) -> None:
        self._all = self.more.expanded = not self._all
        self.more.description = "Fewer inputs" if self._all else "More inputs"
        self._arrange()

    def _cpu_chosen(self) -> None:
        if self.cpu.value != OTHER:
            cpu = CPU_MODELS[self.cpu.value]
            numbers = {"cpu_signature": cpu.signature} if self.is_snp else dict(zip(SKU, cpu, strict=True))
            self.set_inputs({**dict.fromkeys((*SKU, "cpu_signature")), **numbers})

    def _mode_chosen(self) -> None:
        """Show other boxes. The policy says whether it is SEV-ES, so it goes along."""
        given: dict[str, object] = {}
        with contextlib.suppress(SevlabError):
            policy = parse_policy(self.boxes["policy"].value.strip())
            given = {} if self.is_snp else {"policy": int(policy.replace(es=int(self.mode.value == ES)))}
        self.set_inputs(given)

    @property
    def is_snp(self) -> bool:
        return bool(self.mode.value == SEV_SNP)

    def read_paste(self) -> None:
        """Read what was pasted, and fill the boxes with what it says. Several pastes add up."""
        text = self.paste.value
        if text.strip() or 'role="alert"' not in self.understood.value:  # which says why nothing is in the box
            self.understood.value = ""
            with self._telling(self.understood):
                self._read_text(text)

    def _read_text(self, text: str) -> None:
        if len(text) > TEXT_LIMIT:
            self._refused(len(text))
            return
        pems = "\n".join(match[0] for match in _PEM.finditer(text)).encode(errors="replace")
        if pems and recognize_file("", pems):
            text = _PEM.sub("", text)
            if _CASE.search(text):  # first, because a case starts anew
                self._read_text(text)
                text = ""
            self._take_file("pasted.pem", pems)
        if _CASE.search(text):
            self._take_case(parse_case(text, os.path.join(os.curdir, "pasted case")))
        elif found := self._read_value(text):
            self._leave_example()
            self.set_inputs(found, dict.fromkeys(found.keys() & {"report"}, "report (pasted)"))
            self._tell(Paragraph(f"Read: {', '.join(map(label_of, found))}."))
        elif text.strip() or not pems:
            self._take_capture(text)

    def _read_value(self, text: str) -> dict[str, object]:
        """Return a report or a measurement, which are one long word or a dump of bytes; {} for anything else."""
        bare = "".join(text.split())
        with contextlib.suppress(SevlabError):
            if len(bare) in (64, 96):
                raw = parse_measurement(bare, allow_hex=True).to_bytes()
                is_digest = self.is_snp or (len(bare) == 96 and not (self.inputs and not self.example.value))
                return {"reported_measurement": raw} if is_digest else {"measurement": base64.b64encode(raw).decode()}
            read_report(raw := text.encode(errors="replace"))
            return {"report": keep_file(self, "report.txt", raw)}
        return {}

    def _take_capture(self, text: str) -> None:
        new, before = parse_anything(text), self.capture.inputs
        self._leave_example()
        self.capture += new
        if self.capture.is_snp:
            self._settle(SEV_SNP)
        # Nothing else: what was typed since the paste before stays.
        said = [one for one in self.capture.inputs.values() if one in new.found or one != before.get(one.name)]
        self.set_inputs({one.name: one.value for one in said})
        shown, more, skipped = [Paragraph(f"NOTE: {one.words}.") for one in new.remarks], "", True
        for block in self.capture.explain().blocks[1:]:  # what is missing the verdict says
            skipped = block.title in ("Missing", "Remarks") if isinstance(block, Heading) else skipped
            shown += [] if skipped else [block]  # type: ignore[list-item]
            for cells in block.rows if isinstance(block, Table) else ():
                cells[0] = re.sub("^[a-z0-9-]+", lambda match: _BOXES.get(match[0], match[0]), cells[0])
        with contextlib.suppress(SevlabError):
            if new.source in (XML, COMMAND_LINE):
                covered = cover_domain(text) if new.source == XML else cover_command_line(text)
                more = _folded("What of it is measured", covered.explain())
        self._tell(*shown, more=more)

    def _take_file(self, name: str, raw: bytes) -> None:
        """Take a file that was dropped, uploaded or pasted."""
        with self._telling(self.understood):
            kind, text = recognize_file(name, raw), raw.decode("utf-8", "replace") if len(raw) <= TEXT_LIMIT else ""
            if len(raw) > self.paste.file_limit:
                self._refused(len(raw), name)
            elif raw.startswith(b"PK"):
                self._take_case(self._open.enter_context(open_case(keep_file(self, name, raw), "case")))
            elif kind == "vars_file" and not self.is_snp:
                needed = "the CODE half, or the image that has both: nothing of SEV measures the variables alone"
                raise InputError("file", f"{quoted(name)}, a variable store", needed)
            elif kind:
                is_key, base = BY_NAME[kind].kind == KEY, os.path.basename(name)[-60:]
                others = () if not is_key else ("tik", "tek") if kind == "tk" else ("tk",)
                value = SecretBytes(raw) if is_key else keep_file(self, name, raw)
                words = UPLOADED if is_key else escaped(f"{base} {UPLOADED}")
                self._leave_example()
                self.set_inputs({**dict.fromkeys(others), kind: value}, {kind: words})
                self._tell(Paragraph(f"Took {quoted(name)} as {label_of(kind)}."))
            elif text and "\ufffd" not in text:
                self._read_text(text)
            else:
                received, advice = f"{quoted(name)}, which neither name nor content explains", "a name: kernel.bin"
                raise InputError("file", received, "a file of a launch", advice)

    def _take_case(self, case: Case) -> None:
        """Start from a case. Its files stay what they are: a stranger's case opens nothing that is not its own."""
        opened, self._open = self._open, contextlib.ExitStack()
        self.start_again()
        self._open, self._base, words = opened, case, {}
        for name in case.hashes if case.bundled else ():
            called = case.origin.get(name, "").removeprefix("the file ")[-60:]
            words[name] = escaped(f"{called or label_of(name)} (in the case)")
        self._settle(SEV_SNP if case.is_snp else SEV)
        self.set_inputs(case.inputs, words)
        about = [Paragraph(f"The case says: {case.about[key]}") for key in ("title", "note") if key in case.about]
        count = len(case.inputs)
        self._tell(Banner(f"A case file with {count} input{'s' * (count != 1)}", "green"), *about)

    def show_example(self) -> None:
        """Show a launch that went wrong, another one each time."""
        from ..labs.classroom import FILES, broken_launch  # not above: without an example none of it is needed

        self.start_again()
        self._seed += 1
        self._launch = broken_launch(self._seed, 2)  # its files live as long as it
        given = self._launch.inputs
        words = {name: f"{os.path.basename(str(given[name]))}{OF_EXAMPLE}" for name in FILES if name in given}
        self.set_inputs(given, words)
        self.example.value = f"{_EXAMPLE} Press <b>Find out why</b>."

    def _leave_example(self) -> None:
        """Empty the form of an example: nobody's own evidence is to be judged by its files and keys."""
        if self.example.value:
            self.start_again()
        left = [name for name, (words, _) in self._held.items() if words.endswith(OF_EXAMPLE)]
        self.set_inputs({name: None for name in left if self.boxes[name].value == self._held[name][0]})

    def start_again(self) -> None:
        """Reset the form. Cancels a running search and discards its result."""
        self._stop.set()
        self._stop = threading.Event()
        self.why.disabled, self.stop.disabled, self.result.children = False, True, ()
        self.capture, self._base = Capture(), Case({}, own=True)
        self._held: dict[str, tuple[str, object]] = {}
        self.diagnosis, self._view, self.own.value = None, View(), False
        self._open.close()
        for part in (self.paste, self.understood, self.progress, self.taken):
            part.value = ""
        self._mark([])
        self._settle(SEV)
        with self._settling():
            for box in self.boxes.values():
                box.value = type(box.value)()
        self.refresh()

    def _refused(self, size: int, name: str = "") -> None:
        text = "pasted text", f"{size} characters", f"at most {TEXT_LIMIT}", "the part that matters"
        file = "file", f"{quoted(name)}, {size} bytes", f"at most {self.paste.file_limit} bytes", "its path, in its box"
        self.understood.value += alert(self._words(InputError(*(file if name else text))))

    @contextlib.contextmanager
    def _settling(self) -> Iterator[None]:
        """Set boxes in this block without acting on their changes."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _settle(self, mode: str) -> None:
        with self._settling():
            self.mode.value = mode

    def set_inputs(self, found: Mapping[str, object], words: Mapping[str, str] | None = None) -> None:
        """Write values into the boxes; None empties one. *words* is what a box shows of a file, or a key in memory."""
        known = {name: value for name, value in found.items() if name in self.boxes}
        if isinstance(tek := known.get("tek"), SecretBytes) and not any(tek.reveal()):
            del known["tek"]  # no measure depends on it, so zeros were put in its place
        given = {name for name, value in known.items() if value is not None}
        if given - LEGACY or given & {*REPORTED}:
            self._settle(SEV_SNP if given - LEGACY else SEV)
        with self._settling():
            for name, value in known.items():
                box, text = self.boxes[name], (words or {}).get(name) or _written(name, value)
                self._held.pop(name, None)
                if type(value) not in (str, int, bytes, bool, type(None)) or name in (words or {}):
                    self._held[name] = text, value  # also a path that a case named, and that may not be anywhere
                if name == "profile":
                    box.options = (_DEFAULT, (text, text))  # and any other as soon as it is set
                box.value = bool(value) if BY_NAME[name].kind == FORBID else text
        self.refresh()

    @property
    def inputs(self) -> dict[str, object]:
        """The content of the boxes that count, by name. An uploaded key is a :class:`~sevlab.SecretBytes`."""
        given: dict[str, object] = {}
        for name in (one for one in self.boxes if one in (SNP_CASE if self.is_snp else LEGACY)):
            value = self.boxes[name].value
            text = value if name == "cmdline" or value is True else str(value or "").strip()
            words, held = self._held.get(name, ("", None))
            if text == "-" and BY_NAME[name].kind in (FILE, KEY):
                raise InputError(name, "'-'", "a path, or an upload")
            if text:
                given[name] = held if text == words else text
        return given

    @property
    def case(self) -> Case:
        """The boxes as a case; while they are as a case had them it is that case, trusted as far as it says."""
        inputs: dict[str, object] = {name: _parsed(name, value) for name, value in self.inputs.items()}
        base = self._base
        # A key of one's own is not that of the case, even if it has the same bytes.
        pairs = ((name, value, base.inputs.get(name)) for name, value in inputs.items())
        kept = {name for name, mine, theirs in pairs if mine is theirs or (name not in KEYS and mine == theirs)}
        if kept and {*base.inputs} - {"mode"} == kept == {*inputs}:
            return self._owned(base)
        if self.is_snp:
            inputs["mode"] = "snp:svsm" if "svsm" in inputs else "snp"
        hashes, origin = ({name: one[name] for name in one if name in kept} for one in (base.hashes, base.origin))
        about = {key: words for key, words in base.about.items() if key != "explanation"}
        made = base.replace(inputs=inputs, hashes=hashes, origin=origin, about=about, found={}, found_hashes={})
        return self._owned(made)

    def _owned(self, case: Case) -> Case:
        """Return a case as the user's own if the tick says so: its paths are then opened as any."""

        def plain(values: Mapping[str, Value | None]) -> dict[str, Value | None]:
            return {name: value[:] if isinstance(value, str) else value for name, value in values.items()}

        return case.replace(own=True, inputs=plain(case.inputs), found=plain(case.found)) if self.own.value else case

    @property
    def missing(self) -> list[str]:
        """The labels of all boxes that must be filled before anything can be judged."""
        given, needed = set(self.inputs), {name: {name} for name in REPORTED}
        cpus = {"num_cpus": {"num_cpus", "digest"}, "vcpu_type": {"cpu_signature", "vmsa_cpu0", "digest", *SKU}}
        if self.is_snp:
            profile = SNP_PROFILES.get(str(self.boxes["profile"].value), SNP_PROFILES[DEFAULT_PROFILE])
            needed = {"report": {"report", "reported_measurement", "id_block"}}
            needed |= {"firmware": {"firmware"}, **cpus} if given & SNP_LAUNCH else {}
            needed |= {} if profile.takes_signature else {"vcpu_type": given}
        else:
            needed |= {"firmware": {"firmware", "digest"}, "tk": {"tk", "tik"}}
            needed |= cpus if self.mode.value == ES else {}
        return [label_of(name) for name, ways in needed.items() if not ways & given]

    def refresh(self) -> None:
        """Read the boxes and verify."""
        if self._quiet:
            return
        self._outdate("The inputs have changed since this search.")
        self.verdict, self.error = None, ""
        self.alert.value = self.compared.value = self.example.value = ""
        with self._settling():
            with contextlib.suppress(SevlabError):
                policy = parse_policy(str(self.boxes["policy"].value).strip())
                self.mode.value = self.mode.value if self.is_snp else ES if policy.es else SEV
            self._arrange()
        try:
            with renaming(label_of):
                case, missing = self.case, self.missing if self.inputs else ["everything"]
                self.verdict = None if missing else verify_case(case, roots=self._roots(), **self._own_keys(case))
        except (SevlabError, ImportError) as error:
            self.alert.value, self.error = alert(self._words(error)), self._words(error)
            self.banner.value = status(Banner("CANNOT TELL: an input cannot be used.", "grey"))
            return
        if self.verdict is None:
            words = f"INCOMPLETE. Missing: {', '.join(missing)}" if self.inputs else "Nothing is given yet."
            words += ". Find out why searches for them" * (self.is_snp and {*missing} <= {*_SEARCHED})
            self.banner.value = status(Banner(words, "orange" if self.inputs else "grey"))
            return
        banner, *rest = self.verdict.explain().blocks
        self.banner.value = status(self._say(banner))
        # What is wrong is in view; a measure is an HMAC, which says no more than that it differs.
        wrong = [one for one in CaseDiagnosis(self.verdict).explain().blocks if isinstance(one, Table)][: self.is_snp]
        urgent = [one for one in rest if isinstance(one, Paragraph) and one.words.startswith(_URGENT)]
        checks = _folded("Every check", self._say(*(one for one in rest if one not in urgent)))
        html = self._bytes().html() + self._say(*wrong, *urgent).html() + checks
        self.compared.value = _FOUR.sub(r'<span class="sevlab-four">\g<0></span>', html)

    def _roots(self) -> Mapping[str, str]:
        """Return the roots to trust: AMD's, and that of the user, which no case can bring along."""
        root = self.root.given() if self.is_snp else None
        return roots_with([] if root is None else [root], ROOT)

    def _own_keys(self, case: Case) -> dict[str, Any]:
        """Return the keys that are the user's own, not those of a case. No measure depends on the TEK."""
        theirs = case.inputs if case.own else self._base.inputs
        own = {name: key for name, key in case.part().items() if name in KEYS and key is not theirs.get(name)}
        needs_tek = "tik" in case.inputs and "tek" not in case.inputs and not case.is_snp
        return {**own, "tek": SecretBytes(bytes(KEY_SIZE))} if needs_tek else own

    def _values(self) -> dict[str, bytes]:
        """Return what was reported and what was computed, as far as there is such a thing."""
        verdict = self.verdict
        if verdict is not None and (one := verdict.measure or verdict.digest) is not None:
            return {"reported": one.reported, "computed": one.computed}
        report = None if verdict is None else verdict.report
        return {} if report is None else {"reported": bytes(report.report.measurement)}

    def _bytes(self) -> View:
        rows = [[name, hex_lines(raw)] for name, raw in self._values().items()]
        return View(*[Table(["launch digest" if self.is_snp else "measure", ""], rows, mono=[1])] * bool(rows))

    def start(self) -> None:
        """Search in the background; where there are no threads, as in a browser, search now."""
        if self.why.disabled:
            return
        self._stop = threading.Event()
        self.why.disabled, self.stop.disabled, self.result.children = True, False, ()
        thread = threading.Thread(target=self.search, daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError:
            self.search()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the search to end."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def search(self) -> None:
        """Search now, and show the result, unless the form was reset meanwhile."""
        stop, self._outdated, self.diagnosis, self._view = self._stop, "", None, View()
        try:
            with renaming(label_of):
                if missing := [name for name in self.missing if not self.is_snp or name not in _SEARCHED]:
                    raise SevlabError(f"Missing: {', '.join(missing)}.")
                view, diagnosis = self._diagnose(functools.partial(self._show_progress, stop))
            if stop is self._stop:
                self.diagnosis, self._view = diagnosis, view
                self.progress.value = "" if diagnosis is None else Paragraph(diagnosis.effort).html()
                found = () if diagnosis is None else diagnosis.explanations
                buttons = [self._button("Apply this", functools.partial(self.apply, one), "success") for one in found]
                self.note = w.HTML()
                self.result.children = [self.note, w.HTML(status(view)), *buttons]
                self._outdate(self._outdated)
        except Exception as error:  # nobody sees what a thread raises
            if stop is self._stop:
                self.progress.value = alert(self._words(error))
            if not isinstance(error, SevlabError | ImportError):
                raise
        finally:
            if stop is self._stop:
                self.why.disabled, self.stop.disabled = False, True
                self.why.send({"reveal": ".sevlab-diagnosis"})

    def _diagnose(self, progress: Callable[[Progress], object] | None = None) -> tuple[View, Diagnosis | None]:
        case, options = self.case, SearchOptions(budget=self.budget.number, progress=progress)
        options["candidates"] = self.candidates.value.strip() or None
        if case.is_snp:
            found = diagnose_case(case, roots=self._roots(), **options)
            return self._say(*found.explain().blocks), found.diagnosis
        diagnosis = diagnose(case, **options)
        return self._say(*diagnosis.explain().blocks), diagnosis

    def _show_progress(self, stop: threading.Event, progress: Progress) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        speed = f"{progress.tried:,} tried, {progress.rate:,.0f} per second"
        self.progress.value = Paragraph(f"{progress.seconds:.0f} s: {speed}. Now: {progress.now}.").html()

    def _outdate(self, words: str) -> None:
        """Mark the result as outdated: it is about other inputs than the current ones, and cannot be applied."""
        self._outdated = words
        for button in self.result.children[2:]:
            button.disabled = bool(words)
        self.note.value = status(View(Paragraph(words))) if words else ""

    def apply(self, explanation: Explanation) -> None:
        """Change the inputs as an explanation says, verify again, and show what changed."""
        both = {name: [escaped(str(box.value))] for name, box in self.boxes.items()}
        with self._telling(self.progress):
            self.set_inputs(explanation.inputs)
            for name, values in both.items():
                values.append(escaped(str(self.boxes[name].value)))
            changed = {name: values for name, values in both.items() if values[0] != values[1]}
            rows = [[label_of(name), *(in_cell(one, 30) or "(empty)" for one in changed[name])] for name in changed]
            self._outdate("Applied: the verdict is that on the new inputs. Their boxes are marked *.")
            self.note.value += Table(["box", "before", "now"], rows, mono=[1, 2]).html()
            self._mark(changed)
        self.why.send({"reveal": ".sevlab-bytes"})  # with the note below it

    def _mark(self, names: Iterable[str]) -> None:
        for name, box in self.boxes.items():
            (box.add_class if name in names else box.remove_class)("sevlab-changed")

    def taking(self, what: str) -> str:
        """Return the inputs as a command or as Python, or a value as hex or base64."""
        if what in (COMMAND, PYTHON):
            return self._as_command() if what == COMMAND else self._as_python()
        side, _, form = what.partition(", ")
        if (raw := self._values().get(side)) is None:
            raise InputError("copy", f"no {side} value", "inputs that can be judged")
        return raw.hex() if form == "hex" else base64.b64encode(raw).decode()

    def _named(self) -> dict[str, object]:
        """Return the inputs, with a file that came in by its name alone, because its place here is a passing one."""
        given: dict[str, object] = {name: value for name, value in self.case.inputs.items() if name != "mode"}
        for name, value in given.items():
            if isinstance(value, Sha256):
                raise UnsupportedError(f"{label_of(name)} known by its hash", "a bundle: Save as .sevcase")
            words = self._held[name][0].rpartition(" (")[0] if name in self._held else ""
            given[name] = f"{name}.bin" if isinstance(value, SecretBytes) else words or value
        return {**given, **({"tek": "tek.bin"} if "tik" in given and "tek" not in given else {})}

    def _as_command(self) -> str:
        given = {name: value.hex() if isinstance(value, bytes) else value for name, value in self._named().items()}

        def line(head: str, names: Iterable[str], spell: Callable[[str], str]) -> str:
            for name, value in ((name, value) for name, value in given.items() if name in names):
                is_dash = str(value).startswith("-")  # an option, if it were a word of its own
                words = "" if value is True else shell_word(f"={value}") if is_dash else f" {shell_word(str(value))}"
                head += f" {spell(name)}{words}"
            return head

        if given.keys() & {"digest", "id_block"}:
            raise UnsupportedError("a digest or an ID block in a command", f"{PYTHON}, or a bundle: Save as .sevcase")
        if not self.is_snp:
            return line("sevlab validate", LEGACY, as_option)
        lines = []
        if "firmware" in given:
            lines.append(line(f"sevlab digest --mode snp{':svsm' * ('svsm' in given)}", SNP_LAUNCH, as_peer))
        if "report" in given:
            needed, head = "snp_measurement", f"sevlab report verify {shell_word(str(given.pop('report')))}"
            if root := self.root.given():
                head += f" --trust-root {shell_word(root if isinstance(root, str) else 'root.der')}"
            computed = self._values().get("computed", b"").hex()
            if computed and given.setdefault(needed, computed) != computed:
                raise UnsupportedError(f"{label_of(needed)} beside another launch in a command", PYTHON)
            required = [one.name for one in ROWS if one.section in SNP]
            lines.append(line(head, required, lambda name: BY_NAME[name].option))
        return "\n".join(lines)

    def _as_python(self) -> str:
        mode = {"mode": self.case.mode} if self.is_snp else {}
        lines = [f"    {name!r}: {value!a}," for name, value in {**mode, **self._named()}.items()]
        head = "import sevlab\nfrom sevlab.cases.case import make_case\n\ncase = make_case({"
        roots = f", roots={self._roots()!a}" if self.is_snp and self.root.given() else ""
        return "\n".join([head, *lines, "})", f"print(sevlab.verify_case(case{roots}))", ""])

    def copy_it(self) -> None:
        """Copy what is chosen."""
        self.taken.value = ""
        with self._telling(self.taken):
            self.copying.send({"copy": self.taking(self.take.value)})

    def save_it(self) -> None:
        """Save the inputs, with the explanation found for them, as a bundle; keys only if asked."""
        self.taken.value = ""
        with self._telling(self.taken), tempfile.TemporaryDirectory(prefix="sevlab-") as folder:
            case, path = self.case, os.path.join(folder, "launch.sevcase")
            case = case if case.inputs == self._base.inputs else make_case(case.inputs, case.origin, case.about)
            if self.diagnosis is not None and self.diagnosis.explanations and not self._outdated:
                case = record_explanation(case, self.diagnosis.explanations[0])
            pack_case(case, path, with_keys=bool(self.with_keys.value))
            self.saving.send({"save": "launch.sevcase"}, [Path(path).read_bytes()])

    def static(self) -> View:
        if self._view.blocks and not self._outdated:
            return self._view
        if self.verdict is None:
            return View(Banner(self.error or "The debugger: give it what you have, and find out why.", "grey"))
        verdict = self._say(*self.verdict.explain().blocks)
        with contextlib.suppress(SevlabError):  # of a folder of candidates that cannot be read
            if self.example.value:  # where no widget runs nobody can press the button, so the answer is there
                return View(Paragraph(_EXAMPLE), verdict.blocks[0], self._bytes(), Heading("Why"), self._diagnose()[0])
        return verdict


def _folded(title: str, view: View) -> str:
    return f"<details><summary>{title}</summary>{view.html()}</details>"


def _written(name: str, value: object) -> str:
    if isinstance(value, SecretBytes | None):
        return UPLOADED if value is not None else ""
    if isinstance(value, bytes):
        return f"SHA-256 {value.hex()}" if isinstance(value, Sha256) else value.hex()
    is_hex = name in ("policy", "guest_features", "cpu_signature", "snp_policy") and isinstance(value, int)
    return f"0x{value:x}" if is_hex else str(value)


def _parsed(name: str, value: object) -> object:
    """Return the value of a box as a case holds it; a measurement may be in a form that only a search reads."""
    row = BY_NAME[name]
    if not isinstance(value, str) or row.kind in (FILE, KEY, MEASUREMENT, TEXT):
        return value
    return parse_number(value, name, row.limit) if row.kind in (NUMBER, COUNT) else parse_text(row, value, name)


debugger = Debugger
