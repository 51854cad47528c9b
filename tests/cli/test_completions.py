"""What shells complete: the stored scripts are those that shtab makes now, and bash, zsh and fish take them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from sevlab.cli import VERBS
from tests.parsers import FORMS, actions, options, parser_of
from tests.paths import ROOT

FOLDER = ROOT / "completions"
#: Words as they are typed, up to the one to complete, and what completes it.
TYPED = {
    "va": ["validate"],
    "case sh": ["show"],
    "secret ": ["build", "open"],
    "validate --pol": ["--policy"],
    "digest --mode sn": ["snp", "snp:ovmf-hash", "snp:svsm"],
    "diagnose --mode s": ["sev", "seves", "snp", "snp:svsm"],
    "diagnose --vcpu-ty": ["--vcpu-type"],
    "digest --profile ec": ["ec2", "ec2-rdx0"],
    "digest --vcpu-type EPYC-Milan-v4": ["EPYC-Milan-v4"],
    "session --pdh": ["--pdh-key"],
    "profiles gc": ["gce", "gce-genoa"],
    "report show --product Mi": ["Milan"],
    "validate --firmware notebooks/samples/firmware-st": ["notebooks/samples/firmware-stock.fd"],
    "report verify notebooks/samples/rep": ["notebooks/samples/report-snp.bin"],
}


def test_the_stored_scripts_are_those_that_shtab_makes() -> None:
    pytest.importorskip("shtab", reason="shtab makes the scripts: make test installs it")
    from tests.make_completions import scripts

    stored = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.glob("*/*")}
    assert scripts() == stored, "run: make docs"


@pytest.mark.parametrize("name", ["bash/sevlab", "zsh/_sevlab", "fish/sevlab.fish"])
def test_a_script_knows_every_verb_action_and_option(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    for verb in VERBS:
        parsers = [parser_of(verb), *actions(parser_of(verb)).values()]
        parsers += [parser_of(verb, *FORMS[verb])] if verb in FORMS else []
        words = [verb, *actions(parsers[0])]
        words += [option for parser in parsers for one in options(parser) for option in one.option_strings]
        for word in words:
            option = f"-l {word[2:]}" if name.endswith("fish") and word[:2] == "--" else word
            assert option in text, (verb, word)


@pytest.mark.parametrize("typed", TYPED)
def test_bash_completes(typed: str) -> None:
    words = ["sevlab", *typed.split(" ")]
    script = f"""
source {shlex.quote(str(FOLDER / "bash" / "sevlab"))}
COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1} COMP_LINE={shlex.quote(" ".join(words))}
COMP_POINT=${{#COMP_LINE}}
function=$(complete -p sevlab | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function sevlab {shlex.quote(words[-1])} {shlex.quote(words[-2])}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == TYPED[typed]


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish: apt-get install fish")
@pytest.mark.parametrize("typed", TYPED)
def test_fish_completes(typed: str, tmp_path: Path) -> None:
    script = f"source {shlex.quote(str(FOLDER / 'fish' / 'sevlab.fish'))}; complete -C {shlex.quote(f'sevlab {typed}')}"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60
    )
    found = {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert set(TYPED[typed]) <= found


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh: apt-get install zsh")
def test_zsh_takes_the_script(tmp_path: Path) -> None:
    script = f"""
fpath=({shlex.quote(str(FOLDER / "zsh"))} $fpath)
autoload -Uz compinit && compinit -u -d {shlex.quote(str(tmp_path / "dump"))}
print -r -- ${{_comps[sevlab]}}
autoload +X -Uz _sevlab && print loaded
"""
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["_sevlab", "loaded"], "")
