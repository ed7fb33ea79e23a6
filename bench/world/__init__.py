"""The tiny world: its prompts, guards, pictures and judges."""
