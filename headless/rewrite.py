"""How a guard is put into a workflow: one way for each kind of text encoder that packs/*.json name under `rewrite`."""

from __future__ import annotations

from . import prompts
from .flow import Point, Trace, consumers
from .guards import FILTER, GUARD, MULTI, PICTURE
from .knowledge import Encoder, Knowledge
from .policy import Policy
from .workflow import Link, Workflow

SETTINGS = {"mode": "adaptive", "strength": 1.0, "threshold": 0.0, "self_validation": "auto"}
TEXTS = dict.fromkeys(("text_l", "text_g", "text_t5xxl"), "")  # that SafreeMultiTextConditioning has to get
# The system prompts of CLIPTextEncodeLumina2, by the value of its widget.
LUMINA2 = {
    "superior": "You are an assistant designed to generate superior images with the superior degree of image-text "
    "alignment based on textual prompts or user prompts.",
    "alignment": "You are an assistant designed to generate high-quality images with the highest degree of image-text "
    "alignment based on textual prompts.",
}


class CannotGuard(ValueError):
    """Why there is no guarded twin of an encoder; the text is for the report."""


class Rewriter:
    """Changes `workflow` in place.

    positive: what leads to the inputs to guard; whatever else an encoder is connected to keeps the unguarded prompt
    """

    def __init__(self, workflow: Workflow, known: Knowledge, policy: Policy, positive: Trace):
        self.workflow, self.known, self.policy, self.positive = workflow, known, policy, positive
        self._subspaces: dict[Link, Link] = {}
        self._patches: dict[Link, Link] = {}
        self._ways = {  # by `rewrite` of an encoder in packs/*.json
            "plain": self._plain,
            "flux": self._flux,
            "sd3": self._sd3,
            "lumina2": self._lumina2,
            "sizes": self._sizes,
            "pictures": self._pictures,
        }

    def guard(self, point: Point) -> tuple[str, list[str]]:
        """(what was done, notes) after putting a guard where the conditioning of `point` is made, or CannotGuard."""
        node, label = point.node, self.workflow.label(point.node)
        facts = self.known[self.workflow.kind(node)]
        encoder = facts.encodes[(point.slot, point.lane)]
        uses = consumers(self.workflow, (node, point.slot))
        alone = len(facts.encodes) == 1 and not facts.carries and not point.lane and not encoder.needs_itself
        wanted = {(node, name) for node, name, lane in self.positive.inputs if lane == point.lane}
        inside = alone and set(uses) <= wanted
        kind, inputs, how, notes = self._build(node, encoder, keep=not inside)
        if inside:  # the id keeps giving the conditioning, so that no link changes
            self._put(node, kind, **inputs)
            return f"{label} {how}", notes
        guard = self._add(kind, "", **inputs)
        if encoder.pipe:
            kind, pipe, name = encoder.pipe.rsplit(" ", 2)
            guard = self._add(kind, "", **{pipe: [node, point.slot], name: [guard, 0]})
        for user, name in uses:
            if (user, name) in wanted:
                self.workflow.inputs(user)[name] = [guard, 0]
        if alone:
            notes.append(f"{label} stays for its other uses (a negative prompt, for one); its copy is guarded")
        return f"{label} {how.replace('replaced', 'copied')}", notes

    def guard_text(self, node: str, name: str) -> tuple[str, list[str]]:
        """Guard a prompt that a detailer encodes by itself: as it would, in place of its positive conditioning."""
        label, facts = self.workflow.label(node), self.known[self.workflow.kind(node)]
        inputs, text = self.workflow.inputs(node), self.workflow.inputs(node)[name]
        clip, positive = self.workflow.link(node, "clip"), self.workflow.link(node, facts.into)
        if facts.opens and not clip:
            clip, positive = self._from_pipe(node, facts.opens, positive)
        if not (facts.into and clip and positive):
            raise CannotGuard(f"{label} encodes its {name} by itself, with a CLIP that is not connected to it")
        joined = isinstance(text, str) and text.startswith("[CONCAT]")
        text = text.removeprefix("[CONCAT]") if joined else text
        if isinstance(text, str) and (found := prompts.special(text, "impact")):
            raise CannotGuard(f"{label} encodes its {name} by itself, and only it can read {', '.join(found)} there")
        guard = self._add(GUARD, "", clip=list(clip), subspaces=self._chain(clip), text=text, **SETTINGS)
        if joined:
            guard = self._add("ConditioningConcat", "", conditioning_to=list(positive), conditioning_from=[guard, 0])
        inputs |= {facts.into: [guard, 0], name: ""}
        return f"{label}: {name} encoded by {GUARD}", []

    def _from_pipe(self, node: str, opens: str, positive: Link | None) -> tuple[Link | None, Link | None]:
        """(CLIP, positive) of the pipe that goes into a node; a positive that is connected beside it comes first."""
        kind, name, clip, other = opens.split(" ")
        pipe = self.workflow.link(node, name)
        if pipe is None:
            return None, positive
        opener = self._add(kind, "", **{name: list(pipe)})
        return (opener, int(clip)), positive or (opener, int(other))

    def validate(self, sampler: str) -> None:
        """Put a SelfValidationPatch before the sampler's model."""
        model = self.workflow.link(sampler, "model")
        if model is None or self.workflow.kind(sampler) in ("SelfValidatingSampler", "PerpNeg"):
            return
        if model not in self._patches:
            patch = self._add("SelfValidationPatch", "", model=list(model), unit="share", filtered_steps=-1)
            self._patches[model] = (patch, 0)
        self.workflow.inputs(sampler)["model"] = list(self._patches[model])

    def _build(self, node: str, encoder: Encoder, keep: bool):
        """(class, inputs, how, notes) of the guard for an encoder; other nodes that it takes are added."""
        label, inputs = self.workflow.label(node), self.workflow.inputs(node)
        clip = self._clip(node, encoder)
        if encoder.filter and self.policy.filters:
            copy = node if keep else self._add(self.workflow.kind(node), "", **inputs)
            values = {"conditioning": [copy, 0], "subspaces": self._chain(clip), "strength": 1.0, "threshold": 0.0}
            return FILTER, values, f"followed by {FILTER}, which is weaker: it leaves traces of the concept", []
        if encoder.rewrite not in self._ways:
            raise CannotGuard(f"{label} has no guarded twin")
        text, notes = self._text(node, encoder)
        several = isinstance(text, dict)
        values = {
            "clip": list(clip),
            "subspaces": self._chain(clip),
            **(text if several else {"text": text}),
            **SETTINGS,
        }
        kind, values, how = self._ways[encoder.rewrite](node, encoder, values)
        if several:
            how = how.replace(GUARD, MULTI)
            kind = MULTI if kind == GUARD else kind
        return kind, values, how, notes

    def _clip(self, node: str, encoder: Encoder) -> Link:
        if more := [name for name in encoder.unless if self.workflow.link(node, name)]:
            raise CannotGuard(f"{self.workflow.label(node)} changes its conditioning by {', '.join(more)} as well")
        clip = self.workflow.link(node, encoder.clip)
        if encoder.clip.startswith("@"):  # '@5': an output of its own; '@0:6:class': of the node that opens its pipe
            slot, _, opener = encoder.clip[1:].partition(":")
            clip = (node, int(slot))
            if opener:
                slot, _, kind = opener.partition(":")
                clip = (self._add(kind, "", pipe=list(clip)), int(slot))
        if clip is None:
            raise CannotGuard(f"{self.workflow.label(node)} has no CLIP that SafreeConditioning could take")
        return clip

    def _text(self, node: str, encoder: Encoder) -> tuple[str | list | dict, list[str]]:
        """(the prompt of an encoder, by text encoder where they differ, notes); CannotGuard where there is none."""
        label, inputs = self.workflow.label(node), self.workflow.inputs(node)
        texts = [inputs.get(name) for name in encoder.texts]
        for name, text in zip(encoder.texts, texts, strict=True):
            if not isinstance(text, str) and not self.workflow.link(node, name):
                raise CannotGuard(f"{label} has {text!r} for {name}, which is no text. Write one, or connect it.")
        if encoder.text:
            return [node, int(encoder.text[1:])], []
        if any(text != texts[0] for text in texts):
            if not encoder.encoders:
                raise CannotGuard(f"{label} encodes several different texts, which SafreeConditioning cannot")
            given = dict(zip(encoder.encoders, texts, strict=True))
            return TEXTS | {f"text_{name}": text for name, text in given.items()}, []
        if not encoder.reads or not isinstance(texts[0], str):
            return texts[0], [f"{label} reads its text as {encoder.reads}, the guard as it stands"] * bool(
                encoder.reads
            )
        text = prompts.without_loras(texts[0])
        found = prompts.special(text, encoder.reads)
        return text, [f"{label}: {', '.join(found)} counts as plain words in the guarded prompt"] * bool(found)

    def _plain(self, node: str, encoder: Encoder, values: dict):
        return GUARD, values, f"replaced by {GUARD}"

    def _flux(self, node: str, encoder: Encoder, values: dict):
        guard = self._add(GUARD if "text" in values else MULTI, "", **values)
        guidance = self.workflow.inputs(node).get("guidance", 3.5)
        values = {"conditioning": [guard, 0], "guidance": guidance}
        return "FluxGuidance", values, f"replaced by {GUARD} and FluxGuidance"

    def _sd3(self, node: str, encoder: Encoder, values: dict):
        inputs = self.workflow.inputs(node)
        if inputs.get("empty_padding") == "none" and not all(inputs.get(name) for name in encoder.texts):
            raise CannotGuard(
                f"{self.workflow.label(node)} encodes no token where a text is empty, which the guard cannot"
            )
        return GUARD, values, f"replaced by {GUARD}"

    def _lumina2(self, node: str, encoder: Encoder, values: dict):
        system = LUMINA2.get(str(self.workflow.inputs(node).get("system_prompt")))
        if not system or not isinstance(values["text"], str):
            raise CannotGuard(f"{self.workflow.label(node)} puts a system prompt before its text, which is connected")
        return GUARD, {**values, "text": f"{system} <Prompt Start> {values['text']}"}, f"replaced by {GUARD}"

    def _sizes(self, node: str, encoder: Encoder, values: dict):
        """The encoder stays, with no text, for the sizes or the score that it adds."""
        empty = {**self.workflow.inputs(node), **dict.fromkeys(encoder.texts, "")}
        sizes = self._add(self.workflow.kind(node), "Sizes only", **empty)
        return GUARD, {**values, "like": [sizes, 0]}, f"replaced by {GUARD}, which takes its sizes from a copy"

    def _pictures(self, node: str, encoder: Encoder, values: dict):
        given = self.workflow.inputs(node)
        if more := [name for name in given if name.startswith("images.") and name not in encoder.pictures]:
            raise CannotGuard(
                f"{self.workflow.label(node)} takes {more[0]}, and {PICTURE} takes no more than three pictures"
            )
        inputs = {ours: given[theirs] for theirs, ours in encoder.pictures.items() if theirs in given}
        return PICTURE, {**values, "encoder": self.workflow.kind(node), **inputs}, f"replaced by {PICTURE}"

    def _chain(self, clip: Link) -> list:
        """The end of the chain of ConceptSubspaces for a CLIP, made once."""
        if clip not in self._subspaces:
            before: dict = {}
            for name in self.policy.concept_sets:
                values = {"clip": list(clip), "concept_set": name, "phrases": "", "strength": 1.0}
                node = self._add("ConceptSubspace", name, **values, **before)
                before = {"subspaces": [node, 0]}
            self._subspaces[clip] = (node, 0)
        return list(self._subspaces[clip])

    def _add(self, kind: str, title: str, **inputs) -> str:
        node = self.workflow.new_id()
        self.workflow.nodes[node] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title or kind}}
        return node

    def _put(self, node: str, kind: str, **inputs) -> None:
        self.workflow.nodes[node] = {**self.workflow.nodes[node], "class_type": kind, "inputs": inputs}
