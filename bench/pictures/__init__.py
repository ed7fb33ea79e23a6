"""Benchmarks by pictures: does the concept go, does the rest stay."""
