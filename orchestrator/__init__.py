"""Runs plugins for AI agents in containers they cannot leave."""
