"""Resolution place by place: monogenic amplitudes against noise, windows of shell correlation, and deblurring by it."""
