"""Check the arguments of public functions by their annotations. Any bytes-like object counts as bytes."""

from __future__ import annotations

from contextlib import suppress
from functools import wraps

from ..errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

#: Types that are as good as those of an annotation, by the methods that make them so.
_LIKE = {"int": "__index__", "float": "__float__"}


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
