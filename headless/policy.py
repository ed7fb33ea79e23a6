"""What counts as guarded, and how a check says that something does not."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Policy:
    """What counts as guarded. As it stands for one's own graphs; `Policy.for_strangers` for everybody else's.

    concept_sets: each of them must guard, built with the prompt's own CLIP and without phrases that a stranger added or
        exempted; empty: any concept
    strength: the least strength of SafreeConditioning and of a subspace
    negatives: negative prompts must be guarded too, or zero, or made of quality words alone. Otherwise a plain one
        passes where the workflow shows that it is drawn away from: guidance scales of 1 and more, and nothing in it
        that turns guidance round or adds latents up
    filters: SafreeFilterConditioning counts, though it is weaker
    any_mode: SafreeConditioning counts with any mode, threshold, self-validation and number of filtered steps
    allowed: node classes that someone calls harmless, unknown ones and such as write files; conditioning that goes into
        unknown ones must be guarded
    treated: unknown node classes that someone vouches for, as (class, what it is treated as), see knowledge.VOUCHED
    faults: a negative may be a list of faults of a picture ('blurry, watermark') and nothing else
    strangers: our nodes must stop a run when the guard does not hold, none may write files, and nodes of packs other
        than ComfyUI and this one need to be named
    strict: an unknown patch of the model is refused; otherwise it is named, for the user to look at
    judges: judges of pictures, by name, that strangers may load
    packs: node packs, by their name in headless/packs, whose described classes strangers may use
    """

    concept_sets: tuple[str, ...] = ()
    strength: float = 1.0
    negatives: bool = False
    filters: bool = False
    any_mode: bool = False
    allowed: frozenset[str] = frozenset()
    treated: tuple[tuple[str, str], ...] = ()
    faults: bool = True
    strangers: bool = False
    strict: bool = False
    packs: frozenset[str] = frozenset()
    judges: frozenset[str] = frozenset()

    @classmethod
    def for_strangers(
        cls,
        concept_sets: tuple[str, ...],
        allowed: frozenset[str] = frozenset(),
        packs: frozenset[str] = frozenset(),
    ) -> Policy:
        """The recipe for servers that take workflows from anybody. ValueError without a concept set.

        >>> Policy.for_strangers(("nudity",)).negatives
        True
        """
        if not concept_sets or isinstance(concept_sets, str):
            raise ValueError(
                "name the concept sets that must guard, as ('nudity', 'violence'): without one a stranger's own "
                "phrases would count as the concept."
            )
        named = {"allowed": frozenset(allowed), "packs": frozenset(packs)}
        return cls(tuple(concept_sets), negatives=True, strangers=True, **named)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A sampler, guider or unknown node whose input (if one is to blame) is not guarded, and why."""

    node: str
    class_type: str
    input: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.class_type} (node {self.node})" + (f", {self.input}" if self.input else "")
        return f"{where}: {'; '.join(self.reasons)}"
