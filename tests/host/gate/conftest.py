"""A gate before a queue of ComfyUI's own, with the classes that ComfyUI and this pack really have."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
from types import SimpleNamespace

import pytest

POLICY = {"policies": {"public": {"trust": "strangers", "concept_sets": ["weapons"]}}, "everyone_else": "public"}


@pytest.fixture
def nodes_here(comfy_nodes, pack, monkeypatch):
    """ComfyUI's classes with ours among them, as its loader of packs puts them there."""
    ours = {one.define_schema().node_id: one for one in pack.NODES}
    for classes, module in ((ours, "custom_nodes.comfyui-safree"), (extras(), "comfy_extras")):
        for one in classes.values():
            monkeypatch.setattr(one, "RELATIVE_PYTHON_MODULE", module, raising=False)
    monkeypatch.setattr(comfy_nodes, "NODE_CLASS_MAPPINGS", comfy_nodes.NODE_CLASS_MAPPINGS | extras() | ours)


@functools.cache
def extras() -> dict:
    """Those of ComfyUI's further classes that the tests use, by name."""
    found = {}
    for name in ("images", "mask", "post_processing", "preview_any", "primitive", "video"):
        module = importlib.import_module(f"comfy_extras.nodes_{name}")
        if hasattr(module, "comfy_entrypoint"):
            listed = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
            found |= {one.GET_SCHEMA().node_id: one for one in listed}
        else:
            found |= module.NODE_CLASS_MAPPINGS
    return found


@pytest.fixture
def server(pack, nodes_here):
    """What of a PromptServer a queue and a gate need."""
    import execution

    server = SimpleNamespace(number=7, queue_updated=lambda: None, app=SimpleNamespace(middlewares=[]))
    server.prompt_queue = execution.PromptQueue(server)
    return server


@pytest.fixture
def stand(pack, server, monkeypatch, tmp_path):
    """Put the gate before the server's queue, with a policy file of this content (None: there is no file)."""

    def stand(policy=POLICY):
        path = tmp_path / "policy.json"
        if policy is not None:
            path.write_text(policy if isinstance(policy, str) else json.dumps(policy), "utf-8")
        monkeypatch.setattr(pack.host.compat, "policy_path", lambda: path if policy is not None else None)
        monkeypatch.setattr(pack.host.compat, "prompt_server", lambda: server)
        pack.host.gate.door.stand()

    return stand
