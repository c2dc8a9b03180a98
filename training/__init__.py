"""How the networks that come with cryoloom were trained: simulated scenes, recipes, weights. Not part of the wheel."""
