"""The launch session: the facts' worked example, both sides, the mistakes of the incidents, and the command."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.session import (
    derive_key,
    derive_session_keys,
    exchange,
    godh_certificate,
    make_private,
    make_session,
    open_session,
    public_key,
    seeded,
    wrap_keys,
)
from sevlab.cli import main
from sevlab.formats.sev_certs import ECDSA_SHA256, PDH, PEK, EccKey
from sevlab.labs.samples import SampleKey
from sevlab.simulator.psp import Platform
from sevlab.simulator.status import FirmwareError
from tests.attestation.test_sev_chain import PLATFORM, path_of
from tests.shared_data import shared_data
from tests.soak import many


def count(start: int, size: int) -> bytes:
    """R(a, n) of the facts: n bytes a, a + 1, ..."""
    return bytes(range(start, start + size))


PRIVATE = sevlab.SecretBytes((0x1234567890ABCDEF).to_bytes(48, "big"))
OTHER = sevlab.SecretBytes((0xFEDCBA0987654321).to_bytes(48, "big"))
POLICY = 0x11000005


def test_the_worked_example_of_the_facts() -> None:
    keys = derive_session_keys(count(0x10, 48), count(0xA0, 16))
    assert keys.master.hex() == "b568f0701a936ec71d96ef18fd8787b1"
    assert keys.kek.hex() == "0322f0771ddc3856b2a6e1cab927db75"
    assert keys.kik.hex() == "60f8bf26fca0bfbb5346431639b85d6f"
    blob = wrap_keys(keys, count(0x50, 16), count(0x70, 16), count(0xC0, 16), sevlab.Policy(POLICY))
    assert blob.wrap_tk.hex() == "41a5b8539312ff93e282e1e840c0db55a36fe8b3cb3ce2e64640b0b12eef6c79"
    assert blob.wrap_mac.hex() == "a05b23e45ac4848a55c5380ca34c77cc5cb67b414b5f2ba8d5218afba3c51192"
    assert blob.policy_mac.hex() == "084034ad3bb75f8101fe2f360450c6d4420891a0f2ed3354944c50a57169dc25"
    whole = hashlib.sha256(blob.to_bytes()).hexdigest()
    assert whole == "c444de24c918d74c6c2ef5e33fcb4661f403512369e7f96b480e7d30a4ee0529"
    wraps = wrap_keys(keys, count(0x50, 16), count(0x70, 16), b"\xff" * 16, sevlab.Policy(POLICY))
    assert wraps.wrap_tk.hex() == "8ae273e8918a40d8e5debddcd1c8ce09540786edf6e5f3f5f11dc2f37655d77b"


def test_the_shared_point_of_the_facts() -> None:
    z = exchange(PRIVATE, public_key(OTHER))
    assert z.hex() == "f63d4d253d19274b982f25524903f9b1debbeb1b1156288b69bec9ebfc962596603309b6a36d3ad73d9c3c0e59b6ea43"
    assert z == exchange(OTHER, public_key(PRIVATE))
    assert derive_session_keys(z, count(0xA0, 16)).master.hex() == "2d30c8b73d03c9b37cbd55b000acafc1"
    body = hashlib.sha256(public_key(PRIVATE).to_bytes()).hexdigest()
    assert body == "650d55988f26350a3f5484528e2922af373c315278e88a673ae7235f1e248ac8"


@given(key=st.binary(min_size=1, max_size=64), context=st.binary(max_size=40))
def test_the_key_derivation_by_another_route(key: bytes, context: bytes) -> None:
    message = (1).to_bytes(4, "little") + b"sev-kek\0" + context + (128).to_bytes(4, "little")
    assert derive_key(key, "sev-kek", context) == hmac.new(key, message, hashlib.sha256).digest()[:16]


@settings(max_examples=many(25, 5))
@given(seed=st.binary(max_size=8), policy=st.integers(0, 0xFFFFFFFF))
def test_the_platform_opens_what_the_owner_makes(seed: bytes, policy: int) -> None:
    pdh = godh_certificate(PRIVATE)
    session = make_session(pdh, policy, random=seeded(seed))
    # These private numbers are mostly zeros, and so is a certificate: a short run of both can be the same.
    assume(not any(number.is_in(session.godh.to_bytes()) for number in (PRIVATE, OTHER)))
    opened = open_session(session.blob, session.godh, PRIVATE, policy)
    assert opened.matches != bool(sevlab.Policy(policy).reserved_6)
    assert (opened.tek, opened.tik) == (session.tek, session.tik)
    again = make_session(pdh, policy, random=seeded(seed))
    assert again.blob == session.blob
    assert not open_session(session.blob, session.godh, PRIVATE, policy ^ 1).matches
    assert not open_session(session.blob, session.godh, OTHER, policy).matches


def test_real_randomness_makes_another_session_each_time() -> None:
    one, other = (make_session(godh_certificate(PRIVATE), 1) for _ in range(2))
    assert one.blob != other.blob
    assert one.tik != other.tik
    assert one.godh != other.godh


@settings(max_examples=many(60, 12))
@given(place=st.integers(0, 128 * 8 - 1))
def test_a_flipped_bit_of_the_session_stops_where_the_firmware_would(place: int) -> None:
    session = make_session(godh_certificate(PRIVATE), POLICY, random=seeded(b"flip"))
    raw = bytearray(session.blob.to_bytes())
    raw[place // 8] ^= 1 << place % 8
    opened = open_session(sevlab.formats.sev_certs.SessionBlob.from_bytes(bytes(raw)), session.godh, PRIVATE, POLICY)
    assert not opened.matches
    failed = [step.name for step in opened.checks if step.state == "mismatch"]
    offset = place // 8
    # The IV is under no MAC. It changes the first counter, and with it TEK and TIK, so that policy_mac fails.
    expected = "policy_mac" if 0x30 <= offset < 0x40 or offset >= 0x60 else "wrap_mac"
    assert failed == [expected]
    assert (opened.tik is None) == (expected == "wrap_mac")


def test_the_mistakes_of_the_incidents_stop_in_their_places() -> None:
    keys = derive_session_keys(exchange(OTHER, public_key(PRIVATE)), count(0, 16))
    tek, tik, iv = count(0x50, 16), count(0x70, 16), count(0xC0, 16)
    policy = sevlab.Policy(POLICY)
    good = wrap_keys(keys, tek, tik, iv, policy)
    godh = godh_certificate(OTHER)
    assert open_session(good, godh, PRIVATE, policy).matches
    # F31: policy_mac under the KIK in place of the TIK.
    wrong = good.replace(policy_mac=hmac.digest(keys.kik, POLICY.to_bytes(4, "little"), "sha256"))
    assert open_session(wrong, godh, PRIVATE, policy).checks[-1][:2] == ("policy_mac", "mismatch")
    # F34: TIK first and then TEK. Everything opens, for both MACs are made with what was packed.
    swapped = open_session(wrap_keys(keys, tik, tek, iv, policy), godh, PRIVATE, policy)
    assert swapped.matches
    assert swapped.tik == sevlab.SecretBytes(tek)
    # F32: coordinates in the other byte order are no point of the curve.
    reversed_ = EccKey(curve=2, qx=godh.key.qx[47::-1] + bytes(24), qy=godh.key.qy[47::-1] + bytes(24))
    broken = open_session(good, godh.replace(key=reversed_), PRIVATE, policy)
    assert [step.state for step in broken.checks] == ["mismatch"]


@pytest.mark.parametrize("change", [{"version": 2}, {"key_usage": PEK}, {"key_algorithm": ECDSA_SHA256}])
def test_a_session_opens_where_the_simulated_platform_takes_it(change: dict[str, Any]) -> None:
    """The MACs cover neither the owner's certificate nor what the firmware wants of a policy."""
    platform = Platform(random=seeded(b"platform"))
    platform.init()
    session = make_session(platform.pdh_cert_export()[PDH], POLICY, random=seeded(b"taken"))
    wrong = session.godh.replace(**change)
    assert open_session(session.blob, session.godh, platform.identity.keys[PDH], POLICY).matches
    opened = open_session(session.blob, wrong, platform.identity.keys[PDH], POLICY)
    assert opened.words == "ERROR: The platform refuses this session"
    assert [check.state for check in opened.checks] == ["mismatch"]
    with pytest.raises(FirmwareError, match="INVALID_CERTIFICATE"):
        platform.launch_start(POLICY, wrong.to_bytes(), session.blob.to_bytes())


def test_a_session_for_reserved_bits_is_refused() -> None:
    session = make_session(godh_certificate(PRIVATE), 0x41, random=seeded(b"reserved"))
    opened = open_session(session.blob, session.godh, PRIVATE, 0x41)
    assert not opened.matches
    assert opened.checks[-1] == ("policy", "mismatch", "reserved bits 15:6 hold 0x1, not known to sevlab", b"", b"", "")


def test_points_of_other_curves_are_refused() -> None:
    """CVE-2019-9836: each of these would tell something about the private number."""
    points = json.loads(shared_data("invalid-curve", "points.json").read_text())["points"]
    for point in points:
        x, y = (int(point[name], 16) for name in ("x", "y"))
        key = EccKey(curve=2, qx=x.to_bytes(72, "little"), qy=y.to_bytes(72, "little"))
        with pytest.raises(sevlab.InputError, match="not a point on P-384"):
            exchange(PRIVATE, key)


def test_keys_stay_hidden_unless_asked_for() -> None:
    session = make_session(godh_certificate(PRIVATE), 1, random=seeded(b"hidden"))
    opened = open_session(session.blob, session.godh, PRIVATE, 1)
    hidden = " ".join([str(session), repr(session), str(opened), json.dumps(opened.as_dict()), repr(session.keys)])
    shown = "".join(str(session.explain(show_keys=True)).split())  # long values take more than one line
    for raw in (session.tek.reveal(), session.tik.reveal(), session.keys.kek, session.keys.master, session.keys.z):
        assert raw.hex() not in hidden
        assert raw.hex() in shown


def test_what_follows_from_a_sample_key_shows_itself() -> None:
    private = make_private(seeded(b"sample"))
    session = make_session(godh_certificate(private), 1, random=seeded(b"shown"))
    opened = open_session(session.blob, session.godh, SampleKey(private.reveal()), 1)
    shown = "".join(str(opened).split())
    for raw in (session.keys.z, session.keys.kek, session.keys.kik, session.tek.reveal(), session.tik.reveal()):
        assert raw.hex() in shown
    assert "hidden" not in shown


def test_only_a_pdh_gets_a_session() -> None:
    with pytest.raises(sevlab.InputError, match="PDH"):
        make_session(godh_certificate(PRIVATE).replace(key_usage=0x1002), 1)


# --- the command


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain"
    path.write_bytes(b"".join(Path(path_of(f"naples-{name}")).read_bytes() for name in PLATFORM))
    return path


def test_the_command_writes_four_private_files_or_none(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["session", str(chain), "0x5"]) == 0
    assert "OK: a session for a genuine Naples platform" in capsys.readouterr().out
    sizes = {"vm_godh.b64": 2780, "vm_session.b64": 172, "vm_tek.bin": 16, "vm_tik.bin": 16}
    for name, size in sizes.items():
        state = (tmp_path / name).stat()
        assert (state.st_size, stat.S_IMODE(state.st_mode)) == (size, 0o600)
    blob = sevlab.formats.sev_certs.SessionBlob.from_bytes(base64.b64decode((tmp_path / "vm_session.b64").read_bytes()))
    tik = (tmp_path / "vm_tik.bin").read_bytes()
    assert blob.policy_mac == hmac.digest(tik, (5).to_bytes(4, "little"), "sha256")
    before = {name: (tmp_path / name).read_bytes() for name in sizes}
    assert main(["session", str(chain), "5"]) == 2
    assert main(["session", str(chain), "5", "--force"]) == 0
    assert capsys.readouterr().err.count("\n") == 1  # of the one before
    assert main(["session", str(chain), "0x45", "--force"]) == 0
    assert capsys.readouterr().err.startswith("WARNING: POLICY: reserved bits 15:6 hold 0x1")
    assert {name: (tmp_path / name).read_bytes() for name in sizes} != before
    (tmp_path / "other_tik.bin").mkdir()
    assert main(["session", "--name", "other", str(chain), "5"]) == 2
    assert [path.name for path in tmp_path.glob("other_*")] == ["other_tik.bin"]


def test_the_command_refuses_a_platform_that_is_not_genuine(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = bytearray(chain.read_bytes())
    raw[0x20] ^= 1  # a bit of the PDH's point
    chain.write_bytes(raw)
    assert main(["session", str(chain), "5"]) == 1
    captured = capsys.readouterr()
    assert "PDH signed by PEK" in captured.err
    assert "no session was made" in captured.err
    assert not list(tmp_path.glob("vm_*"))
    assert main(["session", "--json", str(chain), "5"]) == 1
    assert json.loads(capsys.readouterr().out)["files"] == []


def test_the_command_opens_a_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = make_session(godh_certificate(PRIVATE), 5, random=seeded(b"command"))
    (tmp_path / "pdh.key").write_bytes(PRIVATE.reveal())
    (tmp_path / "godh").write_text(session.godh_base64)
    (tmp_path / "session").write_bytes(session.blob.to_bytes())
    words = ["session", "open", "--pdh-key", *(str(tmp_path / name) for name in ("pdh.key", "godh", "session"))]
    assert main([*words, "--policy", "5"]) == 0
    out = capsys.readouterr().out
    assert "OK: The platform opens this session" in out
    assert session.tik.reveal().hex() not in out
    assert main([*words, "--show-keys"]) == 0
    assert session.tik.reveal().hex() in capsys.readouterr().out
    assert main([*words, "--policy", "4"]) == 1
    assert main([*words, "--policy", "5", "--json"]) == 0
    said = capsys.readouterr().out
    assert json.loads(said[said.index("{") :])["status"] == "match"


@pytest.mark.parametrize(
    ("name", "content"),
    [("pdh.key", b""), ("pdh.key", bytes(48)), ("pdh.key", b"\xff" * 48), ("godh", b"x"), ("session", bytes(127))],
)
def test_bad_parts_are_one_line(name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = make_session(godh_certificate(PRIVATE), 5, random=seeded(b"bad"))
    (tmp_path / "pdh.key").write_bytes(PRIVATE.reveal())
    (tmp_path / "godh").write_bytes(session.godh.to_bytes())
    (tmp_path / "session").write_bytes(session.blob.to_bytes())
    (tmp_path / name).write_bytes(content)
    words = ["session", "open", "--pdh-key", *(str(tmp_path / name) for name in ("pdh.key", "godh", "session"))]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
