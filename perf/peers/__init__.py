"""What a benchmark is set against."""
