"""Networks: their layers, and their weights as plain arrays."""
