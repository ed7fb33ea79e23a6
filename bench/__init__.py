"""Benchmarks of the guard in the real ComfyUI. `python -m bench --help`; results land in output/bench."""
