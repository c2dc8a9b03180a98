"""Soft masks of maps, and what can be wrong with them."""
