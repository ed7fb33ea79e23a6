"""Help pages and translations say what the nodes have."""

from __future__ import annotations

import json

import pytest

from dev import setup_host

LOCALES = setup_host.ROOT / "locales"
DOCS = setup_host.ROOT / "js" / "docs"


def shape(definitions: dict) -> dict:
    """Node ids with the ids of their inputs and outputs."""
    return {node: (set(d["inputs"]), set(d["outputs"])) for node, d in definitions.items()}


def test_the_english_locale_is_what_the_schemas_say(pack):
    from dev.generate.locales import definitions

    assert json.loads((LOCALES / "en" / "nodeDefs.json").read_text(encoding="utf-8")) == definitions()


def test_every_translation_has_every_node_input_and_output_with_a_text(pack):
    from dev.generate.locales import definitions

    wanted = shape(definitions())
    for path in LOCALES.glob("*/nodeDefs.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        assert shape(found) == wanted, path
        for node in found.values():
            assert all(text["name"] and text["tooltip"] for text in node["inputs"].values())


@pytest.mark.parametrize("page", ["{}.md", "{}/zh.md"])
def test_every_node_has_a_help_page_that_names_its_special_inputs(pack, page):
    common = {"model", "clip", "conditioning", "text", "seed", "steps", "cfg", "sampler_name", "scheduler"}
    common |= {"positive", "negative", "latent_image", "denoise", "subspaces", "filename", "report"}
    for node in pack.NODES:
        schema = node.define_schema()
        text = (DOCS / page.format(schema.node_id)).read_text(encoding="utf-8")
        if schema.node_id == "SelfValidationPatch":
            continue  # it refers to the node that explains the same inputs
        missing = [entry.id for entry in schema.inputs if entry.id not in common and f"**{entry.id}**" not in text]
        assert not missing, f"{schema.node_id}: {missing}"
