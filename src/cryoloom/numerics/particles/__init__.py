"""From micrographs to boxed particles: exact binning, dust, boxes, background."""
