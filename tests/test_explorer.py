"""The explorer's edges: errors in its alert, uploads as a page sends them. What it does beside is in test_widgets."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import comm
import ipywidgets
import pytest
from comm.base_comm import BaseComm

import sevlab
from sevlab import samples
from sevlab.widgets import ByteMap, Explorer

TEXT = base64.b64encode(samples.measurement()).decode()


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()


def load(folder: Path, **more: Any) -> sevlab.Evidence:
    keys = {} if {"tik", "tek"} & set(more) else {"tk": str(folder / "tk.bin")}
    given = {"firmware": str(folder / "firmware.fd")} if "digest" not in more else {}
    reported = {"measurement": TEXT, "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}
    return sevlab.load_evidence(**{**reported, **given, **keys, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples.write_samples(tmp_path)
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
    "no such firmware": (lambda e: e.paths["firmware"], "<b>none</b>", "Firmware: received '<b>none</b>': no such"),
    "empty key": (lambda e: e.paths["tik"], "empty.bin", "Key file: received 'empty.bin', 0 bytes (an empty file)"),
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
    assert sevlab.GOOD not in explorer.banner.value
    assert explorer.comparison.value == ""
    box(explorer).set_state({"value": right})
    assert (explorer.error, explorer.alert.value) == ("", "")
    assert explorer.verdict.matches
    assert sevlab.GOOD in explorer.banner.value


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


def send_upload(box: ipywidgets.FileUpload, content: bytes) -> None:
    """Deliver the message that JupyterLab sends when a file is chosen: the bytes travel beside the state."""
    item = {"name": "given.bin", "type": "", "size": len(content), "last_modified": 0}
    data = {"method": "update", "state": {"value": [item]}, "buffer_paths": [["value", 0, "content"]]}
    box._handle_msg({"content": {"data": data}, "buffers": [memoryview(content)]})


KEY = bytes.fromhex("5ec2e7005ec2e7115ec2e7225ec2e733")


@pytest.mark.parametrize("content", [KEY, samples.TEK + KEY, KEY + b"\n", KEY[:15]], ids=len)
def test_a_key_is_never_sent_back_and_its_box_is_emptied_in_the_page(
    folder: Path, wire: type[Wire], content: bytes
) -> None:
    explorer = sevlab.explore(load(folder))
    box = explorer.uploads["tik"]
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
    send_upload(explorer.uploads["tik"], samples.TIK + b"\n")
    assert explorer.verdict is None
    send_upload(explorer.uploads["tik"], samples.TIK)
    assert (explorer.error, explorer.alert.value) == ("", "")
    assert explorer.verdict.matches


def test_evidence_that_came_from_no_file_can_be_explored(folder: Path) -> None:
    digest = sevlab.compute_digest([samples.firmware()])
    held = {"tik": sevlab.Secret(samples.TIK), "tek": sevlab.Secret(samples.TEK)}
    explorer = sevlab.explore(load(folder, digest=digest, **held))
    assert [box.value for box in explorer.paths.values()] == ["", ""]
    assert explorer.verdict.matches
    explorer.policy.boxes["noks"].value = True
    assert not explorer.verdict.matches
    explorer.paths["firmware"].value = str(folder / "kernel.bin")
    assert explorer.evidence.digest == sevlab.compute_digest([samples.KERNEL])


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
