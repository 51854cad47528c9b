"""A file as an input: a path to type, or an upload."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as w

from ..errors import InputError, SevlabError, escaped
from .action import Button

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: JupyterLab drops the connection, without a word, when an upload is larger.
UPLOAD_LIMIT = 9 << 20
STANDARD_INPUT = "-"
WIDE, NARROW = {"width": "46em"}, {"width": "30em"}
STYLE = {"description_width": "8em"}


class FileBox(w.HBox):
    """A box for a path, and a button for an upload. Typing a path drops what was uploaded.

    *refresh* is called when the file is another one, *fail* with the error when an upload cannot be used. *keep* turns
    the bytes of an upload into what is kept of it; without one they are written to a private folder, which goes with
    the kernel, and the path there is kept. With *optional* there is a button that takes the file away. *empty* says
    that a file without content will do.
    """

    def __init__(
        self,
        label: str,
        path: str,
        upload: str,
        refresh: Callable[[], None],
        fail: Callable[[SevlabError], None],
        *,
        keep: Callable[[bytes], object] | None = None,
        held: object = None,
        optional: bool = False,
        empty: bool = False,
    ) -> None:
        #: What was uploaded, or is held for another reason than a path: it counts while the path stays as it is.
        self.held = STANDARD_INPUT if path == STANDARD_INPUT and held is None else held
        self.label, self._refresh, self._fail, self._keep, self._empty = label, refresh, fail, keep, empty
        self._path, self._folder = "" if path == STANDARD_INPUT else path, ""
        self._none = "(none)" if optional else "(nothing: a path, or an upload)"
        placeholder = self._none
        if not self._path and self.held is not None:
            placeholder = "(from standard input)" if path == STANDARD_INPUT else "(given, not from a file)"
        self.text = w.Text(
            value=self._path,
            description=label,
            placeholder=placeholder,
            continuous_update=False,
            layout=w.Layout(**(NARROW if optional else WIDE)),
            style=STYLE,
        )
        self.upload = w.FileUpload(description=upload, layout=w.Layout(width="auto"))
        self.remove = Button(f"Remove {label}", self._removed, [self.text])
        parts = [self.text, self.upload, self.remove] if optional else [self.text, self.upload]
        super().__init__(parts, layout=w.Layout(flex_flow="row wrap"))
        self.text.observe(lambda change: refresh(), "value")
        self.upload.observe(self._uploaded, "value")

    def given(self) -> Any:
        """Return what is to be used: what is held, else the path, else None."""
        path = self.text.value.strip()
        if path == STANDARD_INPUT:
            raise InputError(self.label, "'-'", "a path, or an upload")
        if path != self._path:
            self.held, self._path, self.text.placeholder = None, path, self._none
        return path or None if self.held is None else self.held

    def _uploaded(self, change: Any) -> None:
        """Take what was uploaded, then empty the upload box: a key must not stay in the notebook's widget state."""
        if not self.upload.value:
            return
        item = self.upload.value[0]
        raw = bytes(item.content)
        self.upload.value = ()
        try:
            held = self._keep(raw) if self._keep else self._store(raw, item.name)
        except SevlabError as error:
            self._fail(error)
            return
        self._hold(held, escaped(f"uploaded: {item.name}"))

    def _removed(self) -> None:
        self._hold(None, self._none)

    def _hold(self, held: object, words: str) -> None:
        """Hold something in place of a path."""
        self.held, self._path = held, ""
        self.text.placeholder = words
        if self.text.value:
            self.text.value = ""  # which refreshes
        else:
            self._refresh()

    def _store(self, raw: bytes, name: str) -> str:
        """Write an upload to a folder that only this user can read; return its path."""
        if not raw and not self._empty:
            raise InputError(self.label, "an empty upload", "a file with content")
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="sevlab-")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = Path(self._folder, re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[-80:].lstrip(".-") or "upload")
        for old in Path(self._folder).iterdir():
            old.unlink()
        path.write_bytes(raw)
        return str(path)

    def hide_folder(self, words: str) -> str:
        """Return words that may name an upload, with its name alone: the folder tells a reader nothing."""
        return words.replace(f"{self._folder}{os.sep}", "") if self._folder else words
