"""The three parties of a launch, in software: secure processor, host, owner.

Everything they exchange is in the real byte formats, so that every other part of sevlab, and libvirt's own tool, take
what comes out. Nothing here protects anything: it is a model to learn with, to test against and to attack.
"""
