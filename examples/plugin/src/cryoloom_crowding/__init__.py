"""How crowded picks are. `cryoloom` finds every module here: a protocol, a format; the panel is drawn by the protocol's report."""
