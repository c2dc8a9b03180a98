"""From movies to micrographs."""
