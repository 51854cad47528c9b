"""Texts that a host prints, for tests, and what was read of them."""

from __future__ import annotations

from sevlab.cases.capture import Capture

MEASUREMENT = "7vHlsVKpvBaUHU5jzpNtfLMFAljbBnVrkqO51p3Ny3sZHribEtvolLvSRs0SqW8a"


REPORTED = {"measurement": MEASUREMENT, "api_major": 0, "api_minor": 22, "build_id": 13, "policy": 1}


SECINFO = f"""\
sev-measurement: {MEASUREMENT}
sev-api-major  : 0
sev-api-minor  : 22
sev-build-id   : 13
sev-policy     : 1

"""


QMP = f"""\
{{"QMP": {{"version": {{"qemu": {{"micro": 0, "minor": 2, "major": 7}}}}, "capabilities": ["oob"]}}}}
{{ "execute": "qmp_capabilities" }}
{{"return": {{}}}}
{{ "execute": "query-sev" }}
{{"timestamp": {{"seconds": 1, "microseconds": 2}}, "event": "STOP"}}
{{"return": {{"enabled": true, "api-minor": 22, "handle": 1, "state": "launch-secret", "api-major": 0, "build-id": 13, \
"policy": 1}}}}
{{ "execute": "query-sev-launch-measure" }}
{{
  "return": {{
    "data": "{MEASUREMENT}"
  }},
  "id": "libvirt-15"
}}
"""


DOMAIN = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<domain type='kvm'>
  <name>web</name>
  <vcpu placement='static' current='2'>4</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash' stateless='yes'>/usr/share/edk2/ovmf/OVMF.fd</loader>
    <kernel>/srv/boot/vmlinuz</kernel>
    <initrd>/srv/boot/initrd.img</initrd>
    <cmdline>console=ttyS0 root=/dev/vda1 </cmdline>
  </os>
  <cpu mode='custom'><model fallback='forbid'>EPYC-Milan</model></cpu>
  <launchSecurity type='sev' kernelHashes='yes'>
    <cbitpos>47</cbitpos>
    <reducedPhysBits>1</reducedPhysBits>
    <policy>0x0005</policy>
  </launchSecurity>
</domain>
"""


SHELL = """\
#!/bin/sh
sudo -E /usr/bin/qemu-system-x86_64 \\
  -enable-kvm -cpu EPYC-Rome-v2,+pmu -M q35,vmport=off -smp cores=2,threads=2 \\
  -machine confidential-guest-support=sev0 \\
  -object sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1,policy=0x5,kernel-hashes=on \\
  -drive if=none,file=disk,,1.qcow2,id=d0 \\
  -drive if=pflash,unit=0,file=/fw/my,,OVMF.fd,readonly=on \\
  -kernel bzImage -initrd "initrd one.img" -append "console=ttyS0  root=/dev/sda1 "
"""


PS = """\
libvirt+  4242  1 12 09:00 ?  00:01:02 /usr/bin/qemu-system-x86_64 -name guest=web,debug-threads=on -S \
-blockdev {"driver":"file","filename":"/fw/OVMF.fd","node-name":"libvirt-pflash0-storage"} \
-blockdev {"node-name":"libvirt-pflash0-format","read-only":true,"driver":"raw","file":"libvirt-pflash0-storage"} \
-machine pc-q35-7.2,usb=off,confidential-guest-support=lsec0,pflash0=libvirt-pflash0-format -accel kvm \
-cpu EPYC-Milan,x2apic=on -smp 2,maxcpus=4,sockets=4 -kernel /srv/vmlinuz -append console=ttyS0 root=/dev/vda1 \
-object {"qom-type":"sev-guest","id":"lsec0","cbitpos":47,"reduced-phys-bits":1,"policy":5,"kernel-hashes":true} \
-msg timestamp=on
"""


DMESG = """\
[    4.1] ccp 0000:47:00.1: enabling device (0000 -> 0002)
[    4.2] ccp 0000:47:00.1: SEV API:1.53 build:5
[    4.3] kvm_amd: SEV enabled (ASIDs 100 - 509)
"""


def values(capture: Capture) -> dict[str, object]:
    return {name: one.value for name, one in capture.chosen.items()}


def remarks(capture: Capture) -> str:
    return "\n".join(one.words for one in capture.remarks)


SEEDS = [SECINFO, QMP, DOMAIN, SHELL, PS, DMESG]
