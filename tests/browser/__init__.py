"""Tests that see what a person sees: JupyterLab in a headless Chromium."""
