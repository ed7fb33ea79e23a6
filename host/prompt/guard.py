"""Guard one prompt: find the words that lean into the subspaces, steer them away, say what was done."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import torch

from ...safree import SafreeError, check_choice, validation
from ...safree.subspace import MODES, ConceptSubspace
from ..conditioning import entries, marks
from ..data import languages
from ..text.embeddings import embeddings_of
from ..text.encoders import check_embeddings, encoders, followers, tokenize
from ..text.multi_text import check_spaces, check_texts, joined, tokenize_each
from . import adaptive, paper_modes, refusals
from .findings import Settings
from .guarded import Guarded, Steered, TPrime, logged

LONGEST_PROMPT = 20_000  # characters: every word is encoded anew, so time grows with them
UNCHECKED = "SAFREE_UNCHECKED_LANGUAGES"  # environment variable; 'refuse' for all prompts of a server
VALIDATIONS = ("auto", "whole schedule", "paper", "reference")


def guard_prompt(
    clip, text: str, subspaces: tuple[ConceptSubspace, ...], settings: Settings, refuse: bool = True
) -> Guarded:
    """`text` as CONDITIONING, guarded against `subspaces`.

    With strength 0, or nothing flagged, the tensors are those of the stock text encode node. Raises SafreeError, and
    with `refuse` also for a combination that is refused, not cleaned.
    """
    guarded = _guard(clip, text, text, lambda: tokenize(clip, text), subspaces, settings)
    return logged(refusals.checked(guarded) if refuse else guarded)


def guard_texts(clip, texts: dict[str, str], subspaces: tuple[ConceptSubspace, ...], settings: Settings) -> Guarded:
    """The same of a prompt with a text for each text encoder, by the names in texts.READERS; '' where `clip` has none.

    A word that is flagged in one text is taken out of all. The tensors with nothing flagged are those of
    CLIPTextEncodeSDXL and its likes.
    """
    texts = check_texts(clip, texts)
    guarded = _guard(clip, texts, joined(texts), lambda: tokenize_each(clip, texts), subspaces, settings)
    return logged(refusals.checked(guarded))


def _guard(
    clip, prompt: str | dict[str, str], text: str, tokenized: Callable[[], dict], subspaces, settings: Settings
) -> Guarded:
    _check(text, subspaces, settings)
    subspaces = tuple(subspace.tuned(settings.mode, settings.threshold) for subspace in subspaces)
    unguarded = Guarded([], text, settings, subspaces)
    active = unguarded.active
    if active and len(text) > LONGEST_PROMPT:
        raise SafreeError(f"the prompt has {len(text)} characters, more than the {LONGEST_PROMPT} allowed. Shorten it.")
    found = encoders(clip, prompt)  # also the check that this clip is supported
    tokens = tokenized()
    check_embeddings(found, tokens)
    also = followers(clip, found, tokens)
    if also and settings.mode != "adaptive":
        raise SafreeError(
            f"mode {settings.mode!r} does not reach what this model reads as {also[0].key!r}. Choose mode 'adaptive'."
        )
    base = clip.encode_from_tokens_scheduled(tokens)
    if not active:
        return dataclasses.replace(unguarded, conditioning=entries.mark(base, "unchecked"))
    notes = check_spaces(clip, found, text)
    _check_encoders(clip, found, active)
    if settings.mode == "adaptive":
        texts = prompt if isinstance(prompt, dict) else dict.fromkeys(tokens, prompt)
        steered = adaptive.steer(clip, found, also, tokens, texts, base, active, settings)
    else:
        steered = paper_modes.steer(clip, found, tokens, base, active, settings)
    return _checked(unguarded, base, steered, notes)


def _checked(unguarded: Guarded, base: list, steered: Steered, notes: list[str]) -> Guarded:
    """`unguarded` with what a mode made of its prompt. base: the host's own CONDITIONING of it."""
    unchecked = tuple(sorted(languages.name(code) for code in steered.unread))
    notes = (*notes, *_unchecked(unchecked), *steered.notes)
    checked = dataclasses.replace(unguarded, findings=tuple(steered.findings), notes=notes, unchecked=unchecked)
    concepts = marks.fingerprints(checked.active)
    if steered.filtered is None:
        return dataclasses.replace(checked, conditioning=entries.mark(base, "clear", concepts))
    if not all(torch.isfinite(tensor).all() for tensor, _ in steered.filtered):
        raise SafreeError("the encoded prompt holds NaN or infinity. Check its weights, such as (word:1.3).")
    steps = _validated_steps(checked.settings, steered.beta)
    t_prime = TPrime(validation.share(steps), steps)
    guarded = entries.guarded(steered.filtered, base, t_prime.share, t_prime.steps, concepts)
    return dataclasses.replace(checked, conditioning=guarded, t_prime=t_prime)


def _check_encoders(clip, found, subspaces: tuple[ConceptSubspace, ...]) -> None:
    """SafreeError unless each subspace was built with these encoders."""
    for encoder in found:
        probe = embeddings_of(encoder).probes[0]
        for subspace in subspaces:
            subspace.check_encoder(encoder.key, probe)


def _check(text: str, subspaces: tuple[ConceptSubspace, ...], settings: Settings) -> None:
    check_choice("mode", settings.mode, MODES)
    check_choice("self_validation", settings.validation, VALIDATIONS)
    if not subspaces:
        raise SafreeError("no concept subspace is connected. Connect a ConceptSubspace.")
    if settings.mode != "adaptive" and (lists := [one.name for one in subspaces if one.names]):
        raise SafreeError(f"mode {settings.mode!r} finds no names of a list ('{lists[0]}'). Choose mode 'adaptive'.")
    if text and not text.strip():
        raise SafreeError("the prompt holds only white space. Write a prompt, or leave it empty.")


def _unchecked(names: tuple[str, ...]) -> list[str]:
    """A note for each language that was not checked; SafreeError where this server refuses such prompts."""
    notes = [f"This prompt holds {name}, which was not checked: no text encoder here reads it." for name in names]
    if notes and (languages.refuses_unchecked.get() or os.environ.get(UNCHECKED) == "refuse"):
        raise SafreeError(f"{notes[0]} Write it in English. (This server refuses such prompts.)")
    return notes


def _validated_steps(settings: Settings, beta: float) -> float:
    """t' in steps of the release's 50-step schedule."""
    rule = settings.validation
    if rule == "auto":
        rule = "whole schedule" if settings.mode == "adaptive" else settings.mode
    if rule == "paper":
        return validation.paper_steps(beta)
    if rule == "reference":
        return validation.reference_steps(beta)
    return float(validation.RELEASE_STEPS)
