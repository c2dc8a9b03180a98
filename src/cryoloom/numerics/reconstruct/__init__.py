"""From maps to slices and back: the projector, its adjoint, and the division that makes a map."""
