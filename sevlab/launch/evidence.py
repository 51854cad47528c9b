"""Evidence: everything one needs to judge a launch.

Some of it comes from the host (the measurement, the versions, the policy), some from the owner (what was loaded, the
keys). The names are those of the command line's options, with ``_`` for ``-``.
"""

from __future__ import annotations

from functools import wraps

from ..errors import InputError
from ..formats.launch_measure import Measurement, MeasureMessage
from ..formats.policy import Policy
from ..layout.arguments import checked
from .files import check_standard_input
from .inputs import FILES, LaunchInputs, load_launch
from .keys import Secret, hide_key, refuse_keys
from .reading import opened_once
from .sev import Launch
from .values import check_keys, load_key, load_keys, parse_measurement, parse_number, parse_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self, TypeVar

    from .trust import Trust

    F = TypeVar("F", bound=Callable[..., Any])

#: The values the host reports, in the order of the command line. All are needed.
REPORTED = ("measurement", "api_major", "api_minor", "build_id", "policy")

KEYS = ("tik", "tek", "tk")


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
    launch as they were given, None where only its digest was; ``files`` are all inputs that are files, for showing.
    ``trust`` says which keys came from a case, None where there was no case.
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
        inputs: LaunchInputs | None = None,
        files: Mapping[str, str] | None = None,
        trust: Trust | None = None,
    ) -> None:
        self.measurement, self.policy, self.launch = measurement, policy, launch
        self.api_major, self.api_minor, self.build_id = api_major, api_minor, build_id
        self.tik, self.tek, self.trust = tik, tek, trust
        self.inputs, self.files = inputs, dict(files or {})

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

        An input of the launch that is changed to None is left out. What was loaded is read again only when that can
        change it.
        """
        parts = {name: value for name, value in changes.items() if name not in (*REPORTED, *KEYS, "digest")}
        reported = _read_reported(**{name: changes.get(name, getattr(self, name)) for name in REPORTED})
        replaced = set(changes) | ({"tk", "tik", "tek"} if {"tk", "tik"} & set(changes) else set())
        tek, tik, files = (
            self.tek,
            self.tik,
            {k: path for k, path in self.files.items() if k not in {*replaced, *FILES}},
        )
        if "tk" in changes:
            tek, tik = load_keys(tk=changes["tk"])
        else:
            tik = load_key(changes["tik"], "tik") if "tik" in changes else tik
            tek = load_key(changes["tek"], "tek") if "tek" in changes else tek
        files |= {name: str(changes[name]) for name in KEYS if isinstance(changes.get(name), str)}
        inputs, launch = self.inputs, self.launch
        if "digest" in changes:
            inputs, launch = None, Launch((), digest=changes["digest"])
        elif parts or (inputs is not None and reported["policy"].es != self.policy.es):
            inputs = (inputs or LaunchInputs()).replace(**parts)
            launch = load_launch(reported["policy"], **inputs.given)
        if inputs is not None:
            files |= inputs.files
        trust = self.trust
        if trust is not None:
            trust = trust._replace(names=tuple(name for name in trust.names if name not in replaced))
        return type(self)(**reported, launch=launch, tik=tik, tek=tek, inputs=inputs, files=files, trust=trust)

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
@checked
def load_evidence(
    *,
    measurement: Any = None,
    api_major: Any = None,
    api_minor: Any = None,
    build_id: Any = None,
    policy: Any = None,
    digest: bytes | None = None,
    tik: Any = None,
    tek: Any = None,
    tk: Any = None,
    trust: Trust | None = None,
    **loaded: Any,
) -> Evidence:
    """Read and check every input of a launch.

    Needed: ``measurement`` (base64 text, or a :class:`Measurement`), ``api_major``, ``api_minor``, ``build_id``,
    ``policy`` (numbers, or text in decimal or 0x hex), ``firmware`` (a path) or ``digest`` (32 bytes), and the keys:
    either ``tk`` (a path to 32 raw bytes, TEK then TIK) or ``tik`` and ``tek`` (paths to 16 raw bytes each), or a
    :class:`Secret` for each. What else was loaded, when it was: see
    :class:`~sevlab.launch.inputs.LaunchInputs`. *trust* is what of it came from a case (``Case.trust``),
    where there is one.

    Raises :class:`~sevlab.errors.InputError` for the first input that cannot be used.
    """
    inputs = LaunchInputs(**loaded)
    check_keys(tik=tik, tek=tek, tk=tk)
    values = {
        "measurement": measurement,
        "api_major": api_major,
        "api_minor": api_minor,
        "build_id": build_id,
        "policy": policy,
    }
    for name, value in {**values, "firmware": inputs.firmware if digest is None else digest}.items():
        if value is None:
            raise InputError(name, "nothing", "a value")
    files = inputs.files | {name: key for name, key in (("tik", tik), ("tek", tek), ("tk", tk)) if isinstance(key, str)}
    check_standard_input(files.items())
    reported = _read_reported(**values)
    tek, tik = load_keys(tik=tik, tek=tek, tk=tk)
    if digest is not None:
        return Evidence(**reported, launch=Launch((), digest=digest), tik=tik, tek=tek, files=files, trust=trust)
    launch = load_launch(reported["policy"], **inputs.given)
    return Evidence(**reported, launch=launch, tik=tik, tek=tek, inputs=inputs, files=files, trust=trust)


def hide_keys(inputs: dict[str, Any]) -> dict[str, Any]:
    """Hide the keys among *inputs*, in place, from any traceback (see :func:`.hide_key`); return them."""
    for name in KEYS:
        if name in inputs:
            inputs[name] = hide_key(inputs[name])
    return inputs


def _read_reported(measurement: Any, api_major: Any, api_minor: Any, build_id: Any, policy: Any) -> dict[str, Any]:
    """Read what a host reports, as people give it."""
    return {
        "measurement": measurement if isinstance(measurement, Measurement) else parse_measurement(measurement),
        "api_major": parse_number(api_major, "api_major", 255),
        "api_minor": parse_number(api_minor, "api_minor", 255),
        "build_id": parse_number(build_id, "build_id", 255),
        "policy": parse_policy(policy),
    }
