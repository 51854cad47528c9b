"""The whole platform: the secure processor, and the commands that move a guest to another platform.

In SEND_START the platform plays the owner's part: it makes keys, and packs them for the receiver as an owner does for a
launch. Source: sev-launch 9.2.
"""

from __future__ import annotations

import hashlib
import hmac

from ..attestation.crypto import aes_ctr, load_point
from ..attestation.session import KEY_SIZE, derive_session_keys, exchange, wrap_keys
from ..attestation.sev_chain import Chain
from ..errors import LayoutError
from ..formats.page_info import PAGE
from ..formats.policy import Policy
from ..formats.secret import SecretFlags, SecretHeader, SecretMessageHead
from ..formats.sev_certs import ARK, OCA, PDH, PEK, SessionBlob, SevCertificate, parse_certificates
from ..launch.keys import Secret
from .memory import FirmwareError, demand
from .psp import BLOCK, SECRET_LIMIT, Firmware, Guest


class Platform(Firmware):
    """A platform: its secure processor, its memory, its guests."""

    def send_start(self, handle: int, pdh: bytes, platform: bytes = b"", amd: bytes = b"") -> SessionBlob:
        """SEND_START: play the owner's part towards another platform, and return the session for it.

        *pdh* is the other platform's PDH, *platform* its PEK, OCA and CEK, *amd* its ASK and ARK: what must be there,
        and in order, is up to the policy. Without its bits SEV and DOMAIN nobody looks at the last two. The PDH of
        this platform is the certificate that goes with the session.
        """
        self._working()
        guest = self._guest(handle)
        guest.demand("RUNNING")
        demand(guest.asid, "INACTIVE")
        demand(not guest.policy.nosend, "POLICY_FAILURE", "the policy forbids sending")
        demand(len(pdh) == SevCertificate.size, "INVALID_LENGTH")
        receiver = SevCertificate.from_bytes(pdh)
        # What is checked below is the chain of the PDH. Keys packed for another certificate would be for anybody.
        demand(receiver.key_usage == PDH, "INVALID_CERTIFICATE", "the receiver's certificate is no PDH")
        demand(load_point(receiver.key) is not None, "INVALID_CERTIFICATE", "the receiver's key is no point of P-384")
        if guest.policy.sev:
            self._check_genuine(_chain(pdh, platform, amd), guest.policy)
        if guest.policy.domain:
            self._check_domain(_chain(pdh, platform))
        guest.tek, guest.tik = Secret(self._random(KEY_SIZE)), Secret(self._random(KEY_SIZE))
        keys = derive_session_keys(exchange(self.identity.keys[PDH], receiver.key), self._random(KEY_SIZE))
        guest.move("SUPDATE")
        return wrap_keys(keys, guest.tek.reveal(), guest.tik.reveal(), self._random(KEY_SIZE), guest.policy)

    def _check_genuine(self, other: Chain, policy: Policy) -> None:
        """The policy's SEV bit: AMD's chain of the receiver holds, under the root of this platform's own."""
        links = other.verify(roots={_fingerprint(self.identity.chain): "own"}).checks
        right = all(link.state == "match" for link in links if "OCA" not in link.name)
        demand(right, "BAD_SIGNATURE", "the receiver is no genuine platform")
        pek = other[PEK]
        demand((policy.api_major, policy.api_minor) <= (pek.api_major, pek.api_minor), "POLICY_FAILURE")

    def _check_domain(self, other: Chain) -> None:
        """The policy's DOMAIN bit: the receiver has the same owner."""
        states = {link.name: link.state for link in other.verify().checks}
        needed = ("OCA signed by itself", "PEK signed by OCA", "PDH signed by PEK")
        demand(all(states[name] == "match" for name in needed), "BAD_SIGNATURE", "the receiver's certificates")
        demand(other[OCA] == self.identity.certificates[OCA], "POLICY_FAILURE", "the receiver has another owner")

    def send_update_data(self, handle: int, address: int, length: int) -> tuple[bytes, bytes]:
        """SEND_UPDATE_DATA: a piece of the guest's memory as a packet: header (52 bytes) and payload."""
        self._working()
        guest = self._guest(handle)
        guest.demand("SUPDATE")
        demand(address % BLOCK == 0, "INVALID_ADDRESS")
        demand(0 < length <= SECRET_LIMIT and length % BLOCK == 0, "INVALID_LENGTH")
        iv = self._random(KEY_SIZE)
        payload = aes_ctr(guest.tek.reveal(), iv, self.memory.read(address, length, guest.key.reveal()))
        mac = _data_mac(guest, SecretFlags(0), iv, payload)
        return SecretHeader(flags=SecretFlags(0), iv=iv, mac=mac).to_bytes(), payload

    def send_update_vmsa(self, handle: int, address: int) -> tuple[bytes, bytes]:
        """SEND_UPDATE_VMSA: the registers of one virtual CPU (4096 bytes), of SEV-ES guests."""
        self._working()
        demand(self._guest(handle).policy.es, "UNSUPPORTED", "the guest is no SEV-ES guest")
        return self.send_update_data(handle, address, PAGE)

    def send_finish(self, handle: int) -> None:
        """SEND_FINISH: all is sent."""
        self._working()
        guest = self._guest(handle)
        guest.demand("SUPDATE")
        guest.wipe()
        guest.move("SENT")

    def send_cancel(self, handle: int) -> None:
        """SEND_CANCEL: go on running here."""
        self._working()
        guest = self._guest(handle)
        guest.demand("SUPDATE")
        guest.wipe()
        guest.move("RUNNING")

    def receive_start(self, policy: int, pdh: bytes, session: bytes) -> int:
        """RECEIVE_START: as LAUNCH_START, with the sender's PDH; certificate and session are needed."""
        self._begun()
        guest = Guest(policy)
        demand(len(session) == SessionBlob.size and len(pdh) == SevCertificate.size, "INVALID_LENGTH")
        blob = SessionBlob.from_bytes(session)
        guest.tek, guest.tik = self._keys(SevCertificate.from_bytes(pdh), blob)
        self._check_policy(guest, blob)
        return self._admit(guest, "RUPDATE")

    def receive_update_data(self, handle: int, header: bytes, address: int, payload: bytes) -> None:
        """RECEIVE_UPDATE_DATA: check a packet of the sender, and write it into the guest's memory."""
        self._working()
        guest = self._guest(handle)
        guest.demand("RUPDATE")
        demand(guest.asid, "INACTIVE")
        demand(address % BLOCK == 0, "INVALID_ADDRESS")
        fits = 0 < len(payload) <= SECRET_LIMIT and len(payload) % BLOCK == 0
        demand(len(header) == SecretHeader.size and fits, "INVALID_LENGTH")
        packet = SecretHeader.from_bytes(header)
        right = hmac.compare_digest(_data_mac(guest, packet.flags, packet.iv, payload), packet.mac)
        demand(right, "BAD_MEASUREMENT", "the packet's MAC is wrong")
        self.memory.write(address, aes_ctr(guest.tek.reveal(), packet.iv, payload), guest.key.reveal())

    def receive_update_vmsa(self, handle: int, header: bytes, address: int, payload: bytes) -> None:
        """RECEIVE_UPDATE_VMSA: the registers of one virtual CPU (4096 bytes), of SEV-ES guests."""
        self._working()
        demand(self._guest(handle).policy.es, "UNSUPPORTED", "the guest is no SEV-ES guest")
        demand(len(payload) == PAGE, "INVALID_LENGTH")
        self.receive_update_data(handle, header, address, payload)

    def receive_finish(self, handle: int) -> None:
        """RECEIVE_FINISH: all is there; the guest runs. It has no measurement here."""
        self._working()
        guest = self._guest(handle)
        guest.demand("RUPDATE")
        guest.wipe()
        guest.move("RUNNING")


def _data_mac(guest: Guest, flags: SecretFlags, iv: bytes, payload: bytes) -> bytes:
    """Return the MAC of a migration packet: as a secret's, with context 0x02 and without the measure."""
    head = SecretMessageHead(context=2, flags=flags, iv=iv, guest_length=len(payload), trans_length=len(payload))
    return hmac.digest(guest.tik.reveal(), head.to_bytes() + payload, "sha256")


def _chain(*parts: bytes) -> Chain:
    try:
        return Chain(one for part in parts for one in parse_certificates(part))
    except LayoutError:
        raise FirmwareError("INVALID_CERTIFICATE", "bytes that are no certificates") from None


def _fingerprint(chain: Chain) -> str:
    return hashlib.sha256(chain[ARK].to_bytes()).hexdigest()
