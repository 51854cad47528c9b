"""The search piece by piece: readings, hypotheses, engine, executors, budget, candidates, and the command."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import sevlab
from sevlab.cli import main
from sevlab.diagnosis import engine
from sevlab.diagnosis.engine import Context, Engine, Hit, Stopped, split_box, try_box
from sevlab.diagnosis.hypotheses_sev import HYPOTHESES
from sevlab.diagnosis.sev import PARAMETERS
from sevlab.labs import samples
from tests.diagnosis.test_search_cases import (
    ES,
    GIVEN,
    KERNEL,
    PLAIN,
    SPACES,
    report,
    reported_text,
    space_of,
    true_values,
)
from tests.soak import many

TIK, TEK = samples.TIK, samples.TEK
DIGEST, MNONCE = hashlib.sha256(b"loaded").digest(), bytes(range(16))
BYTE = st.integers(0, 255)
NUMBERS = st.lists(BYTE, min_size=1, max_size=6, unique=True)
POLICIES = st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=4, unique=True)


def measure(major: int, minor: int, build: int, policy: int, key: bytes = TIK) -> bytes:
    message = bytes((4, major, minor, build)) + policy.to_bytes(4, "little") + DIGEST + MNONCE
    return hmac.digest(key, message, "sha256")


def context(reported: bytes, key: bytes = TIK) -> Context:
    return Context(key, False, DIGEST, reported, MNONCE)


def diagnose(given: dict[str, Any], **options: Any) -> sevlab.diagnosis.result.Diagnosis:
    return sevlab.diagnose(given, **{"jobs": 1, **options})


def with_report(given: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The inputs, with the measurement of a launch that has other *values* than they say."""
    space = space_of(given)
    raw = report({**true_values(space, {}), **values})
    return {**given, "measurement": base64.b64encode(raw).decode()}


# --- every hypothesis, alone


@pytest.mark.parametrize("hypothesis", HYPOTHESES, ids=[hypothesis.name for hypothesis in HYPOTHESES])
def test_every_hypothesis_is_found_by_its_own_name(hypothesis: Any, tmp_path: Path) -> None:
    """For each mistake: a launch in which it was made, and the search names it and the value."""
    space, given = SPACES["es"], {**ES}
    if hypothesis.name in NEEDS:
        given |= NEEDS[hypothesis.name]
        space = space_of(given)
    if hypothesis.name in BY_HAND:
        pytest.skip("files or forms of its own: tested by hand below")
    choices = [choice for choice in space.parameters[hypothesis.parameter].choices if choice.hypothesis is hypothesis]
    assert choices
    for choice in choices[:: max(1, len(choices) // 5)]:
        flips = hypothesis.parameter == "policy" and not choice.value.es
        if flips:
            continue  # the digest changes too: covered by the generated cases
        chosen = {hypothesis.parameter: choice}
        text = reported_text(space, chosen)
        diagnosis = diagnose({**given, "measurement": text}, max_changes=1)
        assert diagnosis.status == "explained"
        (explanation,) = diagnosis.explanations
        assert explanation.hypotheses == (hypothesis,)
        assert explanation.changes == choice.changes
        assert hypothesis.how in explanation.sentence
        assert str(explanation.as_dict())


NEEDS: dict[str, dict[str, Any]] = {
    "API major in decimal, read as hex": {"api_major": 16},
    "API major in hex, read as decimal": {"api_major": 10},
    "API minor in decimal, read as hex": {"api_minor": 0x25},
    "build in decimal, read as hex": {"build_id": 0x25},
    "policy in the wrong base": {"policy": 0x15},
    "policy with its bytes reversed": {"policy": 0x04000005},
    "command line in other bytes": {"cmdline": "caf\u00e9 console=ttyS0"},
}
BY_HAND = {
    "measurement in another form",
    "keys exchanged",
    "key file in another form",
    "another part of the firmware file",
    "padded firmware",
    "another firmware file",
    "another kernel",
    "another initrd",
}


def test_hypotheses_are_declared_whole() -> None:
    assert len({hypothesis.name for hypothesis in HYPOTHESES}) == len(HYPOTHESES)
    for hypothesis in HYPOTHESES:
        assert hypothesis.parameter in PARAMETERS
        assert 0 < hypothesis.prior < 1
        assert hypothesis.how.endswith(".")
        assert set(hypothesis.incidents) <= set(sevlab.data.INCIDENTS)


# --- the incidents, by name


def only(diagnosis: sevlab.diagnosis.result.Diagnosis) -> Any:
    assert diagnosis.status == "explained"
    (explanation,) = diagnosis.explanations
    return explanation


def test_f27_decimal_versus_hex() -> None:
    """AMDESE/sev-tool#44: status prints 22 in decimal; 0x22 and 0x16 are what people made of it."""
    hexed = only(diagnose(with_report({**PLAIN, "api_minor": 0x22}, api_minor=22)))
    assert (hexed.found, "F27" in hexed.incidents) == ({"api_minor": 22}, True)
    assert "Decimal versus hex" in hexed.sentence
    other = only(diagnose(with_report({**PLAIN, "build_id": 16}, build_id=22)))
    assert (other.found, "F27" in other.incidents) == ({"build_id": 22}, True)


def test_f28_another_platform_s_version_and_the_old_message() -> None:
    """AMDSEV#41: the update from 0.16 build 12 to 0.17 build 22; before it the message is another one."""
    update = only(diagnose(with_report({**PLAIN, "api_minor": 16, "build_id": 12}, api_minor=17, build_id=22)))
    assert update.found == {"api_minor": 17, "build_id": 22}
    assert "F28" in update.incidents
    old = only(diagnose(with_report({**PLAIN, "api_minor": 16, "build_id": 5}, message=True)))
    assert list(old.found) == ["message"]
    assert "F28" in old.incidents


def test_f30_keys_all_zero_are_said_loudly() -> None:
    zero = only(diagnose(with_report(PLAIN, key=bytes(16))))
    assert zero.found == {"tk": "all zero"}
    assert "F30" in zero.incidents
    assert any("anyone can make this measurement" in alarm for alarm in zero.alarms)
    assert "ANYONE CAN MAKE THIS MEASUREMENT" in zero.sentence


# --- what is found is explained, not trusted


def test_a_policy_that_allows_debugging_is_an_alarm() -> None:
    found = only(diagnose(with_report(PLAIN, policy=sevlab.Policy(0))))
    assert found.found == {"policy": 0}
    assert any("allows debugging" in alarm and "read and change" in alarm for alarm in found.alarms)
    page = diagnose(with_report(PLAIN, policy=sevlab.Policy(0))).explain()
    assert "does not make the guest trustworthy" in page.text()
    assert page.html().count("allows debugging") == 1
    assert "trustworthy." not in page.text().replace("does not make the guest trustworthy.", "")


def test_a_forgotten_sev_es_bit_is_one_change() -> None:
    found = only(diagnose(with_report({**ES, "policy": 1}, policy=sevlab.Policy(5))))
    assert found.found == {"policy": 5}
    bare = {**{name: value for name, value in ES.items() if "cpu" not in name}, "policy": 1}
    values = true_values(SPACES["es"], {})
    text = base64.b64encode(report(values)).decode()
    found = only(diagnose({**bare, "measurement": text}))
    assert found.found == {"policy": 5, "num_cpus": 4, "cpu_family": 25, "cpu_model": 1, "cpu_stepping": 1}


def test_kernel_hashes_off_is_one_change_of_kernel_to_null() -> None:
    found = only(diagnose(with_report(KERNEL, kernel=None))).as_dict()
    assert found["changes"] == [{"input": "kernel", "given": KERNEL["kernel"], "found": None}]
    assert any("No kernel was measured" in alarm for alarm in found["alarms"])


# --- forms of measurement and keys


@pytest.mark.parametrize(
    ("form", "word"),
    [
        (lambda raw: raw.hex(), "hex"),
        (lambda raw: raw.hex().upper(), "hex"),
        (lambda raw: "0x" + raw.hex(), "hex"),
        (lambda raw: base64.b64encode(raw.hex().encode()).decode(), "hex"),
        (lambda raw: base64.b64encode(base64.b64encode(raw)).decode(), "twice"),
        (lambda raw: base64.b64encode(raw[32:] + raw[:32]).decode(), "nonce first"),
        (lambda raw: (raw[32:] + raw[:32]).hex(), "nonce first"),
    ],
)
def test_a_measurement_is_read_in_every_form(form: Any, word: str) -> None:
    raw = report(true_values(SPACES["plain"], {}))
    found = only(diagnose({**PLAIN, "measurement": form(raw)}))
    assert found.found == {"measurement": base64.b64encode(raw).decode()}
    assert found.as_dict()["changes"][0]["given"] == form(raw)


def test_url_safe_base64_is_read() -> None:
    for build in range(256):
        raw = report({**true_values(SPACES["plain"], {}), "build_id": build})
        text = base64.urlsafe_b64encode(raw).decode()
        if {"-", "_"} & set(text):
            found = only(diagnose({**PLAIN, "build_id": build, "measurement": text}))
            assert list(found.found) == ["measurement"]
            return
    pytest.fail("no measurement with a URL-safe letter")


@pytest.mark.parametrize("text", ["", "hello", "ab" * 40, "A" * 10_000_000, "\0" * 64])
def test_a_measurement_in_no_form_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(sevlab.InputError) as caught:
        diagnose({**PLAIN, "measurement": text})
    assert len(str(caught.value)) < 500
    assert "measurement" in str(caught.value)


BOTH = TEK + TIK


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (TIK + TEK, "halves swapped"),
        (BOTH.hex().encode(), "hex text"),
        (BOTH.hex().encode() + b"\n", "hex text"),
        (base64.b64encode(BOTH) + b"\n", "base64 text"),
        (BOTH + b"\n", "a line break at its end"),
        (TIK, "a single key"),
        ((TIK + TEK).hex().encode(), "hex text, halves swapped"),
    ],
)
def test_a_key_file_is_read_in_every_form(content: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "tk").write_bytes(content)
    given = {**PLAIN, "tk": str(tmp_path / "tk")}
    text = base64.b64encode(report(true_values(SPACES["plain"], {}))).decode()
    found = only(diagnose({**given, "measurement": text}))
    assert found.found == {"tk": word}
    assert TIK.hex() not in str(found.as_dict())


@pytest.mark.parametrize(
    ("tik", "tek", "word"),
    [
        (TEK, TIK, "halves swapped"),
        (TIK.hex().encode(), TEK, "hex text"),
        (BOTH, TEK, "second half of a file with both keys"),
        (TIK + b"\r\n", TEK, "a line break at its end"),
    ],
)
def test_keys_in_two_files_are_read_in_every_form(tik: bytes, tek: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "tik").write_bytes(tik)
    (tmp_path / "tek").write_bytes(tek)
    given = {name: value for name, value in PLAIN.items() if name != "tk"}
    given |= {"tik": str(tmp_path / "tik"), "tek": str(tmp_path / "tek")}
    text = base64.b64encode(report(true_values(SPACES["plain"], {}))).decode()
    assert only(diagnose({**given, "measurement": text})).found == {"tik": word}


@settings(max_examples=many(60, 12))
@drawn(content=st.binary(max_size=80))
def test_any_key_file_ends_in_an_answer(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("keys") / "tk"
    path.write_bytes(content)
    given = {**PLAIN, "tk": str(path), "measurement": base64.b64encode(bytes(48)).decode()}
    assert diagnose(given, max_changes=1).status == "unexplained"


# --- files


def reported_for(image: bytes, **values: Any) -> str:
    running = hashlib.sha256(image)
    base = true_values(SPACES["plain"], {})
    return base64.b64encode(report({**base, "firmware": replace(base["firmware"], running=running), **values})).decode()


def test_other_firmware_and_kernels_are_found_among_the_candidates(tmp_path: Path) -> None:
    for name in ("a.fd", "b.fd", "kernel", "initrd"):
        (tmp_path / name).write_bytes(hashlib.sha256(name.encode()).digest() * 100)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "none").symlink_to(tmp_path / "nothing")
    text = reported_for((tmp_path / "b.fd").read_bytes())
    found = diagnose({**PLAIN, "measurement": text}, candidates=str(tmp_path))
    assert only(found).found == {"firmware": str(tmp_path / "b.fd")}
    assert any("folder" in sentence or "none" in sentence for sentence in found.not_tried)
    hashes = {name: hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("kernel", "initrd")}
    both = with_report(KERNEL, **hashes)
    found = diagnose(both, candidates=str(tmp_path))
    assert only(found).found == {name: str(tmp_path / name) for name in ("kernel", "initrd")}


def test_a_half_of_the_image_and_its_padding_are_found(tmp_path: Path) -> None:
    images = [path for path in (Path("/usr/share/ovmf/OVMF.fd"),) if path.is_file()]
    if not images:
        pytest.skip("Debian's package ovmf is missing: apt-get install ovmf")
    image = images[0].read_bytes()
    split = sevlab.load_ovmf(str(images[0])).volumes[0].end
    given = {**PLAIN, "firmware": str(images[0])}
    found = only(diagnose({**given, "measurement": reported_for(image[split:])}))
    assert "CODE half" in found.found["firmware"]
    padded = tmp_path / "padded.fd"
    padded.write_bytes(image + bytes(4096))
    found = only(diagnose({**given, "firmware": str(padded), "measurement": reported_for(image)}))
    assert "without the 4096 bytes" in found.found["firmware"]
    (tmp_path / "code.fd").write_bytes(image[split:])
    (tmp_path / "vars").mkdir()
    (tmp_path / "vars" / "OVMF_VARS.fd").write_bytes(image[:split])
    given = {**given, "firmware": str(tmp_path / "code.fd"), "measurement": reported_for(image)}
    found = only(diagnose(given, candidates=str(tmp_path / "vars")))
    assert "OVMF_VARS.fd, then" in found.found["firmware"]


def test_padding_of_a_small_image_is_found(tmp_path: Path) -> None:
    image = hashlib.sha256(b"image").digest() * 200
    (tmp_path / "image.fd").write_bytes(image)
    given = {**PLAIN, "firmware": str(tmp_path / "image.fd")}
    found = only(diagnose({**given, "measurement": reported_for(image.ljust(8192, b"\xff"))}))
    assert "padded by 1792 bytes of 0xff" in found.found["firmware"]


def test_ten_thousand_candidates_and_an_unreadable_one(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05}").write_bytes(number.to_bytes(4, "big") * 8)
    os.mkfifo(tmp_path / "pipe")
    image = (tmp_path / "09876").read_bytes()
    start = time.monotonic()
    found = diagnose({**PLAIN, "measurement": reported_for(image)}, candidates=str(tmp_path))
    assert only(found).found == {"firmware": str(tmp_path / "09876")}
    assert time.monotonic() - start < 30


def test_candidates_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(sevlab.InputError, match=r"candidates: received .*no such file.*needed a folder"):
        diagnose(with_report(PLAIN), candidates=str(tmp_path / "nowhere"))


def test_save_areas_from_files_are_searched_too(tmp_path: Path) -> None:
    signature, start = sevlab.launch.cpu.cpu_signature(25, 1, 1), sevlab.load_ovmf(ES["firmware"]).reset_address
    for cpu in (0, 1):
        page = sevlab.build_vmsa("qemu-legacy", cpu=cpu, signature=signature, reset_address=start)
        (tmp_path / f"vmsa{cpu}").write_bytes(page.to_bytes())
    given = {**{name: value for name, value in ES.items() if not name.startswith("cpu_")}}
    given |= {"vmsa_cpu0": str(tmp_path / "vmsa0"), "vmsa_cpu1": str(tmp_path / "vmsa1")}

    def reported(**values: Any) -> dict[str, Any]:
        return {**given, "measurement": with_report(ES, **values)["measurement"]}

    assert diagnose(reported()).status == "match"
    assert only(diagnose(reported(count=7))).found == {"num_cpus": 7}
    assert only(diagnose(reported(profile="qemu"))).found == {"profile": "qemu"}
    assert only(diagnose(reported(features=0x21))).found == {"guest_features": 0x21}
    model = only(diagnose(reported(model=sevlab.launch.cpu.CPU_MODELS["EPYC-Genoa"].signature))).found
    assert model == {"cpu_family": 25, "cpu_model": 17, "cpu_stepping": 0}


# --- the engine


@settings(max_examples=many(50, 10))
@drawn(
    majors=NUMBERS,
    minors=NUMBERS,
    builds=NUMBERS,
    policies=POLICIES,
    data=st.data(),
    key=st.binary(min_size=16, max_size=16),
)
def test_a_box_is_tried_whole_and_nothing_else(
    majors: list[int], minors: list[int], builds: list[int], policies: list[int], data: Any, key: bytes
) -> None:
    truth = tuple(data.draw(st.sampled_from(part)) for part in (majors, minors, builds, policies))
    box: Any = (majors, minors, builds, policies)
    assert try_box([context(measure(*truth, key=key), key)], box) == [Hit(0, *truth)]
    assert try_box([context(bytes(32), key)], box) == []


@settings(max_examples=many(50, 10))
@drawn(sizes=st.tuples(*[st.integers(1, 40)] * 4), limit=st.integers(1, 500))
def test_a_box_is_cut_without_loss(sizes: tuple[int, ...], limit: int) -> None:
    from itertools import product

    box: Any = tuple(tuple(range(size)) for size in sizes)
    parts = list(split_box(box, limit))
    tried = [combination for part in parts for combination in product(*part)]
    assert len(tried) == len(set(tried))
    assert set(tried) == set(product(*box))
    assert all(len(list(product(*part))) <= limit for part in parts)


def sha256_numba() -> Any:
    return pytest.importorskip(
        "sevlab.diagnosis.sha256_numba", reason="the extra fast is missing: pip install 'sevlab[fast]'"
    )


def test_the_compiled_loop_knows_sha_256_s_constants() -> None:
    compiled = sha256_numba()
    # FIPS 180-4, 4.2.2 and 5.3.3: the first and the last of each table.
    assert (int(compiled.ROUND_WORDS[0]), int(compiled.ROUND_WORDS[63])) == (0x428A2F98, 0xC67178F2)
    assert (int(compiled.START_WORDS[0]), int(compiled.START_WORDS[7])) == (0x6A09E667, 0x5BE0CD19)


@settings(max_examples=many(30, 6))
@drawn(
    majors=NUMBERS,
    minors=NUMBERS,
    builds=NUMBERS,
    policies=POLICIES,
    data=st.data(),
    key=st.binary(min_size=16, max_size=16),
)
def test_the_compiled_loop_agrees_with_hmac(
    majors: list[int], minors: list[int], builds: list[int], policies: list[int], data: Any, key: bytes
) -> None:
    compiled = sha256_numba()
    truth = tuple(data.draw(st.sampled_from(part)) for part in (majors, minors, builds, policies))
    box = (majors, minors, builds, policies)
    assert compiled.search(key, DIGEST, MNONCE, measure(*truth, key=key), box) == [truth]
    assert compiled.search(key, DIGEST, MNONCE, bytes(32), box) == []


def test_the_compiled_loop_finds_the_corners_of_a_large_box() -> None:
    sha256_numba()
    box: Any = ((0, 1), tuple(range(256)), tuple(range(256)), tuple(range(8)))
    for truth in ((0, 0, 0, 0), (1, 255, 255, 7), (0, 255, 63, 3), (1, 0, 64, 4)):
        assert try_box([context(bytes(32)), context(measure(*truth))], box, fast=True) == [Hit(1, *truth)]


@pytest.mark.parametrize("fast", [True, False])
def test_large_boxes_go_the_same_way_with_and_without_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(engine, "compiled_loop", lambda: None)
    box: Any = ((0, 1), tuple(range(256)), tuple(range(256)), tuple(range(8)))
    runner = Engine(600, jobs=2)
    try:
        truth = (1, 200, 100, 5)
        found = list(runner.run([(context(measure(*truth)), "label")], box, 1 << 20))
        assert [(label, hit[1:]) for _, label, hit in found] == [("label", truth)]
        assert runner.tried == 1 << 20
    finally:
        runner.close()


def test_any_executor_is_taken() -> None:
    sent = []

    class Counted(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            sent.append(args[0])
            return super().submit(*args, **kwargs)

    with Counted(2) as executor:
        given = with_report({**ES, "api_minor": 99, "policy": 7}, api_minor=22, policy=sevlab.Policy(0x2D))
        found = sevlab.diagnose(given, executor=executor)
    assert only(found).found == {"api_minor": 22, "policy": 0x2D}
    assert sent


def test_dask_s_executor_is_taken() -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is missing: pip install 'sevlab[dask]'")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    try:
        with distributed.Client(cluster) as client:
            given = with_report({**ES, "api_minor": 99, "policy": 7}, api_minor=22, policy=sevlab.Policy(0x2D))
            found = sevlab.diagnose(given, executor=client.get_executor())
    finally:
        cluster.close()
    assert only(found).found == {"api_minor": 22, "policy": 0x2D}


#: Diagnoses what it is given, and prints what comes of it and which modules it took from outside.
SERIAL = """
import json, sys, threading

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("multiprocessing", "_multiprocessing", "concurrent"):
            raise ModuleNotFoundError(name)

def start(thread):
    raise RuntimeError("can't start new thread")

sys.meta_path.insert(0, Refusal())
threading.Thread.start = start
import sevlab
for given, reported, most in json.loads(sys.argv[1]):
    found = sevlab.diagnose(given, reported, max_changes=most, jobs=4, budget=600)
    print(found.status, found.stopped or "to its end", *[sorted(one.found) for one in found.explanations], found.tried)
print(sorted({name.partition(".")[0] for name in sys.modules} - {*sys.stdlib_module_names, "__main__", "sevlab"}))
"""


def test_a_search_needs_neither_threads_nor_processes_nor_anything_from_outside() -> None:
    """As in a browser: SEV, SEV-ES and SEV-SNP are diagnosed on the standard library alone."""
    snp = {"firmware": str(samples_folder() / "firmware-snp.fd"), "num_cpus": 4, "cpu_signature": 0xA00F11}
    reported = sevlab.load_snp_launch(**snp).digest.hex()
    plain = with_report({**PLAIN, "policy": 3, "build_id": 99}, build_id=13, policy=sevlab.Policy(1))
    es = with_report({**ES, "num_cpus": 2, "build_id": 99}, build_id=13, count=4)
    hopeless = with_report(ES, key=bytes(range(16)))
    given = [(plain, None, 3), (es, None, 3), (hopeless, None, 2), (snp | {"num_cpus": 1}, reported, 3)]
    environment = {**os.environ, "PYTHONPATH": str(Path(sevlab.__file__).parent.parent)}
    command = [sys.executable, "-S", "-c", SERIAL, json.dumps(given)]
    said = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    assert said[0].startswith("explained to its end ['build_id', 'policy']")
    assert said[1].startswith("explained to its end ['build_id', 'num_cpus']")
    assert said[2].startswith("unexplained to its end")
    assert int(said[2].split()[-1]) > engine.PARALLEL  # elsewhere it would have started processes
    assert said[3].startswith("explained to its end ['num_cpus']")
    assert said[4:] == ["[]"]


def samples_folder() -> Path:
    return Path(ES["firmware"]).parent


def test_progress_is_told_and_the_budget_kept() -> None:
    told = []
    start = time.monotonic()
    diagnosis = diagnose(with_report(ES, key=bytes(range(16))), budget=1.0, progress=told.append)
    assert time.monotonic() - start < 3
    assert diagnosis.status == "unexplained"
    assert "budget of 1 seconds" in diagnosis.stopped
    assert len(told) >= 3
    assert told[-1].tried > 0
    assert told[-1].rate > 0
    assert told[-1].now
    assert [p.tried for p in told] == sorted(p.tried for p in told)


def test_an_interrupt_returns_what_is_known() -> None:
    def interrupt(progress: Any) -> None:
        if progress.seconds > 0.5:
            raise KeyboardInterrupt

    diagnosis = diagnose(with_report(ES, key=bytes(range(16))), progress=interrupt)
    assert (diagnosis.status, diagnosis.stopped) == ("unexplained", "it was interrupted")
    assert diagnosis.searched


def test_the_bar_of_notebooks_says_nothing_of_a_short_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(with_report(PLAIN, policy=sevlab.Policy(3)), progress=True).status == "explained"
    assert capsys.readouterr() == ("", "")


def test_the_budget_stops_an_engine() -> None:
    runner = Engine(1e-9)
    time.sleep(0.001)
    with pytest.raises(Stopped, match="budget"):
        runner.check()


@pytest.mark.parametrize("options", [{"max_changes": 0}, {"max_changes": 5}, {"budget": 0}, {"budget": -1.0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(sevlab.InputError):
        diagnose(with_report(PLAIN), **options)


# --- what people give


def test_evidence_verdicts_and_cases_are_taken(tmp_path: Path) -> None:
    given = with_report({**ES, "build_id": 19}, build_id=13)
    evidence = sevlab.load_evidence(**given)
    case = sevlab.cases.case.make_case(given)
    for thing in (evidence, sevlab.compare_measure(evidence), case):
        assert only(diagnose(thing)).found == {"build_id": 13}
    assert sevlab.compare_measure(evidence.replace(build_id=13)).matches


def test_evidence_of_which_only_the_digest_is_known() -> None:
    given = with_report({**PLAIN, "policy": 3}, policy=sevlab.Policy(1))
    evidence = sevlab.load_evidence(**given).replace(digest=sevlab.launch.files.load_digest(PLAIN["firmware"]))
    found = diagnose(evidence)
    assert only(found).found == {"policy": 1}
    assert any("only its digest" in sentence for sentence in found.not_tried)


@pytest.mark.parametrize("name", GIVEN)
def test_a_match_is_a_match(name: str) -> None:
    diagnosis = diagnose(with_report(GIVEN[name]))
    assert diagnosis.status == "match"
    assert "MATCH" in str(diagnosis)


# --- the command


def options(given: dict[str, Any]) -> list[str]:
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_the_command_prints_the_documented_json(capsys: pytest.CaptureFixture[str]) -> None:
    given = with_report({**ES, "build_id": 19, "num_cpus": 2}, build_id=13, count=4)
    assert main(["diagnose", *options(given), "--json", "--jobs", "1"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"status", "explanations", "tried", "seconds", "searched", "not-tried", "stopped"}
    assert said["status"] == "explained"
    (explanation,) = said["explanations"]
    changes = sorted(explanation["changes"], key=lambda change: change["input"])
    assert changes == [
        {"input": "build-id", "given": 19, "found": 13},
        {"input": "num-cpus", "given": 2, "found": 4},
    ]
    assert explanation["sentence"].startswith("--")


def test_the_command_s_exit_status(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["diagnose", *options(with_report(PLAIN))]) == 0
    assert main(["diagnose", *options(with_report(PLAIN, policy=sevlab.Policy(3)))]) == 1
    hopeless = with_report(PLAIN, key=bytes(range(16)))
    assert main(["diagnose", *options(hopeless), "--max-changes", "1"]) == 1
    out = capsys.readouterr().out
    assert "Ruled out" in out
    assert "every" in out or "API major" in out
    for wrong in (
        ["--budget", "0"],
        ["--budget", "soon"],
        ["--jobs", "0"],
        ["--max-changes", "9"],
        ["--candidates", "/none"],
    ):
        assert main(["diagnose", *options(hopeless), *wrong]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_the_command_takes_a_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = with_report({**PLAIN, "api_minor": 0x22}, api_minor=22)
    path = tmp_path / "case.toml"
    sevlab.cases.case_toml.write_case(sevlab.cases.case.make_case(given), str(path))
    assert main(["diagnose", "--case", str(path)]) == 1
    assert "--api-minor  34 (0x22)  22 (0x16)" in capsys.readouterr().out


def test_keys_never_appear(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "tk").write_bytes(TIK + TEK)
    given = {**with_report(PLAIN), "tk": str(tmp_path / "tk")}
    main(["diagnose", *options(given)])
    main(["diagnose", *options(given), "--json"])
    out = "".join(capsys.readouterr())
    assert "halves swapped" in out
    for key in (TIK, TEK):
        assert key.hex() not in out
        assert base64.b64encode(key).decode()[:20] not in out


def test_ctrl_c_ends_the_command_with_what_is_known() -> None:
    given = with_report(ES, key=bytes(range(16)))
    command = [sys.executable, "-m", "sevlab", "diagnose", *options(given)]
    # Whoever runs the tests in the background has Ctrl-C switched off, and what he starts inherits that.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "it was interrupted" in out
    assert "Traceback" not in err
