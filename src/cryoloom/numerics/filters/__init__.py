"""Filters of maps: low-pass and sharpening."""
