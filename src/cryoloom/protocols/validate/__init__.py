"""Whether a map can be believed: its detail place by place, its particles, its views, its model."""
