"""The texts that somebody has of a launch, made from its case; and the same texts with words lost or misspelt."""

from __future__ import annotations

import json
import random
import re
import shlex
from collections.abc import Iterator, Mapping
from xml.sax.saxutils import escape, quoteattr

from sevlab.launch.vmm import CPU_MODELS, split_signature

#: File names as a host has them, by input. The launches of a test find them by name in a folder.
NAMES = {"firmware": "/host/firmware/OVMF.fd", "kernel": "/host/boot/vmlinuz", "initrd": "/host/boot/initrd.img"}


def _cpu(inputs: Mapping[str, object]) -> tuple[str, tuple[int, int, int] | None]:
    """Return the CPU as an argument of -cpu, and its numbers."""
    if "cpu_signature" in inputs:
        cpu = tuple(split_signature(int(str(inputs["cpu_signature"]))))
    elif "cpu_family" in inputs:
        cpu = tuple(int(str(inputs[f"cpu_{part}"])) for part in ("family", "model", "stepping"))
    else:
        return "EPYC", None
    named = next((name for name, own in CPU_MODELS.items() if tuple(own) == cpu and "-v" not in name), "")
    family, model, stepping = cpu
    return named or f"host,family={family},model={model},stepping={stepping}", (family, model, stepping)


def words_of(inputs: Mapping[str, object], *, as_json: bool = False) -> list[str]:
    """Return the words of QEMU's command line for a launch; *as_json* as libvirt writes them."""
    snp = str(inputs["mode"]).startswith("snp")
    kind, policy = ("sev-snp-guest", 0x30000) if snp else ("sev-guest", int(str(inputs["policy"])))
    parts: dict[str, object] = {"id": "lsec0", "cbitpos": 51, "reduced-phys-bits": 1, "policy": policy}
    if "kernel" in inputs:
        parts["kernel-hashes"] = True
    plain = ",".join(f"{key}={'on' if value is True else value}" for key, value in parts.items())
    words = ["/usr/bin/qemu-system-x86_64", "-name", "guest=web,debug-threads=on", "-accel", "kvm"]
    words += ["-machine", "pc-q35-10.0,usb=off,confidential-guest-support=lsec0", "-cpu", _cpu(inputs)[0]]
    words += ["-m", "size=4194304k", "-smp", f"{inputs.get('num_cpus', 1)},sockets=1", "-nographic"]
    if snp:
        words += ["-bios", NAMES["firmware"]]
    else:
        words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={NAMES['firmware']}"]
    words += [
        "-object",
        json.dumps({"qom-type": kind, **parts}, separators=(",", ":")) if as_json else f"{kind},{plain}",
    ]
    for name in ("kernel", "initrd"):
        words += [f"-{name}", NAMES[name]] if name in inputs else []
    words += ["-append", str(inputs["cmdline"])] if "cmdline" in inputs else []
    return [*words, "-device", "virtio-net-pci,romfile=", "-no-reboot"]


def domain_of(inputs: Mapping[str, object]) -> str:
    """Return a libvirt domain for a launch."""
    snp, model = str(inputs["mode"]).startswith("snp"), _cpu(inputs)[0]
    kernel = "".join(f"    <{name}>{NAMES[name]}</{name}>\n" for name in ("kernel", "initrd") if name in inputs)
    if "cmdline" in inputs:
        kernel += f"    <cmdline>{escape(str(inputs['cmdline']))}</cmdline>\n"
    policy = 0x30000 if snp else inputs["policy"]
    hashes = " kernelHashes='yes'" if "kernel" in inputs else ""
    loader = "type='rom' stateless='yes'" if snp else "readonly='yes' type='pflash' stateless='yes'"
    return (
        "<domain type='kvm' id='7'>\n  <name>web</name>\n"
        f"  <memory unit='KiB'>4194304</memory>\n  <vcpu placement='static'>{inputs.get('num_cpus', 1)}</vcpu>\n"
        f"  <os>\n    <type arch='x86_64' machine='pc-q35-10.0'>hvm</type>\n    <loader {loader}>{NAMES['firmware']}"
        f"</loader>\n{kernel}  </os>\n  <features><acpi/><apic/></features>\n"
        f"  <cpu mode='custom' match='exact'>\n    <model fallback='forbid'>{escape(model)}</model>\n  </cpu>\n"
        f"  <launchSecurity type={quoteattr('sev-snp' if snp else 'sev')}{hashes}>\n    <cbitpos>51</cbitpos>\n"
        f"    <reducedPhysBits>1</reducedPhysBits>\n    <policy>0x{int(str(policy)):04x}</policy>\n"
        "  </launchSecurity>\n"
        "</domain>\n"
    )


def texts_of(inputs: Mapping[str, object]) -> dict[str, str]:
    """Return what describes a launch, in each form that people have, by the form's name."""
    words, libvirt = words_of(inputs), words_of(inputs, as_json=True)
    return {
        "script": "#!/bin/sh\n" + shlex.join(words).replace(" -", " \\\n  -") + "\n",
        "ps": "qemu  4242  1 12 09:00 ?  00:01:02 " + " ".join(words) + "\n",
        "zero bytes": "\0".join(words) + "\0",
        "JSON": json.dumps(words),
        "libvirt's log": "2026-01-01 00:00:00.000+0000: starting up libvirt version: 10.0.0\nLC_ALL=C \\\n"
        + shlex.join(libvirt).replace(" -", " \\\n-") + "\n",
        "ps of libvirt": " ".join(libvirt) + "\n",
        "XML": domain_of(inputs),
    }  # fmt: skip


def reported_in(inputs: Mapping[str, object]) -> dict[str, str]:
    """Return what the host reports about a launch of SEV or SEV-ES, by the option that takes it."""
    numbers = {name: inputs[name] for name in ("api_major", "api_minor", "build_id", "policy")}
    query = {"enabled": True, "state": "running", **{name.replace("_", "-"): value for name, value in numbers.items()}}
    lines = {"measurement": inputs["measurement"], **numbers}
    return {
        "domlaunchsecinfo": "".join(
            f"{'sev-' + name.replace('_', '-'):15s}: {value}\n" for name, value in lines.items()
        ),
        "qmp": f"{json.dumps({'return': query})}\n{json.dumps({'return': {'data': inputs['measurement']}})}\n",
    }


def spoilt(text: str, seed: int) -> Iterator[str]:
    """Yield a text with one word dropped, doubled or misspelt, for each of its words."""
    chance = random.Random(seed)
    parts = re.split(r"([\s\0]+)", text)
    for number, word in enumerate(parts):
        if not word.strip(" \t\r\n\0"):
            continue
        before, after = "".join(parts[:number]), "".join(parts[number + 1 :])
        yield before + after
        yield f"{before}{word}{'' if chr(0) in text else ' '}{word}{after}"
        for _ in range(1 + len(word) // 8):
            place = chance.randrange(len(word))
            yield before + word[:place] + word[place + 1 :] + after
            yield before + word[:place] + chance.choice("abcdefgx0123456789,=\"'<>-") + word[place:] + after
            yield before + word[:place] + word[place : place + 2][::-1] + word[place + 2 :] + after
