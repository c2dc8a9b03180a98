"""Motion of movies against truth and RELION's own: see `benchmarks.movies.__main__`."""
