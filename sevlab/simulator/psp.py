"""The secure processor: SEV's commands, each with its checks in the firmware's own order.

A command returns what the firmware returns, or raises :class:`~sevlab.simulator.status.FirmwareError`. The host calls
it with addresses and lengths, as through its driver; the bytes are in :class:`~sevlab.simulator.memory.Memory`.

Source: sev-launch 1 to 3, 8 and 9, from AMD's published firmware. A comment marks each choice that it leaves open.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

from ..attestation.crypto import aes_ctr, load_point
from ..attestation.session import KEY_SIZE, Z_SIZE, derive_session_keys, exchange, is_godh, unwrap_keys, wrap_keys
from ..attestation.sev_chain import Chain
from ..errors import LayoutError
from ..formats import sev_certs
from ..formats.launch_measure import Measurement, MeasureMessage, OldMeasureMessage
from ..formats.page_info import PAGE
from ..formats.policy import Policy
from ..formats.secret import SecretFlags, SecretHeader, SecretMessageHead
from ..formats.sev_certs import CEK, OCA, PDH, PEK, AttestationReport, SessionBlob, SevCertificate
from ..launch.keys import SecretBytes
from ..launch.measure import compute_measure
from .curve import multiply
from .identity import Identity, sample_roots
from .memory import Memory
from .status import FirmwareError, demand

#: The first API whose measure has a context byte and a version, and whose secret's MAC covers the measure.
NEW_MESSAGES = (0, 17)
PLATFORM_STATES = ("UNINIT", "INIT", "WORKING")
#: From where a guest may go where (sev-launch 1.2). Every state may end in UNINIT, by DECOMMISSION.
MOVES = {
    "UNINIT": {"LUPDATE", "RUPDATE"},
    "LUPDATE": {"LSECRET"},
    "LSECRET": {"RUNNING"},
    "RUNNING": {"SUPDATE"},
    "SUPDATE": {"SENT", "RUNNING"},
    "RUPDATE": {"RUNNING"},
    "SENT": set[str](),
}
#: Historical faults that can be switched on, and what each leaves out.
FAULTS = {
    "no-curve-check": "LAUNCH_START takes an owner's point that is not on the curve (CVE-2019-9836)",
    "no-secret-mac": "LAUNCH_SECRET takes a packet whose MAC is wrong (to see what the MAC is for)",
    "rollback": "DOWNLOAD_FIRMWARE takes an older firmware, with the faults of its time (arXiv 1908.11680)",
    "unprotected-page-tables": "the host may replace a guest's page with another (CVE-2020-12967)",
}
#: The firmware's scratch buffer for a secret, and how many guests there can be.
SECRET_LIMIT, GUESTS, ASIDS = 0x5000, 64, 509
BLOCK = 16


class Guest:
    """One guest: policy, state, address space number (0: not active), keys, and the hash over what was loaded."""

    def __init__(self, policy: int) -> None:
        self.policy = Policy(policy)
        self.state, self.asid = "UNINIT", 0
        #: The memory key; drawn or shared when the guest is admitted.
        self.key = SecretBytes(bytes(32))
        self.wipe()
        self.running = hashlib.sha256()
        #: Pages of the guest that the host put elsewhere: page number of the guest, page number of the machine.
        self.pages: dict[int, int] = {}
        self.digest, self.measure = bytes(32), bytes(32)

    def move(self, state: str) -> None:
        assert state in MOVES[self.state], f"{self.state} does not go to {state}"
        self.state = state

    def demand(self, *states: str) -> None:
        """Refuse a command that needs another state."""
        demand(self.state in states, "INVALID_GUEST_STATE", f"{self.state}; needed {' or '.join(states)}")

    def wipe(self) -> None:
        """Forget the keys of the launch."""
        self.tek, self.tik = SecretBytes(bytes(16)), SecretBytes(bytes(16))


class Platform:
    """A platform: its secure processor, its memory and its guests. *api* is (major, minor) of the SEV API, *build*
    the firmware's build. *random* returns random bytes; :func:`sevlab.attestation.session.seeded` makes a run that can
    be repeated. *faults* are keys of :data:`FAULTS`.
    """

    def __init__(
        self,
        *,
        api: tuple[int, int] = (1, 55),
        build: int = 25,
        random: Callable[[int], bytes] = secrets.token_bytes,
        faults: frozenset[str] | set[str] = frozenset(),
        es: bool = True,
    ) -> None:
        if unknown := sorted(set(faults) - set(FAULTS)):
            raise TypeError(f"no fault is named {unknown[0]!r}; there are {', '.join(FAULTS)}")
        self.api, self.build, self.faults, self.es = api, build, frozenset(faults), es
        #: The newest firmware that ever ran here: API and build.
        self.newest = (*api, build)
        self.memory = Memory()
        self.state = "UNINIT"
        self._random = random
        self.identity = Identity(random, api)
        self.guests: dict[int, Guest] = {}
        #: Address space numbers whose guests may still be in the caches, and whether WBINVD ran since the last of them.
        self._unflushed: set[int] = set()
        self._written_back = True

    def init(self) -> None:
        """INIT: begin."""
        demand(self.state == "UNINIT", "INVALID_PLATFORM_STATE", self.state)
        self.state = "INIT"

    def shutdown(self) -> None:
        """SHUTDOWN: end every guest, whatever the state."""
        for guest in self.guests.values():
            self._release(guest)
        self.guests.clear()
        self.state = "UNINIT"

    def platform_reset(self) -> None:
        """PLATFORM_RESET: new OCA, PEK and PDH; the chip's CEK stays. Before INIT alone (Linux, drivers/crypto/ccp)."""
        demand(self.state == "UNINIT", "INVALID_PLATFORM_STATE", self.state)
        self.identity.make_oca()

    def wbinvd(self) -> None:
        """WBINVD on every core: not a command, but what a host does before DF_FLUSH."""
        self._written_back = True

    def df_flush(self) -> None:
        """DF_FLUSH, after a WBINVD (arch/x86/kvm/svm/sev.c): address space numbers given back can be used again."""
        self._begun()
        demand(self._written_back, "WBINVD_REQUIRED")
        self._unflushed.clear()

    def platform_status(self) -> dict[str, int | str]:
        """PLATFORM_STATUS, in any state."""
        known: dict[str, int | str] = {"api_major": self.api[0], "api_minor": self.api[1], "build_id": self.build}
        return known | {"state": self.state, "es": int(self.es), "guest_count": len(self.guests)}

    def pek_gen(self) -> None:
        """PEK_GEN: a new platform key, while there is no guest."""
        demand(self.state == "INIT", "INVALID_PLATFORM_STATE", self.state)
        self.identity.make_pek()

    def pdh_gen(self) -> None:
        """PDH_GEN: a new Diffie-Hellman key."""
        self._begun()
        self.identity.make_pdh()

    def pdh_cert_export(self) -> Chain:
        """PDH_CERT_EXPORT: the platform's certificates, with those of the root."""
        self._begun()
        return self.identity.chain

    def get_id(self) -> bytes:
        """GET_ID: 64 bytes that name the chip."""
        return self.identity.chip_id

    def download_firmware(self, api: tuple[int, int], build: int) -> None:
        """DOWNLOAD_FIRMWARE: another version, while there is no guest. An older one is BAD_VERSION (chosen here)."""
        demand(self.state in ("UNINIT", "INIT"), "INVALID_PLATFORM_STATE", self.state)
        older = (*api, build) < (*self.api, self.build)
        demand(not older or "rollback" in self.faults, "BAD_VERSION", "an older firmware")
        self.api, self.build = api, build
        self.newest = max(self.newest, (*api, build))

    def leak_cek(self) -> SecretBytes:
        """As foreign code in an older firmware (fault ``rollback``): read the chip's CEK (48 bytes, big-endian)."""
        weak = "rollback" in self.faults and (*self.api, self.build) < self.newest
        demand(weak, "UNSUPPORTED", "the CEK does not leave the chip")
        return self.identity.keys[CEK]

    def launch_start(
        self, policy: int, godh: bytes | None = None, session: bytes | None = None, handle: int = 0
    ) -> int:
        """LAUNCH_START: take the owner's certificate and session; return the new guest's handle.

        Without a certificate the keys are all zero, and anybody can compute the measure. *handle* is a guest whose
        memory key is shared, 0 for none.
        """
        self._begun()
        guest = Guest(policy)
        if godh is not None:
            self._open_session(guest, godh, session or b"")
        if not handle:
            return self._admit(guest, "LUPDATE")
        other = self._guest(handle)
        demand(other.policy == policy and not other.policy.noks, "POLICY_FAILURE", "the key cannot be shared")
        return self._admit(guest, "LUPDATE", other.key)

    def _admit(self, guest: Guest, state: str, shared: SecretBytes | None = None) -> int:
        """Give a new guest a handle, the lowest that is free, and a memory key unless it shares one."""
        free = next((number for number in range(1, GUESTS + 1) if number not in self.guests), 0)
        demand(free, "RESOURCE_LIMIT", f"there are {GUESTS} guests")
        demand(self.es or not guest.policy.es, "UNSUPPORTED", "this platform has no SEV-ES")
        guest.key = shared or SecretBytes(self._random(32))
        guest.move(state)
        self.guests[free] = guest
        self.state = "WORKING"
        return free

    def _open_session(self, guest: Guest, certificate: bytes, session: bytes) -> None:
        """Unwrap TEK and TIK, whose wrap_mac is checked before, and check the policy."""
        sizes = len(certificate), len(session)
        right = sizes == (SevCertificate.size, SessionBlob.size)
        demand(right, "INVALID_LENGTH", f"certificate and session have {sizes[0]} and {sizes[1]} bytes")
        godh, blob = SevCertificate.from_bytes(certificate), SessionBlob.from_bytes(session)
        demand(is_godh(godh), "INVALID_CERTIFICATE", "the owner's certificate is no PDH")
        private = self.identity.keys[PDH]
        if load_point(godh.key) is not None:
            z = exchange(private, godh.key)
        else:
            demand("no-curve-check" in self.faults, "INVALID_CERTIFICATE", "the owner's key is no point of the curve")
            point = multiply((godh.key.x, godh.key.y), int.from_bytes(private.reveal(), "big"))
            z = (point[0] if point else 0).to_bytes(Z_SIZE, "big")
        opened = unwrap_keys(derive_session_keys(z, blob.nonce), blob)
        if opened is None:
            raise FirmwareError("BAD_MEASUREMENT", "wrap_mac is wrong")
        guest.tek, guest.tik = opened
        policy = guest.policy
        computed = hmac.digest(guest.tik.reveal(), int(policy).to_bytes(4, "little"), "sha256")
        demand(hmac.compare_digest(computed, blob.policy_mac), "BAD_MEASUREMENT", "policy_mac is wrong")
        is_new = (policy.api_major, policy.api_minor) > self.api
        demand(not is_new, "POLICY_FAILURE", "the policy asks for a newer firmware")
        demand(not policy.reserved_6, "POLICY_FAILURE", "reserved bits of the policy are set")

    def activate(self, handle: int, asid: int) -> None:
        """ACTIVATE: bind a guest to an address space number. The order of these checks is chosen here."""
        guest = self._working_guest(handle)
        demand(0 < asid <= ASIDS, "INVALID_ASID")
        demand(not guest.asid, "ACTIVE")
        demand(all(other.asid != asid for other in self.guests.values()), "ASID_OWNED")
        demand(asid not in self._unflushed, "DF_FLUSH_REQUIRED")
        guest.asid = asid

    def deactivate(self, handle: int) -> None:
        """DEACTIVATE: take the address space number back."""
        guest = self._working_guest(handle)
        demand(guest.asid, "INACTIVE")
        self._release(guest)

    def _release(self, guest: Guest) -> None:
        if guest.asid:
            self._unflushed.add(guest.asid)
            self._written_back, guest.asid = False, 0

    def launch_update_data(self, handle: int, address: int, length: int) -> None:
        """LAUNCH_UPDATE_DATA: hash what the host wrote at *address*, then encrypt it in place."""
        guest = self._loading(handle)
        demand(address % BLOCK == 0, "INVALID_ADDRESS")
        demand(length and length % BLOCK == 0, "INVALID_LENGTH")
        self._take(guest, address, length)

    def launch_update_vmsa(self, handle: int, address: int, length: int = PAGE) -> None:
        """LAUNCH_UPDATE_VMSA: the same for the registers of one virtual CPU (4096 bytes)."""
        guest = self._loading(handle)
        demand(address % BLOCK == 0, "INVALID_ADDRESS")
        demand(length == PAGE, "INVALID_LENGTH")
        demand(guest.policy.es, "UNSUPPORTED", "the guest is not an SEV-ES guest")
        self._take(guest, address, length)

    def _loading(self, handle: int) -> Guest:
        guest = self._working_guest(handle, "LUPDATE")
        demand(guest.asid, "INACTIVE")
        return guest

    def _take(self, guest: Guest, address: int, length: int) -> None:
        data = self.memory.read(address, length)
        guest.running.update(data)
        self.memory.write(address, data, guest.key.reveal())

    def launch_measure(self, handle: int, length: int = Measurement.size) -> Measurement:
        """LAUNCH_MEASURE: end the loading, and return the measure with a new nonce. Nothing can be added afterwards."""
        guest = self._working_guest(handle, "LUPDATE")
        demand(length >= Measurement.size, "INVALID_LENGTH", f"{Measurement.size} bytes are needed")
        guest.digest = guest.running.digest()
        mnonce = self._random(KEY_SIZE)
        known = {"policy": guest.policy, "digest": guest.digest, "mnonce": mnonce}
        message: MeasureMessage | OldMeasureMessage = OldMeasureMessage(**known)
        if self.api >= NEW_MESSAGES:
            message = MeasureMessage(api_major=self.api[0], api_minor=self.api[1], build_id=self.build, **known)
        guest.measure = compute_measure(message, guest.tik)
        guest.move("LSECRET")
        return Measurement(measure=guest.measure, mnonce=mnonce)

    def launch_secret(
        self, handle: int, header: bytes, address: int, payload: bytes, length: int | None = None
    ) -> None:
        """LAUNCH_SECRET: check and decrypt a packet; write it to *address*. *length* is the payload's, in bytes."""
        guest = self._working_guest(handle)
        length = len(payload) if length is None else length
        demand(address % BLOCK == 0, "INVALID_ADDRESS")
        fits = 0 < length <= SECRET_LIMIT and length % BLOCK == 0 and length == len(payload)
        demand(len(header) == SecretHeader.size and fits, "INVALID_LENGTH")
        guest.demand("LSECRET")
        demand(guest.asid, "INACTIVE")
        packet = SecretHeader.from_bytes(header)
        head = SecretMessageHead(flags=packet.flags, iv=packet.iv, guest_length=length, trans_length=len(payload))
        tail = guest.measure if self.api >= NEW_MESSAGES else b""
        computed = hmac.digest(guest.tik.reveal(), head.to_bytes() + payload + tail, "sha256")
        right = hmac.compare_digest(computed, packet.mac) or "no-secret-mac" in self.faults
        demand(right, "BAD_MEASUREMENT", "the packet's MAC is wrong")
        demand(not int(packet.flags) & 1, "UNSUPPORTED", "compressed secrets")
        self.memory.write(address, aes_ctr(guest.tek.reveal(), packet.iv, payload), guest.key.reveal())

    def launch_finish(self, handle: int) -> None:
        """LAUNCH_FINISH: wipe the keys of the launch, and let the guest run."""
        self._end(handle, "LSECRET", "RUNNING")

    def guest_status(self, handle: int) -> dict[str, int | str]:
        """GUEST_STATUS."""
        guest = self._working_guest(handle)
        return {"policy": int(guest.policy), "asid": guest.asid, "state": guest.state}

    def attestation(self, handle: int, mnonce: bytes, length: int = AttestationReport.size) -> AttestationReport:
        """ATTESTATION: a report about a guest, signed with the PEK. *mnonce* is the asker's (16 bytes)."""
        guest = self._working_guest(handle, "LSECRET", "RUNNING", "SUPDATE", "SENT")
        demand(length >= AttestationReport.size, "INVALID_LENGTH", f"{AttestationReport.size} bytes are needed")
        blank = bytes(72)
        report = AttestationReport(mnonce=mnonce, digest=guest.digest, policy=guest.policy, r=blank, s=blank)
        made = self.identity.sign(PEK, report.signed)
        return report.replace(r=made.r, s=made.s)

    def dbg_decrypt(self, handle: int, address: int, size: int) -> bytes:
        """DBG_DECRYPT: a guest's memory in clear, if the policy allows debugging. Its state does not matter here."""
        return self.memory.read(address, size, self._debugged(handle, address, size).key.reveal())

    def dbg_encrypt(self, handle: int, address: int, data: bytes) -> None:
        """DBG_ENCRYPT: write into a guest's memory, if the policy allows debugging."""
        self.memory.write(address, data, self._debugged(handle, address, len(data)).key.reveal())

    def _debugged(self, handle: int, address: int, size: int) -> Guest:
        guest = self._working_guest(handle)
        demand(not guest.policy.nodbg, "POLICY_FAILURE", "the policy forbids debugging")
        demand(address % BLOCK == 0, "INVALID_ADDRESS")
        demand(size and size % BLOCK == 0, "INVALID_LENGTH")
        return guest

    def read_as_guest(self, handle: int, address: int, size: int) -> bytes:
        """Return what the guest reads: decrypted, and through the page tables that the host keeps."""
        guest = self._guest(handle)
        key, read = guest.key.reveal(), b""
        while len(read) < size:
            number, offset = divmod(address + len(read), PAGE)
            part = min(PAGE - offset, size - len(read))
            read += self.memory.read(guest.pages.get(number, number) * PAGE + offset, part, key)
        return read

    def remap(self, handle: int, address: int, other: int) -> None:
        """As a host: put page *other* where the guest has *address*; needs the fault ``unprotected-page-tables``."""
        demand("unprotected-page-tables" in self.faults, "INVALID_PAGE_OWNER", "the page tables are protected")
        demand(address % PAGE == 0 and other % PAGE == 0, "INVALID_ADDRESS")
        self._guest(handle).pages[address // PAGE] = other // PAGE

    def decommission(self, handle: int) -> None:
        """DECOMMISSION: end a guest, in any state."""
        self._release(self._working_guest(handle))
        del self.guests[handle]
        if not self.guests:
            self.state = "INIT"

    def send_start(self, handle: int, pdh: bytes, platform: bytes = b"", amd: bytes = b"") -> SessionBlob:
        """SEND_START: make keys, pack them for another platform as an owner does, and return the session.

        *pdh* is the other platform's PDH, *platform* its PEK, OCA and CEK, *amd* its ASK and ARK. The last two are
        checked only if the policy has its bit SEV or DOMAIN. This platform's PDH goes with the session.
        """
        guest = self._working_guest(handle, "RUNNING")
        demand(guest.asid, "INACTIVE")
        demand(not guest.policy.nosend, "POLICY_FAILURE", "the policy forbids sending")
        demand(len(pdh) == SevCertificate.size, "INVALID_LENGTH")
        receiver = SevCertificate.from_bytes(pdh)
        # Only the chain of the PDH is checked below, so the keys must be packed for nothing else.
        demand(receiver.key_usage == PDH, "INVALID_CERTIFICATE", "the receiver's certificate is not a PDH")
        demand(load_point(receiver.key) is not None, "INVALID_CERTIFICATE", "the receiver's key is not on P-384")
        if guest.policy.sev:
            self._check_genuine(_chain(pdh, platform, amd), guest.policy)
        if guest.policy.domain:
            self._check_domain(_chain(pdh, platform))
        guest.tek, guest.tik = SecretBytes(self._random(KEY_SIZE)), SecretBytes(self._random(KEY_SIZE))
        keys = derive_session_keys(exchange(self.identity.keys[PDH], receiver.key), self._random(KEY_SIZE))
        guest.move("SUPDATE")
        return wrap_keys(keys, guest.tek.reveal(), guest.tik.reveal(), self._random(KEY_SIZE), guest.policy)

    def _check_genuine(self, other: Chain, policy: Policy) -> None:
        """The policy's SEV bit: AMD's chain of the receiver holds, under the root of this platform's own."""
        links = other.verify(roots=sample_roots()).checks
        right = all(link.state == "match" for link in links if "OCA" not in link.name)
        demand(right, "BAD_SIGNATURE", "the receiver is no genuine platform")
        pek = other[PEK]
        demand((policy.api_major, policy.api_minor) <= (pek.api_major, pek.api_minor), "POLICY_FAILURE")

    def _check_domain(self, other: Chain) -> None:
        states = {link.name: link.state for link in other.verify().checks}
        needed = ("OCA signed by itself", "PEK signed by OCA", "PDH signed by PEK")
        demand(all(states[name] == "match" for name in needed), "BAD_SIGNATURE", "the receiver's certificates")
        demand(other[OCA] == self.identity.certificates[OCA], "POLICY_FAILURE", "the receiver has another owner")

    def send_update_data(self, handle: int, address: int, length: int) -> tuple[bytes, bytes]:
        """SEND_UPDATE_DATA: a piece of the guest's memory as a packet: header (52 bytes) and payload."""
        guest = self._working_guest(handle, "SUPDATE")
        demand(address % BLOCK == 0, "INVALID_ADDRESS")
        demand(0 < length <= SECRET_LIMIT and length % BLOCK == 0, "INVALID_LENGTH")
        iv = self._random(KEY_SIZE)
        payload = aes_ctr(guest.tek.reveal(), iv, self.memory.read(address, length, guest.key.reveal()))
        mac = _data_mac(guest, SecretFlags(0), iv, payload)
        return SecretHeader(flags=SecretFlags(0), iv=iv, mac=mac).to_bytes(), payload

    def send_update_vmsa(self, handle: int, address: int) -> tuple[bytes, bytes]:
        """SEND_UPDATE_VMSA: the registers of one virtual CPU (4096 bytes), of SEV-ES guests."""
        demand(self._working_guest(handle).policy.es, "UNSUPPORTED", "the guest is not an SEV-ES guest")
        return self.send_update_data(handle, address, PAGE)

    def send_finish(self, handle: int) -> None:
        """SEND_FINISH: all is sent."""
        self._end(handle, "SUPDATE", "SENT")

    def send_cancel(self, handle: int) -> None:
        """SEND_CANCEL: go on running here."""
        self._end(handle, "SUPDATE", "RUNNING")

    def receive_start(self, policy: int, pdh: bytes, session: bytes) -> int:
        """RECEIVE_START: as LAUNCH_START, with the sender's PDH; certificate and session are needed."""
        self._begun()
        guest = Guest(policy)
        self._open_session(guest, pdh, session)
        return self._admit(guest, "RUPDATE")

    def receive_update_data(self, handle: int, header: bytes, address: int, payload: bytes) -> None:
        """RECEIVE_UPDATE_DATA: check a packet of the sender, and write it into the guest's memory."""
        guest = self._working_guest(handle, "RUPDATE")
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
        demand(self._working_guest(handle).policy.es, "UNSUPPORTED", "the guest is not an SEV-ES guest")
        demand(len(payload) == PAGE, "INVALID_LENGTH")
        self.receive_update_data(handle, header, address, payload)

    def receive_finish(self, handle: int) -> None:
        """RECEIVE_FINISH: all is there; the guest runs. It has no measurement here."""
        self._end(handle, "RUPDATE", "RUNNING")

    def _begun(self) -> None:
        demand(self.state in ("INIT", "WORKING"), "INVALID_PLATFORM_STATE", self.state)

    def _working_guest(self, handle: int, *states: str) -> Guest:
        """Return a guest while the platform is at work, in one of *states* if any are named."""
        demand(self.state == "WORKING", "INVALID_PLATFORM_STATE", self.state)
        guest = self._guest(handle)
        if states:
            guest.demand(*states)
        return guest

    def _end(self, handle: int, state: str, after: str) -> None:
        guest = self._working_guest(handle, state)
        guest.wipe()
        guest.move(after)

    def _guest(self, handle: int) -> Guest:
        demand(handle in self.guests, "INVALID_GUEST", f"no guest has handle {handle}")
        return self.guests[handle]


def _data_mac(guest: Guest, flags: SecretFlags, iv: bytes, payload: bytes) -> bytes:
    """Return the MAC of a migration packet: as a secret's, with context 0x02 and without the measure."""
    head = SecretMessageHead(context=2, flags=flags, iv=iv, guest_length=len(payload), trans_length=len(payload))
    return hmac.digest(guest.tik.reveal(), head.to_bytes() + payload, "sha256")


def _chain(*parts: bytes) -> Chain:
    try:
        return Chain(one for part in parts for one in sev_certs.parse_certificates(part))
    except LayoutError:
        raise FirmwareError("INVALID_CERTIFICATE", "these bytes are not certificates") from None
