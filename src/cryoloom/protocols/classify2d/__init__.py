"""Classes of views."""
