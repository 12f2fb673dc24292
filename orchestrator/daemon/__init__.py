"""The background process: its settings, its one composition root, its life."""
