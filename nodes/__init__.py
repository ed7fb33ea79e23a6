"""The nodes: a schema and a few lines of glue each."""
