"""The gate of a server: with a policy file, no prompt gets into ComfyUI's queue that the check does not let pass."""
