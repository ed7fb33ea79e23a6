from __future__ import annotations

from comfy_api.latest import io

from ..host import compat, folders
from ..safree import SafreeError, presence_storage
from .common import ALIASES, CATEGORY, ConceptPresences, naming


class SaveConceptPresence(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="SaveConceptPresence",
            display_name="SAFREE Save Concept Presence",
            category=CATEGORY,
            description="Writes a presence to models/safree_presences as one safetensors file.",
            search_aliases=ALIASES,
            is_output_node=True,
            inputs=[
                ConceptPresences.Input("presences", tooltip="From ConceptPresence. Of several, the last one is saved."),
                io.String.Input("filename", default="my_concept", tooltip="A plain file name, no folders."),
                io.Boolean.Input("overwrite", default=False, tooltip="Off: an existing file is never touched."),
            ],
            outputs=[ConceptPresences.Output(display_name="presences")],
        )

    @classmethod
    def execute(cls, presences, filename, overwrite) -> io.NodeOutput:
        with naming(cls):
            if not presences:
                raise SafreeError("no concept presence is connected. Connect a ConceptPresence.")
            path = folders.to_save(filename, folders.PRESENCES)
            presence_storage.save(presences[-1], path, overwrite)
        return io.NodeOutput(presences, ui={"text": [f"Saved {path.name}"]})


class LoadConceptPresence(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="LoadConceptPresence",
            display_name="SAFREE Load Concept Presence",
            category=CATEGORY,
            description="Reads a presence of SaveConceptPresence. It fits only models of the kind that it was learned "
            "with.",
            search_aliases=ALIASES,
            inputs=[
                io.Combo.Input(
                    "filename", options=folders.names(folders.PRESENCES), tooltip="A file in models/safree_presences."
                ),
                ConceptPresences.Input("presences", optional=True, tooltip="Presences of other concepts."),
            ],
            outputs=[ConceptPresences.Output(display_name="presences")],
        )

    @classmethod
    def fingerprint_inputs(cls, filename, **_):
        with naming(cls):
            return folders.to_load(filename, folders.PRESENCES).stat().st_mtime_ns

    @classmethod
    def execute(cls, filename, presences=()) -> io.NodeOutput:
        with naming(cls):
            loaded = presence_storage.load(folders.to_load(filename, folders.PRESENCES))
        return io.NodeOutput((*presences, loaded))
