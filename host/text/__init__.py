"""Read and encode prompts with a ComfyUI CLIP: words, families, encoders, kept embeddings."""
