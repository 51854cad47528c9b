"""From the leaf up to AMD's root: who signed what, who may, and when.

Source: snp-launch 7.
"""

from __future__ import annotations

from ..errors import quoted
from ..formats.report import TCB_FORMS
from ..formats.vcek import ARK, ASK, ASVK, SIGNERS
from .bundle import Certificates
from .certificate import Certificate, RevocationList
from .check import Check, failed, judged, not_done, passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: Object identifiers of the two extensions that a certificate may mark as critical: these are understood.
_BASIC, _USAGE = "2.5.29.19", "2.5.29.15"


def check_signed_by(name: str, one: Certificate | None, signer: Certificate | None, kinds: tuple[str, str]) -> Check:
    """Did *signer* sign *one*? *kinds* are what to call them."""
    missing = [kind for kind, given in zip(kinds, (one, signer), strict=True) if given is None]
    if one is None or signer is None:
        return failed(name, f"no {' and no '.join(dict.fromkeys(missing))} was given")
    if fault := signature_fault(one, signer):
        return failed(name, fault)
    by = "itself" if one is signer else f"the {kinds[1]}"
    return passed(name, f"{kinds[0]} signed by {by}: RSASSA-PSS, SHA-384")


def signature_fault(signed: Certificate | RevocationList, signer: Certificate) -> str:
    """Return what is wrong with a signature of RSASSA-PSS (SHA-384, MGF1, a salt of 48 bytes); "" for nothing."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    if signed.algorithm_fault:
        return signed.algorithm_fault
    if not isinstance(signer.key, rsa.RSAPublicKey):
        return f"the key of {quoted(signer.common_name)} is no RSA key"
    kind = hashes.SHA384()
    try:
        signer.key.verify(signed.signature, signed.tbs, padding.PSS(padding.MGF1(kind), kind.digest_size), kind)
    except (InvalidSignature, ValueError):
        return f"the signature is wrong: the key of {quoted(signer.common_name)} did not make it"
    return ""


def check_root(ark: Certificate | None, roots: Mapping[str, str]) -> Check:
    """Is the ARK one that is trusted? It is known by the SHA-256 of its bytes; nothing above it could vouch for it."""
    name = "ARK known"
    if ark is None:
        return failed(name, "no ARK was given")
    if ark.sha256 in roots:
        return passed(name, f"{roots[ark.sha256]}: SHA-256 {ark.sha256}")
    return failed(name, f"SHA-256 {ark.sha256} is that of no known root")


def check_names(leaf: Certificate | None, certificates: Certificates) -> Check:
    """Does each certificate name the one above it, and is each what its place needs?"""
    name, ask, ark = "names", certificates.ask, certificates.ark
    faults = []
    if leaf is not None and not leaf.is_leaf:
        faults.append(f"the leaf is for {quoted(leaf.common_name)}, which is neither VCEK nor VLEK")
    if ask is not None and ask.kind not in ((SIGNERS[leaf.kind],) if leaf and leaf.is_leaf else (ASK, ASVK)):
        faults.append(f"{quoted(ask.common_name)} is not the name of what signs a {leaf.kind if leaf else 'leaf'}")
    if ark is not None and ark.kind != ARK:
        faults.append(f"{quoted(ark.common_name)} is not the name of a root")
    for one, signer in ((leaf, ask), (ask, ark), (ark, ark)):
        if one is not None and signer is not None and one.issuer != signer.subject:
            faults.append(f"{quoted(one.common_name)} names another issuer than {quoted(signer.common_name)}")
    if not faults and None in (leaf, ask, ark):
        return not_done(name, "certificates are missing")
    return judged(name, faults, " <- ".join(one.common_name for one in (ark, ask, leaf) if one is not None))


def check_products(leaf: Certificate | None, certificates: Certificates) -> Check:
    """Are all certificates of one product?"""
    given = [one for one in (certificates.ark, certificates.ask, leaf) if one is not None]
    name = "one product"
    if not given:
        return not_done(name, "no certificates were given")
    told = ", ".join(f"{one.kind or 'a certificate'}: {quoted(one.product or 'none')[1:-1]}" for one in given)
    if len({one.product for one in given}) > 1:
        return failed(name, f"the certificates are of several products ({told})", "F13")
    return judged(name, [] if given[0].product in TCB_FORMS else [f"not a known product ({told})"], given[0].product)


def check_uses(leaf: Certificate | None, certificates: Certificates) -> Check:
    """May each key do what it did? Authorities sign certificates; a leaf must not."""
    name, faults = "key usage", []
    for one, place in ((certificates.ark, ARK), (certificates.ask, "ASK"), (leaf, "leaf")):
        if one is None:
            continue
        called = one.kind or place
        faults += [f"{called}: its {what} cannot be read" for what in one.unread]
        if unknown := sorted(one.critical - {_BASIC, _USAGE}):
            faults.append(f"{called}: the critical extension {unknown[0]} is not known")
        authority = bool(getattr(one.basic, "ca", False))
        signs = one.usage is not None and one.usage.key_cert_sign
        if place == "leaf":
            faults += ["the leaf may sign certificates"] if authority or signs else []
            continue
        if not (authority and signs):
            faults.append(f"{called}: it must not sign certificates")
        elif place == ARK and getattr(one.basic, "path_length", None) == 0:
            faults.append("ARK: it must not stand above an authority")
    if not faults and None in (leaf, certificates.ask, certificates.ark):
        return not_done(name, "certificates are missing")
    return judged(name, faults, "ARK and ASK are authorities that sign certificates, the leaf is none")


def check_validity(leaf: Certificate | None, certificates: Certificates, at: datetime) -> Check:
    """Are all certificates valid at a moment?"""
    given = [one for one in (certificates.ark, certificates.ask, leaf) if one is not None]
    name, moment, faults = "validity", f"{at:%Y-%m-%d %H:%M:%S} UTC", []
    for one in given:
        called = one.kind or quoted(one.common_name)
        if one.not_before is None or one.not_after is None:
            faults.append(f"{called}: its dates cannot be read")
        elif at < one.not_before:
            faults.append(f"{called}: not valid before {one.not_before:%Y-%m-%d}")
        elif at > one.not_after:
            faults.append(f"{called}: expired on {one.not_after:%Y-%m-%d}")
    if not given:
        return not_done(name, "no certificates were given")
    if faults:
        return failed(name, f"at {moment}: {'; '.join(faults)}")
    first = min(one.not_after for one in given)
    return passed(name, f"all are valid at {moment}; the first expires on {first:%Y-%m-%d}")


def check_revocation(leaf: Certificate | None, certificates: Certificates, at: datetime) -> Check:
    """Is any certificate on a list of revoked ones? One list of the ARK must be whole and hold at that moment.

    A certificate that any list of the ARK names is revoked, also when that list is an old or a limited one. Lists of
    other issuers are named and not used.
    """
    name, crls, ark = "revocation", certificates.crls, certificates.ark
    if not crls:
        return not_done(name, "no list of revoked certificates (CRL) was given")
    if ark is None:
        return failed(name, "no ARK was given to check the CRL with")
    given = [one for one in (ark, certificates.ask, leaf) if one is not None and one.serial > 0]
    faults: list[str] = []
    aside: list[str] = []
    whole = []
    for number, crl in enumerate(crls, 1):
        called = "the CRL" if len(crls) == 1 else f"CRL {number} of {len(crls)}"
        if crl.issuer != ark.subject:
            aside.append(f"{called} is one of {quoted(crl.issuer_name)}, not of {quoted(ark.common_name)}")
        elif fault := signature_fault(crl, ark):
            faults.append(f"{called}'s own signature: {fault}")
        else:
            faults += [
                f"{one.kind or quoted(one.common_name)} is revoked (serial number 0x{one.serial:x})"
                for one in given
                if one.serial in (crl.revoked or ())
            ]
            faults += [f"{called} {limit}" for limit in crl.faults]
            if crl.faults:
                continue
            if crl.this_update <= at <= crl.next_update:
                whole.append(crl)
            else:
                dates = f"{crl.this_update:%Y-%m-%d} to {crl.next_update:%Y-%m-%d}"
                aside.append(f"{called} holds from {dates}, not at {at:%Y-%m-%d}")
    if ark.usage is None or not ark.usage.crl_sign:
        faults.append("the ARK must not sign lists of revoked certificates")
    if faults or not whole:
        return failed(name, "; ".join(dict.fromkeys([*faults, *aside])))
    count = len(frozenset().union(*(crl.revoked or () for crl in whole)))
    note = f"{' and '.join(one.kind or 'another' for one in given)} not among {count} revoked"
    if leaf is not None and leaf.serial == 0:
        note += f"; every {leaf.kind} has serial number 0, so no list can name this one"
    return passed(name, "; ".join([note, *(f"not used: {words}" for words in aside)]))
