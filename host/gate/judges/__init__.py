"""Judges of finished pictures: each says which concepts a picture shows, how surely, and some of them where."""
