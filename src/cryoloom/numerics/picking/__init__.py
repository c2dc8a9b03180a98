"""Particle picking: blobs of the particle's size, told from noise and contaminants by the set's own statistics."""
