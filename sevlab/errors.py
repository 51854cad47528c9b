r"""What can go wrong, the check of arguments, and text that is safe to print.

::

    SevlabError                  anything sevlab raises on purpose
      LayoutError                bytes or values that do not fit a declared layout
      InputError                 something from outside that cannot be used
        ArgumentError            an argument of the wrong type (a TypeError, too)
        ConfigurationError       a domain whose launch cannot be measured
        StateError               a domain in a state in which its measurement cannot be judged
        InsecureError            a question whose answer would rest on what the host says
      UnsupportedError           a request that is understood but not supported
      MismatchError              reported and computed values differ

A key gets into the wrong place: pasted as an option's value, or its file given where another was needed. So text that
may be a key is described instead of shown: hex digits (also with spaces or ``\x`` between them), numbers
of bytes, base64 of 16, 32 or 48 bytes, and bytes as they are.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from functools import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, ParamSpec, Self, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

#: Sizes of keys in bytes: a TEK or TIK, both in one file, a private number of P-384.
SIZES = (16, 32, 48)
#: Most characters of a text that are examined. The patterns are compiled when a text needs them, which takes a while.
_LIMIT = 4096
_HEX = r"(?:(?:0[xX]|\\x|%)?[0-9a-fA-F]++[\s:;,.|/_\-]*+)++"
_TOKEN = r"(?:0[xX]|\\x|%)?([0-9a-fA-F]+)"
_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
#: What precedes hex digits that are a hash, such as that of a file system in a kernel's command line.
_HASH = r"(?<![\w-])(?:root|usr|verity)?(?:hash|sha256)[=:]$"
_BASE64 = r"[A-Za-z0-9+/_-]{22,}+={0,2}+"
#: Lengths of such keys in base64 without padding, and what the last character can be.
_LAST = {22: "AQgw", 43: "AEIMQUYcgkosw048", 64: ""}
#: More than four different ones of these, in a text of a key's size: it is neither a name nor an option.
_UNUSUAL = frozenset("!\"#$%&'()*,:;<=>?@[\\]^`{|}~ ")
#: Characters that show nothing or change their neighbours, though Python calls them printable: the combining grapheme
#: joiner, fillers of Hangul and Khmer, the blank Braille pattern, and everything that selects a variant.
_UNSEEN = "[\u034f\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
#: Types that are as good as those of an annotation, by the methods that make them so.
_LIKE = {"int": "__index__", "float": "__float__"}
#: The name of an input as an :class:`InputError` has it, and where its text mentions one.
_NAME, _MENTION = "[a-z][a-z0-9_]*", "\x02([^\x03]*)\x03"


def describe_text(text: str) -> str:
    """Describe *text* that may as a whole be a key, as in ``32 hex digits``; "" for any other."""
    text = text[:_LIMIT]
    core = text.strip(" \t\r\n[](){}<>'\"`,;")
    hidden = hide_keys(core, "{}")
    if (match := re.fullmatch(r"\{([^{}]+)\}[\s:;,.|/_\-]*", hidden)) and hidden != core:
        return match[1]
    bare = re.sub(r"[\s:;,]+", "", text)
    if re.fullmatch(_BASE64, bare) and _is_base64_key(bare):
        return f"{len(bare)} characters of base64"
    return f"{len(text)} characters" if _is_raw(text) else ""


def hide_keys(text: str, marks: str = "<>") -> str:
    """Return *text* with every part of it that may be a key described, between two *marks*."""

    def hex_digits(match: re.Match[str]) -> str:
        whole = match[0].rstrip(" \t\r\n:;,.|/_-")
        tokens = re.findall(_TOKEN, whole)
        count = sum(map(len, tokens))
        is_long = count >= 2 * min(SIZES)
        is_bytes = len(tokens) >= min(SIZES) and all(int(one) < 256 for one in tokens if one.isdigit())
        is_public = re.fullmatch(_GUID, whole) or re.search(_HASH, text[max(0, match.start() - 20) : match.start()])
        if is_public or not (is_long or is_bytes):
            return match[0]
        what = f"{count} hex digits" if is_long else f"{len(tokens)} numbers"
        return f"{marks[0]}{what}{marks[1]}{match[0][len(whole) :]}"

    def base64(match: re.Match[str]) -> str:
        return f"{marks[0]}{len(match[0])} characters of base64{marks[1]}" if _is_base64_key(match[0]) else match[0]

    if len(text) < min(SIZES):
        return text
    return re.sub(_BASE64, base64, re.sub(_HEX, hex_digits, text))


def describe_content(raw: bytes) -> str:
    """Describe what a file holds without showing it: its size, and what kind of text it is."""
    text = "".join(map(chr, raw.strip()[:_LIMIT]))
    bare = "".join(text.split())
    if not raw:
        return "an empty file"
    if re.fullmatch("[0-9a-fA-F]+", bare):
        return f"{len(bare)} hex digits"
    if re.fullmatch("[A-Za-z0-9+/_-]{20,}={0,2}", bare):
        return f"{len(bare)} characters of base64"
    is_text = len(raw) not in SIZES and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in raw)
    return f"{len(raw)} bytes of text" if is_text else f"{len(raw)} raw bytes"


def _is_base64_key(text: str) -> bool:
    """Return whether base64 text may be a key: by its padding, or by its length and how mixed it is."""
    bare = text.rstrip("=")
    if not (any(map(str.isupper, bare)) and any(map(str.islower, bare))):
        return False
    if text.endswith("==") or (text != bare and len(bare) >= 43):
        return True
    last = _LAST.get(len(bare))
    return last is not None and (not last or bare[-1] in last) and (bare[0] != "/" or len(bare) > 22)


def _is_raw(text: str) -> bool:
    if re.match("(bytearray[(])?b['\"]", text):
        return True
    try:
        size = len(text.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        return False
    return size in SIZES and (not text.isprintable() or len(_UNUSUAL & set(text)) > 4)


def is_shown(character: str) -> bool:
    """Return whether a character is safe to print: it can be seen, and it neither moves nor hides anything.

    Control and format characters, line breaks of any kind, lone surrogates, private and unassigned characters, and
    spaces except the usual one are not.
    """
    return character.isprintable() and not re.match(_UNSEEN, character)


def escaped(text: str, keep: str = "") -> str:
    """Return *text* with all that is not :func:`safe to print <is_shown>` escaped, except the characters in *keep*."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or is_shown(c) else c.encode("unicode_escape").decode() for c in text)


def shell_word(path: str) -> str:
    """Return the name of a file as one word of a shell, which can be pasted and is safe to print.

    Characters that cannot be shown go through ``printf`` in octal, which every shell has. That would lose a line break
    at the end, so a name that has one is written as ``$'...'``. A name that begins with a dash gets ``./``.
    """
    import shlex

    if path.startswith("-") and path != "-":
        path = f"./{path}"
    if all(map(is_shown, path)):
        return shlex.quote(path)
    # These mean something to printf or, within double quotes, to a shell that keeps a history.
    raw = "".join(c if is_shown(c) and c not in "\\'%!" else _octal(c) for c in path)
    return f"$'{raw}'" if path.endswith("\n") else f"\"$(printf '{raw}')\""


def _octal(character: str) -> str:
    # Bytes of a name that is not UTF-8 are U+DC80 to U+DCFF.
    undecoded = 0xDC80 <= ord(character) <= 0xDCFF
    raw = character.encode(errors="surrogateescape" if undecoded else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in raw)


def quoted(value: object, limit: int = 60, public: bool = False) -> str:
    """Return *value* safe to print on one line: escaped, and cut after *limit* characters.

    Text that may be a key is described instead: ``<32 hex digits, hidden>``; but not a *public* value, such as a
    measurement.
    """
    text = hex(value) if isinstance(value, int) and value.bit_length() > 4096 else str(value)
    if not public and (what := describe_text(text)):
        return f"<{what}, hidden>"
    shown = ascii((text if public else hide_keys(text[: limit + 4096]))[:limit])
    return shown if len(text) <= limit else f"{shown}... ({len(text)} characters)"


class SevlabError(Exception):
    """Anything sevlab raises on purpose."""


class LayoutError(SevlabError):
    """Bytes or values that do not fit a layout; ``where`` names it or its field, the rest are short phrases."""

    def __init__(self, where: str, received: str, needed: str) -> None:
        super().__init__(where, received, needed)
        self.where, self.received, self.needed = where, received, needed

    def __str__(self) -> str:
        return escaped(f"{self.where}: received {self.received}; needed {self.needed}")


class InputError(SevlabError):
    """Something from outside (a file, an option, a paste) that cannot be used.

    ``input`` is its name in the library (``api_major``), or a path; ``received`` and ``needed`` are short phrases that
    mention other inputs by :func:`named`, and ``advice`` is the next thing to try.
    """

    def __init__(self, input: str, received: str, needed: str, advice: str = "") -> None:
        super().__init__(input, received, needed, advice)
        texts = (re.sub(_MENTION, r"\1", text) for text in (input, received, needed, advice))
        self.input, self.received, self.needed, self.advice = texts

    def renamed(self, spell: Callable[[str], str]) -> Self:
        """Return the error with the name of every input as its user knows it; *spell* translates one."""

        def mention(match: re.Match[str]) -> str:
            return spell(match[1]) if re.fullmatch(_NAME, match[1]) else match[1]

        input, *texts = self.args
        input = named(input) if re.fullmatch(_NAME, input) else input
        return type(self)(*(re.sub(_MENTION, mention, text) for text in (input, *texts)))

    def __str__(self) -> str:
        advice = f". Try: {self.advice}" if self.advice else ""
        return escaped(f"{self.input}: received {self.received}; needed {self.needed}{advice}")


def named(name: str) -> str:
    """Mention another input in the text of an :class:`InputError`, so that it is renamed with it."""
    return f"\x02{name}\x03"


@contextmanager
def renaming(spell: Callable[[str], str]) -> Iterator[None]:
    """Rename the inputs of an error that comes out of this block, as ``api_major`` to ``--api-major``."""
    try:
        yield
    except InputError as error:
        raise error.renamed(spell) from None


class ArgumentError(InputError, TypeError):
    """An argument of a type that a function does not take: a mistake of a program."""


class ConfigurationError(InputError):
    """A domain whose launch cannot be measured, as it is configured."""


class StateError(InputError):
    """A domain in a state in which its measurement cannot be judged."""


class InsecureError(InputError):
    """A question whose answer could not be trusted, because it would rest on what the host says."""


class UnsupportedError(SevlabError):
    """A request that is understood but not supported; ``supported`` names alternatives."""

    def __init__(self, what: str, supported: str) -> None:
        super().__init__(what, supported)
        self.what, self.supported = what, supported

    def __str__(self) -> str:
        return escaped(f"{self.what} is not supported; supported: {self.supported}")


class MismatchError(SevlabError):
    """Reported and computed values differ; ``comparison`` holds both, field by field."""

    def __init__(self, message: str, comparison: object) -> None:
        super().__init__(message, comparison)
        self.message, self.comparison = message, comparison

    def __str__(self) -> str:
        return escaped(self.message)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of *function* whose annotation is a class or several, such as ``Report | bytes | None``.

    Bytes-like objects are copied into bytes where bytes are taken, and hidden where a ``SecretBytes`` is taken. Values
    of other types raise :class:`~sevlab.errors.ArgumentError`, which is a TypeError too. Annotations with brackets are
    ignored.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    places = names[: code.co_argcount]
    #: The name of ``**values``, whose annotation is that of each.
    others = code.co_varnames[len(names) + bool(code.co_flags & 0x04)] if code.co_flags & 0x08 else ""
    kinds = {name: words.split(" | ") for name, words in function.__annotations__.items() if "[" not in words}
    secret = function.__globals__.get("SecretBytes")

    def fit(args: Sequence[Any], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any], Exception | None]:
        fitted = []
        for name, value in (*zip(places, args, strict=False), *named.items()):
            wanted = kinds.get(name if name in names else others, ["Any"])
            value, fits = _fit(value, wanted, secret)
            if not fits:
                needed = "a key" if "SecretBytes" in wanted else " or ".join(wanted)
                return [], {}, ArgumentError(name, type(value).__name__, needed)
            fitted.append(value)
        count = len(fitted) - len(named)
        return [*fitted[:count], *args[count:]], dict(zip(named, fitted[count:], strict=True)), None

    @wraps(function)
    def run(*args: Any, **named: Any) -> R:
        # A traceback that shows local variables must not show a key: so the names are bound again, and the values held
        # where nothing shows them.
        args, named, fault = fit(args, named)  # type: ignore[assignment]
        if fault is not None:
            raise fault
        held = _Held(args, named)
        args, named = (), {}
        return function(*held.args, **held.named)

    return run


class _Held:
    def __init__(self, args: Sequence[Any], named: dict[str, Any]) -> None:
        self.args, self.named = args, named

    def __repr__(self) -> str:
        return "<arguments>"


def _fit(value: Any, kinds: Sequence[str], secret: Callable[[bytes], Any] | None) -> tuple[Any, bool]:
    """Return a value as a function takes it, and whether it is of one of the *kinds*, which are names of classes."""
    is_open = "Any" in kinds or "object" in kinds
    if not isinstance(value, bytes) and (is_open or {"bytes", "SecretBytes"} & set(kinds)):
        with suppress(TypeError, ValueError):
            value = bytes(memoryview(value))
    if isinstance(value, bytes) and "SecretBytes" in kinds and secret is not None:
        value = secret(value)
    known = {one.__name__ for one in type(value).__mro__} if value is not None else {"None"}
    return value, is_open or any(kind in known or hasattr(value, _LIKE.get(kind, "-")) for kind in kinds)
