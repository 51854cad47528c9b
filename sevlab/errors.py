"""What can go wrong, as types.

Four things go wrong in this field, and each has its own exception, so that a
program can tell them apart and a person gets one line that helps:

* bytes that do not have the shape they must have: :class:`LayoutError`;
* a file, an option or a paste that is not what it says: :class:`InputError`;
* a request that sevlab cannot fulfil: :class:`UnsupportedError`;
* values that were compared and differ: :class:`MismatchError`.

The data is on the exception; the text is built from it.
"""

from __future__ import annotations


def quoted(value: object, limit: int = 60) -> str:
    """Return *value* as it came in, safe to print on one line.

    Control characters, line breaks and non-ASCII text are escaped, and anything longer than *limit* characters is cut,
    so that hostile input can neither forge a line of output nor flood the terminal.
    """
    text = hex(value) if isinstance(value, int) and value.bit_length() > 4096 else str(value)
    shown = ascii(text[:limit])
    return shown if len(text) <= limit else f"{shown}... ({len(text)} characters)"


class SevlabError(Exception):
    """Anything sevlab raises on purpose."""


class LayoutError(SevlabError):
    """Bytes or values that do not fit a declared byte layout.

    ``where`` names the layout or field, ``received`` and ``needed`` are short phrases.
    """

    def __init__(self, where: str, received: str, needed: str) -> None:
        super().__init__(where, received, needed)
        self.where, self.received, self.needed = where, received, needed

    def __str__(self) -> str:
        return f"{self.where}: received {self.received}; needed {self.needed}"


class InputError(SevlabError):
    """Something from outside (a file, an option, a paste) that cannot be used.

    ``input`` is the name its user knows it by (``--policy``, a path), ``received`` and ``needed`` are short phrases,
    and ``advice`` is the next thing to try.
    """

    def __init__(self, input: str, received: str, needed: str, advice: str = "") -> None:
        super().__init__(input, received, needed, advice)
        self.input, self.received, self.needed, self.advice = input, received, needed, advice

    def __str__(self) -> str:
        advice = f". Try: {self.advice}" if self.advice else ""
        return f"{self.input}: received {self.received}; needed {self.needed}{advice}"


class ArgumentError(InputError, TypeError):
    """An argument of a type that a function does not take: a mistake of a program, not of what it was given."""


class ConfigurationError(InputError):
    """A domain that is configured so that its launch cannot be measured."""


class StateError(InputError):
    """A domain in a state in which its measurement cannot be judged."""


class InsecureError(InputError):
    """A way of asking whose answer could not be trusted: it would rest on what the host says."""


class UnsupportedError(SevlabError):
    """A request that is understood but not supported; ``supported`` says what is."""

    def __init__(self, what: str, supported: str) -> None:
        super().__init__(what, supported)
        self.what, self.supported = what, supported

    def __str__(self) -> str:
        return f"{self.what} is not supported; supported: {self.supported}"


class MismatchError(SevlabError):
    """Reported and computed values differ; ``comparison`` holds both, field by field."""

    def __init__(self, message: str, comparison: object) -> None:
        super().__init__(message, comparison)
        self.message, self.comparison = message, comparison

    def __str__(self) -> str:
        return self.message
