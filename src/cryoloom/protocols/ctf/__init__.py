"""The contrast transfer function of micrographs."""
