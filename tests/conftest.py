"""What every test shares."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.soak import SOAK, many

# How long an example may take is not tested: on a busy machine it fails good code. Speed is for `make bench`.
# What continuous integration says of a commit must not depend on its luck: there the same examples come each time. At
# home they differ, and find what is left to find.
settings.register_profile("sevlab", deadline=None, derandomize="CI" in os.environ, max_examples=many(100, 20))
settings.load_profile("sevlab")


# Whoever runs the tests in the background, or with nohup, has some signals switched off, and every process that a test
# starts would inherit that.
for _name in ("SIGTERM", "SIGHUP", "SIGQUIT"):
    if hasattr(signal, _name):
        signal.signal(getattr(signal, _name), signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Tests that one worker runs, by how their names begin: they share what takes long to make.
TOGETHER = ("tests/browser/", "tests/cli/test_peer_validate.py::")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out tests one by one, but those of a group to one worker. (xdist's own groups need an older pytest.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((group for group in TOGETHER if nodeid.startswith(group)), nodeid)

    return Scheduling(config, log)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run sevlab in this process: a function of its words, which returns the exit status, output and errors."""
    from sevlab.cli import main

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(argv))
        return (status, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the samples, and with everything that the commands of tests/commands.py read."""
    from tests.commands import write_inputs

    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse tests whose names change from one run to the next, and leave out what is for `make soak` alone."""
    # Two workers would not agree on which tests there are.
    if unstable := [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]{8,}>", item.nodeid)]:
        raise pytest.UsageError(f"an address in the name of a test: {unstable[0]}")
    if SOAK:
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
