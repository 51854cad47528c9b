"""The explorer's edges: errors in its alert, uploads as a page sends them. What it does beside is in test_widgets."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Callable
from hashlib import sha256
from html import escape
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import comm
import ipywidgets
import pytest
from comm.base_comm import BaseComm

import sevlab
from sevlab.labs import sample_files, samples
from sevlab.labs import snp_samples as snp
from sevlab.widgets.bytemap import ByteMap
from sevlab.widgets.explorers import Explorer, SnpExplorer
from tests.widgets.views import assert_static, is_dimmed, marked, raw_of

TEXT = base64.b64encode(samples.measurement()).decode()


def load(folder: Path, **more: Any) -> sevlab.launch.evidence.Evidence:
    keys = {} if {"tk", "tik", "tek"} & set(more) else {"tk": str(folder / "tk.bin")}
    given = {"firmware": str(folder / "firmware.fd")} if "digest" not in more else {}
    reported = {"measurement": TEXT, "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}
    return sevlab.load_evidence(**{**reported, **given, **keys, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sample_files.write_samples(tmp_path)
    return tmp_path


BAD: dict[str, tuple[Callable[[Explorer], ipywidgets.Widget], str, str]] = {
    "API 256": (
        lambda e: e.numbers["api_minor"],
        "256",
        "API minor: received '256'; needed a whole number from 0",
    ),
    "policy text": (lambda e: e.policy.number, "NODBG", "Policy: received 'NODBG'; needed a whole number"),
    "47 bytes": (
        lambda e: e.measurement,
        base64.b64encode(samples.measurement()[:47]).decode(),
        "Measurement: received 47 bytes; needed 48 bytes",
    ),
    "47 bytes of hex": (
        lambda e: e.measurement,
        samples.measurement()[:47].hex(),
        "Measurement: received ",
    ),
    "no such firmware": (
        lambda e: e.files["firmware"].text,
        "<b>none</b>",
        "Firmware: received '<b>none</b>': no such",
    ),
    "empty key": (
        lambda e: e.files["tik"].text,
        "empty.bin",
        "Key file: received 'empty.bin', 0 bytes (an empty file)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_the_alert_holds_the_sentence_until_the_input_is_repaired(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty.bin").write_bytes(b"")
    explorer, (box, text, told) = sevlab.explore(load(folder)), BAD[name]
    right = box(explorer).value
    box(explorer).set_state({"value": text})
    assert explorer.error.startswith(told)
    assert explorer.alert.value.startswith('<div role="alert">')
    assert escape(explorer.error) in explorer.alert.value
    assert explorer.verdict is None
    assert sevlab.launch.verify.GOOD not in explorer.banner.value
    results = explorer.comparison, explorer.chain, explorer.message, explorer.blob
    before = [one.spans if isinstance(one, ByteMap) else one.value for one in results]
    assert is_dimmed(*results)
    box(explorer).set_state({"value": right})
    assert (explorer.error, explorer.alert.value) == ("", "")
    assert explorer.verdict.matches
    assert sevlab.launch.verify.GOOD in explorer.banner.value
    assert not is_dimmed(*results)
    assert before == [one.spans if isinstance(one, ByteMap) else one.value for one in results]  # nothing jumped


def test_of_two_bad_inputs_the_other_is_told_when_one_is_repaired(folder: Path) -> None:
    explorer = sevlab.explore(load(folder))
    explorer.numbers["api_major"].value = explorer.numbers["build_id"].value = "256"
    assert explorer.error.startswith("API major")
    explorer.numbers["api_major"].value = "0"
    assert explorer.error.startswith("Build")
    assert explorer.verdict is None
    explorer.numbers["build_id"].value = "13"
    assert explorer.verdict.matches


class Wire(BaseComm):
    """Keeps what widgets send to the page."""

    sent: list[tuple[str, Any, list[bytes]]]

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        self.sent.append((self.comm_id, data, [bytes(buffer) for buffer in buffers or ()]))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> type[Wire]:
    class Fresh(Wire):
        sent: list[tuple[str, Any, list[bytes]]] = []  # noqa: RUF012

    monkeypatch.setattr(comm, "create_comm", lambda *args, **more: Fresh(*args, **more))
    return Fresh


def send_upload(box: ipywidgets.FileUpload, content: bytes, name: str = "given.bin") -> None:
    """Deliver the message that JupyterLab sends when a file is chosen: the bytes travel beside the state."""
    item = {"name": name, "type": "", "size": len(content), "last_modified": 0}
    data = {"method": "update", "state": {"value": [item]}, "buffer_paths": [["value", 0, "content"]]}
    box._handle_msg({"content": {"data": data}, "buffers": [memoryview(content)]})


KEY = bytes.fromhex("5ec2e7005ec2e7115ec2e7225ec2e733")


@pytest.mark.parametrize("content", [KEY, samples.TEK + KEY, KEY + b"\n", KEY[:15]], ids=len)
def test_a_key_is_never_sent_back_and_its_box_is_emptied_in_the_page(
    folder: Path, wire: type[Wire], content: bytes
) -> None:
    explorer = sevlab.explore(load(folder))
    box = explorer.files["tik"].upload
    assert any(samples.MNONCE.hex() in repr(data) for _, data, _ in wire.sent)  # so what is sent is seen here
    for _ in range(2):  # the second time the page has to be told again
        del wire.sent[:]
        send_upload(box, content)
        assert [data["state"] for to, data, _ in wire.sent if to == box.comm.comm_id] == [{"value": []}]
        part = content[:15]
        for _, data, buffers in wire.sent:
            assert not any(part in buffer for buffer in buffers)
            shown = repr(data)
            for form in (part.hex(), part.hex(" "), base64.b64encode(part).decode(), repr(part)[2:-1]):
                assert form not in shown


def test_after_a_refused_upload_the_right_one_gives_the_verdict_back(folder: Path) -> None:
    explorer = sevlab.explore(load(folder))
    send_upload(explorer.files["tik"].upload, samples.TIK + b"\n")
    assert explorer.verdict is None
    send_upload(explorer.files["tik"].upload, samples.TIK)
    assert (explorer.error, explorer.alert.value) == ("", "")
    assert explorer.verdict.matches


def test_evidence_that_came_from_no_file_can_be_explored(folder: Path) -> None:
    digest = sevlab.compute_digest([samples.firmware()])
    held = {"tik": sevlab.SecretBytes(samples.TIK), "tek": sevlab.SecretBytes(samples.TEK)}
    explorer = sevlab.explore(load(folder, digest=digest, **held))
    assert [box.text.value for box in explorer.files.values()] == ["", ""]
    assert explorer.verdict.matches
    explorer.policy.boxes["noks"].value = True
    assert not explorer.verdict.matches
    explorer.files["firmware"].text.value = str(folder / "kernel.bin")
    assert explorer.evidence.digest == sevlab.compute_digest([samples.KERNEL])


CPU = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), samples.ES_CPU, strict=True))


def load_whole(folder: Path, **more: Any) -> sevlab.launch.evidence.Evidence:
    """The second sample: a kernel with hashes, four CPUs."""
    files = {"firmware": "firmware-kernel.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    given: dict[str, Any] = {name: str(folder / file) for name, file in files.items()}
    given |= {"measurement": base64.b64encode(samples.es_measurement()).decode(), "policy": samples.ES_POLICY}
    return load(folder, **{**given, "cmdline": samples.CMDLINE, "num_cpus": samples.ES_CPUS, **CPU, **more})


def whole_digest(cmdline: bytes = samples.CMDLINE.encode(), count: int = samples.ES_CPUS, profile: str = "") -> bytes:
    """The digest of the second sample, with some inputs changed, put together here."""
    made = {"profile": profile or "qemu-legacy", "signature": 0xA00F11}
    boot, further = (
        sevlab.build_vmsa(cpu=cpu, reset_address=0x80B004 if cpu else None, **made).to_bytes() for cpu in (0, 1)
    )
    hashes = [sha256(raw).digest() for raw in (cmdline + b"\0", samples.INITRD, samples.KERNEL)]
    table = bytearray(sevlab.formats.kernel_hashes.build_kernel_hashes(hashes[2]).to_bytes())
    table[0x24:0x44], table[0x56:0x76] = hashes[:2]
    return sha256(samples.firmware_for_kernels() + table + boot + (count - 1) * further).digest()


def test_every_input_of_the_launch_has_a_box(folder: Path) -> None:
    explorer = sevlab.explore(load_whole(folder))
    loaded = explorer.loaded
    assert loaded.disclosure.is_open
    assert explorer.verdict.matches
    assert explorer.evidence.digest == whole_digest()
    assert [box.text.value for box in loaded.files.values()] == [
        *(str(folder / "kernel.bin"), str(folder / "initrd.bin"), "", "")
    ]
    assert (loaded.cmdline.value, loaded.profile.value) == (samples.CMDLINE, "qemu-legacy")
    assert [box.value for box in loaded.numbers.values()] == ["4", "25", "1", "1", ""]
    texts = [*loaded.numbers.values(), loaded.cmdline, loaded.profile, *(box.text for box in loaded.files.values())]
    labels = [
        box.description for box in (*texts, *(one.text for one in explorer.files.values()), *explorer.numbers.values())
    ]
    assert all(labels)
    assert len(set(labels)) == len(labels)


CHANGES: dict[str, tuple[Callable[[Any], ipywidgets.Widget], str, dict[str, Any], str]] = {
    "a space": (lambda box: box.cmdline, "console=ttyS0 ", {"cmdline": b"console=ttyS0 "}, "kernel hashes"),
    "a line break": (lambda box: box.cmdline, "console=ttyS0\n", {"cmdline": b"console=ttyS0\n"}, "kernel hashes"),
    "no command line": (lambda box: box.cmdline, "", {"cmdline": b""}, "kernel hashes"),
    "three CPUs": (lambda box: box.numbers["num_cpus"], " 0x3 ", {"count": 3}, "vCPU 3"),
    "a profile": (lambda box: box.profile, "qemu", {"profile": "qemu"}, "vCPU 0"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changing_an_input_of_the_launch_turns_the_verdict_and_back(folder: Path, name: str) -> None:
    explorer, (box, value, changes, first) = sevlab.explore(load_whole(folder)), CHANGES[name]
    before = explorer.chain.value
    assert "First step" not in before
    right = box(explorer.loaded).value
    box(explorer.loaded).set_state(
        {"value": value} if name != "a profile" else {"index": list(sevlab.launch.vmm.PROFILES).index(value)}
    )
    assert explorer.error == ""
    assert not explorer.verdict.matches
    assert explorer.evidence.digest == whole_digest(**changes)
    assert f"First step that differs from the start: {first}" in explorer.chain.value
    assert explorer.evidence.digest[:8].hex(" ", 1).replace(" ", "") in explorer.chain.value.replace(" ", "")
    box(explorer.loaded).value = right
    assert explorer.verdict.matches
    assert explorer.chain.value == before


BAD_LAUNCH: dict[str, tuple[Callable[[Any], ipywidgets.Widget], str, str]] = {
    "no CPU": (
        lambda box: box.numbers["num_cpus"],
        "0",
        "CPU count: received '0'; needed a whole number from 1 to 4096",
    ),
    "many CPUs": (lambda box: box.numbers["num_cpus"], "9" * 5000, "CPU count: received "),
    "no count": (lambda box: box.numbers["num_cpus"], "", "CPU count: received nothing"),
    "no model": (lambda box: box.numbers["cpu_model"], "", "CPU model: received nothing beside CPU family"),
    "a model name": (lambda box: box.numbers["cpu_model"], "EPYC", "CPU model: received 'EPYC'"),
    "no such kernel": (lambda box: box.files["kernel"].text, "<b>none</b>", "Kernel: received '<b>none</b>': no such"),
    "initrd alone": (lambda box: box.files["kernel"].text, "", "Initrd: received it without Kernel"),
    "dash": (lambda box: box.files["initrd"].text, "-", "Initrd: received '-'; needed a path, or an upload"),
    "NUL": (lambda box: box.cmdline, "a\0b", "Command line: received "),
    "VMSA too": (
        lambda box: box.files["vmsa_cpu0"].text,
        "kernel.bin",
        "VMSA, CPU 0: received 'kernel.bin', ",
    ),
    "features": (lambda box: box.numbers["guest_features"], "-1", "SEV features: received '-1'"),
}


@pytest.mark.parametrize("name", BAD_LAUNCH)
def test_a_bad_input_of_the_launch_is_told_until_it_is_repaired(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    explorer, (box, text, told) = sevlab.explore(load_whole(folder)), BAD_LAUNCH[name]
    explorer.loaded.disclosure.is_open = False
    right = box(explorer.loaded).value
    box(explorer.loaded).set_state({"value": text})
    assert explorer.error.startswith(told)
    assert escape(explorer.error) in explorer.alert.value
    assert explorer.verdict is None
    assert is_dimmed(explorer.comparison, explorer.chain, explorer.message, explorer.blob)
    assert "launch digest after" not in repr(explorer)
    assert explorer.loaded.disclosure.is_open  # the box is in sight
    assert explorer.frame.wrong == told.split(":")[0]
    box(explorer.loaded).set_state({"value": right})
    assert explorer.verdict.matches


def test_what_a_plain_launch_does_not_have_can_be_added(folder: Path) -> None:
    explorer = sevlab.explore(load(folder, firmware=str(folder / "firmware-kernel.fd")))
    assert not explorer.loaded.disclosure.is_open
    assert explorer.chain.value.count("launch digest after it") == 1
    send_upload(explorer.loaded.files["kernel"].upload, samples.KERNEL)
    assert [step.name for step in explorer.evidence.launch.steps] == ["firmware", "kernel hashes"]
    send_upload(explorer.loaded.files["initrd"].upload, samples.INITRD)
    explorer.loaded.cmdline.value = samples.CMDLINE
    explorer.policy.boxes["es"].value = True
    assert explorer.error.startswith("CPU count: received nothing")
    explorer.loaded.numbers["num_cpus"].value = "4"
    assert explorer.error.startswith("VMSA, CPU 0: received nothing; needed that, or CPU family")
    for name, number in CPU.items():
        explorer.loaded.numbers[name].value = str(number)
    explorer.measurement.value = samples.es_measurement().hex()
    assert explorer.evidence.digest == whole_digest()
    assert explorer.verdict.matches


def test_registers_can_be_uploaded_and_taken_away(folder: Path) -> None:
    explorer = sevlab.explore(load_whole(folder))
    for box in list(explorer.loaded.numbers.values())[1:4]:
        box.value = ""
    assert explorer.error.startswith("VMSA, CPU 0: received nothing")
    boot, further = (explorer.evidence.launch.steps[number].content for number in (2, 3))
    files = explorer.loaded.files
    send_upload(files["vmsa_cpu0"].upload, boot)
    assert explorer.error.startswith("VMSA, others: received nothing, for 4 virtual CPUs")
    send_upload(files["vmsa_cpu1"].upload, further)
    assert explorer.verdict.matches
    send_upload(files["vmsa_cpu1"].upload, boot)
    assert not explorer.verdict.matches
    send_upload(files["vmsa_cpu1"].upload, further[:-1])
    assert explorer.error.startswith("VMSA, others: received 'given.bin', 4095 bytes; needed a VMSA of 4096 bytes")
    files["vmsa_cpu1"].remove.click()
    assert explorer.error.startswith("VMSA, others: received nothing")
    assert files["vmsa_cpu1"].text.placeholder == "(none)"
    explorer.loaded.numbers["num_cpus"].value = "1"
    assert explorer.evidence.digest == whole_digest(count=1)


def test_a_kernel_can_be_taken_away(folder: Path) -> None:
    explorer = sevlab.explore(load_whole(folder))
    explorer.loaded.files["initrd"].remove.click()
    assert explorer.loaded.files["initrd"].text.value == ""
    assert not explorer.verdict.matches
    explorer.loaded.cmdline.value = ""
    explorer.loaded.files["kernel"].remove.click()
    assert [step.name for step in explorer.evidence.launch.steps[:2]] == ["firmware", "vCPU 0"]
    send_upload(explorer.loaded.files["kernel"].upload, b"")
    assert explorer.error == "Kernel: received an empty upload; needed a file with content"


def test_after_an_upload_of_firmware_sev_es_still_asks_for_the_registers(folder: Path) -> None:
    explorer = sevlab.explore(load(folder))
    send_upload(explorer.files["firmware"].upload, samples.firmware())
    assert explorer.verdict.matches
    explorer.policy.boxes["es"].value = True
    assert explorer.error.startswith("CPU count: received nothing")
    assert explorer.verdict is None
    explorer.loaded.numbers["num_cpus"].value = "2"
    for name, number in CPU.items():
        explorer.loaded.numbers[name].value = str(number)
    assert explorer.error.startswith("Firmware: received a firmware that does not say where further CPUs start")
    send_upload(explorer.files["firmware"].upload, samples.firmware_for_kernels())
    assert [step.name for step in explorer.evidence.launch.steps] == ["firmware", "vCPU 0", "vCPU 1"]


def test_an_upload_lies_where_only_its_owner_can_read_it(folder: Path) -> None:
    explorer = sevlab.explore(load(folder))
    for content in (samples.firmware(), samples.KERNEL):
        send_upload(explorer.files["firmware"].upload, content)
        path = Path(explorer.evidence.files["firmware"])
        assert path.read_bytes() == content
        assert path.parent.stat().st_mode & 0o077 == 0
        assert list(path.parent.iterdir()) == [path]  # the one before is gone
    assert str(path.parent) not in explorer.alert.value + explorer.banner.value + explorer.chain.value


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "..", "", "a" * 5000, "-rf", "<b>\n"], ids=repr)
def test_the_name_of_an_upload_leads_nowhere_else(folder: Path, name: str) -> None:
    explorer = sevlab.explore(load(folder))
    send_upload(explorer.files["firmware"].upload, samples.firmware(), name)
    path = Path(explorer.evidence.files["firmware"])
    assert path.parent.name.startswith("sevlab-")
    assert path.read_bytes() == samples.firmware()
    assert explorer.verdict.matches


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(content)))


def test_firmware_from_standard_input_is_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, samples.firmware_for_kernels())
    explorer = sevlab.explore(load_whole(folder, firmware="-"))
    assert explorer.error == ""
    assert explorer.verdict.matches
    assert (explorer.files["firmware"].text.value, explorer.files["firmware"].text.placeholder) == (
        "",
        "(from standard input)",
    )
    explorer.policy.boxes["noks"].value = True  # no part of the launch
    assert explorer.evidence.digest == whole_digest()
    assert not explorer.verdict.matches
    explorer.policy.boxes["noks"].value = False
    assert explorer.verdict.matches
    explorer.loaded.cmdline.value = "quiet"
    assert explorer.error.startswith("Firmware: received standard input, which can be read only once")
    explorer.loaded.cmdline.value = samples.CMDLINE
    assert explorer.verdict.matches
    explorer.policy.boxes["es"].value = False
    assert explorer.error.startswith("Firmware: received standard input")
    send_upload(explorer.files["firmware"].upload, samples.firmware_for_kernels())
    assert [step.name for step in explorer.evidence.launch.steps] == ["firmware", "kernel hashes"]
    explorer.policy.boxes["es"].value = True
    assert explorer.verdict.matches
    explorer.files["firmware"].text.value = str(folder / "firmware-kernel.fd")
    assert explorer.verdict.matches
    explorer.files["firmware"].text.value = ""
    assert explorer.error == "Firmware: received nothing; needed a path, or an upload"


def test_a_kernel_from_standard_input_is_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, samples.KERNEL)
    explorer = sevlab.explore(load_whole(folder, kernel="-"))
    assert explorer.verdict.matches
    explorer.loaded.numbers["num_cpus"].value = "3"
    assert explorer.error.startswith("Kernel: received standard input")
    explorer.loaded.files["kernel"].text.value = str(folder / "kernel.bin")
    assert explorer.evidence.digest == whole_digest(count=3)


@pytest.mark.parametrize("keys", ["tk", "tik"])
def test_a_key_from_standard_input_is_held(folder: Path, monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    stdin(monkeypatch, samples.TIK if keys == "tik" else samples.TEK + samples.TIK)
    given = {"tk": "-"} if keys == "tk" else {"tik": "-", "tek": str(folder / "tek.bin")}
    explorer = sevlab.explore(load(folder, **given))
    assert explorer.error == ""
    assert explorer.verdict.matches
    assert (explorer.files["tik"].text.value, explorer.files["tik"].text.placeholder) == ("", "(from standard input)")
    explorer.numbers["build_id"].value = "14"
    explorer.numbers["build_id"].value = "13"
    assert explorer.verdict.matches
    explorer.files["tik"].text.value = "-"
    assert explorer.error == "Key file: received '-'; needed a path, or an upload"


def test_a_digest_alone_is_no_launch_of_more(folder: Path) -> None:
    digest = sevlab.compute_digest([samples.firmware()])
    explorer = sevlab.explore(load(folder, digest=digest))
    assert "What was loaded is not known" in explorer.chain.value
    explorer.loaded.files["kernel"].text.value = str(folder / "kernel.bin")
    assert explorer.error.startswith("Firmware: received a digest alone, for a launch of more than firmware")
    explorer.loaded.files["kernel"].remove.click()
    assert explorer.verdict.matches
    explorer.policy.boxes["es"].value = True  # whatever is in the digest
    assert explorer.evidence.digest == digest


def test_a_verdict_is_explored_as_its_evidence_is(folder: Path) -> None:
    evidence = load(folder, build_id=12)
    explorer = sevlab.explore(sevlab.compare_measure(evidence))
    assert isinstance(explorer, Explorer)
    assert explorer.evidence.message == evidence.message
    assert explorer.evidence.message.build_id == 12
    assert not explorer.verdict.matches


def test_a_layout_is_explored_as_its_byte_map() -> None:
    message = sevlab.MeasureMessage.from_bytes(bytes(range(56)))
    widget = sevlab.explore(message)
    assert isinstance(widget, ByteMap)
    assert widget.title == "MeasureMessage"
    assert "".join(span["hex"] for span in widget.spans) == bytes(range(56)).hex()
    assert repr(widget).startswith("MeasureMessage\n")
    assert "0x30  " in repr(widget)


# SEV-SNP, link by link


def snp_inputs(folder: Path, **changes: Any) -> dict[str, Any]:
    files = {"firmware": "firmware-snp.fd", "kernel": "kernel.bin", "initrd": "initrd.bin"}
    cpu = dict(zip(("cpu_family", "cpu_model", "cpu_stepping"), samples.ES_CPU, strict=True))
    made = {name: str(folder / file) for name, file in files.items()}
    return {**made, **cpu, "cmdline": samples.CMDLINE, "num_cpus": 4, **changes}


@pytest.fixture
def launch(folder: Path) -> SnpExplorer:
    made = sevlab.explore(snp_inputs(folder))
    assert isinstance(made, SnpExplorer)
    return made


def seen(explorer: SnpExplorer) -> tuple[object, ...]:
    """Everything that a person sees."""
    boxes = (explorer.alert, explorer.banner, explorer.chain, explorer.link)
    dimmed = is_dimmed(explorer.chain, explorer.link, explorer.map)
    return *(box.value for box in boxes), explorer.map.spans, dimmed, repr(explorer)


def test_every_link_shows_what_is_hashed_for_it(launch: SnpExplorer) -> None:
    digest = bytes(48)
    assert (launch.number.min, launch.number.max) == (1, 51)
    for number in range(1, 52):
        launch.number.set_state({"value": str(number)})
        raw = raw_of(launch.map)
        assert raw[:48] == digest
        digest = hashlib.sha384(raw).digest()
        assert digest.hex() in launch.link.value
    assert launch.launch is not None
    assert digest == launch.launch.digest == snp.snp_launch().digest
    assert "vCPU 3" in launch.map.title


def test_regions_and_links_follow_each_other(launch: SnpExplorer) -> None:
    launch.region.set_state({"index": 3})
    assert launch.number.number == 29
    assert "SECRETS" in launch.map.title
    launch.number.set_state({"value": 48})
    assert launch.region.label == "vCPU 0, from link 48"
    launch.number.set_state({"value": 47})
    assert launch.region.label == "SEC_MEM, from link 33"


@pytest.mark.parametrize("text", ["", "-", "0", "52", "1.5", "0x1", "1" * 5000, "<b>"])
def test_a_number_that_is_no_link_is_answered_at_its_box_and_stays(launch: SnpExplorer, text: str) -> None:
    before = seen(launch)
    launch.number.set_state({"value": text})
    assert launch.number.value == text
    assert launch.link.value.count('role="alert"') == 1
    assert "Link: received" in launch.link.value
    assert "<b><b>" not in launch.link.value
    assert (launch.frame.wrong, launch.map.spans, launch.shown) == ("Link", [], None)
    assert launch.map.title == "PAGE_INFO"
    assert "as at the start" in launch.banner.value  # which is about every link
    assert_static(launch)
    launch.number.set_state({"value": "1"})
    assert (launch.frame.wrong, seen(launch)) == ("", before)


def test_a_changed_input_shows_the_first_link_that_differs(launch: SnpExplorer) -> None:
    launch.number.value = 32  # where a change of the command line leads anyway
    before = seen(launch)
    assert launch.loaded is not None
    launch.loaded.cmdline.set_state({"value": "console=ttyS1"})
    assert launch.number.number == 32
    assert launch.comparison is not None
    assert launch.comparison.number == 31
    assert set(marked(launch.map)) <= set(range(0x30, 0x60))
    assert marked(launch.map)
    assert launch.chain.value.count("CHANGED *") == 1
    assert launch.chain.value.count("as at the start") == 6
    assert "Link 32 is the first that differs (contents): kernel hashes" in launch.banner.value
    launch.number.set_state({"value": 33})
    assert set(marked(launch.map)) <= set(range(48))  # only the digest before it
    launch.number.set_state({"value": 31})
    assert marked(launch.map) == []
    launch.loaded.cmdline.set_state({"value": samples.CMDLINE})
    launch.number.set_state({"value": 32})
    assert seen(launch) == before


def remove_kernel(box: Any) -> None:
    for name in ("kernel", "initrd"):
        box.files[name].remove.click()
    box.cmdline.value = ""


@pytest.mark.parametrize(
    ("change", "first", "words"),
    [
        (lambda box: box.numbers["num_cpus"].set_state({"value": "0x5"}), 52, "only the computed launch goes on"),
        (lambda box: box.numbers["num_cpus"].set_state({"value": "3"}), 51, "only the other launch goes on"),
        (lambda box: box.numbers["guest_features"].set_state({"value": "0x21"}), 48, "(contents): vCPU 0"),
        (lambda box: box.numbers["cpu_model"].set_state({"value": "17"}), 48, "(contents): vCPU 0"),
        (lambda box: setattr(box.profile, "value", "gce"), 17, "(page_type): SEC_MEM"),
        (remove_kernel, 32, "launched with kernel hashes, computed KERNEL_HASHES"),
    ],
    ids=["more CPUs", "fewer CPUs", "features", "model", "profile", "no kernel"],
)
def test_every_kind_of_change_is_found(launch: SnpExplorer, change: Any, first: int, words: str) -> None:
    change(launch.loaded)
    assert launch.error == ""
    assert launch.comparison is not None
    assert launch.comparison.number == first - 1
    assert words in launch.banner.value
    assert launch.number.number == min(first, launch.number.max)


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [("num_cpus", "many", "CPU count"), ("num_cpus", "", "CPU count"), ("guest_features", "21h", "SEV features")],
)
def test_after_an_error_nothing_that_was_computed_stays(launch: SnpExplorer, name: str, value: str, label: str) -> None:
    before = seen(launch)
    assert launch.loaded is not None
    box = launch.loaded.numbers[name]
    was = box.value
    box.value = value
    assert launch.error.startswith(f"{label}: received ")
    assert 'role="alert"' in launch.alert.value
    assert "CANNOT TELL" in launch.banner.value
    assert launch.launch is None
    assert is_dimmed(launch.chain, launch.link, launch.map)
    assert launch.error in repr(launch).replace("\n", " ")
    dimmed = launch.map.spans
    launch.number.value = 5  # nothing to show, and nothing breaks
    assert launch.map.spans == dimmed
    launch.number.value = 1
    box.value = was
    assert seen(launch) == before


def test_a_launch_that_was_read_can_be_stepped_through(folder: Path) -> None:
    explorer = sevlab.explore(sevlab.load_snp_launch(**snp_inputs(folder)))
    assert isinstance(explorer, SnpExplorer)
    assert explorer.loaded is None
    explorer.number.set_state({"value": 51})
    assert hashlib.sha384(raw_of(explorer.map)).hexdigest() == snp.snp_launch().digest.hex()
    empty = sevlab.explore(sevlab.launch.snp.SnpLaunch([]))
    assert empty.number.disabled
    assert empty.map.spans == []
    assert "as at the start" in repr(empty)


def test_inputs_without_a_box_are_kept(folder: Path) -> None:
    after = snp.snp_launch().after[0].hex()
    given_inputs = snp_inputs(folder, ovmf_hash=after, cpu_signature=0xA00F11)
    for name in ("cpu_family", "cpu_model", "cpu_stepping"):
        del given_inputs[name]
    explorer = sevlab.explore(given_inputs)
    assert explorer.fixed == {"ovmf_hash": after}
    assert explorer.launch.digest == sevlab.load_snp_launch(**given_inputs).digest
    explorer.loaded.numbers["num_cpus"].value = "5"
    assert explorer.launch.digest == sevlab.load_snp_launch(**{**given_inputs, "num_cpus": 5}).digest
    assert explorer.loaded.numbers["cpu_model"].value == "1"


def test_what_a_widget_is_where_none_runs(launch: SnpExplorer) -> None:
    assert_static(launch)


def test_explore_says_what_it_takes(folder: Path) -> None:
    with pytest.raises(sevlab.InputError, match="Firmware: received nothing"):
        sevlab.explore({"num_cpus": 4})
    with pytest.raises(TypeError, match="'cpus'"):
        sevlab.explore({**snp_inputs(folder), "cpus": 4})
    with pytest.raises(TypeError, match="a table, a VMSA or a report only"):
        sevlab.explore(snp_inputs(folder), num_cpus=4)


# what all explorers share: taking back, flipping, opening, linking


def change_all(explorer: Explorer, folder: Path) -> None:
    explorer.measurement.value = "AA"
    explorer.policy.number.value = "none"
    explorer.policy.boxes["noks"].value = True
    explorer.numbers["api_minor"].value = "256"
    explorer.files["firmware"].text.value = str(folder / "kernel.bin")
    send_upload(explorer.files["tik"].upload, KEY)
    explorer.loaded.cmdline.value = "quiet"
    explorer.loaded.numbers["num_cpus"].value = "many"
    explorer.loaded.profile.value = "qemu"
    send_upload(explorer.loaded.files["initrd"].upload, b"another")
    explorer.loaded.files["kernel"].remove.click()
    explorer.flip.choice.value = "digest"
    explorer.flip.offset.value = "99"


def test_all_changes_of_a_launch_are_taken_back(folder: Path) -> None:
    evidence = load_whole(folder)
    explorer, given_at_start = sevlab.explore(evidence), evidence.inputs.replace(firmware=None).given
    before = repr(explorer), explorer.message.spans, explorer.blob.spans, explorer.chain.value
    assert explorer.undo.disabled
    (folder / "tk.bin").unlink()  # the key is held
    change_all(explorer, folder)
    assert explorer.error
    assert not explorer.undo.disabled
    explorer.undo.click()
    assert (repr(explorer), explorer.message.spans, explorer.blob.spans, explorer.chain.value) == before
    assert explorer.undo.disabled
    assert explorer.verdict.matches
    assert explorer.files["tik"].text.value == str(folder / "tk.bin")
    assert explorer.loaded.given().given == {name: str(value) for name, value in given_at_start.items()}


def test_what_came_from_no_file_is_taken_back_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, samples.firmware_for_kernels())
    explorer = sevlab.explore(load_whole(folder, firmware="-"))
    send_upload(explorer.files["firmware"].upload, samples.KERNEL)
    assert explorer.verdict is None
    explorer.undo.click()
    assert explorer.verdict.matches
    assert explorer.files["firmware"].text.placeholder == "(from standard input)"


def test_a_link_that_a_change_led_to_is_no_error_when_it_is_gone(launch: SnpExplorer) -> None:
    """More CPUs lead to a new last link; without them the number in the box would be one too large."""
    box, last = launch.loaded.numbers["num_cpus"], launch.number.max
    start = box.value
    for restore in (lambda: setattr(box, "value", start), launch.take_back):
        box.value = "9"
        assert int(launch.number.value) > last
        restore()
        assert launch.number.value == str(last)
        assert 'role="alert"' not in launch.link.value
        assert launch.shown is not None


def test_all_changes_of_a_snp_launch_are_taken_back(launch: SnpExplorer) -> None:
    before = seen(launch)
    launch.loaded.cmdline.value = "quiet"
    launch.firmware.text.value = "no such"
    launch.flip.choice.value = "kernel"
    assert launch.error
    launch.undo.click()
    launch.number.value = 1
    assert seen(launch) == before
    assert launch.undo.disabled


FLIPPED = {"firmware": samples.firmware_for_kernels(), "kernel": samples.KERNEL, "initrd": samples.INITRD}


@pytest.mark.parametrize("name", FLIPPED)
@pytest.mark.parametrize(("at", "bit", "new"), [("0", "0", ""), ("0x2", "7", ""), ("1", "x", "0x5a")])
def test_a_byte_of_any_file_is_changed_and_the_file_is_not(
    folder: Path, name: str, at: str, bit: str, new: str
) -> None:
    explorer, raw = sevlab.explore(load_whole(folder)), bytearray(FLIPPED[name])
    path = Path(explorer.evidence.files[name])
    flip = explorer.flip
    flip.byte.value, flip.offset.value = new, at
    if not new:
        flip.bit.value = bit
    assert explorer.verdict.matches  # nothing is chosen to flip
    flip.choice.value = name
    raw[int(at, 0)] = int(new, 0) if new else raw[int(at, 0)] ^ 1 << int(bit)
    assert explorer.error == ""
    assert not explorer.verdict.matches
    changed = Path(explorer.evidence.files[name])
    assert changed.read_bytes() == raw
    assert changed.parent.stat().st_mode & 0o077 == 0
    assert path.read_bytes() == FLIPPED[name]
    assert f"First step that differs from the start: {'firmware' if name == 'firmware' else 'kernel hashes'}" in (
        explorer.chain.value
    )
    flip.choice.value = ""
    assert explorer.verdict.matches


@pytest.mark.parametrize("at", [0, 31])
def test_a_bit_of_the_digest_is_flipped_and_the_chain_stays(folder: Path, at: int) -> None:
    explorer = sevlab.explore(load_whole(folder))
    chain, digest = explorer.chain.value, bytearray(whole_digest())
    explorer.flip.choice.value, explorer.flip.offset.value, explorer.flip.bit.value = "digest", str(at), "3"
    digest[at] ^= 8
    assert explorer.evidence.digest == digest
    assert marked(explorer.message) == [8 + at]
    assert explorer.chain.value == chain
    assert not explorer.verdict.matches


def test_a_bit_of_the_measurement_is_flipped_and_only_it_differs(folder: Path) -> None:
    explorer = sevlab.explore(load(folder))
    assert marked(explorer.blob) == []
    explorer.flip.choice.value, explorer.flip.offset.value = "measurement", "5"
    assert marked(explorer.blob) == [5]
    assert "".join(span["other"] for span in explorer.blob.spans) == samples.measurement().hex()
    assert raw_of(explorer.blob)[5] == samples.measurement()[5] ^ 1


@pytest.mark.parametrize(
    ("target", "box", "text", "told"),
    [
        ("firmware", "offset", "65536", "At byte: received '65536'; needed a whole number from 0 to 65535"),
        ("firmware", "offset", "", "At byte: received"),
        ("digest", "offset", "32", "At byte: received '32'; needed a whole number from 0 to 31"),
        ("measurement", "bit", "8", "Bit: received '8'; needed a whole number from 0 to 7"),
        ("kernel", "byte", "<b>", "New value: received '<b>'; needed a whole number from 0 to 255"),
        ("vmsa_cpu0", "bit", "0", "Flip a bit in: received VMSA, CPU 0, which is no file here; needed a file"),
    ],
)
def test_a_flip_that_cannot_be_is_told(folder: Path, target: str, box: str, text: str, told: str) -> None:
    explorer = sevlab.explore(load_whole(folder))
    getattr(explorer.flip, box).value = text
    explorer.flip.choice.value = target
    assert explorer.error.startswith(told)
    assert explorer.verdict is None
    explorer.flip.choice.value = ""
    assert explorer.verdict.matches


def test_an_error_names_a_changed_copy_by_its_name_alone(launch: SnpExplorer, folder: Path) -> None:
    launch.firmware.text.value = str(folder / "tk.bin")
    launch.flip.choice.value = "firmware"
    assert launch.error.startswith("Firmware: received 'tk.bin', 32 bytes; needed whole pages of 4096 bytes")
    assert launch.flip._folder.name not in launch.alert.value


def test_a_bit_is_flipped_in_registers_and_not_in_the_text_that_holds_them(folder: Path) -> None:
    explorer = sevlab.explore(load_whole(folder))
    boot, further = (explorer.evidence.launch.steps[number].content for number in (2, 3))
    for box in list(explorer.loaded.numbers.values())[1:4]:
        box.value = ""
    for name, page in (("vmsa_cpu0", boot), ("vmsa_cpu1", further)):
        (folder / name).write_text(page.hex())
        explorer.loaded.files[name].text.value = str(folder / name)
    assert explorer.verdict.matches
    explorer.flip.choice.value = "vmsa_cpu1"
    explorer.flip.offset.value = "16"
    assert explorer.evidence.launch.steps[3].content == further[:16] + bytes([further[16] ^ 1]) + further[17:]
    assert not explorer.verdict.matches


def test_a_flipped_page_of_a_snp_launch_is_found(launch: SnpExplorer) -> None:
    launch.flip.choice.value = "firmware"
    assert launch.comparison.number == 0
    launch.flip.choice.value = "kernel"
    assert "kernel hashes" in launch.banner.value


def test_fields_are_linked_with_the_steps_that_consume_them(folder: Path, launch: SnpExplorer) -> None:
    assert sevlab.explore(load_whole(folder)).frame.links == {4: "digest"}
    assert sevlab.explore(load(folder)).frame.links == {1: "digest"}
    assert launch.frame.links == {0: "digest_cur", 1: "*"}
    launch.number.value = 17  # the first link of the second region
    assert launch.frame.links == {1: "digest_cur", 2: "*"}
    launch.number.value = 18
    assert launch.frame.links == {2: "*"}
