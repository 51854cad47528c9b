"""Write ``completions/``: what bash, zsh and fish complete of sevlab's command line (``make docs``).

shtab makes them from the parsers of the verbs. They are static: a shell that completes runs nothing of ours.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser
from typing import Any

import shtab

from sevlab.attestation.advisories import NAMES
from sevlab.cases.case import MODES as CASE_MODES
from sevlab.cli import VERBS
from sevlab.cli.diagnose import MODES as DIAGNOSE_MODES
from sevlab.cli.digest import MODES, VMM_TYPES
from sevlab.data import MODES as MATRIX_MODES
from sevlab.data import PRODUCTS
from sevlab.formats.report import TCB_FORMS
from sevlab.launch.vmm import CPU_MODELS, SNP_PROFILES
from tests.parsers import FORMS, actions, options, parser_of
from tests.paths import ROOT

FOLDER = ROOT / "completions"
#: The file of each shell, called as the shell looks for it.
FILES = {"bash": "bash/sevlab", "zsh": "zsh/_sevlab", "fish": "fish/sevlab.fish"}
#: What stands for a file in the help, and what for a folder.
PATHS, FOLDERS = {"FILE", "CASE", "A", "B", "CHAIN", "GODH", "SESSION", "HEADER", "PAYLOAD"}, {"DIR", "FOLDER"}
#: The values of options and of one argument, by their names in a parser; where verbs differ, by the verb too.
CHOICES: dict[str, Any] = {
    "digest mode": MODES,
    "diagnose mode": DIAGNOSE_MODES,
    "profiles mode": MATRIX_MODES,
    "case mode": CASE_MODES,
    "report product": TCB_FORMS,
    "advise product": PRODUCTS,
    "technology": NAMES,
    "vmm_type": VMM_TYPES,
    "vcpu_type": CPU_MODELS,
    "profile": SNP_PROFILES,
    "profiles name": SNP_PROFILES,
    "output_format": ("hex", "base64"),
}


def _complete(verb: str, action: Action) -> None:
    if action.metavar in PATHS:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif action.metavar in FOLDERS or action.dest == "folder":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    elif choices := CHOICES.get(f"{verb} {action.dest}", CHOICES.get(action.dest)):
        action.choices = list(choices)


def whole_parser() -> ArgumentParser:
    """One parser with all verbs. A verb that has two forms takes the options of both."""
    whole = ArgumentParser(prog="sevlab")
    whole.add_argument("--version", "-V", action="version", help="print the version")
    verbs = whole.add_subparsers(metavar="VERB")
    for verb, (_, _, what) in VERBS.items():
        verbs.add_parser(verb, help=what)
        parser = verbs._name_parser_map[verb] = parser_of(verb)
        for other in options(parser_of(verb, *FORMS[verb])) if verb in FORMS else ():
            if other.option_strings and not set(other.option_strings) & set(parser._option_string_actions):
                parser._add_action(other)
        for one in (parser, *actions(parser).values()):
            for action in options(one):
                _complete(verb, action)
    return whole


def scripts() -> dict[str, str]:
    """The script of each shell, by the name of its file."""
    return {name: shtab.complete(whole_parser(), shell=shell).rstrip() + "\n" for shell, name in FILES.items()}


if __name__ == "__main__":
    for name, text in scripts().items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER.name, name)
