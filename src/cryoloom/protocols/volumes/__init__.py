"""Maps as they are: their sampling, symmetry, hand, place and detail."""
