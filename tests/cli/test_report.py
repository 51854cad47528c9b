"""``sevlab report``: what the command says, to people and as JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sevlab.attestation import report as verify
from sevlab.attestation.certificates import FILES
from sevlab.attestation.requirements import REQUIREMENTS
from sevlab.cli import main
from sevlab.cli.report import run
from sevlab.formats import report as report_format
from sevlab.simulator.kds import MOMENT
from tests.paths import DOCS
from tests.shared_data import shared_data
from tests.snp_reports import CHIPS, SERVER, TCBS, make, pem, table

AT = f"{MOMENT:%Y-%m-%d}"
PAGE = (DOCS / "report.md").read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Milan's report and its certificates, in the current folder."""
    monkeypatch.chdir(tmp_path)
    parts = {
        "report": make(),
        "vcek": SERVER.vcek("Milan", CHIPS["Milan"], TCBS["Milan"]),
        "ask": SERVER.ask("Milan"),
        "ark": SERVER.ark("Milan"),
        "chain": SERVER.chain("Milan"),
        "crl": SERVER.crl("Milan"),
    }
    for name, raw in parts.items():
        Path(name).write_bytes(raw)
    Path("certs").write_bytes(table(vcek=pem(parts["vcek"]), ask=parts["ask"], ark=parts["ark"]))
    return tmp_path


MEASUREMENT = make()[0x90:0xC0].hex()
VERIFY = ["report", "verify", "report", "--at", AT, "--trust-root", "ark"]
CHAIN = ["--vcek", "vcek", "--chain", "chain"]


def said(words: list[str], capsys: pytest.CaptureFixture[str], status: int) -> Any:
    assert main([*words, "--json"]) == status
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


@pytest.mark.parametrize("given", [CHAIN, ["--vcek", "vcek", "--ask", "ask", "--ark", "ark"], ["--certs", "certs"]])
def test_certificates_come_in_three_ways(given: list[str], files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*VERIFY, *given, "--crl", "crl", "--measurement", MEASUREMENT]) == 0
    shown = capsys.readouterr().out
    assert "OK: a Milan reports the measurement that you required, below a root of yours, not of AMD" in shown
    assert "Milan, by --trust-root" in shown


def test_exit_1_without_a_measurement_and_when_something_fails(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*VERIFY, *CHAIN]) == 1
    assert "NOT DECIDED: nothing failed, but measurement: not compared" in capsys.readouterr().out
    assert said([*VERIFY, *CHAIN], capsys, 1)["status"] == "not_decided"
    assert main([*VERIFY, *CHAIN, "--measurement", "00" * 48]) == 1
    assert "ERROR: 1 of 29 checks fails: measurement" in capsys.readouterr().out
    assert main(["report", "verify", "report", "--at", AT, *CHAIN, "--measurement", MEASUREMENT]) == 1
    assert "1 of 29 checks fails: ARK known" in capsys.readouterr().out


def test_every_wanted_option(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = ["--measurement", MEASUREMENT, "--policy", "0x30000", "--host-data", "00" * 32, "--vmpl", "0"]
    good += ["--report-data", bytes(range(64)).hex(), "--family-id", "00" * 16, "--image-id", "00" * 16]
    good += ["--id-key-digest", "00" * 48, "--author-key-digest", "00" * 48, "--forbid-debug", "--forbid-migration"]
    good += ["--min-tcb", "bl=4,tee=0,snp=24,ucode=219"]
    checks = said([*VERIFY, *CHAIN, *good], capsys, 0)["checks"]
    states = {check["name"]: check["state"] for check in checks}
    assert [states[name] for name in REQUIREMENTS if name != "forbid_smt"] == ["match"] * 12
    bad = ["--policy", "1", "--vmpl", "1", "--min-tcb", "snp=25", "--forbid-smt"]
    failed = {
        check["name"] for check in said([*VERIFY, *CHAIN, *bad], capsys, 1)["checks"] if check["state"] == "mismatch"
    }
    assert failed == {"policy", "vmpl", "min_tcb", "forbid_smt"}


def test_json_has_the_documented_keys(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = said([*VERIFY, *CHAIN, "--measurement", MEASUREMENT], capsys, 0)
    shown = said(["report", "show", "report"], capsys, 0)
    of_verify, _, of_show = PAGE.partition("## As JSON")[2].partition("## In Python")[0].partition("`show`:")
    for key in verdict:
        assert f"`{key}`" in of_verify, key
    assert set(verdict["checks"][0]) == {"name", "state", "note", "incident"}
    for key in shown:
        assert f"`{key}`" in of_show, key
    assert verdict["certificates"]["vcek"]["serial"] == 0
    assert verdict["certificates"]["ark"]["sha256"] == hashlib.sha256(SERVER.ark("Milan")).hexdigest()
    assert shown["fields"]["measurement"] == MEASUREMENT


def test_a_header_before_the_report_is_said(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytes(4) + (1184).to_bytes(4, "little") + bytes(24) + make()
    Path("report").write_bytes(raw.hex().encode())
    assert main([*VERIFY, *CHAIN, "--measurement", MEASUREMENT]) == 0
    assert "hex text; the 32 bytes before it are the header of the firmware's answer" in capsys.readouterr().out
    assert main(["report", "show", "report"]) == 0
    assert "hex text; the 32 bytes before it" in capsys.readouterr().out
    assert said(["report", "show", "report"], capsys, 0)["header"] == raw[:32].hex()


def test_show_takes_a_product(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("report").write_bytes(make("Genoa", 4))
    assert main(["report", "show", "report"]) == 0
    assert "This version is not known to sevlab" in " ".join(capsys.readouterr().out.split())
    assert said(["report", "show", "report", "--product", "Genoa"], capsys, 0)["product"] == "Genoa"
    assert main(["report", "show", "report", "--product", "Genoa"]) == 0
    assert "/vcek/v1/Genoa/" in capsys.readouterr().out


def case(**lines: str) -> str:
    def file(name: str) -> str:
        return f'{name} = {{ path = "{name}", sha256 = "{hashlib.sha256(Path(name).read_bytes()).hexdigest()}" }}'

    names = [file(name) for name in ("report", "vcek", "chain", "crl")]
    return "\n".join(["format = 2", "[snp]", *names, *(f"{key} = {value}" for key, value in lines.items())]) + "\n"


def test_a_case_file_gives_everything_and_options_win(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"snp-measurement": f'"{MEASUREMENT}"', "snp-policy": "0x30000", "snp-forbid-debug": "true"}
    Path("case.toml").write_text(case(**wanted))
    plain = ["report", "verify", "--at", AT, "--trust-root", "ark", "--case", "case.toml"]
    verdict = said(plain, capsys, 0)
    states = {check["name"]: check["state"] for check in verdict["checks"]}
    assert [states[name] for name in ("measurement", "policy", "forbid_debug", "revocation")] == ["match"] * 4
    assert main([*plain, "--policy", "0x1", "--ask", "ask", "--ark", "ark"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "WARNING: --chain of case.toml is replaced by an option",
        "WARNING: --policy of case.toml is replaced by an option",
    ]
    assert "1 of 29 checks fails: policy" in captured.out
    Path("case.toml").write_text(case(**{"snp-forbid-smt": "true", "snp-min-tcb": '"snp=25"', "snp-vmpl": "1"}))
    failed = [check["name"] for check in said(plain, capsys, 1)["checks"] if check["state"] == "mismatch"]
    assert failed == ["min_tcb", "vmpl", "forbid_smt"]
    Path("vcek").write_bytes(SERVER.vcek("Milan", CHIPS["Genoa"], TCBS["Milan"]))
    assert main(plain) == 1
    captured = capsys.readouterr()
    assert "vcek: 'vcek' has changed" in captured.err
    assert "F43" in captured.out


def test_other_verbs_leave_the_report_s_section_alone(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("case.toml").write_text(case(**{"snp-policy": "1"}))
    assert main(["validate", "--case", "case.toml"]) == 2
    assert "a case of SEV-SNP; needed a case of SEV or SEV-ES" in capsys.readouterr().err
    both = case(**{"snp-policy": "1"}) + "[reported]\npolicy = 1\n"
    Path("both.toml").write_text(both)
    assert main(["validate", "--case", "both.toml"]) == 2
    assert "--tk: received nothing" in capsys.readouterr().err
    assert main(["coverage", "--case", "case.toml"]) == 2
    assert "a case of SEV-SNP" in capsys.readouterr().err
    assert "snp" not in capsys.readouterr().out
    Path("old.toml").write_text('format = 2\n[owner]\ncmdline = "x"\n')
    assert main(["report", "verify", "--case", "old.toml"]) == 2
    assert "FILE: received nothing; needed a report" in capsys.readouterr().err


MISUSE = {
    "no file": (["verify"], "FILE: received nothing"),
    "missing file": (["verify", "nowhere"], "FILE: received 'nowhere': no such file"),
    "not a report": (["show", "vcek"], "such as a certificate"),
    "not a certificate": (
        ["verify", "report", "--vcek", "report"],
        "--vcek: received 1184 bytes, an attestation report",
    ),
    "chain for one": (["verify", "report", "--ask", "chain"], "--ask: received 2 certificates"),
    "chain and half": (
        ["verify", "report", "--chain", "chain", "--ark", "ark"],
        "--chain: received together with --ark",
    ),
    "no table": (["verify", "report", "--certs", "vcek"], "--certs: received"),
    "no crl": (["verify", "report", "--crl", "vcek"], "--crl: received"),
    "bad date": (["verify", "report", "--at", "soon"], "--at: received 'soon'"),
    "bad root": (["verify", "report", "--trust-root", "report"], "--trust-root: received"),
    "short bytes": (["verify", "report", "--measurement", "aa"], "--measurement: received 'aa', 1 bytes of hex"),
    "bad number": (["verify", "report", "--policy", "b0000"], "--policy: received 'b0000'"),
    "bad part": (["verify", "report", "--min-tcb", "cpu=3"], "--min-tcb: received the part 'cpu'"),
    "bad vmpl": (["verify", "report", "--vmpl", "4"], "--vmpl: received '4'"),
    "two from input": (["verify", "-", "--vcek", "-"], "--vcek: received '-' when FILE already reads"),
    "root from input": (["verify", "-", "--trust-root", "-"], "--trust-root: received '-' when FILE"),
    "bad product": (["show", "report", "--product", "Zen"], "--product: received 'Zen'; needed one of Milan"),
    "no action": ([], "usage: received"),
    "product for verify": (["verify", "report", "--product", "Milan"], "usage: received"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_one_line(name: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, line = MISUSE[name]
    assert main(["report", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("ERROR: ")
    assert line in captured.err


def test_the_documentation_names_every_option_and_check(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*FILES, *REQUIREMENTS, "at", "trust_root", "case", "json", "product"):
        assert f"--{name.replace('_', '-')}" in PAGE, name
    for check in said([*VERIFY, *CHAIN], capsys, 1)["checks"]:
        assert f"| {check['name']} |" in PAGE or f"`{check['name']}`" in PAGE, check["name"]
    for action in ("show", "verify"):
        with pytest.raises(SystemExit):
            run([action, "--help"])
        assert "docs/report.md" in capsys.readouterr().out


def test_the_real_report_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = ("milan-v2-report.bin", "milan-v2-vcek.der", "milan-ask.pem", "milan-ark.pem")
    report, vcek, ask, ark = (str(shared_data("snp", name)) for name in names)
    words = ["report", "verify", report, "--vcek", vcek, "--ask", ask, "--ark", ark, "--at", "2024-01-01T12:00:00Z"]
    measurement = Path(report).read_bytes()[0x90:0xC0].hex()
    assert main([*words, "--measurement", measurement]) == 0
    shown = capsys.readouterr().out
    assert "OK: a genuine Milan" in shown
    assert "Beware: the policy allows debugging" in shown
    assert main([*words, "--measurement", measurement, "--forbid-debug"]) == 1
    assert "A07" in capsys.readouterr().out


def test_a_report_is_parsed_once(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its product is asked for twice: once to parse it, once to check its certificates."""
    calls: list[str] = []
    for room, name in ((verify, "parse_report"),):
        real = getattr(room, name)

        def counted(*words: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(*words)

        monkeypatch.setattr(room, name, counted)
    product = report_format.Report.product.fget
    counting = property(lambda report: calls.append("product") or product(report))  # type: ignore[func-returns-value, misc]
    monkeypatch.setattr(report_format.Report, "product", counting)
    said([*VERIFY, *CHAIN], capsys, 1)
    assert sorted(calls) == ["parse_report", "product", "product"]
