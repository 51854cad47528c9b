"""The verdict: reported against computed, what it may say and what it may not."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sevlab
from sevlab.labs import samples
from sevlab.launch import verify

FIELDS = ["context", "api_major", "api_minor", "build_id", "policy", "digest", "mnonce"]


def launch(
    versions: tuple[int, int, int] = (0, 22, 13), policy: int = 1, tik: bytes = samples.TIK, digest: bytes = bytes(32)
) -> sevlab.launch.evidence.Evidence:
    """Evidence of a launch that validates; the measure is made here, by hand."""
    raw = bytes([4, *versions]) + policy.to_bytes(4, "little") + digest + samples.MNONCE
    return sevlab.load_evidence(
        measurement=sevlab.Measurement.from_bytes(hmac.new(tik, raw, hashlib.sha256).digest() + samples.MNONCE),
        api_major=versions[0],
        api_minor=versions[1],
        build_id=versions[2],
        policy=policy,
        digest=digest,
        tik=sevlab.SecretBytes(tik),
        tek=sevlab.SecretBytes(samples.TEK),
    )


@given(
    versions=st.tuples(*[st.integers(0, 255)] * 3),
    policy=st.integers(0, 0xFFFFFFFF),
    tik=st.binary(min_size=16, max_size=16),
    digest=st.binary(min_size=32, max_size=32),
)
def test_every_honest_launch_validates(versions: tuple[int, int, int], policy: int, tik: bytes, digest: bytes) -> None:
    verdict = sevlab.compare_measure(launch(versions, policy, tik, digest))
    assert verdict.matches
    assert verdict.status == "match"
    assert {check.state for check in verdict.checks} == {"match", "not checked"}


@given(position=st.integers(0, 8 * 48 - 1))
def test_no_flipped_bit_of_a_measurement_validates(position: int) -> None:
    evidence = launch()
    raw = bytearray(evidence.measurement.to_bytes())
    raw[position // 8] ^= 1 << position % 8
    flipped = evidence.replace(measurement=sevlab.Measurement.from_bytes(bytes(raw)))
    verdict = sevlab.compare_measure(flipped)
    assert not verdict.matches
    assert verdict.status == "mismatch"


CHANGES = [
    {"api_major": 1},
    {"api_minor": 21},
    {"build_id": 12},
    {"policy": 0},
    {"policy": 0x01000001},
    {"digest": b"\1" + bytes(31)},
    {"tik": sevlab.SecretBytes(samples.TEK)},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_mismatch_says_no_more_than_it_knows(change: dict[str, object]) -> None:
    evidence = launch()
    verdict = sevlab.compare_measure(evidence.replace(**change))
    states = {check.name: check.state for check in verdict.checks}
    assert states == {"measure": "mismatch", **dict.fromkeys(FIELDS, "cannot tell"), "tek": "not checked"}
    assert verdict.reported == evidence.measurement.measure
    assert verdict.computed != verdict.reported


def test_another_tek_changes_nothing_and_the_verdict_says_so() -> None:
    verdict = sevlab.compare_measure(launch().replace(tek=sevlab.SecretBytes(bytes(16))))
    assert verdict.matches
    assert verdict.checks[-1].name == "tek"
    assert verdict.checks[-1].state == "not checked"


def test_a_match_confirms_every_field_by_its_bytes() -> None:
    verdict = sevlab.compare_measure(launch(policy=0x01020304, digest=bytes(range(32))))
    computed = {check.name: check.computed.hex() for check in verdict.checks}
    assert list(computed) == ["measure", *FIELDS, "tek"]
    assert computed["policy"] == "04030201"
    assert computed["digest"] == bytes(range(32)).hex()


def test_verify_raises_on_mismatch_only() -> None:
    good = launch()
    assert sevlab.verify_measure(good).matches
    with pytest.raises(sevlab.MismatchError) as caught:
        sevlab.verify_measure(good.replace(build_id=0))
    assert str(caught.value) == "Measurement does not match, VM is not trustworthy"
    assert caught.value.comparison.reported == good.measurement.measure


def test_measures_compare_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = hmac.compare_digest
    monkeypatch.setattr(verify.hmac, "compare_digest", lambda a, b: asked.append((a, b)) or real(a, b))
    verdict = sevlab.compare_measure(launch())
    assert asked == [(verdict.reported, verdict.computed)]


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (launch(), []),
        (launch(policy=0), ["NODBG"]),
        (launch(policy=0x41), ["reserved bits 15:6 hold 0x1"]),
        (launch(policy=0x8000), ["reserved bits 15:6 hold 0x200", "NODBG"]),
        (launch(tik=bytes(16)), ["all zero"]),
    ],
    ids=["nothing", "debug", "reserved", "both", "zero key"],
)
def test_warnings_of_a_launch_that_matches(evidence: sevlab.launch.evidence.Evidence, words: list[str]) -> None:
    verdict = sevlab.compare_measure(evidence)
    assert verdict.matches
    assert len(verdict.warnings) == len(words)
    for warning, word in zip(verdict.warnings, words, strict=True):
        assert word in warning
        assert word in str(verdict).replace("\n", " ")


def test_the_banner_is_libvirt_s_first_line() -> None:
    good = sevlab.compare_measure(launch())
    bad = sevlab.compare_measure(launch().replace(policy=3))
    assert str(good).splitlines()[0].strip() == "OK: Looks good to me"
    assert str(bad).splitlines()[0].strip() == "ERROR: Measurement does not match, VM is not trustworthy"
    assert "ERROR: Measurement does not match" not in good._repr_html_()
    assert "OK: Looks good" not in bad._repr_html_()


def test_a_verdict_is_json() -> None:
    verdict = sevlab.compare_measure(launch())
    data = json.loads(json.dumps(verdict.as_dict()))
    assert list(data) == ["status", "reported", "computed", "checks", "warnings"]
    assert data["reported"] == data["computed"] == verdict.computed.hex()
    assert [check["name"] for check in data["checks"]] == ["measure", *FIELDS, "tek"]
    assert {*data["checks"][0]} == {"name", "state", "reported", "computed", "note"}


def test_a_verdict_does_not_show_the_keys(tmp_path: Path) -> None:
    verdict = sevlab.compare_measure(launch())
    shown = "".join((str(verdict) + verdict._repr_html_() + json.dumps(verdict.as_dict())).split())
    assert verdict.computed.hex() in shown
    assert samples.TIK.hex() not in shown
    assert samples.TEK.hex() not in shown
