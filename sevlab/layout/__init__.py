"""Declare a byte structure once; show it, compare it. Knows no format."""
