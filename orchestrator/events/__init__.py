"""News: what happened, told to whoever listens."""
