"""Three-dimensional refinement."""
