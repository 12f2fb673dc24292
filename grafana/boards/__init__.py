"""One dashboard a file; kit.py holds what they share."""
