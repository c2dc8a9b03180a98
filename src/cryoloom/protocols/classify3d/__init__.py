"""Protocols that sort particles by the structure they show."""
