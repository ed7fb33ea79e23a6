"""Work with API-format workflows without the editor and without ComfyUI: check, guard, run. Standard library alone."""
