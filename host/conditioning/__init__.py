"""Guarded CONDITIONING and the mark on it."""
