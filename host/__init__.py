"""The bridge to ComfyUI: the only folder that imports comfy."""
