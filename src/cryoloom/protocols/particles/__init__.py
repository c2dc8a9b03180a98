"""Boxed particles."""
