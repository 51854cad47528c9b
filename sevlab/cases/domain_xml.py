"""libvirt's domain XML: how a guest is configured.

It is read with defusedxml, which refuses document types and entities, so no text grows or fetches anything. Size, depth
and number of elements are limited before a tree is built. Sources: libvirt's formatdomain and its page on SEV.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cached_property
from xml.etree.ElementTree import ParseError

from ..data import read_table
from ..errors import InputError, checked, quoted
from ..launch.inputs import SKU
from ..launch.vmm import CPU_MODELS
from .capture import XML, Capture, Collector, check_size, shown

DEPTH_LIMIT, ELEMENT_LIMIT = 64, 20_000
_DOMAIN = "the XML of a libvirt domain"
#: The bytes of an SEV certificate and of a launch session.
_BLOBS = {"dhCert": 0x824, "session": 0x80}
#: What a report of a SEV-SNP guest shows of its element, by the element's children.
_SNP_FACTS = {
    "snp_guest_policy": "policy",
    "host_data": "hostData",
    "id_block_value": "idBlock",
    "id_auth_value": "idAuth",
}
#: What a launch depends on, and what may therefore occur only once.
_ONCE = (
    *("launchSecurity", "launchSecurity/policy", "launchSecurity/dhCert", "launchSecurity/session"),
    *("os/loader", "os/nvram", "os/kernel", "os/initrd", "os/cmdline", "vcpu", "cpu", "cpu/model"),
)
_WORDS = read_table("words")["libvirt"]
#: What libvirt has in a domain, in launchSecurity (attributes and elements), and in os.
_ELEMENTS = frozenset(_WORDS["domain"])
_SECURITY = frozenset(_WORDS["security"])
_VALUES = {"type": ("sev", "sev-snp", "s390-pv", "tdx"), "kernelHashes": ("no", "yes")}
_OS = frozenset(_WORDS["os"])
_PASSTHROUGH = "http://libvirt.org/schemas/domain/qemu/1.0"


class Element:
    """One XML element: ``tag`` without its namespace, ``attributes``, ``text`` unchanged, and ``children``."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element] = []
        self.pieces: list[str] = []

    @cached_property
    def text(self) -> str:
        # Spaces count: libvirt passes a command line on unchanged. Only those that lay out children are dropped.
        text = "".join(self.pieces)
        return text if text.strip() or not self.children else ""

    def all(self, path: str) -> list[Element]:
        """Return the elements at a path such as ``os/loader``."""
        here = [self]
        for step in path.split("/"):
            here = [child for one in here for child in one.children if step in (child.tag, "*")]
        return here

    def first(self, path: str) -> Element | None:
        """Return the first element at a path, None if there is none."""
        return next(iter(self.all(path)), None)


class _Builder:
    """The XML parser's target: it builds elements, and stops when there are too many."""

    def __init__(self) -> None:
        self.open = [Element("", {})]
        self.count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > ELEMENT_LIMIT:
            raise InputError(f"--{XML}", f"more than {ELEMENT_LIMIT} elements", _DOMAIN)
        if len(self.open) > DEPTH_LIMIT:
            raise InputError(f"--{XML}", f"elements nested more than {DEPTH_LIMIT} deep", _DOMAIN)
        if tag.startswith(f"{{{_PASSTHROUGH}}}"):
            tag = "qemu:" + tag.rpartition("}")[2]
        element = Element(tag, attributes)
        self.open[-1].children.append(element)
        self.open.append(element)

    def data(self, text: str) -> None:
        self.open[-1].pieces.append(text)

    def end(self, tag: str) -> None:
        self.open.pop()

    def close(self) -> Element:
        return self.open[0].children[0]


def passthrough(domain: Element) -> list[str]:
    """Return the words that libvirt passes to QEMU unchanged (``qemu:commandline``)."""
    return [one.attributes.get("value", "") for one in domain.all("qemu:commandline/qemu:arg")]


def unknown_of(domain: Element) -> str:
    """Return what a domain has and libvirt's domains do not, "" for nothing: then nothing may be called absent."""
    unknown = [one.tag for one in domain.children if one.tag not in _ELEMENTS]
    for security in domain.all("launchSecurity"):
        unknown += [f"launchSecurity/{one.tag}" for one in security.children if one.tag not in _SECURITY]
        unknown += [f"launchSecurity/@{name}" for name in security.attributes if name not in _SECURITY]
        for name, known in _VALUES.items():
            if (value := security.attributes.get(name, "" if name == "type" else "no")) not in known:
                unknown.append(f"launchSecurity/@{name} {value}")
    unknown += [f"os/{one.tag}" for one in domain.all("os/*") if one.tag not in _OS]
    return ", ".join(shown(one, 40) for one in unknown[:3])


def read_domain(text: str) -> Element:
    """Return the element ``domain`` of a domain XML. Raises InputError for any other text, and for an ambiguous one."""
    alone = [one[0] for one in IN_TEXT.finditer(text)]
    if len(alone) > (text.lstrip("\ufeff \t\r\n")[:1] == "<"):  # a prompt or Markdown is around it
        text = f"<_>{''.join(alone)}</_>"
    root = read_xml(text)
    # libvirt's status file has a running domain in an outer element.
    domains = [root] if root.tag == "domain" else list(_descendants(root, "domain"))
    if len(domains) != 1:
        received = f"XML of {len(domains)} domains" if domains else f"XML of {quoted(root.tag)}"
        raise InputError(f"--{XML}", received, "one" if domains else _DOMAIN, "virsh dumpxml DOMAIN")
    for path in _ONCE:
        found = [one for one in domains[0].all(path) if one.text.strip() or one.attributes or one.children]
        if len(found) > 1:
            needed = "it once, because readers differ in which one they take"
            raise InputError(f"--{XML}", f"/domain/{path} {len(found)} times", needed)
    return domains[0]


#: A domain with other text around it: from the last opening tag before a closing one, so that opening tags alone are
#: not read over and over.
IN_TEXT = re.compile(r"<(domain|domstatus)\b(?:(?!<\1\b).)*?</\1>", re.DOTALL)


def read_xml(text: str) -> Element:
    """Return the root element of an XML text, under the limits above."""
    check_size(text, f"--{XML}")
    from defusedxml import DefusedXmlException  # not above: nothing else needs more than the standard library
    from defusedxml.ElementTree import XMLParser

    parser = XMLParser(target=_Builder(), forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        # A declared encoding is about the file's bytes, which are already decoded.
        parser.feed(re.sub(r"^\s*<\?xml[^>]{0,200}\?>", "", text.lstrip("\ufeff"), count=1))
        root: Element = parser.close()
    except DefusedXmlException:
        advice = "the output of virsh dumpxml, which has neither"
        raise InputError(f"--{XML}", "a document type or an entity declaration", _DOMAIN, advice) from None
    except (ParseError, ValueError, LookupError) as error:
        received = f"text that is not XML: {quoted(error, 100)[1:-1]}"
        raise InputError(f"--{XML}", received, _DOMAIN, "virsh dumpxml DOMAIN") from None
    return root


def _descendants(element: Element, tag: str) -> Iterator[Element]:
    for child in element.children:
        if child.tag == tag:
            yield child
        yield from _descendants(child, tag)


@checked
def parse_domain(text: str) -> Capture:
    """Read a domain XML (``virsh dumpxml DOMAIN``). Raises as :func:`read_domain`."""
    domain, found = read_domain(text), Collector(XML)
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
    if (nvram := root.first("os/nvram")) is not None:
        found.add("nvram", nvram.text.strip() or "(chosen by libvirt)", "/domain/os/nvram")
        found.remark("/domain/os/nvram: the firmware's variables are not measured; libvirt refuses to validate this")


def _security(domain: Element, found: Collector) -> None:
    security, doubt = domain.first("launchSecurity"), unknown_of(domain)
    if doubt:
        found.remark(f"not understood: {doubt}; give what virsh dumpxml DOMAIN prints")
    if security is None:
        end = ", but not all was understood" if doubt else ": this guest does not use SEV"
        found.remark(f"there is no /domain/launchSecurity{end}")
        return
    kind = security.attributes.get("type", "")
    where = "/domain/launchSecurity"
    found.add("guest", kind[:20], f"{where}/@type")
    if kind not in ("sev", "sev-snp"):
        found.remark(f"{where}: type {shown(kind)}, which is neither 'sev' nor 'sev-snp'")
        return
    # Absent, it is off: QEMU's default. Misspelt, it may be on.
    if (hashes := security.attributes.get("kernelHashes")) in ("yes", "no") or not doubt:
        found.add("kernel_hashes", hashes == "yes", f"{where}/@kernelHashes")
    if kind == "sev-snp":
        found.add("mode", "snp", f"{where}/@type")
        for name, tag in _SNP_FACTS.items():
            if (one := security.first(tag)) is not None and one.text.strip():
                found.add(name, one.text.strip(), f"{where}/{tag}")
        if key := security.attributes.get("authorKey"):
            found.add("author_key", key, f"{where}/@authorKey")
        return
    if (policy := security.first("policy")) is not None:
        _policy(policy.text.strip(), found)
    for tag, size in _BLOBS.items():
        for one in security.all(tag):
            _blob(one.text, f"{where}/{tag}", size, found)


def _policy(text: str, found: Collector) -> None:
    place = "/domain/launchSecurity/policy"
    bare = text.lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{1,8}", bare):
        found.remark(f"{place} is not used: received {shown(text)}; needed up to 8 hex digits")
        return
    if bare == text.lower() and len(bare.lstrip("0")) > 1:
        found.remark(f"{place}: {text} is read as hex 0x{bare}, as libvirt does")
    found.add("policy", int(bare, 16), place)


def _blob(text: str, place: str, size: int, found: Collector) -> None:
    """Remark on text that is not base64 of the right size. People often put a file name there."""
    bare = "".join(text.split())
    try:
        count = len(base64.b64decode(bare, validate=True))
    except ValueError:
        guess = "looks like a file name" if "/" in bare[:1] or "." in bare else "is not base64"
        found.remark(f"{place} {guess}: {shown(bare, 40)}; libvirt needs the base64 text itself, of {size} bytes")
        return
    if count != size:
        found.remark(f"{place} has {count} bytes; the SEV firmware needs {size} and refuses the launch otherwise")


def _kernel(root: Element, found: Collector) -> None:
    for name in ("kernel", "initrd", "cmdline"):
        one = root.first(f"os/{name}")
        # A path is trimmed, a command line is not: every space of it is hashed.
        text = "" if one is None else one.text if name == "cmdline" else one.text.strip()
        if text:
            found.add(name, text, f"/domain/os/{name}")


def _cpus(root: Element, found: Collector) -> None:
    if (vcpu := root.first("vcpu")) is not None:
        current = vcpu.attributes.get("current", "")
        found.add("num_cpus", current or vcpu.text.strip(), "/domain/vcpu" + ("/@current" if current else ""))
    if (cpu := root.first("cpu")) is None:
        return
    model = cpu.first("model")
    name = (model.text.strip() if model is not None else "") or cpu.attributes.get("mode", "")
    if name:
        found.add("cpu", name[:80], "/domain/cpu")
    for key, number in zip(SKU, CPU_MODELS.get(name, ()), strict=False):
        found.add(key, number, f"/domain/cpu/model {name}")
