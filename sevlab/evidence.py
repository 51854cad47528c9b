"""Evidence: everything one needs to judge a launch.

Some of it comes from the host (the measurement, the versions, the policy), some from the owner (the firmware image,
the keys). The names are those of the command line's options, with ``_`` for ``-``.
"""

from __future__ import annotations

from .digest import load_digest
from .errors import InputError, UnsupportedError
from .formats.message import Measurement, MeasureMessage
from .formats.policy import Policy
from .inputs import KEY_SIZE, load_key, parse_measurement, parse_number, parse_policy
from .keys import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

#: The values the host reports, in the order of the command line. All are needed.
REPORTED = ("measurement", "api_major", "api_minor", "build_id", "policy")


def as_written(name: str) -> str:
    """Return an input's name as it is: for notebooks, where ``api_major`` is ``api_major``."""
    return name


def as_option(name: str) -> str:
    """Return an input's name as the command line spells it."""
    return "--" + name.replace("_", "-")


class Evidence:
    """The inputs of one launch, read and checked.

    ``measurement`` is the reported blob; ``api_major``, ``api_minor`` and ``build_id`` are 0 to 255; ``policy`` is the
    guest policy; ``digest`` is the launch digest (32 bytes); ``tik`` is the transport integrity key, ``tek`` the
    transport encryption key (which no measure depends on). ``files`` names the files that inputs were read from
    (``firmware``, ``tik``, ``tek``, ``tk``), for showing.
    """

    def __init__(
        self,
        measurement: Measurement,
        api_major: int,
        api_minor: int,
        build_id: int,
        policy: Policy,
        digest: bytes,
        tik: Secret,
        tek: Secret | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        if policy.es:
            raise UnsupportedError(
                f"policy 0x{int(policy):x} with the SEV-ES bit (bit 2)",
                "plain SEV guests; SEV-ES also measures the virtual CPUs' registers, which this version cannot compute",
            )
        self.measurement, self.policy, self.digest = measurement, policy, digest
        self.api_major, self.api_minor, self.build_id = api_major, api_minor, build_id
        self.tik, self.tek, self.files = tik, tek, dict(files or {})

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

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some inputs changed; values as in :func:`load_evidence`, all else as it is."""
        values = {name: getattr(self, name) for name in (*REPORTED, "digest", "tik", "tek")}
        unknown = sorted(set(changes) - set(values) - {"firmware", "tk"})
        if unknown:
            raise TypeError(f"Evidence has no input named {unknown[0]!r}")
        changed = _read(changes, as_written)
        files = {name: path for name, path in self.files.items() if name not in _replaced_by(changes)}
        return type(self)(**{**values, **changed, "files": {**files, **changed["files"]}})

    def __repr__(self) -> str:
        firmware = self.files.get("firmware", "(digest given)")
        return (
            f"Evidence(api {self.api_major}.{self.api_minor}, build {self.build_id}, policy {self.policy.text}, "
            f"firmware {firmware!r}, measure {self.measurement.measure.hex()[:16]}...)"
        )


def load_evidence(*, names: Any = as_written, **inputs: Any) -> Evidence:
    """Read and check every input of a launch.

    Needed: ``measurement`` (base64 text, or a :class:`Measurement`), ``api_major``, ``api_minor``, ``build_id``,
    ``policy`` (numbers, or text in decimal or 0x hex), ``firmware`` (a path) or ``digest`` (32 bytes), and the keys:
    either ``tk`` (a path to 32 raw bytes, TEK then TIK) or ``tik`` and ``tek`` (paths to 16 raw bytes each, or
    :class:`Secret`). *names* turns an input's name into what its user calls it, for messages.

    Raises :class:`~sevlab.errors.InputError` for the first input that cannot be used, and
    :class:`~sevlab.errors.UnsupportedError` for an SEV-ES policy.
    """
    unknown = sorted(set(inputs) - set(REPORTED) - {"firmware", "digest", "tik", "tek", "tk"})
    if unknown:
        raise TypeError(f"load_evidence has no input named {unknown[0]!r}")
    given = {name: value for name, value in inputs.items() if value is not None}
    if "tk" in given and ("tik" in given or "tek" in given):
        raise InputError(names("tk"), f"together with {names('tik')} or {names('tek')}", "one of the two forms")
    if "tk" not in given and not ("tik" in given and "tek" in given):
        missing = [names(name) for name in ("tik", "tek") if name not in given]
        raise InputError(
            names("tk"),
            f"neither it nor {' and '.join(missing)}",
            f"{names('tk')}, or {names('tik')} and {names('tek')}",
        )
    for name in (*REPORTED, "firmware"):
        if name not in given and not (name == "firmware" and "digest" in given):
            raise InputError(names(name), "nothing", "a value")
    stdin = [names(name) for name in ("firmware", "tik", "tek", "tk") if given.get(name) == "-"]
    if len(stdin) > 1:
        raise InputError(stdin[1], f"'-' when {stdin[0]} already reads standard input", "one input from '-'")
    return Evidence(**_read(given, names))


def _replaced_by(changes: dict[str, Any]) -> set[str]:
    """Return the names of files that no longer hold once *changes* are made."""
    replaced = set(changes)
    if "digest" in changes:
        replaced.add("firmware")
    if replaced & {"tk", "tik", "tek"}:
        replaced |= {"tk", "tik"} if "tek" not in changes else {"tk"}
    return replaced


def _read(given: dict[str, Any], names: Any) -> dict[str, Any]:
    """Turn inputs as people give them into an Evidence's values."""
    files: dict[str, str] = {}
    values: dict[str, Any] = {"files": files}
    for name, value in given.items():
        if name == "measurement" and not isinstance(value, Measurement):
            values[name] = parse_measurement(value, names(name))
        elif name in ("api_major", "api_minor", "build_id"):
            values[name] = parse_number(value, names(name), 255)
        elif name == "policy":
            values[name] = parse_policy(value, names(name))
        elif name == "firmware":
            files[name] = str(value)
            values["digest"] = load_digest(str(value), names(name))
        elif name == "tk":
            files[name] = str(value)
            both = load_key(str(value), names(name), 2 * KEY_SIZE).reveal()
            values["tek"], values["tik"] = Secret(both[:KEY_SIZE]), Secret(both[KEY_SIZE:])
        elif name in ("tik", "tek") and not isinstance(value, Secret):
            files[name] = str(value)
            values[name] = load_key(str(value), names(name))
        else:
            values[name] = value
    return values
