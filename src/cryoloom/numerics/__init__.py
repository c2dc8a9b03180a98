"""Tensors in, tensors out: no files, no tables, no settings. Conventions: docs/conventions.md."""
