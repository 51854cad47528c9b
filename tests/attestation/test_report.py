"""The verdict about a report, and how it is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.certificates import (
    parse_bundle,
)
from sevlab.attestation.report import parse_moment, verify_report
from sevlab.attestation.requirements import REQUIREMENTS
from sevlab.errors import InputError
from sevlab.formats.report import SIZE, parse_report, vcek_urls
from sevlab.launch.verify import MATCH
from sevlab.simulator.kds import MOMENT
from tests.snp_reports import (
    REAL_MOMENT,
    TCBS,
    certificates,
    failures,
    made_verdict,
    make,
    real,
    real_ders,
    real_verdict,
    states,
    unsigned,
)
from tests.soak import many

GENUINE = [
    "signing key", "version", "report signature", "leaf signature", "ASK signature", "ARK signature", "ARK known",
    "names", "one product", "key usage", "validity", "revocation", "extensions", "processor", "TCB", "chip id",
]  # fmt: skip


def test_the_real_report_verifies() -> None:
    verdict = real_verdict()
    assert [check.name for check in verdict.checks] == [*GENUINE, *REQUIREMENTS]
    done = {name for name, state in states(verdict).items() if state == MATCH}
    assert done == set(GENUINE) - {"revocation", "processor"}
    assert failures(verdict) == []
    assert (verdict.product, verdict.status, verdict.matches) == ("Milan", "not_decided", False)
    assert verdict["measurement"].incident == "F47"
    measurement = real("milan-v2-report.bin")[0x90:0xC0]
    wanted = verify_report(
        real("milan-v2-report.bin"), parse_bundle(**real_ders()), at=REAL_MOMENT, measurement=measurement
    )
    assert (wanted.status, wanted.matches) == ("match", True)
    assert "OK: a genuine Milan" in str(wanted)
    assert "allows debugging" in wanted.notes[0]


def test_moments() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:00:00Z") == parse_moment("2026-01-31T14:00:00+02:00") == noon
    assert parse_moment("2026-01-31T12:00:00") == parse_moment(datetime(2026, 1, 31, 12)) == noon
    assert parse_moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert parse_moment(datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2)))) == noon
    assert abs(parse_moment(None) - datetime.now(UTC)) < timedelta(minutes=1)
    for good in ("20260131T120000Z", "2026-01-31 12:00", "2026-01-31t12:00:00.000Z", "2026-W05-6T12", "20260131T1200"):
        assert parse_moment(good) == noon
    for bad in ("", "yesterday", "2026-02-30", "0001-01-01T00:00:00+14:00", "9" * 5000):
        with pytest.raises(InputError, match="--at: received"):
            parse_moment(bad, "--at")


@pytest.mark.parametrize(
    "at", [5, 5.0, b"2026-01-01", MOMENT.date(), MOMENT.timetz(), [], "", " 2026-01-01", "2026-01-01\n"]
)
def test_a_moment_is_a_moment(at: Any) -> None:
    with pytest.raises(InputError, match="at: received"):
        verify_report(make(), at=at)


@pytest.mark.parametrize("date", ["2026-01-31", "20260131", "2026-W05-6"])
@given(between=st.sampled_from("+-5xZ_") | st.characters(exclude_characters="Tt "))
def test_a_zone_behind_a_date_is_no_time_of_day(date: str, between: str) -> None:
    with pytest.raises(InputError, match="at: received"):
        parse_moment(f"{date}{between}12:00")


@settings(max_examples=many(100, 20))
@given(report=st.binary(min_size=SIZE, max_size=SIZE))
def test_any_1184_bytes_verify_or_not(report: bytes) -> None:
    for product in ("Milan", "Turin"):
        verdict = verify_report(report, certificates(product), at=MOMENT, measurement=report[0x90:0xC0])
        assert not verdict.matches


def test_verdicts_are_pages_and_data() -> None:
    verdict = made_verdict(make(), certificates(), measurement=bytes(48))
    html = verdict._repr_html_()
    assert html == made_verdict(make(), certificates(), measurement=bytes(48))._repr_html_()
    assert "<script" not in html
    assert repr(verdict) == str(verdict)
    assert max(map(len, str(verdict).splitlines())) <= 100
    said = verdict.as_dict()
    assert json.loads(json.dumps(said)) == said
    assert set(said) == {"status", "product", "signing_key", "at", "checks", "certificates", "vcek_urls", "notes"}
    assert said["status"] == "mismatch"
    assert repr(verdict.leaf) == "<Certificate 'SEV-VCEK', serial 0x0>"


def test_the_tcb_ladder_shows_what_is_out_of_order() -> None:
    newer = TCBS["Milan"].replace(snp=25)
    broken = {"reported_tcb": "REPORTED_TCB is 25, above COMMITTED_TCB with 24", "committed_tcb": "above CURRENT_TCB"}
    for field, words in broken.items():
        report = parse_report(make(**{field: newer}))
        assert any(words in one for one in report.as_dict()["findings"])  # type: ignore[attr-defined]
        assert "NOT REPORTED <= COMMITTED <= CURRENT" in " ".join(str(report.explain()).split())
    assert parse_report(make()).as_dict()["findings"] == []


@pytest.mark.parametrize("version", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("product", TCBS)
def test_a_report_is_shown_in_full(product: str, version: int) -> None:
    raw = make(product, version)
    report = parse_report(raw, product)
    shown = str(report.explain(product))
    assert str(sevlab.explain(report)) == str(report.explain())
    digits = raw[0x90:0xC0].hex()
    assert digits[:64] in shown
    assert digits[64:] in shown
    assert max(len(line) for line in shown.splitlines() if "https://" not in line) <= 100
    said = report.as_dict(product)
    assert json.loads(json.dumps(said)) == said
    assert said["fields"]["measurement"] == digits  # type: ignore[index]
    assert said["tcb"]["reported_tcb"] == TCBS[product].parts  # type: ignore[index]
    assert len(said["vcek_urls"]) == 1  # type: ignore[arg-type]
    if version not in (2, 3, 5):
        assert "not known to sevlab" in shown
        bare = parse_report(raw).as_dict()
        assert (bare["known"], bare["tcb"], bare["vcek_urls"]) == (False, {}, [])
        assert "--product" in str(bare["no_url"])


def test_where_there_is_no_address_the_reason_is_shown() -> None:
    assert "VLEK" in vcek_urls(parse_report(make(vlek=True)))[1]
    assert "masked" in vcek_urls(parse_report(unsigned(chip_id=bytes(64))))[1]
    assert "No key" in vcek_urls(parse_report(unsigned(key_info=7 << 2)))[1]
    both = vcek_urls(parse_report(make(version=2)))[0]
    assert [url.split("/")[5] for url in both] == ["Milan", "Genoa"]
    assert len(vcek_urls(parse_report(make(version=2), "Genoa"), "Genoa")[0]) == 1
    wrong = parse_report(make("Genoa"), "Turin").as_dict("Turin")
    assert any("from Genoa, not Turin" in one for one in wrong["findings"])  # type: ignore[attr-defined]
