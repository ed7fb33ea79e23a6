from __future__ import annotations

from comfy_api.latest import io

from ..host import compat
from ..host.data import concept_sets, name_lists
from ..host.prompt import concept_reach
from ..host.prompt.subspaces import build_names, build_subspace
from ..safree import SafreeError
from .common import ALIASES, CATEGORY, ConceptSubspaces, lines, naming

PHRASES_ONLY = "(phrases only)"


class ConceptSubspace(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return compat.schema(
            node_id="ConceptSubspace",
            display_name="SAFREE Concept Subspace",
            category=CATEGORY,
            description="Spans the subspace of an unwanted concept, for each text encoder, from a few phrases.",
            search_aliases=ALIASES,
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model to guard; the subspace fits no other."),
                io.Combo.Input(
                    "concept_set",
                    options=[PHRASES_ONLY, *concept_sets.names(), *name_lists.options()],
                    tooltip="A shipped list of phrases (folder concept_sets), or only the phrases below. Or a list of "
                    "names (NAME.txt in models/safree_names, up to 10,000, one a line), found by their spelling.",
                ),
                io.String.Input(
                    "phrases",
                    multiline=True,
                    default="",
                    tooltip="More phrases, one a line: single things or short descriptions, e.g. 'gun' or an artist's "
                    "name. 5 to 20 that cover the concept work best; the paper uses 17 for nudity. With a list of "
                    "names: more names.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How far words that lean into this concept are steered away. 0 is off; 1, the paper's, "
                    "takes them out; above 1 goes past the prompt without them: for drawing styles, 2.",
                ),
                io.String.Input(
                    "retain",
                    multiline=True,
                    default="",
                    optional=True,
                    tooltip="Phrases to leave alone though close to the concept, one a line. Mode adaptive only.",
                ),
                ConceptSubspaces.Input(
                    "subspaces",
                    optional=True,
                    tooltip="Subspaces of other concepts. They stay separate: one subspace for everything works worse.",
                ),
            ],
            outputs=[
                ConceptSubspaces.Output(display_name="subspaces"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, concept_set, **_):
        if concept_set in (None, PHRASES_ONLY):  # None: a link
            return None
        names = name_lists.find(concept_set)
        return names.stat().st_mtime_ns if names else concept_sets.changed(concept_set)

    @classmethod
    def execute(cls, clip, concept_set, phrases, strength, retain="", subspaces=()) -> io.NodeOutput:
        with naming(cls):
            own = lines(phrases)
            if own == ["None"]:  # what ComfyUI makes of null
                raise SafreeError("phrases is null, not text. Write one phrase a line, or leave it empty.")
            if names := name_lists.find(concept_set):
                return cls._of_names(clip, name_lists.load(names), concept_set, own, strength, lines(retain), subspaces)
            shipped = None if concept_set == PHRASES_ONLY else concept_sets.get(concept_set)
            if not own and not shipped:
                raise SafreeError("there are no phrases. Choose a concept set or write one phrase a line.")
            phrases, defaults = (shipped.phrases, shipped.defaults) if shipped else ((), {})
            wanted = concept_sets.check_phrases([*phrases, *own])
            name = shipped.name if shipped else own[0]
            of_kinds = bool(shipped and shipped.kinds)
            built = build_subspace(clip, name, wanted, strength, tuple(lines(retain)), defaults, of_kinds)
            told = concept_reach.describe(clip, built)
        summary = {**built.summary(), "reach": told["reach"], "notes": told["notes"]}
        return io.NodeOutput((*subspaces, built), ui={"safree_subspace": [summary]})

    @staticmethod
    def _of_names(clip, names, concept_set, more, strength, retain, subspaces) -> io.NodeOutput:
        known = name_lists.check(dict.fromkeys((*names, *more)))
        built = build_names(clip, concept_set, known, strength, tuple(retain))
        return io.NodeOutput((*subspaces, built), ui={"safree_subspace": [built.summary()]})
