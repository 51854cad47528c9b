"""Evidence: every input of a launch, read and checked, changed, and never showing a key."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sevlab
from sevlab.errors import renaming
from sevlab.labs import sample_files, samples
from sevlab.launch.inputs import as_option

KEY_FORMS = [
    form
    for key in (samples.TIK, samples.TEK, samples.TEK + samples.TIK)
    for form in (key.hex(), base64.b64encode(key).decode(), repr(key)[2:-1])
]


@pytest.fixture
def given_inputs(tmp_path: Path) -> dict[str, Any]:
    sample_files.write_samples(tmp_path)
    return {
        "measurement": base64.b64encode(samples.measurement()).decode(),
        "api_major": samples.API_MAJOR,
        "api_minor": samples.API_MINOR,
        "build_id": samples.BUILD_ID,
        "policy": samples.POLICY,
        "firmware": str(tmp_path / "firmware.fd"),
        "tik": str(tmp_path / "tik.bin"),
        "tek": str(tmp_path / "tek.bin"),
    }


def test_evidence_is_what_was_given(given_inputs: dict[str, Any]) -> None:
    evidence = sevlab.load_evidence(**given_inputs)
    assert evidence.measurement.to_bytes() == samples.measurement()
    assert (evidence.api_major, evidence.api_minor, evidence.build_id) == (0, 22, 13)
    assert int(evidence.policy) == 1
    assert evidence.digest == sevlab.compute_digest([samples.firmware()])
    assert (evidence.tik.reveal(), evidence.tek.reveal()) == (samples.TIK, samples.TEK)


def test_the_message_takes_its_nonce_from_the_measurement(given_inputs: dict[str, Any]) -> None:
    evidence = sevlab.load_evidence(**given_inputs)
    digest = sevlab.compute_digest([samples.firmware()])
    assert evidence.message.to_bytes() == bytes([4, 0, 22, 13, 1, 0, 0, 0]) + digest + samples.MNONCE


def test_text_and_numbers_and_ready_values_are_the_same(given_inputs: dict[str, Any]) -> None:
    numbers = {name: f"0x{given_inputs[name]:x}" for name in ("api_major", "api_minor", "build_id", "policy")}
    ready = {
        "measurement": sevlab.Measurement.from_bytes(samples.measurement()),
        "policy": sevlab.Policy(1),
        "tik": sevlab.SecretBytes(samples.TIK),
        "tek": sevlab.SecretBytes(samples.TEK),
    }
    messages = [sevlab.load_evidence(**{**given_inputs, **more}).message for more in ({}, numbers, ready)]
    assert messages[0] == messages[1] == messages[2]


def test_both_keys_in_one_file_are_tek_then_tik(given_inputs: dict[str, Any], tmp_path: Path) -> None:
    del given_inputs["tik"], given_inputs["tek"]
    evidence = sevlab.load_evidence(**given_inputs, tk=str(tmp_path / "tk.bin"))
    assert (evidence.tek.reveal(), evidence.tik.reveal()) == (samples.TEK, samples.TIK)


def test_a_digest_stands_for_the_firmware(given_inputs: dict[str, Any]) -> None:
    del given_inputs["firmware"]
    evidence = sevlab.load_evidence(**given_inputs, digest=sevlab.compute_digest([samples.firmware()]))
    assert sevlab.compare_measure(evidence).matches


@pytest.mark.parametrize("name", ["measurement", "api_major", "api_minor", "build_id", "policy", "firmware"])
def test_what_is_missing_is_named(given_inputs: dict[str, Any], name: str) -> None:
    for missing in ({}, {name: None}):
        rest = {key: value for key, value in given_inputs.items() if key != name} | missing
        with pytest.raises(sevlab.InputError) as caught, renaming(as_option):
            sevlab.load_evidence(**rest)
        assert caught.value.input == "--" + name.replace("_", "-")
        assert caught.value.received == "nothing"


@pytest.mark.parametrize(
    ("left_out", "added", "told"),
    [
        (["tik"], {}, ("tik", "nothing")),
        (["tek"], {}, ("tek", "nothing")),
        (["tik", "tek"], {}, ("tk", "nothing")),
        (["tik"], {"tk": "tk.bin"}, ("tk", "together with tik or tek")),
        ([], {"tk": "tk.bin"}, ("tk", "together with tik or tek")),
    ],
)
def test_keys_come_in_one_of_two_forms(
    given_inputs: dict[str, Any], left_out: list[str], added: dict[str, str], told: tuple[str, str]
) -> None:
    rest = {name: value for name, value in given_inputs.items() if name not in left_out}
    with pytest.raises(sevlab.InputError) as caught:
        sevlab.load_evidence(**rest, **added)
    assert (caught.value.input, caught.value.received) == told


def test_a_name_that_is_no_input_is_a_mistake_of_the_program(given_inputs: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="'polici'"):
        sevlab.load_evidence(**given_inputs, polici=1)
    with pytest.raises(TypeError, match="'polici'"):
        sevlab.load_evidence(**given_inputs).replace(polici=1)


@pytest.mark.parametrize(
    ("change", "offset"),
    [
        ({"api_major": 1}, 1),
        ({"api_minor": "0x17"}, 2),
        ({"build_id": 14}, 3),
        ({"policy": 3}, 4),
        ({"digest": bytes(32)}, 8),
    ],
    ids=lambda value: str(value),
)
def test_a_replaced_input_changes_its_field_only(
    given_inputs: dict[str, Any], change: dict[str, Any], offset: int
) -> None:
    evidence = sevlab.load_evidence(**given_inputs)
    before = evidence.message
    changed = evidence.replace(**change)
    comparison = sevlab.compare(before, changed.message)
    assert len(comparison.differing) == 1
    assert comparison.marked[0] == offset
    assert evidence.message == before
    assert changed.tik == evidence.tik


def test_a_replaced_firmware_or_key_is_read(given_inputs: dict[str, Any], tmp_path: Path) -> None:
    evidence = sevlab.load_evidence(**given_inputs)
    (tmp_path / "other.fd").write_bytes(b"other")
    assert evidence.replace(firmware=str(tmp_path / "other.fd")).digest == sevlab.compute_digest([b"other"])
    swapped = evidence.replace(tik=given_inputs["tek"])
    assert swapped.tik.reveal() == samples.TEK
    assert not sevlab.compare_measure(swapped).matches
    combined = swapped.replace(tk=str(tmp_path / "tk.bin"))
    assert combined.tik.reveal() == samples.TIK
    assert set(combined.files) == {"firmware", "tk"}


def test_what_was_loaded_is_read_again_only_where_it_can_change(given_inputs: dict[str, Any], tmp_path: Path) -> None:
    evidence = sevlab.load_evidence(**given_inputs)
    (tmp_path / "firmware.fd").unlink()
    assert evidence.replace(policy=0x3, build_id=1).launch is evidence.launch
    for changes in ({"policy": 0x5}, {"num_cpus": 2}):
        with pytest.raises(sevlab.InputError):
            evidence.replace(**changes)


def test_a_replaced_value_is_checked(given_inputs: dict[str, Any]) -> None:
    with pytest.raises(sevlab.InputError, match="build_id: received '256'"):
        sevlab.load_evidence(**given_inputs).replace(build_id=256)


def test_evidence_does_not_show_its_keys(given_inputs: dict[str, Any]) -> None:
    evidence = sevlab.load_evidence(**given_inputs)
    shown = "".join((repr(evidence) + str(evidence) + f"{evidence}" + repr(vars(evidence))).split())
    assert samples.measurement().hex()[:16] in shown
    assert [form for form in KEY_FORMS if form in shown] == []
    with pytest.raises(TypeError, match="a Secret is not pickled"):
        pickle.dumps(
            evidence.replace(digest=evidence.digest)
        )  # without a hash in progress, which is not pickled either


ANY = st.none() | st.integers() | st.text(st.characters(codec=None), max_size=80) | st.binary(max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["measurement", "api_major", "api_minor", "build_id", "policy"]), value=ANY)
def test_any_value_is_taken_or_refused(given_inputs: dict[str, Any], name: str, value: object) -> None:
    try:
        evidence = sevlab.load_evidence(**{**given_inputs, name: value})
    except sevlab.InputError as error:
        told = error
    else:
        assert len(evidence.message.to_bytes()) == 56
        return
    # A policy with the ES bit asks for the virtual CPUs too.
    assert told.input in (name, "num_cpus" if name == "policy" else name)
    assert str(told).isprintable()
