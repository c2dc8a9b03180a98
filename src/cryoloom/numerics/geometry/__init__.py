"""Rotations in the field's ZYZ convention, directions on the sphere, and comparison of poses."""
