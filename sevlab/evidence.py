"""Evidence: everything one needs to judge a launch.

Some of it comes from the host (the measurement, the versions, the policy), some from the owner (what was loaded, the
keys). The names are those of the command line's options, with ``_`` for ``-``.
"""

from __future__ import annotations

from functools import wraps

from .errors import InputError, named
from .formats.launch_measure import Measurement, MeasureMessage
from .formats.policy import Policy
from .inputs import KEY_SIZE, check_standard_input, load_key, parse_measurement, parse_number, parse_policy
from .keys import Secret, hide_key, refuse_keys
from .launch import FILES, INPUTS, Launch, load_launch
from .reading import opened_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

    from .outcome import Trust

#: The values the host reports, in the order of the command line. All are needed.
REPORTED = ("measurement", "api_major", "api_minor", "build_id", "policy")
KEYS = ("tik", "tek", "tk")


def as_option(name: str) -> str:
    """Return an input's name as the command line spells it."""
    return "--" + name.replace("_", "-")


def takes_keys(function: F) -> F:
    """Hide the keys that *function* is given, by name or in a mapping, before any other frame can hold them.

    It goes on top of other decorators: a traceback with local variables shows those of their frames, too.
    """

    @wraps(function)
    def call(*args: Any, **inputs: Any) -> Any:
        hide_keys(inputs)
        if isinstance(inputs.get("keys"), dict):
            inputs["keys"] = hide_keys(dict(inputs["keys"]))
        args = tuple(hide_keys(dict(one)) if isinstance(one, dict) else one for one in args)
        return function(*args, **inputs)

    return call  # type: ignore[return-value]


class Evidence:
    """The inputs of one launch, read and checked. Make it with :func:`load_evidence`.

    ``measurement`` is the reported blob; ``api_major``, ``api_minor`` and ``build_id`` are 0 to 255; ``policy`` is the
    guest policy; ``launch`` is what was loaded, and ``digest`` its launch digest (32 bytes); ``tik`` is the transport
    integrity key, ``tek`` the transport encryption key (which no measure depends on). ``inputs`` are the inputs of the
    launch as they were given, ``files`` those of all inputs that are files; both are for showing. ``trust`` says which
    keys came from a case, None where there was no case.
    """

    def __init__(
        self,
        measurement: Measurement,
        api_major: int,
        api_minor: int,
        build_id: int,
        policy: Policy,
        launch: Launch,
        tik: Secret,
        tek: Secret | None = None,
        inputs: dict[str, Any] | None = None,
        files: dict[str, str] | None = None,
        trust: Trust | None = None,
    ) -> None:
        self.measurement, self.policy, self.launch = measurement, policy, launch
        self.api_major, self.api_minor, self.build_id = api_major, api_minor, build_id
        self.tik, self.tek, self.trust = tik, tek, trust
        self.inputs, self.files = dict(inputs or {}), dict(files or {})

    @property
    def digest(self) -> bytes:
        """The launch digest (32 bytes)."""
        return self.launch.digest

    @property
    def message(self) -> MeasureMessage:
        """The 56-byte message whose HMAC the firmware should have reported. Its nonce is the reported one."""
        return MeasureMessage(
            api_major=self.api_major,
            api_minor=self.api_minor,
            build_id=self.build_id,
            policy=self.policy,
            digest=self.digest,
            mnonce=self.measurement.mnonce,
        )

    @takes_keys
    @opened_once()
    def replace(self, **changes: Any) -> Self:
        """Return a copy with some inputs changed; values as in :func:`load_evidence`, all else as it is.

        An input that is changed to None is left out. What was loaded is read again only when that can change it.
        """
        if unknown := sorted(set(changes) - {*REPORTED, *KEYS, *INPUTS, "digest"}):
            raise TypeError(f"Evidence has no input named {unknown[0]!r}")
        values = {name: getattr(self, name) for name in (*REPORTED, "tik", "tek")}
        values |= _read({name: value for name, value in changes.items() if name in (*REPORTED, *KEYS)})
        replaced = set(changes) | ({"tk", "tik", "tek"} if set(changes) & {"tk", "tik"} else set())
        files = {name: path for name, path in self.files.items() if name not in replaced} | values.pop("files")
        inputs, launch = self.inputs, self.launch
        if "digest" in changes:
            inputs, launch = {}, Launch((), digest=changes["digest"])
        elif set(changes) & set(INPUTS) or (inputs and values["policy"].es != self.policy.es):
            inputs = inputs | {name: value for name, value in changes.items() if name in INPUTS}
            inputs = {name: value for name, value in inputs.items() if value is not None}
            launch = load_launch(values["policy"], **inputs)
        files = {name: path for name, path in files.items() if name not in FILES}
        files |= {name: str(inputs[name]) for name in FILES if name in inputs}
        trust = self.trust
        if trust is not None:
            trust = trust._replace(names=tuple(name for name in trust.names if name not in replaced))
        return type(self)(**values, launch=launch, inputs=inputs, files=files, trust=trust)

    def refuse_keys(self) -> None:
        """Refuse a reported measurement that has one of the keys in it, before it is shown.

        A host does not know the keys: whoever has such a measurement mixed up two files.
        """
        refuse_keys(self.measurement.to_bytes(), "measurement", self.tik, self.tek)

    def __repr__(self) -> str:
        firmware = self.files.get("firmware", "(digest given)")
        return (
            f"Evidence(api {self.api_major}.{self.api_minor}, build {self.build_id}, policy {self.policy.text}, "
            f"firmware {firmware!r}, measure {self.measurement.measure.hex()[:16]}...)"
        )


@takes_keys
@opened_once()
def load_evidence(*, trust: Trust | None = None, **inputs: Any) -> Evidence:
    """Read and check every input of a launch.

    Needed: ``measurement`` (base64 text, or a :class:`Measurement`), ``api_major``, ``api_minor``, ``build_id``,
    ``policy`` (numbers, or text in decimal or 0x hex), ``firmware`` (a path) or ``digest`` (32 bytes), and the keys:
    either ``tk`` (a path to 32 raw bytes, TEK then TIK) or ``tik`` and ``tek`` (paths to 16 raw bytes each), or a
    :class:`Secret` for each. What else was loaded, when it was: see :func:`sevlab.launch.load_launch`. *trust* is what
    of it came from a case
    (:meth:`sevlab.Case.trust`), where there is one.

    Raises :class:`~sevlab.errors.InputError` for the first input that cannot be used.
    """
    if unknown := sorted(set(inputs) - {*REPORTED, *KEYS, *INPUTS, "digest"}):
        raise TypeError(f"load_evidence has no input named {unknown[0]!r}")
    given = {name: value for name, value in inputs.items() if value is not None}
    check_keys(given)
    for name in (*REPORTED, "firmware"):
        if name not in given and not (name == "firmware" and "digest" in given):
            raise InputError(name, "nothing", "a value")
    readers = [name for name in (*FILES, *KEYS) if isinstance(given.get(name), str)]
    check_standard_input((name, given[name]) for name in readers)
    values = _read({name: value for name, value in given.items() if name in (*REPORTED, *KEYS)})
    parts = {name: value for name, value in given.items() if name in INPUTS}
    files = values.pop("files") | {name: str(parts[name]) for name in FILES if name in parts}
    if "digest" in given:
        return Evidence(**values, launch=Launch((), digest=given["digest"]), files=files, trust=trust)
    launch = load_launch(values["policy"], **parts)
    return Evidence(**values, launch=launch, inputs=parts, files=files, trust=trust)


def hide_keys(inputs: dict[str, Any]) -> dict[str, Any]:
    """Hide the keys among *inputs*, in place, from any traceback (see :func:`sevlab.keys.hide_key`); return them."""
    for name in KEYS:
        if name in inputs:
            inputs[name] = hide_key(inputs[name])
    return inputs


def check_keys(given: Mapping[str, Any]) -> None:
    """Refuse inputs without keys, or with both forms of them. Values of None count as not given."""
    known = {name for name in KEYS if given.get(name) is not None}
    if "tk" in known and len(known) > 1:
        raise InputError("tk", f"together with {named('tik')} or {named('tek')}", "one of the two forms")
    if not {"tik", "tek"} <= known and "tk" not in known:
        missing = [named(name) for name in ("tik", "tek") if name not in known]
        raise InputError(
            "tk",
            f"neither it nor {' and '.join(missing)}",
            f"{named('tk')}, or {named('tik')} and {named('tek')}",
        )


def _read(given: dict[str, Any]) -> dict[str, Any]:
    """Turn reported values and keys as people give them into an Evidence's values, and the files they came from."""
    files: dict[str, str] = {}
    values: dict[str, Any] = {"files": files}
    for name, value in given.items():
        if name == "measurement" and not isinstance(value, Measurement):
            values[name] = parse_measurement(value, name)
        elif name in ("api_major", "api_minor", "build_id"):
            values[name] = parse_number(value, name, 255)
        elif name == "policy":
            values[name] = parse_policy(value, name)
        elif name in KEYS:
            key = load_key(value, name, (2 if name == "tk" else 1) * KEY_SIZE)
            if not isinstance(value, Secret):
                files[name] = str(value)
            values |= {"tek": key.part(0, KEY_SIZE), "tik": key.part(KEY_SIZE)} if name == "tk" else {name: key}
        else:
            values[name] = value
    return values
