"""First maps from particles alone."""
