"""Atomic models and maps."""
