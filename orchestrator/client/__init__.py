"""The daemon's API as Python: what the commands, and anybody's scripts, speak."""
