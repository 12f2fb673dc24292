"""Desired state from a git revision; it writes what is wanted through the manager, and no more."""
