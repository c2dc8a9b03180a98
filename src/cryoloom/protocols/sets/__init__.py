"""Sets out of sets."""
