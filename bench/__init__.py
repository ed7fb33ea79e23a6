"""Benchmarks of the guard in the real ComfyUI, and the demo. `python -m bench --help`; results land in output/."""
