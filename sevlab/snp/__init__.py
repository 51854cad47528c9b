"""The launch of a SEV-SNP guest: pages in order, folded into the digest that the report calls MEASUREMENT.

:mod:`~sevlab.snp.region` has pages and the fold over them, :mod:`~sevlab.snp.order` says which pages a host loads and
in which order, :mod:`~sevlab.snp.load` reads what they are made of, and :mod:`~sevlab.snp.launch` shows the outcome.
"""

from __future__ import annotations

from .launch import SnpLaunch
from .load import load_snp_launch
from .region import Link, Region

__all__ = ["Link", "Region", "SnpLaunch", "load_snp_launch"]
