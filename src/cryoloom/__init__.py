"""cryoloom: movies to map in one ``pip install``."""

__version__ = "0.1.0"
