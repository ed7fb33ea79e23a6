"""Differences between ComfyUI versions, all in this one place."""

from __future__ import annotations

import dataclasses

from comfy_api.latest import io


def schema(**fields) -> io.Schema:
    """An io.Schema without the fields that this ComfyUI does not know yet (search_aliases, ...)."""
    known = {field.name for field in dataclasses.fields(io.Schema)}
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def system_prompts() -> list[str]:
    """What the host's node for Lumina 2 puts before a prompt; empty where the host has no such node."""
    try:
        from comfy_extras.nodes_lumina2 import CLIPTextEncodeLumina2
    except ImportError:
        return []
    return [f"{text} <Prompt Start> " for text in CLIPTextEncodeLumina2.SYSTEM_PROMPT.values()]
