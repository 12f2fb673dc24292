"""What a plugin gets: pure decisions, from what it asks and what the operator allows."""
