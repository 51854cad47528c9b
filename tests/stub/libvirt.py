"""libvirt's module for Python as a stub that plays a scenario: for sevlab and for libvirt's own tool alike.

The environment variable FAKE_LIBVIRT names the scenario, a JSON object: ``host`` (the host's name; "local" is this
machine's), ``active``, ``state``, ``cpus``, ``xml``, ``info`` (launch security information), ``capabilities``,
``fails`` (names of calls that end in libvirtError), ``log`` (a file to which every call is appended, if any).
The one domain has a name, a number and a UUID, below.
"""

import builtins
import json
import os
import socket

VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED = 1, 3
NAME, NUMBER, UUID = "guest", 7, "6d8c6a5e-2f3b-4c1d-8e9f-0a1b2c3d4e5f"
scenario = {}
calls = []
if "FAKE_LIBVIRT" in os.environ:
    with builtins.open(os.environ["FAKE_LIBVIRT"]) as _stream:
        scenario = json.load(_stream)


class libvirtError(Exception):
    pass


def _call(name, *values):
    calls.append([name, *values])
    if scenario.get("log"):
        with builtins.open(scenario["log"], "a") as log:
            log.write(json.dumps([name, *values]) + "\n")
    if name in scenario["fails"]:
        raise libvirtError(f"{name} was refused")


def registerErrorHandler(handler, context):
    pass


def open(uri):
    _call("open", uri)
    return Connection()


class Connection:
    def getHostname(self):
        _call("getHostname")
        return socket.gethostname() if scenario["host"] == "local" else scenario["host"]

    def _lookup(self, call, value, right):
        _call(call, value)
        if not right:
            raise libvirtError("Domain not found")
        return Domain()

    def lookupByID(self, number):
        return self._lookup("lookupByID", number, number == NUMBER)

    def lookupByUUIDString(self, text):
        return self._lookup("lookupByUUIDString", text, text.replace("-", "").lower() == UUID.replace("-", ""))

    def lookupByName(self, name):
        return self._lookup("lookupByName", name, name == scenario.get("name", NAME))

    def getCapabilities(self):
        _call("getCapabilities")
        return scenario["capabilities"]


class Domain:
    def ID(self):
        return NUMBER

    def name(self):
        return scenario.get("name", NAME)

    def UUIDString(self):
        return UUID

    def isActive(self):
        _call("isActive")
        return scenario["active"]

    def info(self):
        _call("info")
        return [scenario["state"], 1, 1, scenario["cpus"], 1]

    def XMLDesc(self, flags=0):
        _call("XMLDesc")
        return scenario["xml"]

    def launchSecurityInfo(self, flags=0):
        _call("launchSecurityInfo")
        return scenario["info"]

    def setLaunchSecurityState(self, values, flags):
        _call("setLaunchSecurityState", values, flags)

    def resume(self):
        _call("resume")
