"""The catalogue: one file a protocol, its path is its id."""
