"""Values from outside: numbers, measurements, key files. Each is hostile or broken until it is read.

Each reader takes the name of the input and raises :class:`~sevlab.errors.InputError` with it, what came, what was
needed, and what to try.
"""

from __future__ import annotations

import binascii
import os
import re

from ..errors import InputError, describe_text, named, quoted
from ..formats.launch_measure import Measurement
from ..formats.policy import Policy
from .keys import NoKey, SecretBytes, hide_key
from .reading import CasePath, ReadPath, open_input, read_hidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..formats.vmsa import Vmsa

#: Longest text of a measurement that is read, in characters; 64 are needed.
TEXT_LIMIT = 4096
KEY_SIZE = 16
_URL_SAFE = "replace - by + and _ by / if this is URL-safe base64"
_HEX = r"[0-9a-fA-F]+"
_BASE64 = r"[A-Za-z0-9+/]+={0,2}"


def parse_number(text: str | int, name: str, limit: int, least: int = 0) -> int:
    """Return a whole number up to *limit*, in decimal or ``0x`` hex. Signs, underscores and spaces are refused."""
    needed = f"a whole number from {least} to {limit} (0x{limit:x}), in decimal or 0x hex"
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise InputError(name, type(text).__name__, needed)
    if isinstance(text, str) and not _is_number(text):
        bare_hex = len(text) <= 16 and re.fullmatch(_HEX, text) and not text.isdigit()
        raise InputError(name, quoted(text), needed, f"0x{text} if that is hex" if bare_hex else "")
    number = text if isinstance(text, int) else int(text, 16 if text[:2] in ("0x", "0X") else 10)
    if not least <= number <= limit:
        raise InputError(name, quoted(text), needed)
    return number


def _is_number(text: str) -> bool:
    """Return whether *text* is 1 to 20 decimal digits, or ``0x`` and 1 to 16 hex digits."""
    if text[:2] in ("0x", "0X"):
        return len(text) <= 18 and bool(re.fullmatch(_HEX, text[2:]))
    return len(text) <= 20 and text.isascii() and text.isdigit()


def parse_policy(text: str | int, name: str = "policy") -> Policy:
    """Return a guest policy from a 32-bit number in decimal or ``0x`` hex."""
    return text if isinstance(text, Policy) else Policy(parse_number(text, name, 0xFFFFFFFF))


def parse_measurement(text: str, name: str = "measurement", *, allow_hex: bool = False) -> Measurement:
    """Return a measurement from base64 text (64 characters, white space aside) or, with *allow_hex*, 96 hex digits."""
    needed = f"48 bytes as base64 (64 characters{') or hex (96 digits)' if allow_hex else ', no padding)'}"
    bare = _without_space(text, name, needed)
    if re.fullmatch(_HEX, bare) and len(bare) == 2 * Measurement.size:
        if allow_hex:
            return Measurement.from_bytes(bytes.fromhex(bare))
        raise InputError(name, "96 hex digits", needed, "the same bytes as base64: xxd -r -p | base64")
    if is_hex_of_other_size(bare):
        raise InputError(name, f"{len(bare)} hex digits", needed)
    if not bare:
        raise InputError(name, "nothing", needed)
    if not re.fullmatch(_BASE64, bare):
        if os.path.isfile(text):
            raise InputError(name, f"{quoted(text)}, a file", needed, "sevlab capture, which reads what virsh printed")
        stray = next((c for c in bare if not re.fullmatch("[A-Za-z0-9+/]", c)), "=")
        digits = re.sub("[^A-Za-z0-9+/_-]", "", bare)
        # As long as a measurement, with a stray character or two: no TEK or TIK, and no list of its bytes.
        is_public = len(digits) == 64 and len(bare) <= 66 and not re.fullmatch(_HEX, digits)
        received = quoted(text, public=is_public)
        if is_public or not describe_text(text):
            received += f" with the stray character {stray!a}"
        raise InputError(name, received, needed, _URL_SAFE if stray in "-_" else "")
    if (raw := decode_base64(bare)) is None:
        if decode_base64(bare.rstrip("=")) is not None:
            raise InputError(name, f"{quoted(text)}, with = at its end", needed, "leave out the =")
        received = f"{len(bare)} characters that do not decode"
        raise InputError(name, received, needed, "copy it again: characters are missing or too many")
    if len(raw) == Measurement.size:
        return Measurement.from_bytes(raw)
    advice = "the value of sev-measurement from virsh domlaunchsecinfo, or of data from query-sev-launch-measure"
    if len(raw) == 32:
        advice = "the whole measurement: these 32 bytes may be the measure without its 16-byte nonce"
    elif len(raw) in (47, 49, 50, 51):
        advice = "copy it again: a character or a line end may be lost or added"
    raise InputError(name, f"{len(raw)} bytes", needed, advice)


def parse_bytes(text: str, name: str, size: int) -> bytes:
    """Return exactly *size* bytes from strict base64 or hex text, distinguished by length; white space aside."""
    digits, characters = 2 * size, 4 * ((size + 2) // 3)
    needed = f"{size} bytes as base64 ({characters} characters) or hex ({digits} digits)"
    bare = _without_space(text, name, needed)
    if len(bare) == digits and re.fullmatch(_HEX, bare):
        return bytes.fromhex(bare)
    raw = None if is_hex_of_other_size(bare) else decode_base64(bare)
    if raw is not None and len(raw) == size and len(bare) == characters:
        return raw
    if not bare:
        raise InputError(name, "nothing", needed)
    advice = ""
    if bare[:2] in ("0x", "0X"):
        advice = "the digits without 0x"
    elif len(bare) == characters and {"-", "_"} & set(bare):
        advice = _URL_SAFE
    meaning = ""
    if re.fullmatch(_HEX, bare) and len(bare) % 2 == 0:
        meaning = f", {len(bare) // 2} bytes of hex"
    elif raw is not None:
        meaning = f", {len(raw)} bytes of base64"
    raise InputError(name, quoted(text) + meaning, needed, advice)


def _without_space(text: str, name: str, needed: str) -> str:
    if not isinstance(text, str):
        raise InputError(name, type(text).__name__, needed)
    if len(text) > TEXT_LIMIT:
        raise InputError(name, f"{len(text)} characters", needed)
    return text.translate(dict.fromkeys(b"\t\n\r "))


def is_hex_of_other_size(text: str) -> bool:
    """Return whether what could be base64 must be hex digits: 48 bytes are not by chance, but two keys in hex are."""
    return bool(re.fullmatch(_HEX, text)) and len(text) >= 2 * KEY_SIZE and len(set(text.lower())) > 4


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of canonical base64 text without white space; None for anything else."""
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    # Python's strict decoder lets = through after a whole group.
    return raw if raw and binascii.b2a_base64(raw, newline=False).decode() == text else None


def load_keys(*, tik: Any = None, tek: Any = None, tk: Any = None) -> tuple[SecretBytes, SecretBytes]:
    """Return TEK and TIK: from a path or a Secret each (16 raw bytes), or from *tk*, which holds both in that order."""
    tik, tek, tk = hide_key(tik), hide_key(tek), hide_key(tk)
    check_keys(tik=tik, tek=tek, tk=tk)
    if tk is not None:
        both = load_key(tk, "tk", 2 * KEY_SIZE)
        return both.part(0, KEY_SIZE), both.part(KEY_SIZE)
    return load_key(tek, "tek"), load_key(tik, "tik")


def check_keys(*, tik: object = None, tek: object = None, tk: object = None) -> None:
    """Refuse inputs without keys, or with both forms of them."""
    missing = [name for name, key in (("tik", tik), ("tek", tek)) if key is None]
    if tk is not None and (tik is not None or tek is not None):
        raise InputError("tk", f"together with {named('tik')} or {named('tek')}", "one of the two forms")
    if tk is None and missing:
        needed = f"{named('tk')}, or {named('tik')} and {named('tek')}"
        raise InputError("tk" if len(missing) == 2 else missing[0], "nothing", needed)


def load_key(path: Any, name: str, size: int = KEY_SIZE) -> SecretBytes:
    """Return a key of exactly *size* raw bytes from a file; ``-`` reads standard input.

    *path* can also be a :class:`~sevlab.launch.keys.SecretBytes`. A key of another size is refused with a guess at what
    it is (hex text, base64 text, a trailing line break, a combined file). Neither the guess nor a local variable on the
    way shows the key, nor text that may be one.
    """
    path = hide_key(path)
    if isinstance(path, NoKey):
        needed = "the path of a key file" if path.what[:1].isdigit() else f"the path of a key file, or {size} bytes"
        raise InputError(name, f"{path.what}, which may be a key and name no file", needed)
    key = path if isinstance(path, SecretBytes) else read_hidden(path, name, TEXT_LIMIT)
    if len(key) == size:
        return key
    if isinstance(path, CasePath) and path.is_outside:  # no word about a file that a stranger named
        raise InputError(name, f"{quoted(path)}, which is no such key", f"a key of {size} raw bytes")
    where = "a key" if isinstance(path, SecretBytes) else quoted(path)
    received = f"{where}, {len(key) if len(key) <= TEXT_LIMIT else f'more than {TEXT_LIMIT}'} bytes"
    guess, advice = _key_guess(key, size)
    raise InputError(name, received + guess, f"a key of {size} raw bytes", advice)


def _key_guess(key: SecretBytes, size: int) -> tuple[str, str]:
    """Return what bytes of the wrong size look like, and what to try."""
    raw = key.reveal()
    text = "".join(chr(byte) for byte in raw.strip())
    if not raw:
        return " (an empty file)", "make the keys again, for example with: sevctl session"
    if re.fullmatch(_HEX, text) and len(text) == 2 * size:
        return " that look like hex text", "raw bytes: xxd -r -p < FILE > NEW"
    if re.fullmatch(_BASE64, text) and len(text) == 4 * ((size + 2) // 3):
        return " that look like base64 text", "raw bytes: base64 -d < FILE > NEW"
    if len(raw) == size + 1 and raw[-1:] == b"\n":
        return " that end in a line break", f"without it: head -c {size} FILE > NEW"
    if (size, len(raw)) == (KEY_SIZE, 2 * KEY_SIZE):
        return " that may be TEK and TIK in one file", "--tk FILE instead of --tek and --tik"
    if (size, len(raw)) == (2 * KEY_SIZE, KEY_SIZE):
        return " that may be a single key", "--tek FILE --tik FILE instead of --tk"
    return "", ""


def load_vmsa(path: str, name: str = "VMSA") -> Vmsa:
    """Return a VMSA, the registers of one virtual CPU, from a file of exactly 4096 bytes; ``-`` is standard input."""
    from ..formats.vmsa import Vmsa

    if isinstance(path, ReadPath):
        return Vmsa.from_bytes(path.raw)
    with open_input(path, name) as stream:
        raw = stream.read(Vmsa.size + 1)
    if len(raw) == Vmsa.size:
        return Vmsa.from_bytes(raw)
    received = f"{quoted(path)}, {'more than ' * (len(raw) > Vmsa.size)}{min(len(raw), Vmsa.size)} bytes"
    raise InputError(name, received, f"a VMSA of {Vmsa.size} raw bytes", "sevlab vmsa show, which says what it is")
