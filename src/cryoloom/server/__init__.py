"""The browser's side of the house: what `cryoloom serve` answers. Thin: every verb is the one of `cryoloom.app`."""
