"""Whole micrographs."""
