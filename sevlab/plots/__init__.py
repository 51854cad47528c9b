"""Figures, drawn with matplotlib: nothing outside this package imports it."""
