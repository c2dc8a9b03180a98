"""Atomic models and maps: density, docking, scores, differences."""
