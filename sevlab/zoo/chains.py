"""Bad certificates: not signed by whom they name, of no known root, out of date, revoked, or for another use."""

from __future__ import annotations

from ..formats.report import parse_report
from ..formats.vcek import ARK, ASK, SPL
from ..report import parse_certificate
from .animal import Animal, bad
from .edit import change_number, for_data_only, pem, redate, rekey_ec, rekey_rsa, reseal, reseal_crl
from .platform import CHIPS, MALLORY, SERVER, crl, given, name_of, tcb_of, vcek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .animal import Given

#: Names of made-up keys that are not the product's: what somebody has who makes a chain at home.
_HOME_ROOT, _HOME_ASK = "ARK", "ASK"
_CHIP, _OLD_SNP = CHIPS["Milan"], 8


def wrong_chains() -> list[Animal]:
    """Return them."""
    leaf, ask_name = vcek("Milan", _CHIP, tcb_of("Milan")), name_of(ASK, "Milan")
    ask = SERVER.ask("Milan")
    serial = parse_certificate(ask).serial
    expired, early = (reseal(redate(leaf, *days), ask_name) for days in (("180101", "250101"), ("440101", "450101")))
    return [
        bad(
            "other-chain",
            "a Milan's leaf, and the chain of Genoa",
            "the chain holds, and is not the leaf's",
            "the ASK did not sign the leaf",
            "chain-apart",
            given(
                others={
                    "chain": SERVER.chain("Genoa"),
                    "crl": crl("Genoa"),
                    "root": SERVER.ark("Genoa"),
                    "product": "Genoa",
                }
            ),
            "F35",
        ),
        bad(
            "altered-vcek",
            "the leaf of an old TCB, its SNP number raised",
            "whoever has the key of an old TCB claims a new one; the leaf was changed after signing",
            "the ASK did not sign these bytes",
            "leaf-signature",
            _altered(),
            "A23",
        ),
        bad(
            "unsigned-vcek",
            "a leaf with a key of one's own, its signature zero",
            "nobody signed the leaf",
            "the ASK did not sign the leaf",
            "leaf-signature",
            given(key=_own(), leaf=rekey_ec(leaf, _own())[:-256] + bytes(256)),
            "F35",
        ),
        bad(
            "forged-ask",
            "an ASK made at home below the true ARK",
            "the ARK did not sign the ASK",
            "the ARK did not sign the ASK",
            "ask-signature",
            _forged_ask(leaf),
            "F35",
        ),
        bad(
            "home-made-root",
            "a whole chain made at home",
            "every signature is right, and the root is nobody's",
            "the root is not known",
            "any-root",
            _home_made(leaf),
        ),
        bad(
            "ask-for-data",
            "an ASK that may sign data, but no certificates",
            "the ARK signed it for another use",
            "the ASK must not sign certificates",
            "key-usage",
            given(others={"chain": pem(reseal(for_data_only(ask), name_of(ARK, "Milan"))) + pem(SERVER.ark("Milan"))}),
        ),
        bad(
            "expired-vcek",
            "the leaf expired on 2025-01-01",
            "the certificate is out of date",
            "the leaf expired",
            "dates",
            given(leaf=expired),
        ),
        bad(
            "early-vcek",
            "the leaf is valid from 2044 on",
            "the certificate is not valid yet",
            "the leaf is not valid yet",
            "dates",
            given(leaf=early),
        ),
        bad(
            "revoked-ask",
            "the ASK is on the list of revoked certificates",
            "the ARK took its word back",
            "the ASK is revoked",
            "revocation",
            given(others={"crl": crl("Milan", (serial,))}),
        ),
    ]


def _own() -> Any:
    """Return a key that AMD knows nothing of."""
    return MALLORY.vcek_key("Milan", _CHIP, tcb_of("Milan"))


def _altered() -> Given:
    old = tcb_of("Milan", snp=_OLD_SNP)
    leaf = change_number(vcek("Milan", _CHIP, old), SPL["snp"], parse_report(given().report).reported_tcb.parts["snp"])
    return given(key=SERVER.vcek_key("Milan", _CHIP, old), leaf=leaf)


def _forged_ask(leaf: bytes) -> Given:
    ask = reseal(rekey_rsa(SERVER.ask("Milan"), name_of(ASK, "Milan"), _HOME_ASK), _HOME_ASK)
    chain = pem(ask) + pem(SERVER.ark("Milan"))
    return given(key=_own(), leaf=reseal(rekey_ec(leaf, _own()), _HOME_ASK), others={"chain": chain})


def _home_made(leaf: bytes) -> Given:
    ark = reseal(rekey_rsa(SERVER.ark("Milan"), name_of(ARK, "Milan"), _HOME_ROOT), _HOME_ROOT)
    ask = reseal(rekey_rsa(SERVER.ask("Milan"), name_of(ASK, "Milan"), _HOME_ASK), _HOME_ROOT)
    others = {"chain": pem(ask) + pem(ark), "crl": reseal_crl(crl("Milan"), _HOME_ROOT)}
    return given(key=_own(), leaf=reseal(rekey_ec(leaf, _own()), _HOME_ASK), others=others)
