"""Where a benchmark runs, what a stopped run keeps, and its statistics."""
