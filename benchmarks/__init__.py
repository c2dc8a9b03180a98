"""Figures against truth, and against RELION where it is installed: ``python -m benchmarks``."""
