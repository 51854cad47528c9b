"""Evidence: everything one needs to judge a launch of SEV or SEV-ES.

Some of it comes from the host (the measurement, the versions, the policy), some from the owner (what was loaded, the
keys). The names are those of the command line's options, with ``_`` for ``-``.
"""

from __future__ import annotations

from functools import wraps

from ..errors import InputError, checked
from ..formats.launch_measure import Measurement, MeasureMessage
from ..formats.policy import Policy
from .inputs import FILES, KEYS, REPORTED, LaunchInputs, Trust, load_launch
from .keys import SecretBytes, hide_key, refuse_keys
from .reading import check_standard_input, opened_once
from .sev import Launch
from .values import check_keys, load_key, load_keys, parse_measurement, parse_number, parse_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])


def takes_keys(function: F) -> F:
    """Hide the keys that *function* is given before any other frame holds them: it goes above other decorators."""

    @wraps(function)
    def call(*args: Any, **inputs: Any) -> Any:
        hide_keys(inputs)
        if isinstance(inputs.get("keys"), dict):
            inputs["keys"] = hide_keys(dict(inputs["keys"]))
        args = tuple(hide_keys(dict(one)) if isinstance(one, dict) else one for one in args)
        return function(*args, **inputs)

    return call  # type: ignore[return-value]


def hide_keys(inputs: dict[str, Any]) -> dict[str, Any]:
    """Hide the keys among *inputs*, in place, from any traceback (see :func:`.hide_key`); return them."""
    for name in KEYS:
        if name in inputs:
            inputs[name] = hide_key(inputs[name])
    return inputs


class Evidence:
    """The inputs of one launch, read and checked. Make it with :func:`load_evidence`.

    ``api_major``, ``api_minor`` and ``build_id`` are 0 to 255; ``tek``, the transport encryption key, has no influence
    on the measure. ``inputs`` are the inputs of the launch as they were given, None where only its digest was;
    ``files`` are all inputs that are files, for showing. ``trust`` names the keys that came from a case, None without
    one.
    """

    def __init__(
        self,
        measurement: Measurement,
        api_major: int,
        api_minor: int,
        build_id: int,
        policy: Policy,
        launch: Launch,
        tik: SecretBytes,
        tek: SecretBytes | None = None,
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
        """Return a copy with some inputs changed; values as in :func:`load_evidence`.

        An input of the launch that is changed to None is left out. What was loaded is read again only when that can
        change it.
        """
        loaded = {name: value for name, value in changes.items() if name not in (*REPORTED, *KEYS, "digest")}
        reported = _read_reported({name: changes.get(name, getattr(self, name)) for name in REPORTED})
        replaced = {*changes, *(KEYS if {"tk", "tik"} & set(changes) else ())}
        files = {name: path for name, path in self.files.items() if name not in {*replaced, *FILES}}
        files |= {name: str(changes[name]) for name in KEYS if isinstance(changes.get(name), str)}
        tek, tik = self.tek, self.tik
        if "tk" in changes:
            tek, tik = load_keys(tk=changes["tk"])
        else:
            tik = load_key(changes["tik"], "tik") if "tik" in changes else tik
            tek = load_key(changes["tek"], "tek") if "tek" in changes else tek
        inputs, launch, trust = self.inputs, self.launch, self.trust
        if "digest" in changes:
            inputs, launch = None, Launch((), digest=changes["digest"])
        elif loaded or (inputs is not None and reported["policy"].es != self.policy.es):
            inputs = (inputs or LaunchInputs()).replace(**loaded)
            launch = load_launch(reported["policy"], **inputs.given)
        if inputs is not None:
            files |= inputs.files
        if trust is not None:
            trust = trust._replace(names=tuple(name for name in trust.names if name not in replaced))
        return type(self)(**reported, launch=launch, tik=tik, tek=tek, inputs=inputs, files=files, trust=trust)

    def refuse_keys(self) -> None:
        """Refuse a reported measurement that has a key in it, which no host knows: two files were mixed up."""
        refuse_keys(self.measurement.to_bytes(), "measurement", self.tik, self.tek)

    def __repr__(self) -> str:
        loaded = f"firmware {self.files.get('firmware', '(digest given)')!r}"
        shown = f"api {self.api_major}.{self.api_minor}, build {self.build_id}, policy {self.policy.text}, {loaded}"
        return f"Evidence({shown}, measure {self.measurement.measure.hex()[:16]}...)"


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
    :class:`SecretBytes` for each. For the rest see :class:`~sevlab.launch.inputs.LaunchInputs`. *trust* names what came
    from a case (``Case.trust``).

    Raises :class:`~sevlab.errors.InputError` for the first input that cannot be used.
    """
    inputs = LaunchInputs(**loaded)
    check_keys(tik=tik, tek=tek, tk=tk)
    values = dict(zip(REPORTED, (measurement, api_major, api_minor, build_id, policy), strict=True))
    for name, value in {**values, "firmware": inputs.firmware if digest is None else digest}.items():
        if value is None:
            raise InputError(name, "nothing", "a value")
    files = inputs.files | {name: key for name, key in (("tik", tik), ("tek", tek), ("tk", tk)) if isinstance(key, str)}
    check_standard_input(files.items())
    reported = _read_reported(values)
    tek, tik = load_keys(tik=tik, tek=tek, tk=tk)
    if digest is not None:
        return Evidence(**reported, launch=Launch((), digest=digest), tik=tik, tek=tek, files=files, trust=trust)
    launch = load_launch(reported["policy"], **inputs.given)
    return Evidence(**reported, launch=launch, tik=tik, tek=tek, inputs=inputs, files=files, trust=trust)


def _read_reported(values: Mapping[str, Any]) -> dict[str, Any]:
    measurement = values["measurement"]
    return {
        "measurement": measurement if isinstance(measurement, Measurement) else parse_measurement(measurement),
        **{name: parse_number(values[name], name, 255) for name in ("api_major", "api_minor", "build_id")},
        "policy": parse_policy(values["policy"]),
    }
