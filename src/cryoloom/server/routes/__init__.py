"""Addresses below ``/api``: one file a subject."""
