"""Reports as data, and as pictures."""
