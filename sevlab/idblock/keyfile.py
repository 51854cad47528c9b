"""Private keys of P-384 out of PEM files: the only keys that can sign an ID block."""

from __future__ import annotations

from ..errors import InputError, quoted
from ..formats.sev_certs import P384_BYTES
from ..inputs import load_hidden
from ..keys import Secret, hide_key
from ..pem import is_pem, split_pem

#: Most bytes of a key file that are read.
KEY_LIMIT = 64 << 10


def load_private_key(path: str, name: str = "key") -> Secret:
    """Return the private number (48 bytes, big-endian) of a P-384 key in a PEM file; ``-`` is standard input.

    Raises :class:`~sevlab.errors.InputError`, with *name*, for any other key, with what came.
    """
    path, needed = hide_key(path), "a private key of P-384, in PEM and not encrypted"
    if not isinstance(path, str):
        raise InputError(name, repr(path), f"the path of a file with {needed}")
    pem = load_hidden(path, name, KEY_LIMIT)
    advice = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out FILE"
    if is_pem(pem.reveal()):
        _check_blocks([label for label, _ in split_pem(pem.reveal(), name, needed)], f"{name}: {quoted(path)}", needed)
    received, private = _read_key(pem)
    if received:
        if "encrypted" in received:
            advice = "openssl pkey -in FILE -out NEW, which asks for the password"
        raise InputError(name, f"{quoted(path)}, {received}", needed, advice)
    return private


def _check_blocks(labels: list[str], where: str, needed: str) -> None:
    """Refuse a file with more than one key in it. (openssl ecparam -genkey writes the curve's name before its key.)"""
    others = [label for label in labels if label != "EC PARAMETERS"]
    if len(others) > 1 or len(labels) - len(others) > 1:
        raise InputError(where, f"{len(labels)} PEM blocks ({', '.join(labels[:4])})", f"one block: {needed}")


def _read_key(pem: Secret) -> tuple[str, Secret]:
    """Return "" and the private number of a P-384 key; for anything else what it is, and nothing."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    raw, nothing = pem.reveal(), Secret(b"")
    if b"-----BEGIN " not in raw:
        return "what is no PEM" if raw else "an empty file", nothing
    if b"PRIVATE KEY-----" not in raw:
        kind = raw.partition(b"-----BEGIN ")[2].partition(b"-----")[0][:40].decode("ascii", "replace")
        return f"a PEM of {quoted(kind)}", nothing
    try:
        key = load_pem_private_key(raw, None)
    except TypeError:
        return "an encrypted key", nothing
    except (ValueError, UnsupportedAlgorithm):
        return "a PEM that holds no key that can be read", nothing
    if isinstance(key, rsa.RSAPrivateKey):
        return f"an RSA key of {key.key_size} bits", nothing
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return f"a key of another kind ({type(key).__name__.removesuffix('PrivateKey')})", nothing
    if not isinstance(key.curve, ec.SECP384R1):
        return f"a key of the curve {key.curve.name}", nothing
    return "", Secret(key.private_numbers().private_value.to_bytes(P384_BYTES, "big"))
