"""Which wrong input explains a mismatch."""
