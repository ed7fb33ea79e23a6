from __future__ import annotations

import dataclasses

from comfy_api.latest import io

from ..host import compat, folders
from ..safree import SafreeError, storage
from .common import ALIASES, CATEGORY, ConceptSubspaces, naming


class SaveConceptSubspace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SaveConceptSubspace",
            display_name="SAFREE Save Concept Subspace",
            category=CATEGORY,
            description="Writes a subspace to models/safree_subspaces as one safetensors file.",
            search_aliases=ALIASES,
            is_output_node=True,
            inputs=[
                ConceptSubspaces.Input("subspaces", tooltip="From ConceptSubspace. Of several, the last one is saved."),
                io.String.Input("filename", default="my_concept", tooltip="A plain file name, no folders."),
                io.Boolean.Input("overwrite", default=False, tooltip="Off: an existing file is never touched."),
            ],
            outputs=[ConceptSubspaces.Output(display_name="subspaces")],
        )

    @classmethod
    def execute(cls, subspaces, filename, overwrite) -> io.NodeOutput:
        with naming(cls):
            if not subspaces:
                raise SafreeError("no concept subspace is connected. Connect a ConceptSubspace.")
            path = folders.to_save(filename)
            storage.save(subspaces[-1], path, overwrite)
        return io.NodeOutput(subspaces, ui={"text": [f"Saved {path.name}"]})


class LoadConceptSubspace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="LoadConceptSubspace",
            display_name="SAFREE Load Concept Subspace",
            category=CATEGORY,
            description="Reads a subspace of SaveConceptSubspace. It fits only the text encoder it was built with.",
            search_aliases=ALIASES,
            inputs=[
                io.Combo.Input("filename", options=folders.names(), tooltip="A file in models/safree_subspaces."),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=2.0, step=0.05, tooltip="As in ConceptSubspace; 0 is off."
                ),
                ConceptSubspaces.Input(
                    "subspaces", optional=True, tooltip="Subspaces of other concepts, kept separate."
                ),
            ],
            outputs=[ConceptSubspaces.Output(display_name="subspaces")],
        )

    @classmethod
    def fingerprint_inputs(cls, filename, **_):
        with naming(cls):
            return folders.to_load(filename).stat().st_mtime_ns

    @classmethod
    def execute(cls, filename, strength, subspaces=()) -> io.NodeOutput:
        with naming(cls):
            loaded = dataclasses.replace(storage.load(folders.to_load(filename)), strength=strength)
        return io.NodeOutput((*subspaces, loaded), ui={"safree_subspace": [loaded.summary()]})
