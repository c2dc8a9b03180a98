"""Projects, runs, supervision, map and iterate, identity, state. Knows no electron microscopy."""
