"""The parsers of all verbs, taken from the verbs themselves: what they would parse their words with."""

from __future__ import annotations

from argparse import Action, ArgumentParser, _SubParsersAction
from importlib import import_module
from typing import Any
from unittest import mock

from sevlab.cli import VERBS
from sevlab.cli.options import Parser

#: Words after a verb that make it take other options.
FORMS = {"diagnose": ["--mode=snp"], "session": ["open"]}


class Caught(Exception):
    """Carries the parser of a verb that was stopped before it parsed anything."""


def parser_of(verb: str, *words: str) -> Parser:
    """The parser that a verb makes for *words*."""

    def catch(self: Parser, *args: Any, **more: Any) -> None:
        raise Caught(self)

    module, function, _ = VERBS[verb]
    run = getattr(import_module(f"sevlab.cli.{module}"), function)
    with mock.patch.object(Parser, "parse_args", catch):
        try:
            run(list(words))
        except Caught as caught:
            return caught.args[0]
    raise AssertionError(f"{verb} parses nothing")


def actions(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """The parsers of a verb's actions, by name."""
    found = [one for one in parser._actions if isinstance(one, _SubParsersAction)]
    return dict(found[0].choices) if found else {}


def all_parsers() -> dict[str, ArgumentParser]:
    """Every parser, by the words that lead to it: ``case show``, ``diagnose --mode=snp``."""
    found: dict[str, ArgumentParser] = {}
    for verb in VERBS:
        found[verb] = parser = parser_of(verb)
        found |= {f"{verb} {name}": one for name, one in actions(parser).items()}
        if verb in FORMS:
            found[" ".join([verb, *FORMS[verb]])] = parser_of(verb, *FORMS[verb])
    return found


def options(parser: ArgumentParser) -> list[Action]:
    """What a parser takes, except help and actions."""
    return [one for one in parser._actions if one.dest != "help" and not isinstance(one, _SubParsersAction)]
