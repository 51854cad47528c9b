"""libvirt's domain XML: the configuration a guest was to have.

Read with defusedxml, which refuses document types and entities, so no text grows or reaches out while it is read. Size,
depth and number of elements are capped before a tree is built. Sources: libvirt's formatdomain and its page on SEV.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from ..errors import InputError, quoted
from ..launch.cpu import CPU_MODELS
from ..launch.inputs import SKU
from ..layout.arguments import checked
from .capture import XML, Capture, Collector, check_size, shown

if TYPE_CHECKING:
    from collections.abc import Iterator


DEPTH_LIMIT = 64

ELEMENT_LIMIT = 20_000

_DOMAIN = "the XML of a libvirt domain"

#: Sizes in bytes of what dhCert and session hold: an SEV certificate and a launch session.
_BLOBS = {"dhCert": 0x824, "session": 0x80}

#: What a launch depends on, and what may therefore come once.
_ONCE = (
    *("launchSecurity", "launchSecurity/policy", "launchSecurity/dhCert", "launchSecurity/session"),
    *("os/loader", "os/nvram", "os/kernel", "os/initrd", "os/cmdline", "vcpu", "cpu", "cpu/model"),
)

_PASSTHROUGH = "http://libvirt.org/schemas/domain/qemu/1.0"


class Element:
    """One XML element: ``tag`` without its namespace, ``attributes``, ``text`` unchanged, and ``children``."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes, self.text = tag, attributes, ""
        self.children: list[Element] = []

    def all(self, path: str) -> list[Element]:
        """Return the elements at a path such as ``os/loader``."""
        here = [self]
        for step in path.split("/"):
            here = [child for one in here for child in one.children if child.tag == step]
        return here

    def first(self, path: str) -> Element | None:
        """Return the first element at a path, None when there is none."""
        return next(iter(self.all(path)), None)


class _Builder:
    """Builds elements as the XML parser meets them, and stops when there is too much."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self.open: list[Element] = []
        self.texts: list[list[str]] = []
        self.count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > ELEMENT_LIMIT:
            raise InputError(f"--{XML}", f"more than {ELEMENT_LIMIT} elements", _DOMAIN)
        if len(self.open) >= DEPTH_LIMIT:
            raise InputError(f"--{XML}", f"elements nested more than {DEPTH_LIMIT} deep", _DOMAIN)
        if tag.startswith(f"{{{_PASSTHROUGH}}}"):
            tag = "qemu:" + tag.rpartition("}")[2]
        element = Element(tag, attributes)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)
        self.texts.append([])

    def data(self, text: str) -> None:
        if self.texts:
            self.texts[-1].append(text)

    def end(self, tag: str) -> None:
        # Spaces count: libvirt passes a command line on unchanged. Only those that lay out children are dropped.
        element, text = self.open.pop(), "".join(self.texts.pop())
        element.text = text if text.strip() or not element.children else ""

    def close(self) -> Element | None:
        return self.root


def passthrough(domain: Element) -> list[str]:
    """Return the words that libvirt hands to QEMU as they are (``qemu:commandline``)."""
    return [one.attributes.get("value", "") for one in domain.all("qemu:commandline/qemu:arg")]


def read_domain(text: str) -> Element:
    """Return the element ``domain`` of a domain XML. Raises InputError for any other text, and for a possible trap."""
    root = read_xml(text)
    # `virsh` keeps a running domain's status in an outer element.
    domains = [root] if root.tag == "domain" else list(_descendants(root, "domain"))
    if not domains:
        raise InputError(f"--{XML}", f"XML of {quoted(root.tag)}", _DOMAIN, "virsh dumpxml DOMAIN")
    if len(domains) > 1:
        raise InputError(f"--{XML}", f"XML of {len(domains)} domains", "one", "virsh dumpxml DOMAIN")
    for path in _ONCE:
        found = [one for one in domains[0].all(path) if one.text.strip() or one.attributes or one.children]
        if len(found) > 1:
            needed = "it once, because readers differ in which one they take"
            raise InputError(f"--{XML}", f"/domain/{path} {len(found)} times", needed)
    return domains[0]


def read_xml(text: str) -> Element:
    """Return the root element of an XML text, under the limits above."""
    check_size(text, f"--{XML}")
    from defusedxml import DefusedXmlException  # not above: nothing else needs more than the standard library
    from defusedxml.ElementTree import XMLParser

    parser = XMLParser(target=_Builder(), forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        # A declared encoding is about the file's bytes, which were decoded before.
        parser.feed(re.sub(r"^\s*<\?xml[^>]{0,200}\?>", "", text.lstrip("\ufeff"), count=1))
        root: Element | None = parser.close()
    except DefusedXmlException:
        advice = "the output of virsh dumpxml, which has neither"
        raise InputError(f"--{XML}", "a document type or an entity declaration", _DOMAIN, advice) from None
    except (ParseError, ValueError, LookupError) as error:
        received = f"what is not XML: {quoted(error, 100)[1:-1]}"
        raise InputError(f"--{XML}", received, _DOMAIN, "virsh dumpxml DOMAIN") from None
    if root is None:  # the parser raises before this
        raise InputError(f"--{XML}", "no element", _DOMAIN)
    return root


def _descendants(element: Element, tag: str) -> Iterator[Element]:
    for child in element.children:
        if child.tag == tag:
            yield child
        yield from _descendants(child, tag)


@checked
def parse_domain(text: str) -> Capture:
    """Read a domain XML (``virsh dumpxml DOMAIN``). Raises as :func:`read_domain`."""
    domain = read_domain(text)
    found = Collector(XML)
    _firmware(domain, found)
    _security(domain, found)
    _kernel(domain, found)
    _cpus(domain, found)
    if passthrough(domain):
        found.remark("/domain/qemu:commandline adds words to QEMU's command line: capture that, as --qemu-cmdline")
    return found.capture()


def _firmware(root: Element, found: Collector) -> None:
    loaders = [one for one in root.all("os/loader") if one.text.strip()]
    for loader in loaders:
        found.add("firmware", loader.text.strip(), "/domain/os/loader")
    if not loaders:
        found.remark("/domain/os/loader names no firmware; libvirt chose it: virsh dumpxml of the running domain")
    nvram = root.first("os/nvram")
    if nvram is not None:
        found.add("nvram", nvram.text.strip() or "(chosen by libvirt)", "/domain/os/nvram")
        found.remark("/domain/os/nvram: the firmware's variables are not measured; libvirt refuses to validate this")


def _security(domain: Element, found: Collector) -> None:
    security = domain.first("launchSecurity")
    if security is None:
        found.remark("there is no /domain/launchSecurity: this guest does not use SEV")
        return
    kind = security.attributes.get("type", "")
    where = "/domain/launchSecurity"
    found.add("guest", kind[:20], f"{where}/@type")
    if kind != "sev":
        found.remark(f"{where}: type {shown(kind)}; only 'sev' has a launch measurement of this kind")
        return
    # Absent, it is off: QEMU's default.
    found.add("kernel_hashes", security.attributes.get("kernelHashes") == "yes", f"{where}/@kernelHashes")
    policy = security.first("policy")
    if policy is not None:
        _policy(policy.text.strip(), found)
    for tag, size in _BLOBS.items():
        for one in security.all(tag):
            _blob(one.text, f"{where}/{tag}", size, found)


def _policy(text: str, found: Collector) -> None:
    """libvirt reads the policy as hex, with or without 0x."""
    place = "/domain/launchSecurity/policy"
    bare = text.lower().removeprefix("0x")
    if re.fullmatch("[0-9a-f]{1,8}", bare):
        if bare == text.lower() and len(bare.lstrip("0")) > 1:
            found.remark(f"{place}: {text} is read as hex 0x{bare}, as libvirt does")
        found.add("policy", int(bare, 16), place)
    else:
        found.remark(f"{place} is not used: received {shown(text)}; needed up to 8 hex digits")


def _blob(text: str, place: str, size: int, found: Collector) -> None:
    """Remark on text that is not base64 of the right size. People often put a file name there."""
    bare = "".join(text.split())
    try:
        raw = base64.b64decode(bare, validate=True)
    except (binascii.Error, ValueError):
        guess = "looks like a file name" if "/" in bare[:1] or "." in bare else "is not base64"
        found.remark(f"{place} {guess}: {shown(bare, 40)}; libvirt needs the base64 text itself, of {size} bytes")
        return
    if len(raw) != size:
        found.remark(f"{place} holds {len(raw)} bytes; the firmware takes {size} and refuses the launch otherwise")


def _kernel(root: Element, found: Collector) -> None:
    for name in ("kernel", "initrd", "cmdline"):
        one = root.first(f"os/{name}")
        # A path is trimmed, a command line is not: every space of it is hashed.
        text = "" if one is None else one.text if name == "cmdline" else one.text.strip()
        if text:
            found.add(name, text, f"/domain/os/{name}")


def _cpus(root: Element, found: Collector) -> None:
    vcpu = root.first("vcpu")
    if vcpu is not None:
        current = vcpu.attributes.get("current", "")
        found.add("num_cpus", current or vcpu.text.strip(), "/domain/vcpu" + ("/@current" if current else ""))
    cpu = root.first("cpu")
    if cpu is None:
        return
    model = cpu.first("model")
    name = (model.text.strip() if model is not None else "") or cpu.attributes.get("mode", "")
    if name:
        found.add("cpu", name[:80], "/domain/cpu")
    numbers = CPU_MODELS.get(name)
    if numbers is not None:
        for key, number in zip(SKU, numbers, strict=True):
            found.add(key, number, f"/domain/cpu/model {name}")
