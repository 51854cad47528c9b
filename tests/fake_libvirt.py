"""libvirt's module for Python as a stub, driven by a scenario: for sevlab and for libvirt's own tool alike.

The scenario is a JSON object: ``host`` (a host's name; "local" is this one), ``active``, ``state``,
``cpus``, ``xml``, ``info`` (launch security information), ``capabilities``, ``fails`` (names of calls that end in
libvirtError). Every call is appended to the file ``log``.
"""

SOURCE = r"""
import builtins, json, os, socket

VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED = 1, 3
_scenario = json.load(builtins.open(os.environ["FAKE_LIBVIRT"]))


class libvirtError(Exception):
    pass


def _call(name, *values):
    with builtins.open(_scenario["log"], "a") as log:
        log.write(json.dumps([name, *values]) + "\n")
    if name in _scenario.get("fails", ()):
        raise libvirtError(f"{name} was refused")


def registerErrorHandler(handler, context):
    pass


def open(uri):
    _call("open", uri)
    return Connection()


class Connection:
    def getHostname(self):
        _call("getHostname")
        return socket.gethostname() if _scenario["host"] == "local" else _scenario["host"]

    def lookupByID(self, number):
        _call("lookupByID", number)
        return Domain()

    def lookupByUUIDString(self, text):
        _call("lookupByUUIDString", text)
        return Domain()

    def lookupByName(self, name):
        _call("lookupByName", name)
        return Domain()

    def getCapabilities(self):
        _call("getCapabilities")
        return _scenario["capabilities"]


class Domain:
    def ID(self):
        return 1

    def name(self):
        return "guest"

    def UUIDString(self):
        return "0" * 32

    def isActive(self):
        _call("isActive")
        return _scenario["active"]

    def info(self):
        _call("info")
        return [_scenario["state"], 1, 1, _scenario["cpus"], 1]

    def XMLDesc(self, flags=0):
        _call("XMLDesc")
        return _scenario["xml"]

    def launchSecurityInfo(self, flags=0):
        _call("launchSecurityInfo")
        return _scenario["info"]

    def setLaunchSecurityState(self, values, flags):
        _call("setLaunchSecurityState", values, flags)

    def resume(self):
        _call("resume")

"""
