"""Runs a Python program many times, each time as a process of its own, but starts and imports it only once.

Started as ``python program_server.py WARM_UP -m MODULE``, or with a script's path in place of ``-m MODULE``. WARM_UP is
a JSON list of arguments with which the program runs once, unseen, so that what it imports is there. Then each line of
standard input is a request ``{"argv", "folder", "environment", "stdin"}``, for which a fork of this process runs the
program; the line that answers is ``{"status", "out", "err"}``. Bytes are in base64. The standard library alone: other
Pythons run this, too.
"""

import base64
import contextlib
import io
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback

SECONDS = 300


def run(program, argv):
    """Run the program in this process; return its exit status."""
    # What plays another part at each run is imported anew.
    sys.modules.pop("libvirt", None)
    try:
        if program[0] == "-m":
            sys.argv = [program[1], *argv]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [program[0], *argv]
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def child(program, request, stdin, out, err):
    for number, stream in enumerate((stdin, out, err)):
        os.dup2(stream.fileno(), number)
    signal.alarm(SECONDS)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    status = run(program, request["argv"])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status & 0xFF)


def answer(program, request):
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        stdin.write(base64.b64decode(request["stdin"]))
        stdin.seek(0)
        pid = os.fork()
        if not pid:
            child(program, request, stdin, out, err)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for stream in (out, err):
            stream.seek(0)
        return {
            "status": status,
            "out": base64.b64encode(out.read()).decode(),
            "err": base64.b64encode(err.read()).decode(),
        }


def main():
    warm_up, *program = sys.argv[1:]
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(program, json.loads(warm_up))
    for line in requests:
        answers.write(json.dumps(answer(program, json.loads(line))).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
