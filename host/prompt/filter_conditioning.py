"""Steer CONDITIONING whose prompt is not known, by subspace alone."""

from __future__ import annotations

import dataclasses

import torch

from ...safree import SafreeError
from ...safree.projection import remove_nearest, resemblance
from ...safree.subspace import ConceptSubspace
from ..conditioning import entries, marks
from ..text import families
from .findings import Finding, Settings, note
from .guarded import Guarded, TPrime, logged

THRESHOLD = 0.6  # cosine; on the tests' checkpoint 95 % of harmless prompts stay below .54, 95 % of weapons above .63
WHOLE = TPrime(1.0, 50.0)  # the schedule, in steps of the paper's 50
NOTES = (
    "The prompt's words are not known: tokens are named by position.",
    "The prompt could not be encoded again: the tokens after the first flagged one keep traces of the concept.",
    "The pooled output is unchanged.",
)


def filter_conditioning(
    conditioning: list, subspaces: tuple[ConceptSubspace, ...], strength: float, threshold: float
) -> Guarded:
    """`conditioning` with less of a concept, from the first token on that resembles it.

    Raises SafreeError where the subspaces do not fit the conditioning's width, or its numbers are not finite.
    """
    if not subspaces:
        raise SafreeError("no concept subspace is connected. Connect a ConceptSubspace.")
    if not conditioning:
        raise SafreeError("the conditioning is empty. Connect the output of a text encode node.")
    if lists := [one.name for one in subspaces if one.names]:
        raise SafreeError(
            f"'{lists[0]}' is a list of names, and conditioning holds no words to find them in. Use SafreeConditioning."
        )
    limit, findings, filtered = threshold or THRESHOLD, [], []
    unguarded = Guarded([], "", Settings("conditioning", strength, threshold), tuple(subspaces), notes=NOTES)
    concepts = marks.fingerprints(unguarded.active)
    for tensor, options in conditioning:
        if not torch.isfinite(tensor).all():
            raise SafreeError("the conditioning holds NaN or infinity. Check the text encoder's precision and LoRAs.")
        result = tensor.clone()
        parts = [(key, part, subspace) for subspace in unguarded.active for key, part in _parts(result, subspace)]
        for key, part, subspace in parts:
            findings += _steer(part, key, subspace, strength * subspace.strength, limit)
        filtered.append([result, dict(options)])
    checked = dataclasses.replace(unguarded, findings=tuple(findings), t_prime=WHOLE)
    if checked.flagged:
        steered = entries.guarded(filtered, conditioning, WHOLE.share, WHOLE.steps, concepts)
    else:
        steered = entries.mark(conditioning, "clear" if checked.active else "unchecked", concepts)
    return logged(dataclasses.replace(checked, conditioning=steered))


def _parts(states: torch.Tensor, subspace: ConceptSubspace) -> list[tuple[str, torch.Tensor]]:
    """(encoder, its token states [T, D]) of each row of `states` [B, T, width]: views, to be changed in place."""
    columns = _columns(subspace, states.shape[-1])
    return [(key, row) for key, own in columns.items() for row in states[..., own]]


def _columns(subspace: ConceptSubspace, width: int) -> dict[str, slice]:
    """Columns of each encoder in conditioning of `width`: one encoder alone, or CLIP-L and CLIP-G side by side."""
    widths = {key: space.concepts.shape[1] for key, space in subspace.encoders.items()}
    if set(widths) == {"l", "g"} and sum(widths.values()) == width:
        return {"l": slice(0, widths["l"]), "g": slice(widths["l"], width)}
    # Beside another encoder a CLIP fills no token states of its own: an SDXL subspace is none for SD1 conditioning.
    clips = {key for key in widths if families.ENCODERS.get(key) is families.CLIP} if len(widths) > 1 else set()
    fitting = [key for key, own in widths.items() if own == width and key not in clips]
    if len(fitting) == 1:
        return {fitting[0]: slice(0, width)}
    raise SafreeError(
        f"subspace '{subspace.name}' was built with {', '.join(f'{k!r} ({w})' for k, w in widths.items())}; this "
        f"conditioning is {width} wide. Build it with the CLIP that made the conditioning, or use SafreeConditioning."
    )


def _steer(tokens: torch.Tensor, key: str, subspace: ConceptSubspace, strength: float, limit: float) -> list[Finding]:
    """Steer `tokens` [T, D] in place; one finding for each token."""
    states = tokens.float().cpu()
    scores = resemblance(states, subspace[key]).amax(dim=-1)
    if key in families.ENCODERS and families.ENCODERS[key].start:
        scores[0] = -1
    findings = [Finding(key, f"token {position}") for position in range(len(states))]
    for finding, score in zip(findings, scores.tolist(), strict=True):
        note(finding, subspace, score, limit)
    flagged = (scores > limit).nonzero().flatten()
    if len(flagged):
        start = int(flagged[0])
        away = torch.lerp(states[start:], remove_nearest(states[start:], subspace[key]), strength)
        tokens[start:] = away.to(tokens)
    return findings
