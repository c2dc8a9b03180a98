"""The contrast transfer function: its formula, spectra, and the fit of the Thon rings."""
