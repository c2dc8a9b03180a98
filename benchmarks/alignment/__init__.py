"""The alignment engine against RELION 3.1.3 on the same particles, one core each: ``python -m benchmarks.alignment FOLDER``."""
