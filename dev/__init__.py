"""For developers of the pack, not published: set-up, a real ComfyUI to test in, generators."""
