"""QEMU command lines, however they were copied."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sevlab.cases.capture import plain
from sevlab.cases.qemu_cmdline import CommandLine, parse_command_line, split_parts
from sevlab.cases.recognize import parse_anything
from sevlab.cli import main
from sevlab.errors import InputError
from tests.cases.sample_texts import (
    DOMAIN,
    PS,
    SHELL,
    remarks,
    values,
)
from tests.cases.test_snp_capture import GUESTS


def test_a_shell_command_is_read():
    capture = parse_command_line(SHELL)
    assert values(capture) == {
        "policy": 5,
        "firmware": "/fw/my,OVMF.fd",
        "kernel": "bzImage",
        "initrd": "initrd one.img",
        "cmdline": "console=ttyS0  root=/dev/sda1 ",
        "num_cpus": 4,
        "cpu_family": 23,
        "cpu_model": 49,
        "cpu_stepping": 0,
        "guest": "sev",
        "kernel_hashes": True,
        "cpu": "EPYC-Rome-v2",
    }
    assert capture.remarks == ()


def test_zero_bytes_separate_exactly():
    words = ["qemu-kvm", "-append", "a b -smp 9", "-smp", "3", "-bios", "my fw.fd", "-kernel", "-odd"]
    capture = parse_command_line("\0".join(words) + "\0")
    assert values(capture)["cmdline"] == "a b -smp 9"
    assert values(capture)["num_cpus"] == 3
    assert values(capture)["firmware"] == "my fw.fd"
    assert values(capture)["kernel"] == "-odd"


def test_libvirts_words_are_read_as_ps_shows_them_and_as_its_log_does():
    expected = {
        "policy": 5,
        "firmware": "/fw/OVMF.fd",
        "kernel": "/srv/vmlinuz",
        "cmdline": "console=ttyS0 root=/dev/vda1",
        "num_cpus": 2,
        "cpu_family": 25,
        "cpu_model": 1,
        "cpu_stepping": 1,
        "guest": "sev",
        "kernel_hashes": True,
        "cpu": "EPYC-Milan",
    }
    capture = parse_command_line(PS)
    assert values(capture) == expected
    assert "quotes are lost" in remarks(capture)
    assert "-append has lost its quotes" in remarks(capture)
    words = PS[PS.index("/usr/bin") :].replace("{", "'{").replace("}", "}'").replace(" -", " \\\n-")
    logged = "LC_ALL=C \\\nPATH=/usr/bin \\\n" + words.replace(
        "console=ttyS0 root=/dev/vda1", "'console=ttyS0 root=/dev/vda1'"
    )
    capture = parse_command_line(logged)
    assert values(capture) == expected
    assert capture.remarks == ()


@pytest.mark.parametrize(
    ("smp", "count"),
    [
        ("4", 4),
        ("cpus=4,maxcpus=8", 4),
        ("4,sockets=2,cores=2", 4),
        ("sockets=2,cores=3,threads=2", 12),
        ("cores=2,maxcpus=16", 16),
        ("2 -smp 5", 5),
    ],
)
def test_smp_is_counted_as_qemu_does(smp, count):
    assert values(parse_command_line(f"qemu-kvm -smp {smp}"))["num_cpus"] == count


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-object sev-guest,id=s -machine q35", "this guest runs without SEV"),
        ("-object sev-guest,id=s", "not all was understood"),
        ("-object sev-guest,id=s -machine q35,confidental-guest-support=s", "not all was understood"),
        ("-object sev-guest,id=s -machine memory-encryption=t", "not all was understood"),
        ("-m 4G", "does not use SEV"),
        ("-object sev-guest,id=s,policy=07", "octal"),
        ("-object sev-guest,id=s,policy=five", "policy is not used"),
        ("-smp 0", "at least one virtual CPU"),
        ("-bios a -pflash b", "uses instead of -bios"),
        ("-bios a", "from version 7.1 on"),
        ("-pflash a -pflash b", "nothing measures them"),
        ("-kernel $KERNEL", "contains a '$'"),
        ('-append "`cat x`"', "contains a '`'"),
        ("-readconfig my.cfg", "which was not read"),
        ("-m 4G\nqemu-system-x86_64 -m 8G", "only the last is read"),
        ("-object '{broken'", "not JSON"),
        ("-append 'open", "without quotes"),
        ("", "nothing was understood"),
    ],
)
def test_odd_command_lines_become_remarks(words, said):
    assert said in remarks(parse_command_line(f"qemu-system-x86_64 {words}"))


def test_the_policy_has_qemus_default_and_octal_is_octal():
    assert values(parse_command_line("qemu-kvm -object sev-guest,id=s"))["policy"] == 1
    assert values(parse_command_line("qemu-kvm -object sev-guest,policy=07"))["policy"] == 7


def test_family_model_and_stepping_can_be_given_on_their_own():
    capture = parse_command_line("qemu-kvm -cpu host,family=25,model=17,stepping=1")
    assert [values(capture)[name] for name in ("cpu_family", "cpu_model", "cpu_stepping")] == [25, 17, 1]
    assert "cpu_family" not in values(parse_command_line("qemu-kvm -cpu host"))


@given(
    st.lists(st.tuples(st.from_regex("[a-z][a-z.-]{0,8}", fullmatch=True), st.text("ab,= -", max_size=8)), max_size=5)
)
def test_commas_survive_their_escape(pairs):
    text = ",".join(f"{key}={value.replace(',', ',,')}" for key, value in pairs)
    assert split_parts(text) == pairs


def test_flash_units_are_counted_as_qemu_does():
    command = CommandLine("qemu-kvm -drive if=pflash,file=a -drive if=pflash,unit=1,file=b -pflash c")
    assert [command.flash(unit) for unit in (0, 1, 2)] == ["a", "b", "c"]


def test_a_loop_of_block_nodes_ends():
    words = "-machine pflash0=a -blockdev raw,node-name=a,file=b -blockdev raw,node-name=b,file=a"
    assert CommandLine(f"qemu-kvm {words}").flash(0) is None


# Whatever people have


WORDS = [
    *("/usr/bin/qemu-system-x86_64", "-enable-kvm", "-cpu", "EPYC-Milan", "-smp", "2"),
    *("-machine", "q35,confidential-guest-support=sev0", "-drive", "if=pflash,unit=0,file=OVMF.fd"),
    *(
        "-object",
        "sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0x5",
        "-kernel",
        "vmlinuz",
        "-append",
        "quiet",
    ),
]
LINE = " ".join(WORDS)
PAIRS = [WORDS[1:2], *(WORDS[at : at + 2] for at in range(2, len(WORDS), 2))]
FORMS = {
    "shell": LINE,
    "continued": LINE.replace(" -", " \\\n  -"),
    "zero bytes": "\0".join(WORDS) + "\0",
    "ps": f"root  4242  1 12 09:00 ?  00:01:02 {LINE}",
    "systemd": f"[Service]\nExecStart={LINE}\n",
    "systemctl show": f"ExecStart={{ path={WORDS[0]} ; argv[]={LINE} ; ignore_errors=no ; pid=0 }}",
    "JSON": json.dumps(WORDS),
    "JSON over lines": json.dumps({"args": WORDS}, indent=2),
    "Python": repr(WORDS),
    "Go": "cmd := []string{" + ", ".join(f'"{word}"' for word in WORDS) + "}",
    "Bash array": "args=( " + " ".join(shlex.quote(word) for word in WORDS) + " )",
    "Markdown": "```sh\n$ " + LINE.replace(" -", " \\\n  -") + "\n```\nIt fails.\n",
    "Markdown, bold": LINE.replace("-object sev", "**-object sev").replace("policy=0x5", "policy=0x5**"),
    "quoted mail": "> " + LINE.replace(" -", " \\\n> -"),
    "curly quotes": LINE.replace("quiet", "\u201cquiet\u201d"),
    "sudo": f"sudo -E env A=b {LINE} > log 2>&1 &",
    "libvirt's log": "2026-01-01 00:00:00.000+0000: starting up libvirt version: 10.0.0\nLC_ALL=C \\\n"
    + LINE.replace(" -", " \\\n-") + "\n2026-01-01 00:01:00.000+0000: shutting down, reason=destroyed\n",
    "Kata's log": f'time="2026-01-01" level=info msg="launching {WORDS[0]} with: [{" ".join(WORDS[1:])}]" name=shim',
    "journald": json.dumps({"_PID": "7", "MESSAGE": LINE, "PRIORITY": "6"}) + "\n",
    "docker's log": json.dumps({"log": f"{LINE}\n", "stream": "stdout", "time": "2026-01-01T00:00:00Z"}),
    "zero bytes written out": "\\0".join([*WORDS, ""]),
    "zero bytes in an editor": "^@".join([*WORDS, ""]),
    "YAML": "command:\n" + "".join(f"- {word}\n" for word in WORDS),
    "YAML, quoted": "args:\n" + "".join(f'  - "{word}"\n' for word in WORDS),
    "Rust": "let args = vec![" + ", ".join(f'"{word}".to_string()' for word in WORDS) + "];",
    "C": "char *argv[] = { " + ", ".join(f'"{word}"' for word in WORDS) + ", NULL };",
    "Python with comments": "cmd = [\n" + "".join(f"    '{word}',  # why\n" for word in WORDS) + "]\n",
    "Go, quoted": "launching: [" + " ".join(f'"{word}"' for word in WORDS) + "]",
    "strace": f"execve({json.dumps(WORDS[0])}, {json.dumps(WORDS)}, 0x7ffd /* 20 vars */) = 0",
    "auditd": "type=EXECVE msg=audit(1.2:3): argc=16 " + " ".join(
        f"a{at}=" + (word.encode().hex().upper() if "=" in word else f'"{word}"') for at, word in enumerate(WORDS)
    ),
    "long dashes": LINE.replace(" -", " \u2013"),
    "another list before": json.dumps([*WORDS[:3], "-smp", "9"]) + "\n" + json.dumps(WORDS),
    "after another": f"{LINE.replace('0x5', '0x1').replace('OVMF.fd', 'OLD.fd')}\n\n{LINE}\n",
    "Rust, call by call": f'Command::new("{WORDS[0]}")' + "".join(f'\n    .arg("{word}")' for word in WORDS[1:]),
    "Rust, list by list": f'Command::new("{WORDS[0]}")' + "".join(f"\n.args({json.dumps(pair)})" for pair in PAIRS),
    "Go, appended": "".join(f"args = append(args, {json.dumps(pair)[1:-1]})\n" for pair in PAIRS)
    + 'exec.Command("qemu-system-x86_64", args...)\n',
    "Python, extended": f"args = ['{WORDS[0]}']\n" + "".join(f"args += {pair}\n" for pair in PAIRS),
    "Python, one by one": f"args = ['{WORDS[0]}']\n" + "".join(f"args.append({word!r})\n" for word in WORDS[1:]),
    "Python, added": f"args = ['{WORDS[0]}'] + " + " + ".join(map(repr, PAIRS)),
    "Bash, appended": "A=()\n" + "".join(f"A+=({shlex.join(pair)})\n" for pair in PAIRS) + f'{WORDS[0]} "${{A[@]}}"\n',
    "Bash, array over lines": "A=(\n" + "".join(f"  {shlex.join(pair)}  # why\n" for pair in PAIRS[:-1])
    + f')\nexec {WORDS[0]} "${{A[@]}}" -append quiet\n',
    "Bash, one string": "".join(f'O="$O {" ".join(pair)}"\n' for pair in PAIRS) + f"{WORDS[0]} $O\n",
    "Nix": "options = [\n" + "".join(f'  "{" ".join(pair)}"\n' for pair in PAIRS) + "];\n",
    "ps, with others": f"UID PID\nroot  4242  1 12 09:00 ?  00:01:02 {LINE}\n"
    "root  4300  1  0 10:00 pts/0  00:00:00 grep qemu\n 4301 ?  S  0:00 [kvm-nx]\n",
    "ps, with another guest": f"root 10 1 0 09:00 ? 00:01 {LINE}\nroot 11 1 0 09:00 ? 00:01 qemu-kvm -smp 1 -M pc\n",
    "journalctl": f"Nov 29 10:00:00 host run[7]: {LINE}\nNov 29 10:00:01 host run[7]: started\n",
    "set -x": f"+ exec {LINE}\n+ true\n",
    "Proxmox's error": f"TASK ERROR: start failed: command '{LINE}' failed: exit code 1",
    "in a sentence": f"I start `{LINE}` and it hangs.\n\nWhy is that?\n",
    "above a heading": f"{LINE}\n\n## Expected\n\nIt boots - of course.\n",
    "compose's log": "".join(f"vm-1  | {line}\n" for line in LINE.replace(" -", " \\\n  -").splitlines()),
    "journald, of QEMU": json.dumps({"_CMDLINE": LINE, "MESSAGE": "char device redirected", "_COMM": "qemu-kvm"}),
    "Rust, printed": f'Command {{ std: "{WORDS[0]}" ' + " ".join(f'"{word}"' for word in WORDS[1:]) + ", kill: false }",
    "commas": ",".join(map(json.dumps, WORDS)),
    "redirected": f"nohup {LINE} &> log &",
    "in double quotes": f'ssh host "{LINE}" > log; echo done',
    "in single quotes": f"sh -c '{LINE}'\n",
    "YAML, one string": f'command: "{LINE}"\nimage: x\n',
    "strings added": f'c = "{WORDS[0]} {WORDS[1]} "' + "".join(f' +\n  "{" ".join(pair)} "' for pair in PAIRS[1:]),
    "a list, then another guest": json.dumps(WORDS) + "\n" + json.dumps(["qemu-kvm", "-smp", "9", "-append", "x"]),
    "zero bytes, after another": "\0".join(["qemu-kvm", "-initrd", "x", "-smp", "9", *WORDS, ""]),
    "zero bytes, before another": "\0".join(["sleep", "9", *WORDS, "qemu-kvm", "-initrd", "x", "-smp", "9", ""]),
    "above a comment": f"{LINE}\n\n# {LINE.replace('0x5', '0x1').replace('OVMF.fd', 'OLD.fd')}\n",
    "prompts": f"# {LINE.replace('0x5', '0x1')}\n# {LINE}\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_command_line_is_read_however_it_was_copied(form):
    capture = parse_command_line(plain(FORMS[form]))
    found, expected = values(capture), values(parse_command_line(FORMS["zero bytes"]))
    if "what the program computes" in remarks(capture):
        assert expected.pop("kernel_hashes") is False
        assert "kernel_hashes" not in found
    assert {name: found.get(name) for name in expected} == expected
    assert "initrd" not in found
    assert (expected["policy"], expected["firmware"], expected["num_cpus"]) == (5, "OVMF.fd", 2)


@pytest.mark.parametrize("form", FORMS)
def test_of_two_launches_in_one_text_the_last_counts(form):
    before = FORMS[form].replace("0x5", "0x1").replace("OVMF.fd", "OLD.fd").replace("EPYC-Milan", "EPYC")
    capture = parse_command_line(plain(f"{before}\n{FORMS[form]}"))
    if "what the program computes" in remarks(capture):
        return  # its pieces are anyone's
    expected = values(parse_command_line(FORMS["zero bytes"]))
    assert {name: values(capture).get(name) for name in expected} == expected
    assert "QEMU command lines" in remarks(capture)


@pytest.mark.parametrize("form", ["shell", "libvirt's log", "JSON"])
def test_a_recorded_terminal_and_a_page_are_read_as_text(form):
    text, expected = FORMS[form], values(parse_anything(FORMS[form]))
    coloured = text.replace("-object", "\x1b[1;31m-object\x1b[0m").replace("-smp", "\x1b]0;title\x07-smp")
    for other in (coloured, f"<pre><code>{html.escape(text)}</code></pre>", text.replace("\n", "\r\n")):
        assert values(parse_anything(other)) == expected


ABSENCE = re.compile("does not use SEV|runs without SEV")


def test_nothing_is_called_absent_when_a_word_was_dropped_doubled_or_misspelt():
    for form in ("shell", "zero bytes", "JSON"):
        join = {"shell": " ".join, "zero bytes": lambda words: "\0".join([*words, ""]), "JSON": json.dumps}[form]
        for number, word in enumerate(WORDS[1:], 1):
            dropped, doubled = [*WORDS[:number], *WORDS[number + 1 :]], [*WORDS[:number], word, *WORDS[number:]]
            spoiled = [dropped, doubled]
            for place in range(0, len(word), 3):
                for wrong in (word[:place] + word[place + 1 :], word[:place] + "x" + word[place:]):
                    spoiled.append([*WORDS[:number], wrong, *WORDS[number + 1 :]])
            for words in spoiled:
                capture = parse_command_line(join(words))
                assert not ABSENCE.search(remarks(capture)), words


def spoilt(text: str) -> Iterator[str]:
    """A text with one word dropped, doubled or misspelt; a lost backslash is a dropped word, too."""
    parts = re.split(r"(\s+)", text)
    for number, word in enumerate(parts):
        before, after = "".join(parts[:number]), "".join(parts[number + 1 :])
        if word.strip():
            yield before + after
            yield f"{before}{word} {word}{after}"
            for place in range(0, len(word), max(1, len(word) // 4)):
                yield before + word[:place] + word[place + 1 :] + after
                yield f"{before}{word[:place]}x{word[place:]}{after}"


TEXTS = {"script": SHELL, "ps of libvirt": PS, "XML": DOMAIN, **{name: text for name, (text, *_) in GUESTS.items()}}


@pytest.mark.parametrize("text", [*FORMS.values(), *TEXTS.values()], ids=[*FORMS, *TEXTS])
def test_no_guest_is_called_one_without_sev_because_a_word_was_lost(text):
    for damaged in spoilt(text):
        with suppress(InputError):
            assert not ABSENCE.search(remarks(parse_anything(damaged))), damaged


@pytest.mark.parametrize("cmdline", ["a b", "a\n b"])
@pytest.mark.parametrize(
    ("around", "quote"),
    [('sh -c "{}"', "'"), ('sh -c "{}"', '\\"'), ("os.system('{}')", '"'), ("`{}`", "'"), ('log: "{}"\n', "'")],
)
def test_a_quoted_command_keeps_the_quotes_inside_it(around, quote, cmdline):
    command = LINE.replace("quiet", f"{quote}{cmdline}{quote} -m 4G")
    assert values(parse_command_line(around.format(command)))["cmdline"] == cmdline


def test_what_follows_the_quotes_is_no_absence():
    capture = parse_command_line('C="qemu-kvm -machine q35"\nC="$C -object sev-guest,id=s,policy=5 -smp 4"\n$C\n')
    assert "what follows the quotes" in remarks(capture)
    assert "num_cpus" not in values(capture)
    assert not ABSENCE.search(remarks(capture))


def test_an_underscore_is_a_dash_where_qemu_takes_it_for_one():
    words = "-object sev-guest,id=s,kernel_hashes=on"
    assert not ABSENCE.search(remarks(parse_command_line(f"qemu-kvm -machine q35,memory_encryption=s {words}")))
    assert "kernel_hashes=on" in remarks(parse_command_line(f"qemu-kvm {words}"))
    assert "kernel_hashes" not in values(parse_command_line(f"qemu-kvm {words}"))


def test_what_a_program_computes_is_no_absence():
    for form in ("Rust, list by list", "Go, appended", "Bash, appended"):
        text = re.sub(".*sev-guest.*", "", FORMS[form])
        assert "what the program computes" in remarks(parse_command_line(text))
        assert not ABSENCE.search(remarks(parse_command_line(text)))


def test_what_a_page_marks_up_is_read_without_its_marks(tmp_path, capsys):
    line = LINE.replace("quiet", "'a b'")
    for number, made in enumerate(
        (line, f"<pre>{html.escape(line)}</pre>", f"<!DOCTYPE html><p>{html.escape(line)}</p>")
    ):
        path = tmp_path / str(number)
        for content in (made.encode(), made.encode("utf-16"), made.encode("utf-16-le"), made.encode("utf-16-be")):
            path.write_bytes(content)
            assert main(["capture", "--qemu-cmdline", str(path), "--json"]) == 0
            found = {one["name"]: one["value"] for one in json.loads(capsys.readouterr().out)["found"]}
            assert (found["cmdline"], found["policy"], found["num_cpus"]) == ("a b", 5, 2)


def test_a_configuration_of_proxmox_and_a_launch_script_are_named(tmp_path, capsys):
    for text, words in (
        ("bios: ovmf\namd-sev: type=snp\ncores: 2\n", "a configuration of Proxmox"),
        ("./launch-qemu.sh -hda x.qcow2 -sev-snp -smp 4", "a command of launch-qemu.sh"),
    ):
        (tmp_path / "x").write_text(text)
        assert main(["capture", "--qemu-cmdline", str(tmp_path / "x")]) == 2
        assert words in capsys.readouterr().err


def test_a_line_that_lost_its_backslash_is_read_on():
    expected = values(parse_command_line(FORMS["continued"]))
    lines = FORMS["continued"].split(" \\\n")
    for number in range(1, len(lines)):
        text = " \\\n".join(lines[:number]) + "\n" + " \\\n".join(lines[number:])
        assert values(parse_command_line(text)) == expected


def test_an_object_that_is_named_and_missing_is_no_absence():
    capture = parse_command_line(LINE.replace("sev-guest,id=sev0", "rng-random,id=sev0").replace("sev0", "prot0"))
    assert "but -machine names prot0 as what protects the guest's memory" in remarks(capture)


@given(order=st.permutations(range(7)), quotes=st.lists(st.booleans(), min_size=7, max_size=7))
def test_any_order_and_quoting_gives_the_same_capture(order, quotes):
    pairs = [WORDS[at : at + 2] for at in range(2, len(WORDS), 2)]
    words = [WORDS[0], "-enable-kvm"]
    for number in order:
        name, value = pairs[number]
        words += [name, shlex.quote(value) if quotes[number] else f"'{value}'"]
    assert values(parse_command_line(" ".join(words))) == values(parse_command_line(LINE))


def test_a_guest_of_an_igvm_file_is_named_as_one():
    line = LINE.replace("sev0 -drive", "sev0,igvm-cfg=ig0 -object igvm-cfg,id=ig0,file=svsm.igvm -drive")
    capture = parse_command_line(line)
    assert values(capture)["igvm"] == "svsm.igvm"
    assert "an IGVM file decides" in capture.left_out["firmware"]
    assert any("svsm.igvm" in one.why for one in capture.missing)


def test_the_newer_vm_type_chooses_the_profile():
    assert values(parse_command_line(LINE.replace("policy=0x5", "policy=0x5,legacy-vm-type=off")))["profile"] == "qemu"
    for kind in ("", ",legacy-vm-type=on", ",legacy-vm-type=auto"):
        assert "profile" not in values(parse_command_line(LINE.replace("policy=0x5", f"policy=0x5{kind}")))
