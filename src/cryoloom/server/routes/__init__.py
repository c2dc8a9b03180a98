"""Addresses, thin: they say what is asked for, and `render` and the session answer."""
