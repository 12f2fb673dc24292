"""What things are: pure values. Only load.py touches files."""
