"""See and damp concepts in pictures while they are made, and look at finished ones."""
