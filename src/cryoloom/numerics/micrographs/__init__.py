"""Whole micrographs made fit for picking: pixels, bands, noise."""
