"""Public functions take any bytes-like object for bytes, and raise nothing but errors of ours, whatever they are given.

Of what no function can take, an error of ours may be a TypeError. What is never raised is what a mistake within looks
like: AttributeError, ValueError, IndexError and so on.
"""

from __future__ import annotations

import array
import importlib
import inspect
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import sevlab
from sevlab.attestation.certificates import parse_bundle, parse_certificate, parse_chain, parse_crls
from sevlab.attestation.report import parse_moment, read_report
from sevlab.cases.bundle import build_manifest, parse_manifest
from sevlab.errors import ArgumentError, InputError, SevlabError, checked
from sevlab.formats.launch_measure import Measurement
from sevlab.formats.sev_certs import PDH, PEK
from sevlab.formats.vcek import read_cert_table
from sevlab.labs import sample_files, samples
from sevlab.labs.snp_samples import snp_launch
from sevlab.launch.keys import SecretBytes
from sevlab.simulator.identity import Identity

#: (function, arguments, named arguments), every one of which is right.
Call = tuple[Callable[..., Any], list[Any], dict[str, Any]]
#: What is put in the place of each argument.
NONSENSE = [
    *(None, True, 0, 5, -1, 1 << 70, 5.5, float("nan"), "", "x", b"", b"x", object(), [], [1], (1,), {}, {"a": 1}),
    *(set(), print, datetime(2026, 1, 1), SecretBytes(b"x"), array.array("I", [1])),
]
#: Public functions with bytes among their arguments that are not in the table, and why.
LEFT_OUT = {
    "derive_session_keys": "a frame of ours would hold its key; its sizes are checked",
    "seeded": "for tests and lessons",
    "simulate_launch": "it launches; what it is given is checked by the platform",
    "simulate_snp_launch": "the same",
    "plot_avalanche": "it draws",
    "diagnose": "it searches; its digest is read in every form, and refused by name",
    "make_private": "of a source of random bytes",
    "make_session": "the same",
}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    folder = tmp_path_factory.mktemp("inputs")
    sample_files.write_samples(folder)

    def raw(name: str) -> bytes:
        return (folder / name).read_bytes()

    identity = Identity(sevlab.attestation.session.seeded(b"x"), (1, 55))
    session = sevlab.attestation.session.make_session(
        identity.certificates[PDH], 1, random=sevlab.attestation.session.seeded(b"y")
    )
    key = SecretBytes((5).to_bytes(48, "big"))
    launch, digest = snp_launch(), snp_launch().digest
    signed = sevlab.attestation.id_block.build_id_block(digest, key)
    packet = sevlab.attestation.secret.build_secret([("luks-key", b"x")], samples.TIK, samples.TEK, bytes(32))
    parsed = sevlab.formats.report.parse_report(raw("report-snp.bin"))
    certificates = sevlab.load_certificates(vcek=str(folder / "vcek-snp.der"), chain=str(folder / "chain-snp.pem"))
    reported = {
        "measurement": Measurement.from_bytes(samples.measurement()),
        "api_major": 0,
        "api_minor": 22,
        "build_id": 13,
        "policy": 1,
        "tk": str(folder / "tk.bin"),
    }
    evidence = sevlab.load_evidence(firmware=str(folder / "firmware.fd"), **reported)
    text = (folder / "launch.txt").read_text()
    wanted = {"measurement": digest, "report_data": parsed.report_data, "at": "2026-01-01", "csp_id": None}
    keys = sevlab.attestation.session.derive_session_keys(bytes(range(48)), bytes(16))
    pem = raw("chain-snp.pem")
    attested = sevlab.formats.sev_certs.AttestationReport.from_bytes(
        bytes(sevlab.formats.sev_certs.AttestationReport.size)
    )
    table: list[Call] = [
        (sevlab.formats.kernel_hashes.build_kernel_hashes, [bytes(32), bytes(32), b"console"], {}),
        (
            sevlab.attestation.id_block.build_id_block,
            [digest, key],
            {"policy": 0x30000, "family_id": bytes(16), "image_id": bytes(16)},
        ),
        (
            sevlab.attestation.secret.build_secret,
            [[("luks-key", b"x")], samples.TIK, samples.TEK, bytes(32)],
            {"iv": bytes(16), "area": 100},
        ),
        (sevlab.build_vmsa, ["qemu"], {"cpu": 0, "signature": 1, "reset_address": None, "sev_features": 0}),
        (sevlab.compare, [evidence.message, evidence.message], {}),
        (sevlab.compare_launch, [evidence.launch, evidence.launch], {}),
        (sevlab.compare_measure, [evidence], {}),
        (sevlab.compare_launch, [launch, launch], {}),
        (sevlab.compute_digest, [[b"a", b"b"]], {}),
        (sevlab.compute_measure, [evidence.message, samples.TIK], {}),
        (sevlab.cases.coverage.cover_command_line, ["qemu -machine q35 -object sev-guest,id=s,policy=1"], {}),
        (sevlab.cases.coverage.cover_domain, ["<domain type='kvm'><launchSecurity type='sev'/></domain>"], {}),
        (sevlab.launch.vmm.cpu_signature, [25, 1, 1], {}),
        (sevlab.attestation.session.derive_key, [bytes(16), "label", b"context"], {}),
        (sevlab.attestation.session.exchange, [key, sevlab.attestation.session.public_key(key)], {}),
        (sevlab.attestation.session.godh_certificate, [key], {}),
        (
            sevlab.attestation.secret.open_secret,
            [packet.header.to_bytes(), packet.payload, samples.TIK, samples.TEK, bytes(32)],
            {},
        ),
        (sevlab.attestation.session.open_session, [session.blob, session.godh, identity.keys[PDH], 1], {}),
        (sevlab.cases.recognize.parse_anything, [text], {}),
        (sevlab.formats.sev_certs.parse_certificates, [identity.certificates[PDH].to_bytes()], {}),
        (sevlab.cases.qemu_cmdline.parse_command_line, ["qemu -object sev-guest,id=s,policy=1"], {}),
        (sevlab.launch.vmm.parse_cpu_model, ["EPYC-v4", "name"], {}),
        (sevlab.cases.sources.parse_dmesg, ["SEV API:1.2"], {}),
        (sevlab.cases.domain_xml.parse_domain, ["<domain/>"], {}),
        (sevlab.cases.sources.parse_domlaunchsecinfo, [text], {}),
        (sevlab.launch.values.parse_measurement, ["A" * 64, "name"], {"allow_hex": True}),
        (sevlab.formats.ovmf.parse_ovmf, [raw("firmware-snp.fd")], {}),
        (sevlab.launch.values.parse_policy, ["1", "name"], {}),
        (sevlab.cases.sources.parse_qmp, ['{"return": {"data": "x"}}'], {}),
        (sevlab.formats.report.parse_report, [raw("report-snp.bin"), "Milan"], {}),
        (sevlab.attestation.session.public_key, [key], {}),
        (sevlab.launch.vmm.recognize_vmsa, [sevlab.build_vmsa("qemu", signature=1)], {}),
        (sevlab.launch.vmm.split_signature, [0xA00F11], {}),
        (sevlab.formats.report.vcek_urls, [parsed, "Milan"], {}),
        (sevlab.attestation.sev_chain.verify_attestation, [attested, identity.certificates[PEK], bytes(16)], {}),
        (sevlab.verify_chain, [identity.chain], {}),
        (sevlab.attestation.id_block.verify_id_block, [signed, digest, 0x30000], {"author_key_enabled": None}),
        (sevlab.verify_measure, [evidence], {}),
        (sevlab.load_evidence, [], {**reported, "digest": bytes(32)}),
        (sevlab.verify_report, [raw("report-snp.bin"), certificates], wanted),
        (sevlab.attestation.session.wrap_keys, [keys, bytes(16), bytes(16), bytes(16), sevlab.Policy(1)], {}),
        (parse_bundle, [], {"vcek": raw("vcek-snp.der"), "chain": pem}),
        (parse_certificate, [raw("vcek-snp.der"), "name"], {}),
        (parse_chain, [pem, "name"], {}),
        (parse_crls, [bytes(10), "name"], {}),
        (parse_moment, ["2026-01-01", "name"], {}),
        (read_report, [raw("report-snp.bin"), "name", ""], {}),
        (read_cert_table, [bytes(24)], {}),
        (parse_manifest, [build_manifest(b"case", {}).to_bytes(), "name"], {}),
        (Measurement.from_bytes, [bytes(48)], {}),
    ]
    return {function.__name__: (function, args, named) for function, args, named in table}


def replaced(call: Call, place: int | str, value: object) -> tuple[list[Any], dict[str, Any]]:
    _, args, named = call
    if isinstance(place, int):
        return [*args[:place], value, *args[place + 1 :]], named
    return args, {**named, place: value}


def places(call: Call) -> list[tuple[int | str, Any]]:
    _, args, named = call
    return [*enumerate(args), *named.items()]


def outcome(call: Call, args: list[Any], named: dict[str, Any]) -> str:
    try:
        return str(call[0](*args, **named))
    except SevlabError as error:
        return repr(error)


def likes(raw: bytes) -> list[object]:
    return [bytearray(raw), memoryview(raw), memoryview(bytearray(raw)), memoryview(b"-" + raw)[1:]]


def test_whatever_is_like_bytes_counts_as_them(calls: dict[str, Call]) -> None:
    seen = 0
    for name, call in calls.items():
        good = outcome(call, call[1], call[2])
        for place, value in places(call):
            for like in likes(value) if isinstance(value, bytes) else []:
                seen += 1
                assert outcome(call, *replaced(call, place, like)) == good, (name, place, type(like))
    assert seen > 100


def test_nonsense_is_an_error_of_ours(calls: dict[str, Call]) -> None:
    """Or it counts for something: text that says nothing may be read, and 5 may be a policy."""
    for name, call in calls.items():
        for place, value in places(call):
            if isinstance(value, list):
                continue
            for nonsense in NONSENSE:
                args, named = replaced(call, place, nonsense)
                try:
                    call[0](*args, **named)
                except (SevlabError, TypeError):
                    pass
                except Exception as error:
                    # Of a private number that is none: told when keys are read, not here.
                    if "private_value" not in str(error):
                        raise AssertionError(f"{name}, {place}: {nonsense!r}") from error


@pytest.mark.parametrize("at", [5, 5.5, [], {}, b"2026-01-01", object()])
def test_a_moment_that_is_none(calls: dict[str, Call], at: object) -> None:
    function, args, named = calls["verify_report"]
    with pytest.raises(ArgumentError, match=r"^at: received .*; needed datetime or str or None"):
        function(*args, **{**named, "at": at})


def test_every_public_function_that_takes_bytes_is_looked_at(calls: dict[str, Call]) -> None:
    rooms = [sevlab, *(importlib.import_module(f"sevlab.{room}") for room in ("attestation", "launch", "cases"))]
    public = {name: getattr(room, name) for room in rooms for name in room.__all__}
    for name, value in public.items():
        if inspect.isfunction(value):
            takes = [kind for argument, kind in value.__annotations__.items() if argument != "return"]
            if any("bytes" in kind for kind in takes):
                assert (name in calls) != (name in LEFT_OUT), name


def test_a_key_does_not_stay_in_a_frame() -> None:
    """A traceback that shows local variables (IPython's, cgitb's) shows the frame of the check, too."""

    @checked
    def use(key: SecretBytes | bytes, other: SecretBytes, size: int = 0) -> None:
        raise InputError("key", "one", "another")

    raw = bytes(range(0x41, 0x51))
    for call in (
        lambda key: use(key, key),
        lambda key: use(key, other=key),
        lambda key: use(key, 5),
        lambda key: use(5, key, size=key),
    ):
        try:
            call(raw)
        except InputError as error:
            frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        shown = repr([frame.f_locals for frame in frames if frame.f_code.co_name in ("run", "fit", "_fit", "use")])
        assert "ABCDEFGH" not in shown
        assert frames


def test_what_a_function_is_stays_visible() -> None:
    assert (
        str(inspect.signature(sevlab.formats.report.parse_report)) == "(raw: 'bytes', product: 'str' = '') -> 'Report'"
    )
    assert sevlab.formats.report.parse_report.__doc__
    with pytest.raises(TypeError, match="unexpected keyword argument 'none'"):
        sevlab.formats.report.parse_report(b"", none=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional argument"):
        sevlab.formats.report.parse_report(b"", "", "")  # type: ignore[call-arg]


def test_paths_and_numbers_of_other_libraries_are_taken() -> None:
    class Number:
        def __index__(self) -> int:
            return 25

    @checked
    def use(number: int, part: float = 0.0) -> tuple[object, float]:
        return number, part

    number = Number()
    assert use(number, 3) == (number, 3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="number: received PosixPath; needed int"):
        use(Path("/"))  # type: ignore[arg-type]
