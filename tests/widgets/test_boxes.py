"""Widgets without a kernel: what a browser would send goes in, what it would show comes out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets
import pytest

import sevlab
from sevlab.labs import sample_files, samples
from sevlab.widgets.bytemap import ByteMap
from sevlab.widgets.explorers import Explorer
from tests.widgets.views import is_dimmed

TEXT = base64.b64encode(samples.measurement()).decode()


def load(folder: Path, **more: Any) -> sevlab.launch.evidence.Evidence:
    values = {"api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1, "firmware": str(folder / "firmware.fd")}
    return sevlab.load_evidence(measurement=TEXT, tk=str(folder / "tk.bin"), **{**values, **more})


@pytest.fixture
def explorer(tmp_path: Path) -> Explorer:
    sample_files.write_samples(tmp_path)
    return sevlab.explore(load(tmp_path))


def upload(box: ipywidgets.FileUpload, content: bytes, name: str = "given.bin") -> None:
    """Do what the page does when a file is chosen."""
    item = {"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": 0}
    box.set_state({"value": [item]})


def every_widget() -> list[ipywidgets.Widget]:
    """All that live, layouts and styles included: whatever a notebook could store."""
    return list(ipywidgets.widgets.widget._instances.values())


def shown(explorer: Explorer) -> str:
    return "".join(box.value for box in (explorer.banner, explorer.alert, explorer.comparison))


def is_green(explorer: Explorer) -> bool:
    assert (sevlab.launch.verify.GOOD in explorer.banner.value) != (sevlab.launch.verify.BAD in explorer.banner.value)
    return sevlab.launch.verify.GOOD in explorer.banner.value


def snapshot(explorer: Explorer) -> dict[str, object]:
    """Everything that a person sees."""
    return {
        "banner": explorer.banner.value,
        "alert": explorer.alert.value,
        "comparison": explorer.comparison.value,
        "policy": explorer.policy.number.value,
        "boxes": {name: box.value for name, box in explorer.policy.boxes.items()},
        "message": explorer.message.spans,
        "blob": explorer.blob.spans,
        "dimmed": is_dimmed(explorer.blob, explorer.comparison, explorer.message, explorer.chain),
        "text": repr(explorer),
    }


@pytest.mark.parametrize(("name", "bit"), [("nodbg", 0), ("noks", 1), ("nosend", 3), ("domain", 4), ("sev", 5)])
def test_a_checkbox_turns_the_whole_page_and_back(explorer: Explorer, name: str, bit: int) -> None:
    before = snapshot(explorer)
    assert is_green(explorer)
    box = explorer.policy.boxes[name]
    box.set_state({"value": not box.value})
    assert not is_green(explorer)
    assert explorer.policy.number.value == f"0x{1 ^ 1 << bit:x}"
    assert int(explorer.evidence.policy) == 1 ^ 1 << bit
    policy = next(span for span in explorer.message.spans if span["name"] == "policy")
    assert policy["hex"] == f"{1 ^ 1 << bit:02x}000000"
    assert policy["marked"] == [4]
    computed = sevlab.compute_measure(explorer.evidence.message, sevlab.SecretBytes(samples.TIK))
    assert explorer.verdict.computed == computed != samples.measurement()[:32]
    assert computed[:4].hex(" ") in explorer.comparison.value
    box.set_state({"value": not box.value})
    assert snapshot(explorer) == before


def test_without_nodbg_the_page_warns(explorer: Explorer) -> None:
    assert explorer.policy.warning.value == ""
    explorer.policy.boxes["nodbg"].value = False
    assert "WARNING: policy: bit 0 (NODBG) is clear" in explorer.policy.warning.value
    assert "WARNING" not in shown(explorer)  # once, where the box is
    explorer.policy.boxes["nodbg"].value = True
    assert explorer.policy.warning.value == ""


def test_each_flag_says_what_it_does_as_it_is(explorer: Explorer) -> None:
    policy = explorer.policy
    for one in (one for one in sevlab.Policy.rows if one.is_flag):
        for ticked in (True, False):
            policy.boxes[one.name].value = ticked
            assert policy.words[one.name].value == (one.doc if ticked else f"Not set: {one.clear}")
    policy.number.value = "0x3f"
    assert [box.value for box in policy.words.values()] == [one.doc for one in sevlab.Policy.rows if one.is_flag]


def test_the_es_box_asks_for_the_cpus(explorer: Explorer) -> None:
    explorer.policy.boxes["es"].value = True
    assert explorer.error.startswith("CPU count: received nothing")
    explorer.policy.boxes["es"].value = False
    assert is_green(explorer)


@pytest.mark.parametrize("text", ["0x2b", "43", "0X2B", " 0x0000002b "])
def test_a_policy_number_ticks_its_boxes(explorer: Explorer, text: str) -> None:
    explorer.policy.number.value = text
    ticked = {name for name, box in explorer.policy.boxes.items() if box.value}
    assert ticked == {"nodbg", "noks", "nosend", "sev"}
    assert int(explorer.evidence.policy) == 0x2B


def test_a_checkbox_keeps_the_bits_that_have_none(explorer: Explorer) -> None:
    explorer.policy.number.value = "0x16010041"
    explorer.policy.boxes["noks"].value = True
    assert explorer.policy.number.value == "0x16010043"


FORMS = {
    "one line": TEXT,
    "lines": f"{TEXT[:20]}\n{TEXT[20:40]}\r\n{TEXT[40:]}\n",
    "spaces": f"  {TEXT[:7]} {TEXT[7:]}\t",
    "hex": samples.measurement().hex(),
    "hex in lines": samples.measurement().hex(" ", 16).upper().replace(" ", "\n"),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_measurement_in_any_form(explorer: Explorer, text: str) -> None:
    explorer.measurement.value = "x"
    assert explorer.verdict is None
    explorer.measurement.set_state({"value": text})
    assert explorer.error == ""
    assert is_green(explorer)


@pytest.mark.parametrize(
    ("name", "right", "other"), [("api_major", "0x0", "1"), ("api_minor", "0x16", "23"), ("build_id", " 13 ", "0")]
)
def test_numbers_in_decimal_and_hex(explorer: Explorer, name: str, right: str, other: str) -> None:
    explorer.numbers[name].value = right
    assert is_green(explorer)
    explorer.numbers[name].value = other
    assert not is_green(explorer)
    offset = {"api_major": 1, "api_minor": 2, "build_id": 3}[name]
    assert [at for span in explorer.message.spans for at in span["marked"]] == [offset]


HOSTILE = "<img src=x onerror=alert(1)>\n\"'&"
BAD = {
    "measurement": lambda e: e.measurement,
    "api_major": lambda e: e.numbers["api_major"],
    "api_minor": lambda e: e.numbers["api_minor"],
    "build_id": lambda e: e.numbers["build_id"],
    "policy": lambda e: e.policy.number,
    "firmware": lambda e: e.files["firmware"].text,
    "tik": lambda e: e.files["tik"].text,
}


@pytest.mark.parametrize(
    "text", [HOSTILE, "-", "-1", "\0", "\ud800", "9" * 5000, "/", "/dev/zero", "no such"], ids=ascii
)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_told_and_the_verdict_taken_away(explorer: Explorer, name: str, text: str) -> None:
    before = snapshot(explorer)
    box = BAD[name](explorer)
    right, box.value = box.value, text
    assert 'role="alert"' in explorer.alert.value
    assert explorer.verdict is None
    assert explorer.error
    assert is_dimmed(explorer.blob, explorer.comparison, explorer.message, explorer.chain)
    assert sevlab.launch.verify.GOOD not in shown(explorer)
    assert sevlab.launch.verify.BAD not in shown(explorer)
    assert "CANNOT TELL" in explorer.banner.value
    assert "CANNOT TELL" in repr(explorer)
    assert "<img" not in shown(explorer)
    box.value = right
    assert snapshot(explorer) == before


@pytest.mark.parametrize("name", [*BAD])
def test_an_emptied_input_is_told(explorer: Explorer, name: str) -> None:
    BAD[name](explorer).value = ""
    assert explorer.verdict is None
    assert 'role="alert"' in explorer.alert.value


def test_results_are_read_out_when_they_change(explorer: Explorer) -> None:
    assert 'role="status"' in explorer.banner.value
    assert explorer.alert.value == ""


def test_a_firmware_is_uploaded(explorer: Explorer) -> None:
    upload(explorer.files["firmware"].upload, b"another image")
    assert not is_green(explorer)
    assert explorer.evidence.digest == sevlab.compute_digest([b"another image"])
    assert explorer.files["firmware"].text.value == ""
    upload(explorer.files["firmware"].upload, samples.firmware(), "fw.fd")
    assert is_green(explorer)
    assert explorer.files["firmware"].text.placeholder == "uploaded: fw.fd"
    assert explorer.files["firmware"].upload.value == ()
    explorer.numbers["build_id"].value = "14"  # what was uploaded stays
    explorer.numbers["build_id"].value = "13"
    assert is_green(explorer)


def test_a_path_replaces_an_upload(explorer: Explorer, tmp_path: Path) -> None:
    upload(explorer.files["firmware"].upload, b"another image")
    explorer.files["firmware"].text.value = str(tmp_path / "firmware.fd")
    assert is_green(explorer)
    upload(explorer.files["tik"].upload, samples.TEK)
    explorer.files["tik"].text.value = str(tmp_path / "tik.bin")
    assert is_green(explorer)


@pytest.mark.parametrize("key", [samples.TIK, samples.TEK + samples.TIK], ids=len)
def test_a_key_is_uploaded(explorer: Explorer, key: bytes) -> None:
    upload(explorer.files["tik"].upload, bytes(16))
    assert not is_green(explorer)
    upload(explorer.files["tik"].upload, key)
    assert is_green(explorer)
    assert explorer.files["tik"].upload.value == ()


@pytest.mark.parametrize(("box", "size"), [("tik", size) for size in (0, 1, 15, 17, 31, 33, 64)] + [("firmware", 0)])
def test_an_upload_of_a_wrong_size_is_told(explorer: Explorer, box: str, size: int) -> None:
    upload(explorer.files[box].upload, bytes(size))
    assert 'role="alert"' in explorer.alert.value
    assert ("an empty upload" if box == "firmware" else f"a key, {size} bytes") in explorer.error
    assert explorer.verdict is None
    assert explorer.files[box].upload.value == ()


def test_a_hostile_file_name_is_no_html(explorer: Explorer) -> None:
    upload(explorer.files["firmware"].upload, samples.firmware(), HOSTILE)
    assert is_green(explorer)
    assert "<img" not in shown(explorer)


def test_an_uploaded_firmware_is_part_of_the_whole_launch(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path)
    explorer = sevlab.explore(load(tmp_path, kernel=str(tmp_path / "tk.bin")))
    digest = explorer.verdict.evidence.digest
    upload(explorer.files["firmware"].upload, samples.firmware_for_kernels())
    table = sevlab.formats.kernel_hashes.build_kernel_hashes(
        hashlib.sha256(samples.TEK + samples.TIK).digest()
    ).to_bytes()
    assert explorer.evidence.digest == sevlab.compute_digest([samples.firmware_for_kernels(), table])
    explorer.files["firmware"].text.value = str(tmp_path / "firmware.fd")
    assert explorer.verdict.evidence.digest == digest


KEY = bytes.fromhex("5ec2e7005ec2e7115ec2e7225ec2e733")


def forms(key: bytes) -> list[str]:
    return [
        key.hex(),
        key.hex().upper(),
        key.hex(" "),
        base64.b64encode(key).decode(),
        repr(key)[2:-1],
        str(list(key))[1:-1],
    ]


def test_no_state_of_any_widget_holds_a_key(explorer: Explorer, tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(KEY)
    (tmp_path / "both.bin").write_bytes(samples.TEK + KEY)
    for path in ("other.bin", "both.bin"):
        explorer.files["tik"].text.value = str(tmp_path / path)
        assert explorer.evidence.tik.reveal() == KEY
    upload(explorer.files["tik"].upload, samples.TEK + KEY)
    upload(explorer.files["tik"].upload, KEY)
    upload(explorer.files["tik"].upload, KEY + b"\n")  # refused, and no part of it shown
    explorer.refresh()
    assert explorer.evidence.tik.reveal() == KEY
    states = []
    for widget in every_widget():
        state, paths, buffers = ipywidgets.widgets.widget._remove_buffers(widget.get_state())
        states.append(json.dumps(state, default=repr) + repr(paths))
        assert not any(KEY in bytes(buffer) for buffer in buffers)
    states += [repr(explorer), json.dumps(explorer._repr_mimebundle_(), default=repr)]
    assert len(states) > 30
    for key in (KEY, samples.TEK, samples.TIK):
        assert [form for form in forms(key) for state in states if form in state] == []
    assert any(samples.MNONCE.hex() in state for state in states)  # a key would have been found


class Reader(HTMLParser):
    """Checks that tags close in order and that there is nothing live."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "style", "th", "iframe")
        assert not {name for name, _ in attrs} & {"id", "onclick", "onerror"}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def bundle(widget: ipywidgets.Widget) -> dict[str, str]:
    data = widget._repr_mimebundle_()
    return data[0] if isinstance(data, tuple) else data


def test_what_stands_where_no_widget_runs(explorer: Explorer) -> None:
    things = [explorer, explorer.message, sevlab.explore(explorer.evidence.measurement)]
    for widget in things:
        data = bundle(widget)
        Reader(data["text/html"])
        assert "mnonce" in data["text/html"]
        assert "mnonce" in data["text/plain"]
        assert " object at 0x" not in data["text/plain"]
        assert "application/vnd.jupyter.widget-view+json" in data
    assert sevlab.launch.verify.GOOD in bundle(explorer)["text/plain"]
    assert sevlab.launch.verify.GOOD in bundle(explorer)["text/html"]


def test_the_static_twin_follows(explorer: Explorer) -> None:
    explorer.numbers["build_id"].value = "12"
    data = bundle(explorer)
    assert sevlab.launch.verify.BAD in data["text/plain"]
    assert sevlab.launch.verify.BAD in data["text/html"]


def test_two_explorers_of_the_same_evidence_look_the_same(tmp_path: Path) -> None:
    sample_files.write_samples(tmp_path)
    one, two = (sevlab.explore(load(tmp_path)) for _ in range(2))
    assert snapshot(one) == snapshot(two)
    for kind in ("text/plain", "text/html"):
        assert bundle(one)[kind] == bundle(two)[kind]


def test_every_input_has_a_label(explorer: Explorer) -> None:
    boxes = [box(explorer) for box in BAD.values()] + list(explorer.policy.boxes.values())
    labels = [box.description for box in boxes]
    assert all(labels)
    assert len(set(labels)) == len(labels)
    for row, _ in sevlab.Policy().items():
        if row.is_flag:
            box = explorer.policy.boxes[row.name]
            assert f"(bit {row.low})" in box.description
            assert row.clear in box.tooltip


def test_a_byte_map_tells_each_field_once(explorer: Explorer) -> None:
    spans = explorer.message.spans
    assert [(span["letter"], span["offset"], span["size"]) for span in spans] == [
        ("A", 0, 1),
        ("B", 1, 1),
        ("C", 2, 1),
        ("D", 3, 1),
        ("E", 4, 4),
        ("F", 8, 32),
        ("G", 40, 16),
    ]
    assert "".join(span["hex"] for span in spans) == explorer.evidence.message.to_bytes().hex()
    assert all(span["doc"] and span["colour"].startswith("#") for span in spans)


def test_a_selection_can_be_set_and_watched() -> None:
    message = sevlab.MeasureMessage.from_bytes(bytes(56))
    widget = ByteMap("title", message.spans())
    seen = []
    widget.observe(lambda change: seen.append(change.new), "field")
    widget.set_state({"field": "policy"})
    widget.show(message.replace(policy=1).spans(), [4])
    assert widget.field == "policy"
    widget.show(sevlab.Measurement.from_bytes(bytes(48)).spans())
    assert seen == ["policy", ""]


@pytest.mark.parametrize("thing", [1, None, b"", sevlab.Policy(1), sevlab.SecretBytes(KEY)], ids=repr)
def test_what_cannot_be_explored_is_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="explore takes"):
        sevlab.explore(thing)


def test_no_box_of_numbers_changes_what_is_being_typed() -> None:
    """As those of ipywidgets do: 12 in a box from 5 to 20 would be 5, and then 52, and then 20."""
    sources = [path.read_text(encoding="utf-8") for path in Path(sevlab.__file__).parent.rglob("*.py")]
    assert any("NumberBox(" in source for source in sources)
    assert not [source for source in sources if re.search(r"w\.(Bounded)?(Int|Float)(Text|Slider)", source)]
