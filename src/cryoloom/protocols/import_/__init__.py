"""Files from outside into a project."""
