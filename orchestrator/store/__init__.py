"""What must not be forgotten when the daemon ends."""
