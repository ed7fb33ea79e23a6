"""What a guard catches with one text encoder."""
