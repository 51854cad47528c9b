"""Advisories and the advice drawn from them: the data, the facts' own limits, and no fix without its datum."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.advisories import (
    APPLIES,
    FIXED,
    NAMES,
    NOT_AFFECTED,
    NOT_NAMED,
    STATES,
    Advice,
    Platform,
    judge,
)
from sevlab.cases.case import make_case
from sevlab.cases.case_toml import write_case
from sevlab.cases.verify import advise_case
from sevlab.cli import GOOD, NOT_VALIDATED, UNUSABLE, main
from sevlab.data import (
    ADVISORIES,
    NO_FIX,
    PRODUCTS,
    SEV,
    SEV_SNP,
    SNP_PRODUCTS,
    TECHNOLOGIES,
    UNKNOWN,
    UNVERIFIED,
    VERIFIED,
    Firmware,
    PlatformBit,
    PolicyBit,
    Svn,
)
from sevlab.errors import InputError
from sevlab.formats.policy import Policy, SnpPolicy
from sevlab.formats.report import MilanTcb, PlatformInfo, TurinTcb, parse_report
from sevlab.labs import sample_files
from sevlab.layout.views import WIDTH
from tests.snp_reports import SERVER, certificates, make, unsigned

LEGACY = (SEV, TECHNOLOGIES[1])
NUMBERS = [
    "CVE-2019-9836", "CVE-2020-12967", "CVE-2021-26311", "CVE-2021-26403", "CVE-2021-26408", "CVE-2023-20566",
    "CVE-2023-20585", "CVE-2023-20592", "CVE-2023-31346", "CVE-2024-21944", "CVE-2024-25742", "CVE-2024-25743",
    "CVE-2024-25744", "CVE-2024-36347", "CVE-2024-56161", "CVE-2025-0033", "CVE-2025-2296", "CVE-2025-29943",
    "CVE-2025-48514", "CVE-2025-54510", "CVE-2025-61971", "CVE-2025-61972", "CVE-2026-100835", "CVE-2026-31591",
]  # fmt: skip


def test_every_row_has_a_source_and_says_how_sure_it_is() -> None:
    assert list(ADVISORIES) == [one.key for one in ADVISORIES.values()]
    for one in ADVISORIES.values():
        assert one.source
        assert one.check
        assert one.title
        assert re.fullmatch(r"\d{4}(-\d{2}){0,2}", one.date)
        assert one.mark in (VERIFIED, UNVERIFIED)
        assert one.open in (NO_FIX, UNKNOWN)
        assert set(one.products) <= set(PRODUCTS)
        assert set(one.technologies) <= set(TECHNOLOGIES)
        assert {*one.ids.values(), *one.products.values()} <= {VERIFIED, UNVERIFIED}
        assert all(re.fullmatch(r"CVE-\d{4}-\d{4,6}|AMD-SB-\d{4}|GHSA(-\w{4}){3}", number) for number in one.ids)
        for fix in (*one.fixes, *one.doubts):
            layouts = [SnpPolicy if SEV_SNP in getattr(fix, "technologies", ()) else Policy]
            layouts = [PlatformInfo] if isinstance(fix, PlatformBit) else layouts
            if isinstance(fix, PolicyBit | PlatformBit):
                assert fix.name in {row.name for row in layouts[0].rows}
            if isinstance(fix, Firmware | Svn):
                assert fix.product in one.products
            if isinstance(fix, Svn):
                assert fix.part in MilanTcb.part_names()
                assert one.mark == VERIFIED or fix.mark == UNVERIFIED
    cves = sorted(number for one in ADVISORIES.values() for number in one.ids if number.startswith("CVE"))
    assert cves == NUMBERS
    assert "AMD-SB-3021" not in str(ADVISORIES)  # nobody opened a source of it


def state(key: str, **given: Any) -> str:
    return str(sevlab.attestation.advisories.advise(**given)[key].state)


@pytest.mark.parametrize(
    ("version", "build", "wanted"),
    [
        ("0.16", 5, APPLIES),
        ("0.17", 11, APPLIES),
        ("0.17", 12, UNKNOWN),
        ("0.17", 21, UNKNOWN),
        ("0.17", 22, FIXED),
        ("0.22", 13, FIXED),
        ("0.17", None, UNKNOWN),
        ("0.16", None, APPLIES),
        ("0.18", None, FIXED),
    ],
)
def test_invalid_curve_by_version(version: str, build: int | None, wanted: str) -> None:
    """incidents A01: Naples, 0.17 build 11 and older; fixed in build 22. In between nothing is known."""
    assert state("A01", api=version, build=build, product="Naples", policy=1) == wanted
    assert state("A01", api=version, build=build, product="Rome", policy=1) == NOT_NAMED
    assert state("A01", api=version, build=build, product="Milan", policy=0x30000) == NOT_AFFECTED


def test_badram_by_version_and_product() -> None:
    """incidents A16: Milan fixed in 1.55.22, Genoa in 1.55.38."""
    table = {("Milan", 21): APPLIES, ("Milan", 22): FIXED, ("Genoa", 37): APPLIES, ("Genoa", 38): FIXED}
    for (product, build), wanted in table.items():
        assert state("A16", api="1.55", build=build, product=product, policy=0x30000) == wanted
    assert state("A16", api="1.55", build=30, technology="snp") == UNKNOWN  # Milan fixed, Genoa not
    assert state("A16", api="1.55", build=21, technology="snp") == UNKNOWN  # Turin is not named
    assert state("A16", api="1.56", build=0, product="Turin", technology="snp") == NOT_NAMED
    assert state("A16", product="Milan", technology="snp") == UNKNOWN
    assert state("A16", api="1.55", build=21, policy=1) == NOT_AFFECTED


def report(product: str = "Milan", version: int = 3, **changes: Any) -> Any:
    given = {"current_major": 1, "current_minor": 58, "current_build": 1, "platform_info": 1 << 5}
    given |= {"committed_major": 1, "committed_minor": 58, "committed_build": 1}
    return parse_report(unsigned(product, version, **{**given, **changes}), product)


def test_a_fixed_firmware_without_its_check_of_aliases_is_doubted() -> None:
    assert sevlab.attestation.advisories.advise(report())["A16"].state == FIXED
    doubted = sevlab.attestation.advisories.advise(report(platform_info=1))["A16"]
    assert doubted.state == UNKNOWN
    assert "ALIAS_CHECK_COMPLETE = 0 (unverified" in doubted.words
    # before version 3 the bit had no meaning
    assert (
        sevlab.attestation.advisories.advise(report(version=2, platform_info=1), product="Milan")["A16"].state == FIXED
    )
    back = sevlab.attestation.advisories.advise(report(committed_minor=50))["A16"]
    assert back.state == FIXED
    assert "can go back to 1.50.1" in back.words


@pytest.mark.parametrize(("product", "least"), [("Milan", 0x18), ("Genoa", 0x17)])
def test_entrysign_by_the_svn_that_the_key_is_made_of(product: str, least: int) -> None:
    """incidents A17, microsoft/CCF#6812. What runs now does not count: the key follows from REPORTED_TCB."""
    for snp, wanted in ((least - 1, APPLIES), (least, FIXED), (255, FIXED)):
        low = milan(snp)
        assert sevlab.attestation.advisories.advise(report(product, reported_tcb=low))["A17"].state == wanted
        assert (
            sevlab.attestation.advisories.advise(report(product, reported_tcb=low, current_tcb=milan(255)))["A17"].state
            == wanted
        )
    turin = sevlab.attestation.advisories.advise(report("Turin"))
    assert (turin["A17"].state, turin["A17b"].state) == (NOT_NAMED, UNKNOWN)
    assert state("A17", api="1.58", build=1, product=product, policy=0x30000) == UNKNOWN


@pytest.mark.parametrize(("product", "least"), [("Milan", 0x1B), ("Genoa", 0x1B), ("Turin", 0x4)])
def test_the_numbers_by_which_linux_knows_that_sev_es_ended(product: str, least: int) -> None:
    """A30. The driver of the secure processor refuses SEV-ES guests from these SVNs on; below, our build is a guess."""
    form = turin if product == "Turin" else milan
    found = [
        sevlab.attestation.advisories.advise(report(product, reported_tcb=form(snp), current_build=build))["A30"].state
        for snp, build in ((least, 1), (least - 1, 99), (255, 99))
    ]
    assert found == [FIXED, UNKNOWN, FIXED]


def test_policy_bits() -> None:
    assert [state("A07", policy=number) for number in (0, 1, 4, 5)] == [APPLIES, FIXED, APPLIES, FIXED]
    assert [state("A07", policy=number) for number in (0x30000, 0xB0000)] == [FIXED, APPLIES]
    assert state("A07", product="Milan") == UNKNOWN
    assert [state("A02", policy=number, product="Naples") for number in (1, 9)] == [APPLIES, FIXED]
    assert state("A02", product="Naples") == UNKNOWN
    assert state("A02", policy=9) == NOT_NAMED  # fixed on Naples, and nothing is said of others
    assert state("A02", policy=1) == UNKNOWN
    hidden = {0x1030000: FIXED, 0x30000: UNKNOWN}  # the platform may hide ciphertext all the same
    assert {number: state("A21", policy=number) for number in hidden} == hidden
    assert sevlab.attestation.advisories.advise(report(platform_info=0x30))["A21"].state == FIXED
    assert sevlab.attestation.advisories.advise(report(platform_info=0x20))["A21"].state == APPLIES
    assert state("A21", policy=5) == UNKNOWN


def test_technology_and_product() -> None:
    for key in ("A04", "A05"):
        assert state(key, policy=1) == state(key, policy=5) == APPLIES
        assert state(key, policy=0x30000) == NOT_AFFECTED
        assert state(key, product="Milan") == UNKNOWN
        assert state(key, product="Naples") == APPLIES  # no SEV-SNP there
    assert state("A18", product="Milan", technology="snp") == UNKNOWN
    genoa = sevlab.attestation.advisories.advise(product="Genoa", technology="snp")["A18"]
    assert (genoa.state, "is hit is unverified" in genoa.words) == (UNKNOWN, True)
    assert state("A23", product="Milan", technology="snp") == APPLIES
    assert state("A23", product="Genoa", technology="snp") == NOT_NAMED
    for product in SNP_PRODUCTS:
        found = sevlab.attestation.advisories.advise(product=product, technology="snp")
        assert all(found[key].state == UNKNOWN for key in ("A10", "A11", "A19", "A20", "F48"))
    assert state("A03", product="Rome") == APPLIES
    assert state("A15", product="Genoa") == NOT_NAMED


def milan(snp: int) -> MilanTcb:
    return MilanTcb(bl=4, tee=0, snp=snp, ucode=219)


def turin(snp: int) -> TurinTcb:
    return TurinTcb(fmc=1, bl=4, tee=0, snp=snp, ucode=219)


PLATFORMS = st.builds(
    Platform,
    st.lists(st.sampled_from(PRODUCTS), min_size=1, unique=True).map(tuple),
    st.lists(st.sampled_from(TECHNOLOGIES), min_size=1, unique=True).map(tuple),
    st.none() | st.tuples(st.integers(0, 1), st.sampled_from([0, 16, 17, 18, 55, 56]), st.none() | st.integers(0, 40)),
    st.none() | st.tuples(st.just(1), st.integers(50, 56), st.integers(0, 40)),
    st.none() | st.builds(Policy, st.integers(0, 63)) | st.builds(SnpPolicy, st.integers(0, (1 << 26) - 1)),
    st.none() | st.builds(milan, st.integers(20, 26)) | st.builds(turin, st.integers(20, 26)),
    st.none() | st.builds(PlatformInfo, st.integers(0, 255)),
    st.sampled_from([0, 2, 3, 5]),
)


def fits(platform: Platform) -> bool:
    """Say whether a policy is of the kind that the technologies have, and some product can do one of them."""
    is_snp = platform.technologies == (SEV_SNP,)
    if is_snp and not set(platform.products) & set(SNP_PRODUCTS):
        return False
    if platform.policy is None:
        return True
    if isinstance(platform.policy, SnpPolicy):
        return is_snp
    return SEV_SNP not in platform.technologies


def is_there(fix: Any, platform: Platform) -> bool:
    """Say whether what a fix needs was given, and is enough; worked out here."""
    if isinstance(fix, Firmware | Svn) and fix.product not in platform.products:
        return False  # the same number fixes one product and not another
    if isinstance(fix, Firmware):
        version = platform.version
        if version is None or (version[2] is None and version[:2] == fix.fixed[:2]):
            return False
        return (version[0], version[1], version[2] or 0) >= fix.fixed
    if isinstance(fix, Svn):
        return platform.tcb is not None and platform.tcb.parts[fix.part] >= fix.least
    if isinstance(fix, PolicyBit):
        return platform.policy is not None and getattr(platform.policy, fix.name, None) == fix.value
    return platform.platform_info is not None and fix.name.upper() in platform.platform_info.flags


@given(PLATFORMS.filter(fits))
@example(Platform())
@example(Platform(("Milan",), (SEV,), tcb=milan(23)))
def test_nothing_is_fixed_without_the_datum_that_fixes_it(platform: Platform) -> None:
    found = judge(platform)
    assert [one.advisory.key for one in found.findings] == list(ADVISORIES)
    for one in found.findings:
        assert one.state in STATES
        assert one.words.endswith(".")
        if one.state == FIXED:
            assert any(is_there(fix, platform) for fix in one.advisory.fixes)
        if one.advisory.mark == UNVERIFIED:
            assert one.state in (UNKNOWN, NOT_AFFECTED)
        if one.state == NOT_AFFECTED:
            possible = set(platform.technologies) - (set() if set(platform.products) & set(SNP_PRODUCTS) else {SEV_SNP})
            assert not possible & set(one.advisory.technologies)
        if one.state == APPLIES:
            assert not any(is_there(fix, platform) for fix in one.advisory.fixes) or len(platform.products) > 1
    bare = judge(replace(platform, version=None, policy=None, tcb=None, platform_info=None))
    assert not bare.of(FIXED)
    assert len(str(found)) > 1000


@given(PLATFORMS.filter(fits))
def test_knowing_less_never_makes_anything_safe(platform: Platform) -> None:
    full = judge(platform)
    less = [replace(platform, **{name: None}) for name in ("version", "policy", "tcb", "platform_info")]
    less += [replace(platform, products=PRODUCTS)] if SEV_SNP not in platform.technologies else []
    for one in less:
        for before, after in zip(full.findings, judge(one).findings, strict=True):
            if before.state in (APPLIES, UNKNOWN) and after.state not in (APPLIES, UNKNOWN):
                # the only doubt that goes away: a check of aliases that nobody can see any more
                assert before.advisory.doubts
                assert one.platform_info is None


def test_what_it_is_drawn_from(tmp_path: Path) -> None:
    """Report, verdict, evidence and case say the same."""
    sample_files.write_samples(tmp_path)
    real = sevlab.load_report(str(tmp_path / "report-snp.bin"))
    names = {"vcek": str(tmp_path / "vcek-snp.der"), "chain": str(tmp_path / "chain-snp.pem")}
    verdict = sevlab.verify_report(real, sevlab.load_certificates(**names))
    case = make_case({"report": str(tmp_path / "report-snp.bin"), **names})
    assert (
        str(sevlab.attestation.advisories.advise(real))
        == str(sevlab.attestation.advisories.advise(verdict))
        == str(advise_case(case))
    )
    assert [one.advisory.key for one in sevlab.attestation.advisories.advise(real).of(APPLIES)] == [
        "A03",
        "A17",
        "A21",
        "A23",
    ]
    launch = {"api_major": 0, "api_minor": 17, "build_id": 11, "policy": 5}
    evidence = sevlab.load_evidence(measurement="A" * 64, digest=bytes(32), tk=str(tmp_path / "tk.bin"), **launch)
    by_evidence, by_case = (
        sevlab.attestation.advisories.advise(evidence, product="Naples"),
        advise_case(make_case(launch), product="Naples"),
    )
    assert str(by_evidence) == str(by_case)
    assert by_case["A01"].state == APPLIES
    wanted = advise_case(make_case({"mode": "snp", "snp_policy": 0xB0000}))
    assert (wanted["A07"].state, wanted["A04"].state) == (APPLIES, NOT_AFFECTED)


def test_a_certificate_shows_what_a_report_of_version_2_does_not() -> None:
    raw = make("Genoa", 2)
    assert sevlab.attestation.advisories.advise(parse_report(raw)).platform.products == ("Milan", "Genoa")
    verdict = sevlab.verify_report(raw, certificates("Genoa"), roots=SERVER.roots)
    assert sevlab.attestation.advisories.advise(verdict).platform.products == ("Genoa",)
    # a certificate of another product does not win over the report's own word
    wrong = sevlab.verify_report(make("Milan"), certificates("Genoa"), roots=SERVER.roots)
    assert sevlab.attestation.advisories.advise(wrong).platform.products == ("Milan",)
    # and the product decides which byte of a TCB is which part, whatever form it was read in
    turin = make("Turin", 2, reported_tcb=TurinTcb(fmc=1, bl=2, tee=3, snp=4, ucode=5))
    assert sevlab.attestation.advisories.advise(parse_report(turin, "Milan"), product="Turin").platform.tcb == TurinTcb(
        fmc=1, bl=2, tee=3, snp=4, ucode=5
    )


@given(st.binary(min_size=1184, max_size=1184), st.sampled_from([None, 2, 3, 4, 5]))
def test_any_report_is_judged(raw: bytes, version: int | None) -> None:
    raw = raw if version is None else version.to_bytes(4, "little") + raw[4:]
    found = sevlab.attestation.advisories.advise(parse_report(raw))
    assert isinstance(found, Advice)
    assert found.platform.technologies == (SEV_SNP,)
    if version in (None, 4) and not found.platform.version:
        assert found["A16"].state != FIXED
    json.dumps(found.as_dict())


def test_words_html_and_json() -> None:
    found = sevlab.attestation.advisories.advise(report(), accept=["A03"])
    text = str(found)
    assert all(len(line) <= WIDTH + 2 for line in text.split("\n"))
    assert all(f"{one.key} " in text for one in ADVISORIES.values())
    assert all(line in text for line in ("applies,", "accepted"))
    assert found._repr_html_() == sevlab.attestation.advisories.advise(report(), accept=["A03"])._repr_html_()
    data = json.loads(json.dumps(found.as_dict()))
    assert [row["key"] for row in data["findings"]] == list(ADVISORIES)
    assert [row["key"] for row in data["findings"] if row["accepted"]] == ["A03"]
    assert all(row["source"] for row in data["findings"])
    assert [one.advisory.key for one in found.of(APPLIES)] == ["A21", "A23"]
    nothing = Advice(found.platform, [])
    assert (nothing.words, nothing.applies, nothing.is_certain) == (
        "No known vulnerability is seen to apply; none is left undecided",
        False,
        True,
    )


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["advise", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_what_nobody_checked_decides_nothing() -> None:
    for product in SNP_PRODUCTS:
        found = sevlab.attestation.advisories.advise(report(product, reported_tcb=milan(255)))
        for one in found.findings:
            assert one.advisory.mark == VERIFIED or one.state == UNKNOWN


def test_exit_status(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "r.bin").write_bytes(report().to_bytes())
    given = ("--report", str(tmp_path / "r.bin"))
    assert run(capsys, *given)[0] == NOT_VALIDATED
    bear = [word for key in ("A03", "A21", "A23") for word in ("--accept", key)]
    status, out, _ = run(capsys, *given, *bear)
    assert (status, out.lstrip().startswith("No known vulnerability is seen to apply; 17 cannot")) == (GOOD, True)
    assert run(capsys, *given, *bear, "--strict")[0] == NOT_VALIDATED
    every = [word for key in ADVISORIES for word in ("--accept", key)]
    assert run(capsys, *given, *every, "--strict")[0] == GOOD
    status, out, _ = run(capsys, "--api", "0.0x11", "--build", "0xb", "--policy", "1", "--product", "Naples", "--json")
    found = {row["key"]: row["state"] for row in json.loads(out)["findings"]}
    assert (status, found["A01"], found["A16"]) == (NOT_VALIDATED, APPLIES, NOT_AFFECTED)


def test_a_case_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "r.bin").write_bytes(report().to_bytes())
    write_case(make_case({"report": str(tmp_path / "r.bin")}), str(tmp_path / "case.toml"))
    status, out, err = run(capsys, "--case", str(tmp_path / "case.toml"))
    assert (status, err) == (NOT_VALIDATED, "")
    assert out == run(capsys, "--report", str(tmp_path / "r.bin"))[1]
    (tmp_path / "r.bin").write_bytes(report(policy=0xB0000).to_bytes())
    status, out, err = run(capsys, "--case", str(tmp_path / "case.toml"))
    assert err.startswith("WARNING: ")
    assert "has changed" in err
    assert "A07" in out.partition("unknown")[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "usage: received nothing; needed --report"),
        (["--strict"], "usage: received nothing"),
        (["--report", "r.bin", "--case", "c"], "--report: received together with --case"),
        (["--report", "r.bin", "--policy", "1"], "--report: received together with --policy"),
        (["--report", "gone"], "--report: received 'gone': no such file"),
        (["--report", "short"], "--report: received 'short', 3 bytes"),
        (["--report", "r.bin", "--product", "Genoa"], "--product: received 'Genoa'; needed Milan, as the report says"),
        (["--report", "r.bin", "--product", "Rome"], "--product: received 'Rome', which has no SEV-SNP; needed one of"),
        (["--product", "Zen"], "--product: received 'Zen'; needed one of Naples"),
        (["--product", "Rome", "--policy", "0x30000"], "--product: received 'Rome', which has no SEV-SNP"),
        (["--api", "1"], "--api: received '1'; needed major and minor"),
        (["--api", "1.2.3"], "--api: received '1.2.3'"),
        (["--api", "1.256"], "--api: received '256'"),
        (["--api", "-1.2"], "--api: received '-1'"),
        (["--build", "3"], "--build: received it without --api"),
        (["--api", "1.55", "--build", "x"], "--build: received 'x'"),
        (["--policy", "x"], "--policy: received 'x'"),
        (["--policy", "0x100000000"], "--policy: received '0x100000000'"),
        (["--policy", "5", "--technology", "sev"], "--policy: received 0x5, a policy of SEV-ES; needed one of SEV"),
        (["--technology", "tdx"], "--technology: received 'tdx'; needed sev, sev-es, snp"),
        (["--policy", "1", "--accept", "A99"], "--accept: received 'A99'; needed one of A01"),
        (
            ["--case", "empty.toml"],
            "--case: received one that does not describe the platform; needed one with a report",
        ),
    ],
)
def test_misuse(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.bin").write_bytes(report().to_bytes())
    (tmp_path / "short").write_bytes(b"abc")
    (tmp_path / "empty.toml").write_text("format = 2\n")
    status, out, err = run(capsys, *words)
    assert (status, out) == (UNUSABLE, "")
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_misuse_of_the_library() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'bild'"):
        sevlab.attestation.advisories.advise(bild=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="numbers together with"):
        sevlab.attestation.advisories.advise(report(), policy=1)
    with pytest.raises(TypeError, match="not int"):
        sevlab.attestation.advisories.advise(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="api: received '1'"):
        sevlab.attestation.advisories.advise(api="1")
    assert set(NAMES.values()) == set(TECHNOLOGIES) > set(LEGACY)


def test_other_verbs_only_name_this_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path)
    report, html = str(tmp_path / "report-snp.bin"), str(tmp_path / "page.html")
    launch = ["--measurement", "A" * 64, "--api-major", "0", "--api-minor", "17", "--build-id", "11", "--policy", "1"]
    launch += ["--firmware", str(tmp_path / "firmware.fd"), "--tk", str(tmp_path / "tk.bin"), "--html", html, "--force"]
    leaf = ["--vcek", str(tmp_path / "vcek-snp.der")]
    for words in (["report", "show", report], ["report", "verify", report, *leaf], ["explain", *launch]):
        main(words)
        assert capsys.readouterr().out.endswith("\n\nsevlab advise lists the known vulnerabilities of a platform.\n")
        main([*words, "--json"])
        assert "vulnerabilities" not in json.loads(capsys.readouterr().out)
    assert "sevlab advise lists" in Path(html).read_text()
