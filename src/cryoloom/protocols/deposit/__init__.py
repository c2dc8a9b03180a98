"""Protocols that make folders for public archives."""
