"""Fourier shell correlation of two maps, where it crosses a threshold, and what that says about the signal."""
