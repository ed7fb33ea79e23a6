"""Where a model's features are read and changed while it samples."""
