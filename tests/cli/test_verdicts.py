"""What a verdict promises: nothing by a check that was not made, and nothing on the word of what is judged.

Evidence is what proves something: a report, certificates, keys, files, an ID block. Without it less is known, so taking
some of it away never turns exit 1 into exit 0. A requirement is a question: without it there is one less to answer, and
with one more nothing that failed can pass.
"""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.attestation.certificates import load_certificates
from sevlab.attestation.id_block import SignedIdBlock, build_id_block, load_id_block, verify_id_block
from sevlab.attestation.report import load_report, verify_report
from sevlab.attestation.sev_chain import Chain
from sevlab.cases.bundle import open_case, pack_case, unpack_bundle
from sevlab.cases.case import Case, make_case
from sevlab.cases.case_toml import load_case, read_case, write_case
from sevlab.cases.verify import CaseVerdict, verify_case
from sevlab.cli import main
from sevlab.diagnosis.case import diagnose_case
from sevlab.diagnosis.run import diagnose
from sevlab.errors import InputError, SevlabError
from sevlab.labs.snp_samples import snp_report
from sevlab.launch import verify as outcome
from sevlab.launch.inputs import Trust
from sevlab.launch.keys import SecretBytes
from sevlab.launch.verify import BAD, GOOD, MATCH, MISMATCH, NOT_DECIDED, UNUSABLE, compare_measure
from sevlab.simulator.kds import KeyServer
from tests.cases.sample_cases import at, case_of, inputs_of, trust
from tests.soak import many

MOMENT = "2026-01-01"
ROOTS = [f"--trust-root={at('ark-snp.der')}", f"--at={MOMENT}"]
SAMPLE = snp_report()
EXITS = {MATCH: 0, MISMATCH: 1, NOT_DECIDED: 1, UNUSABLE: 2}


# --- evidence and requirements


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with evidence that is good, and with evidence that is not."""
    folder = tmp_path_factory.mktemp("evidence")
    raw = Path(at("report-snp.bin")).read_bytes()
    (folder / "flipped").write_bytes(raw[:0x2A0] + bytes([raw[0x2A0] ^ 1]) + raw[0x2A1:])
    (folder / "other-measurement").write_bytes(raw[:0x90] + bytes(48) + raw[0xC0:])
    (folder / "unsigned").write_bytes(raw[:0x2A0] + bytes(len(raw) - 0x2A0))
    (folder / "zeros").write_bytes(raw[:4] + bytes(0x8C) + raw[0x90:0xC0] + bytes(len(raw) - 0xC0))
    key = SecretBytes(bytes(range(0x10, 0x40)))
    good = build_id_block(SAMPLE.measurement, key, policy=int(SAMPLE.policy))
    (folder / "block").write_text(good.properties)
    (folder / "other-block").write_text(build_id_block(bytes(48), key, policy=int(SAMPLE.policy)).properties)
    (folder / "other-policy").write_text(build_id_block(SAMPLE.measurement, key, policy=0xB0000).properties)
    signature = good.auth.id_block_sig
    turned = good.auth.replace(id_block_sig=signature.replace(r=signature.s, s=signature.r))
    (folder / "bad-signature").write_text(replace(good, auth=turned).properties)
    (folder / "other-tk").write_bytes(bytes(32))
    (folder / "other-tik").write_bytes(bytes(16))
    return folder


#: Evidence of a case, by its input: the good one first, then what is not.
LEGACY = {"tk": [at("tk.bin"), "other-tk"], "firmware": [at("firmware.fd"), at("firmware-kernel.fd")]}
REPORT = {
    "report": [at("report-snp.bin"), "flipped", "other-measurement", "unsigned", "zeros"],
    "vcek": [at("vcek-snp.der"), at("ark-snp.der")],
    "chain": [at("chain-snp.pem")],
    "id_block": ["block", "other-block", "other-policy", "bad-signature"],
}
EVIDENCE: dict[str, dict[str, list[str]]] = {
    "sev": LEGACY,
    "seves": {
        "tik": [at("tik.bin"), "other-tik"],
        "tek": [at("tek.bin"), "other-tik"],
        "firmware": [at("firmware-kernel.fd"), at("firmware-snp.fd")],
        "kernel": [at("kernel.bin"), at("initrd.bin")],
        "initrd": [at("initrd.bin"), at("kernel.bin")],
    },
    "snp": {
        **REPORT,
        "firmware": [at("firmware-snp.fd"), at("firmware-kernel.fd")],
        "kernel": [at("kernel.bin"), at("initrd.bin")],
        "initrd": [at("initrd.bin"), at("kernel.bin")],
    },
    "report": REPORT,
}
#: What can be wanted, fulfilled and not.
WISHES: dict[str, list[Any]] = {
    "snp_measurement": [SAMPLE.measurement.hex(), bytes(48).hex()],
    "snp_policy": [int(SAMPLE.policy), 1],
    "snp_report_data": [SAMPLE.report_data.hex(), "ff" * 64],
    "snp_min_tcb": ["snp=0", "snp=255"],
    "snp_vmpl": [int(SAMPLE.vmpl), 3],
    "snp_forbid_debug": [True],
    "snp_forbid_smt": [True],
}


@cache
def outcome_of(kind: str, items: tuple[tuple[str, Any], ...]) -> int:
    """Return the exit status of a case of these inputs beside those of its kind that are no evidence."""
    rest = {name: value for name, value in inputs_of(kind).items() if name not in (*EVIDENCE[kind], *WISHES)}
    try:
        return EXITS[verify_case(make_case({**rest, **dict(items)}), roots=trust(), at=MOMENT).status]
    except SevlabError:
        return 2


@st.composite
def evidence_of(draw: st.DrawFn) -> tuple[str, dict[str, str], dict[str, Any]]:
    """A kind of case; its evidence, each piece the right one or not; and what is wanted of it."""
    kind = draw(st.sampled_from(list(EVIDENCE)))
    given = {name: draw(st.sampled_from(choices)) for name, choices in EVIDENCE[kind].items()}
    wishes: dict[str, Any] = {}
    if kind in ("snp", "report"):
        names = draw(st.sets(st.sampled_from(list(WISHES))))
        wishes = {name: draw(st.sampled_from(WISHES[name])) for name in WISHES if name in names}
    return kind, given, wishes


def placed(store: Path, given: dict[str, str]) -> dict[str, str]:
    return {name: str(store / path) for name, path in given.items()}


@given(drawn=evidence_of(), data=st.data())
@settings(max_examples=many(10000, 150), deadline=None)
def test_less_evidence_never_turns_a_no_into_a_yes(
    store: Path, drawn: tuple[str, dict[str, str], dict[str, Any]], data: st.DataObject
) -> None:
    kind, given, wishes = drawn
    whole = placed(store, given)
    gone = data.draw(st.sets(st.sampled_from(list(whole)), min_size=1))
    rest = {name: path for name, path in whole.items() if name not in gone}
    before, after = (outcome_of(kind, (*some.items(), *wishes.items())) for some in (whole, rest))
    assert (before, after) != (1, 0), (given, wishes, gone)


@given(drawn=evidence_of(), data=st.data())
@settings(max_examples=many(10000, 100), deadline=None)
def test_one_more_requirement_never_turns_a_no_into_a_yes(
    store: Path, drawn: tuple[str, dict[str, str], dict[str, Any]], data: st.DataObject
) -> None:
    """But for the measurement: a verdict needs one to compare, so without it there is none."""
    kind, given, wishes = drawn
    if kind not in ("snp", "report"):
        return
    more = {name: data.draw(st.sampled_from(choices)) for name, choices in WISHES.items() if name != "snp_measurement"}
    evidence = placed(store, given)
    before, after = (outcome_of(kind, (*evidence.items(), *wanted.items())) for wanted in (wishes, more | wishes))
    assert (before, after) != (1, 0), (given, wishes, more)


@pytest.mark.parametrize("kind", EVIDENCE)
def test_all_the_evidence_is_a_yes(store: Path, kind: str) -> None:
    """Or the two properties above would hold of a tool that says no to everything."""
    right = placed(store, {name: choices[0] for name, choices in EVIDENCE[kind].items()})
    wishes = {name: choices[0] for name, choices in WISHES.items() if name != "snp_forbid_smt"}
    assert outcome_of(kind, (*right.items(), *(wishes.items() if kind in ("snp", "report") else ()))) == 0
    for name, choices in EVIDENCE[kind].items():
        for wrong in choices[1:]:
            changed = right | placed(store, {name: wrong})
            what = () if kind == "snp" else (("snp_measurement", WISHES["snp_measurement"][0]),)
            status = outcome_of(kind, (*changed.items(), *(what if kind == "report" else ())))
            assert status in (1, 2) or name == "tek", (name, wrong)  # no measure depends on the TEK


def test_each_piece_of_a_report_s_evidence_is_missed(store: Path) -> None:
    wanted = (("snp_measurement", SAMPLE.measurement.hex()),)
    right = placed(store, {name: choices[0] for name, choices in REPORT.items() if name != "id_block"})
    for count in range(1, len(right)):
        for names in itertools.combinations(right, count):
            kept = tuple((name, path) for name, path in right.items() if name in names)
            assert outcome_of("report", (*kept, *wanted)) == (1 if "report" in names else 2), names
    assert outcome_of("report", (*right.items(), *wanted)) == 0


# --- what is missing, in the first line


def verdict_of(kind: str, **changes: Any) -> sevlab.cases.verify.CaseVerdict:
    return verify_case(case_of(kind, **changes), roots=trust(), at=MOMENT)


def test_a_report_that_nobody_signed_is_not_decided(store: Path) -> None:
    for name in ("zeros", "unsigned"):
        verdict = verdict_of("snp", report=str(store / name), vcek=None, chain=None)
        assert verdict.digest is not None
        assert (verdict.status, verdict.digest.status) == (NOT_DECIDED, MATCH)
        assert verdict.words == "NOT DECIDED: who made the report was not checked; missing: VCEK, ASK, ARK"
        assert verdict.report is not None
        assert verdict.report.status == NOT_DECIDED
    assert verdict_of("snp", report=str(store / "unsigned")).status == MISMATCH
    debug = SAMPLE.to_bytes()[:8] + (0xB0000).to_bytes(8, "little") + SAMPLE.to_bytes()[16:]
    (store / "debug").write_bytes(debug)
    assert "Beware: the policy allows debugging" in str(
        verdict_of("snp", report=str(store / "debug"), vcek=None, chain=None)
    )


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"vcek": None, "chain": None}, "VCEK, ASK, ARK"),
        ({"vcek": None}, "VCEK"),
        ({"chain": None}, "ASK, ARK"),
        ({"firmware": None, "snp_measurement": SAMPLE.measurement.hex()}, "the firmware"),
        (
            {"report": None, "vcek": None, "chain": None, "reported_measurement": SAMPLE.measurement},
            "a report with its certificates",
        ),
    ],
)
def test_what_is_missing_stands_in_the_first_line(changes: dict[str, Any], missing: str) -> None:
    direct = {"kernel": None, "initrd": None, "cmdline": None} if "firmware" in changes else {}
    verdict = verdict_of("snp", **changes, **direct)
    assert verdict.status == NOT_DECIDED
    first = str(verdict).split("\n")[0].strip()
    assert first.startswith("NOT DECIDED: ")
    assert first.endswith(f"missing: {missing}")
    assert verdict.as_dict()["missing"] == missing.split(", ")


def test_an_id_block_alone_is_not_decided_and_its_own_verb_is(
    store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    launch = {name: value for name, value in inputs_of("snp").items() if name not in ("report", "vcek", "chain")}
    for inputs in ({**launch, "id_block": str(store / "block")}, {"mode": "snp", "id_block": str(store / "block")}):
        verdict = verify_case(make_case(inputs))
        assert verdict.status == NOT_DECIDED
        assert verdict.words.endswith("is not known; missing: a report with its certificates")
    wrong = verify_case(make_case({**launch, "id_block": str(store / "other-block")}))
    assert wrong.status == MISMATCH
    words = ["id-block", "verify", str(store / "block"), "--measurement", SAMPLE.measurement.hex(), "--json"]
    assert main([*words, "--policy", str(int(SAMPLE.policy))]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == MATCH
    assert main([*words[:3], "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == NOT_DECIDED


def test_an_id_block_of_another_launch_contradicts_a_genuine_report(
    store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("other-block", "other-policy", "bad-signature"):
        verdict = verdict_of("snp", id_block=str(store / name))
        assert (verdict.status, verdict.matches) == (UNUSABLE, False)
        assert verdict.words.startswith("UNUSABLE: ")
    assert verdict_of("snp", id_block=str(store / "other-block"), num_cpus=2).status == MISMATCH
    path = str(tmp_path / "c.toml")
    write_case(case_of("snp", id_block=str(store / "other-block")), path)
    assert main(["case", "verify", path, *ROOTS]) == 2
    assert capsys.readouterr().out.startswith(" UNUSABLE: the report is of a launch that went through")


def test_an_id_block_is_judged_as_the_report_shows_that_the_launch_took_it(tmp_path: Path) -> None:
    """Whether the author key counted is in KEY_INFO, and which block it was in the fields that come from it."""
    inputs = {"firmware": at("firmware-snp.fd"), "num_cpus": 2, "cpu_signature": 0xA00F11}
    digest, server = sevlab.load_snp_launch(**inputs).digest, KeyServer(b"blocks")
    key, author = (SecretBytes(bytes(47) + bytes([number])) for number in (7, 11))
    alone, both = build_id_block(digest, key), build_id_block(digest, key, author)
    unsigned = replace(both, auth=both.auth.replace(id_key_sig=alone.auth.id_block_sig))
    others = [build_id_block(digest, author), build_id_block(digest, key, guest_svn=1)]
    others.append(build_id_block(digest, key, family_id=bytes(15) + b"f"))

    def judged(launched: SignedIdBlock, given: SignedIdBlock, enabled: bool | None = None) -> CaseVerdict:
        run = sevlab.simulate_snp_launch(inputs, id_block=launched, author_key_enabled=enabled, server=server, seed=b"")
        files = dict(zip(("report", "vcek", "ask", "ark"), (run.report, *run.certificates), strict=True))
        for name, raw in {**files, "id_block": given.properties.encode()}.items():
            (tmp_path / name).write_bytes(raw)
        paths = {name: str(tmp_path / name) for name in (*files, "id_block")}
        return verify_case(make_case({"mode": "snp", **inputs, **paths}), roots=server.roots, at=MOMENT)

    for block, enabled in ((alone, None), (both, None), (unsigned, False)):
        assert judged(block, block, enabled).status == MATCH
    for pair in ((both, alone), (both, unsigned), *((alone, other) for other in others)):
        assert judged(*pair).status == UNUSABLE
    found = judged(alone, others[1]).id_block
    assert found is not None
    assert [one[:3] for one in found.failed] == [("report", MISMATCH, "it shows another guest_svn: another ID block's")]


def test_a_changed_id_block_is_not_called_one_of_another_launch(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "block"
    path.write_bytes((store / "block").read_bytes())
    case = case_of("snp", id_block=str(path))
    path.write_bytes(path.read_bytes() + b"\n")
    verdict = verify_case(case, roots=trust(), at=MOMENT)
    assert verdict.id_block is not None
    assert (verdict.status, verdict.id_block.status) == (UNUSABLE, MATCH)
    assert verdict.words == "ERROR: files of this case that are not the recorded ones: 1"


def test_what_was_not_asked_is_listed() -> None:
    verdict = verdict_of("report", snp_vmpl=0)
    assert verdict.matches
    asked = {"measurement", "policy", "vmpl"}
    assert set(verdict.not_asked) == {*sevlab.attestation.requirements.REQUIREMENTS, "revocation"} - asked
    assert "NOT ASKED: host_data, report_data, " in str(verdict)
    assert verdict.as_dict()["not_asked"] == verdict.not_asked
    assert verdict_of("sev").not_asked == []


def test_a_report_without_a_measurement_to_compare_is_not_decided() -> None:
    verdict = verdict_of("report", snp_measurement=None)
    assert verdict.status == NOT_DECIDED
    assert verdict.words == "NOT DECIDED: nothing failed, but measurement: not compared"


@pytest.mark.parametrize(
    "wanted",
    [{"min_tcb": {}}, {"min_tcb": ""}, {"csp_id": ""}, {"measurement": ""}, {"measurement": b""}, {"vmpl": ""}],
    ids=str,
)
def test_an_empty_requirement_is_refused(wanted: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    files = {"vcek": at("vcek-snp.der"), "chain": at("chain-snp.pem")}
    asked = {"measurement": SAMPLE.measurement} | wanted
    with pytest.raises(InputError):
        verify_report(SAMPLE, load_certificates(**files), roots=trust(), at=MOMENT, **asked)
    words = [f"--{name}={path}" for name, path in files.items()]
    name, value = next(iter(wanted.items()))
    if isinstance(value, str):
        option = f"--{name.replace('_', '-')}"
        asking = [] if option == "--measurement" else ["--measurement", SAMPLE.measurement.hex()]
        assert main(["report", "verify", at("report-snp.bin"), *words, *ROOTS, *asking, option, ""]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_a_report_comes_in_any_bytes(form: Any) -> None:
    verdict = verify_report(form(SAMPLE.to_bytes()), at=MOMENT)
    assert verdict.status == NOT_DECIDED
    with pytest.raises(InputError, match="at"):
        verify_report(SAMPLE, at=5)  # type: ignore[arg-type]


# --- whose word it is


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """A bundle that brings its own key."""
    path = str(tmp_path / "own.sevcase")
    pack_case(case_of("sev"), path, with_keys=True)
    return path


@pytest.mark.parametrize("verb", [["case", "verify"], ["validate", "--case"], ["explain", "--case"]], ids=" ".join)
def test_a_bundle_with_its_own_key_proves_nothing(
    verb: list[str], bundle: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*verb, bundle]) == 1
    captured = capsys.readouterr()
    first = captured.out.split("\n")[0].strip()
    assert first.startswith("NOT DECIDED: the measurement is consistent with the key in the bundle (tk)")
    assert first.endswith("but a key of your own is missing")
    assert GOOD not in captured.out
    assert captured.err.count("\n") == 1
    assert "tk was taken from the bundle" in captured.err
    assert main([*verb, bundle, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["status"], data["trusted_from_case"]) == (NOT_DECIDED, ["tk"])
    assert main([*verb, bundle, "--own-case"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip().startswith(GOOD)
    assert captured.err == ""
    assert main([*verb, bundle, f"--tk={at('tk.bin')}"]) == 0
    assert "taken from" not in capsys.readouterr().err
    (tmp_path / "wrong").write_bytes(bytes(32))
    assert main([*verb, bundle, f"--tk={tmp_path / 'wrong'}"]) == 1
    captured = capsys.readouterr()
    assert BAD in captured.out + captured.err


@pytest.mark.parametrize("verb", [["case", "verify"], ["validate", "--case"], ["explain", "--case"]], ids=" ".join)
def test_a_bundle_that_was_unpacked_is_still_a_stranger_s(
    verb: list[str], bundle: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    unpack_bundle(bundle, str(tmp_path / "out"))
    places = [str(tmp_path / "out" / "case.toml"), *([str(tmp_path / "out")] if verb[0] == "case" else [])]
    for place in places:
        assert main([*verb, place]) == 1
        assert "NOT DECIDED" in capsys.readouterr().out
        assert main([*verb, place, "--own-case"]) == 0
        capsys.readouterr()
    assert not compare_measure(load_case(places[0])).matches
    assert compare_measure(load_case(places[0], tk=at("tk.bin"))).matches
    assert compare_measure(load_case(places[0], own=True)).matches


@pytest.mark.parametrize("verb", [["case", "verify"], ["validate", "--case"], ["explain", "--case"]], ids=" ".join)
@pytest.mark.parametrize("kind", ["sev", "seves"])
def test_a_case_file_whose_key_lies_on_the_disk_gets_a_note(
    verb: list[str], kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "c.toml")
    write_case(case_of(kind), path)
    names = ["tk"] if kind == "sev" else ["tik", "tek"]
    assert main([*verb, path]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip().startswith(GOOD)
    assert captured.err.count("taken from the case") == 1
    assert f"{' and '.join(names)} {'was' if kind == 'sev' else 'were'} taken from the case" in captured.err
    assert main([*verb, path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trusted_from_case"] == names
    assert main([*verb, path, "--own-case"]) == 0
    assert "taken from the case" not in capsys.readouterr().err


def test_no_secret_is_packed_by_a_stranger_s_keys(
    bundle: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"open sesame")
    files = [str(tmp_path / name) for name in ("header", "payload")]
    words = [f"--inject-secret=luks-key:{secret}", f"--secret-header={files[0]}", f"--secret-payload={files[1]}"]
    assert main(["validate", "--case", bundle, *words]) == 1
    assert "Injected" not in capsys.readouterr().out
    assert not any(Path(path).exists() for path in files)
    assert main(["validate", "--case", bundle, *words, "--own-case"]) == 0
    assert all(Path(path).exists() for path in files)


def test_a_search_is_not_decided_by_a_stranger_s_key(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "--case", bundle, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["status"], data["trusted_from_case"]) == (NOT_DECIDED, ["tk"])
    assert main(["diagnose", "--case", bundle]) == 1
    assert "NOT DECIDED: the measure is consistent with the key in the bundle" in capsys.readouterr().out
    assert main(["diagnose", "--case", bundle, "--own-case"]) == 0
    with open_case(bundle) as case:
        assert diagnose(case, jobs=1).status == NOT_DECIDED
        assert diagnose_case(case).status == NOT_DECIDED
        assert diagnose_case(case, keys={"tk": at("tk.bin")}).status == MATCH
    assert diagnose_case(bundle, own=True).status == MATCH
    assert "consistent with the key" in str(diagnose_case(bundle))


def test_a_key_that_is_exchanged_is_no_longer_the_case_s() -> None:
    case = case_of("sev").replace(own=False, bundled=True)
    evidence = sevlab.load_evidence(trust=case.trust(), **case.part())
    assert compare_measure(evidence).status == NOT_DECIDED
    assert compare_measure(evidence.replace(policy=3)).status == MISMATCH
    assert compare_measure(evidence.replace(tk=at("tk.bin"))).status == MATCH
    assert case.trust({"tik": "a", "tek": "b"}).names == ()


@pytest.mark.parametrize("verb", ["report", "case"])
def test_what_a_case_wants_is_not_what_you_want(verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, packed = str(tmp_path / "c.toml"), str(tmp_path / "b.sevcase")
    write_case(case_of("report"), path)
    pack_case(case_of("report"), packed)
    for one in (path, packed):
        words = ["report", "verify", "--case", one] if verb == "report" else ["case", "verify", one]
        assert main([*words, *ROOTS]) == 0
        captured = capsys.readouterr()
        first = captured.out.split("\n")[0].strip()
        assert first == (
            "OK: a Milan reports the measurement that the case required, below a root of yours, not of AMD"
        )
        assert "NOTE: required by the case, not by you: snp-measurement, snp-policy." in captured.out
        assert "Does it say what the case required?" in captured.out
        assert "you required" not in captured.out
        assert ("required by the case" in captured.err) == (one == packed)
        assert main([*words, *ROOTS, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["trusted_from_case"] == ["snp-measurement", "snp-policy"]
        assert main([*words, *ROOTS, "--own-case"]) == 0
        captured = capsys.readouterr()
        assert "the measurement that you required, below a root of yours" in captured.out
        assert captured.err == ""
    mixed = ["report", "verify", "--case", path, *ROOTS, "--measurement", SAMPLE.measurement.hex()]
    assert main(mixed) == 0
    out = capsys.readouterr().out
    assert "the measurement that you required" in out
    assert "Does it say what you and the case required?" in out
    assert "not by you: snp-policy." in out


def test_a_computed_measurement_is_the_case_s_wish_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "c.toml")
    write_case(case_of("snp"), path)
    assert main(["case", "verify", path, *ROOTS]) == 0
    assert "the measurement that the case required, below a root of yours, not of AMD" in capsys.readouterr().out
    assert main(["case", "verify", path, *ROOTS, "--own-case"]) == 0
    assert "the measurement that you required" in capsys.readouterr().out


def test_without_a_case_nothing_is_said_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    files = [f"--vcek={at('vcek-snp.der')}", f"--chain={at('chain-snp.pem')}"]
    words = ["report", "verify", at("report-snp.bin"), *files, *ROOTS, "--measurement", SAMPLE.measurement.hex()]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "the measurement that you required" in out
    assert "the case" not in out
    assert main([*words, "--json"]) == 0
    assert "trusted_from_case" not in json.loads(capsys.readouterr().out)


def test_trust_says_whose_word_it_takes() -> None:
    assert Trust().notes == []
    assert Trust(("tik", "tek"), bundled=True).words.endswith("(tik, tek), but keys of your own are missing")
    assert not Trust(("snp-policy",), bundled=True).is_doubtful
    assert not Trust(("tk",), bundled=True, own=True).is_doubtful
    case = Case({"tk": "k", "snp_forbid_debug": False, "snp_vmpl": 0, "report": "r"})
    assert case.trust(sections=("snp",)).names == ("snp-vmpl",)
    assert case.trust().names == ("tk",)


def test_a_case_that_was_read_is_a_stranger_s_and_one_that_was_made_is_not(tmp_path: Path, bundle: str) -> None:
    write_case(case_of("sev"), str(tmp_path / "c.toml"))
    assert not read_case(str(tmp_path / "c.toml")).bundled
    with open_case(bundle) as case:
        assert (case.own, case.bundled) == (False, True)
    assert sevlab.cases.bundle.load_bundle(bundle).case.bundled
    assert (case_of("sev").own, case_of("sev").bundled) == (True, False)


# --- one set of statuses


def test_every_verdict_has_one_of_four_statuses(store: Path) -> None:
    assert set(EXITS) == {outcome.MATCH, outcome.MISMATCH, outcome.NOT_DECIDED, outcome.UNUSABLE}
    measure = compare_measure(sevlab.load_evidence(**inputs_of("sev")))
    report = load_report(at("report-snp.bin"))
    block = load_id_block(str(store / "block"))
    packet = sevlab.attestation.secret.build_secret(
        [("luks-key", b"open")], sevlab.SecretBytes(bytes(16)), sevlab.SecretBytes(bytes(16)), bytes(32)
    )
    opened = sevlab.attestation.secret.open_secret(
        packet.header, packet.payload, sevlab.SecretBytes(bytes(16)), sevlab.SecretBytes(bytes(16)), bytes(32)
    )
    verdicts: list[Any] = [measure, verify_report(report), verify_id_block(block), Chain([]).verify(), opened]
    verdicts += [verify_id_block(block, bytes(48)), verify_id_block(block, SAMPLE.measurement), verdict_of("snp")]
    for verdict in verdicts:
        assert verdict.status == verdict.as_dict()["status"]
        assert verdict.status in EXITS
        assert verdict.matches == (verdict.status == MATCH) if hasattr(verdict, "matches") else True
    assert Chain([]).verify().status == NOT_DECIDED
    assert str(Chain([]).verify()).strip().startswith("NOT DECIDED: ")


def test_a_measurement_of_the_host_s_key_is_told_by_its_base64() -> None:
    """A stranger chose TIK and measurement: the HMAC is right, and it is the bundle's own."""
    inputs = inputs_of("sev")
    own = sevlab.load_evidence(**inputs)
    case = case_of("sev", measurement=base64.b64encode(own.measurement.to_bytes()).decode()).replace(
        own=False, bundled=True
    )
    assert verify_case(case).status == NOT_DECIDED
    assert verify_case(case, tk=at("tk.bin")).status == MATCH
