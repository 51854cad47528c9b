"""The animals as files, for verifiers that are programs, and the truth about them as data."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from ..errors import InputError, quoted
from ..simulator.kds import MOMENT
from .edit import pem
from .lapse import LAPSES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .animal import Animal, Given

TABLE = "zoo.json"
FORMAT = "sevlab zoo 1"
#: A moment at which everything is valid that should be; so is any from 2025-07-01 to 2044.
AT = f"{MOMENT:%Y-%m-%d}"
#: The files of an animal: how a command line names each, what it is called, what is in it.
FILES: dict[str, tuple[str, Callable[[Given], bytes]]] = {
    "report": ("report.bin", lambda given: given.report),
    "vcek": ("vcek.der", lambda given: given.vcek),
    "vcek_pem": ("vcek.pem", lambda given: pem(given.vcek)),
    "chain": ("chain.pem", lambda given: given.chain),
    "ask": ("ask.der", lambda given: given.ask),
    "ark": ("ark.der", lambda given: given.ark),
    "crl": ("crl.der", lambda given: given.crl),
    "root": ("root.der", lambda given: given.root),
    "root_pem": ("root.pem", lambda given: pem(given.root)),
}
#: What else an animal has, as text: bytes in lower-case hex.
VALUES: dict[str, Callable[[Given], str]] = {
    "product": lambda given: given.product,
    "root_sha256": lambda given: given.root_sha256,
    "measurement": lambda given: given.measurement.hex(),
    "report_data": lambda given: given.report_data.hex(),
    "host_data": lambda given: given.host_data.hex(),
    "id_key_digest": lambda given: given.id_key_digest.hex(),
    "min_tcb": lambda given: given.min_tcb,
    "vmpl": lambda given: str(given.vmpl),
    "policy": lambda given: f"0x{given.policy:x}",
    "at": lambda given: AT,
}
#: What a command line can name, and what each is.
PLACEHOLDERS = {
    "key": "the animal's key",
    "report": "file: the report",
    "vcek": "file: the leaf, DER; in some animals that of a VLEK",
    "vcek_pem": "file: the same, PEM",
    "chain": "file: the ASK (or ASVK), then the ARK, PEM; not to be believed",
    "ask": "file: the first of these, DER",
    "ark": "file: the second, DER",
    "crl": "file: the list of revoked certificates, DER",
    "root": "file: the ARK to trust, DER",
    "root_pem": "file: the same, PEM",
    "product": "whose root that is: Milan, Genoa or Turin",
    "root_sha256": "its SHA-256",
    "measurement": "the measurement wanted",
    "report_data": "the REPORT_DATA wanted",
    "host_data": "the HOST_DATA wanted",
    "id_key_digest": "the ID_KEY_DIGEST wanted",
    "min_tcb": "the least REPORTED_TCB, such as snp=20,ucode=200",
    "vmpl": "the VMPL wanted",
    "policy": "the policy wanted",
    "at": "a date at which certificates are valid",
}


def zoo_files(animals: Iterable[Animal]) -> dict[str, bytes]:
    """Return the files of animals by their names below a folder, ``zoo.json`` with the truth among them."""
    animals = list(animals)
    found = {f"{animal.key}/{name}": read(animal.given) for animal in animals for name, read in FILES.values()}
    return {**found, TABLE: (json.dumps(zoo_table(animals), indent=2) + "\n").encode("ascii")}


def zoo_table(animals: Iterable[Animal]) -> dict[str, object]:
    """Return the truth about animals as JSON-ready data; docs/zoo.md tells the names."""
    lapses = [{"key": lapse.key, "title": lapse.title, "lines": list(lapse.lines)} for lapse in LAPSES.values()]
    return {"format": FORMAT, "at": AT, "animals": [_row(animal) for animal in animals], "lapses": lapses}


def write_zoo(folder: str, animals: Iterable[Animal], name: str = "DIR") -> int:
    """Write animals into a new folder, all of it or nothing; return how many files there are.

    The folder may be there if it is empty. Raises :class:`~sevlab.errors.InputError` with *name* for one that is not,
    or that cannot be made.
    """
    target = Path(folder)
    try:
        if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
            raise InputError(name, f"{quoted(folder)}, which exists", "a new folder, or an empty one")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that it can be renamed; what is left when something fails is cleared away.
        with tempfile.TemporaryDirectory(prefix=".sevlab-", dir=target.resolve().parent) as beside:
            made = Path(beside) / "zoo"
            made.mkdir()
            files = zoo_files(animals)
            fill(made, files)
            os.rename(made, target)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "cannot be used").lower()
        raise InputError(name, f"{quoted(folder)}: {reason}", "a folder that can be written") from None
    return len(files)


def fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a folder that is one's own."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def check_zoo(folder: str, animals: Iterable[Animal], name: str = "--dir") -> None:
    """Check that a folder holds animals as they are made; raises InputError with *name* for any that differs.

    The truth is in sevlab, not in the folder, so the files must be the ones that it speaks of.
    """
    for path, content in zoo_files(animals).items():
        if path == TABLE:
            continue
        try:
            with open(Path(folder) / path, "rb") as stream:
                same = stream.read(len(content) + 1) == content
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "cannot be used").lower()
            raise InputError(name, f"{quoted(path)}: {reason}", "a zoo", "sevlab zoo make DIR") from None
        if not same:
            raise InputError(name, f"{quoted(path)}, which is another", "a zoo of this sevlab", "sevlab zoo make DIR")


def placeholders(animal: Animal, folder: Path) -> dict[str, str]:
    """Return what each name in a command line stands for; files by their whole paths."""
    paths = {name: str(folder / animal.key / file) for name, (file, _) in FILES.items()}
    return {"key": animal.key, **paths, **{name: read(animal.given) for name, read in VALUES.items()}}


def _row(animal: Animal) -> dict[str, object]:
    files = {}
    for name, (file, read) in FILES.items():
        digest = hashlib.sha256(read(animal.given)).hexdigest()
        files[name] = {"path": f"{animal.key}/{file}", "sha256": digest}
    return {
        **{name: getattr(animal, name) for name in ("key", "kind", "accept", "title", "wrong", "right")},
        "lapse": animal.lapse.key if animal.lapse is not None else "",
        "lines": list(animal.lines),
        "incident": animal.incident_name,
        "files": files,
        "values": {name: read(animal.given) for name, read in VALUES.items()},
    }
