"""Protocols that compare the poses of particles."""
