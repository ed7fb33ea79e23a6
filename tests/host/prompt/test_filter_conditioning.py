"""SafreeFilterConditioning: conditioning steered without its prompt."""

from __future__ import annotations

import json

import pytest
import tiny_families
import tiny_models
import torch
from tracing import outputs


@pytest.fixture(scope="module")
def subspaces(pack, clip):
    return pack.ConceptSubspace.execute(clip, "weapons", "", 1.0).args[0]


def encode(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def test_a_flagged_token_is_steered_and_what_stands_before_it_is_not(pack, clip, subspaces):
    plain = encode(clip, "a monkey and a pistol")
    filtered, report, flagged = pack.SafreeFilterConditioning.execute(plain, subspaces, 1.0, 0.0).args
    first = next(i for i, token in enumerate(json.loads(report)["tokens"]) if token["flagged"])
    assert flagged > 0
    assert first == 5, "<start> a monkey and a pistol"
    assert torch.equal(filtered[0][0][:, :first], plain[0][0][:, :first])
    scores = pack.safree.projection.resemblance(filtered[0][0][0], subspaces[0]["l"])
    before = pack.safree.projection.resemblance(plain[0][0][0], subspaces[0]["l"])
    assert scores[first].max() < before[first].max() - 0.3
    assert json.loads(report)["notes"], "it says what it could not do"


@pytest.mark.parametrize("text", ["a monkey and a violin", "a sunflower on a red background, noto style", ""])
def test_harmless_conditioning_passes_bit_for_bit(pack, clip, subspaces, text):
    plain = encode(clip, text)
    filtered, report, flagged = pack.SafreeFilterConditioning.execute(plain, subspaces, 1.0, 0.0).args
    assert flagged == 0
    assert torch.equal(filtered[0][0], plain[0][0])
    assert json.loads(report)["verdict"].startswith("Nothing flagged")


def test_strength_zero_passes_bit_for_bit(pack, clip, subspaces):
    plain = encode(clip, "a pistol")
    filtered, *_ = pack.SafreeFilterConditioning.execute(plain, subspaces, 0.0, 0.0).args
    assert torch.equal(filtered[0][0], plain[0][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: [[torch.zeros(1, 77, 1024), {}]], "1024 wide"),
        (lambda c: [], "is empty"),
        (lambda c: [[c[0][0] * float("nan"), {}]], "NaN"),
    ],
)
def test_unusable_conditioning_is_refused_by_name(pack, clip, subspaces, change, message):
    changed = change(encode(clip, "a cat"))
    with pytest.raises(pack.safree.SafreeError, match=f"SafreeFilterConditioning: .*{message}"):
        pack.SafreeFilterConditioning.execute(changed, subspaces, 1.0, 0.0)


@pytest.mark.parametrize("family", ["SDXL", "Flux"])
def test_the_clip_of_a_larger_model_is_no_match_for_sd1_conditioning(pack, clip, little_vocabulary_here, family):
    other = tiny_families.FAMILIES[family].text.clip()
    for encoder in pack.host.text.encoders.encoders(other):
        tiny_models.plant_words(encoder)
    subspace = pack.host.prompt.subspaces.build_subspace(other, "weapon", ("pistol",))
    with pytest.raises(pack.safree.SafreeError, match=r"built with 'l' .*this conditioning is 768 wide"):
        pack.host.prompt.filter_conditioning.filter_conditioning(encode(clip, "a pistol"), (subspace,), 1.0, 0.0)


def test_the_first_token_of_an_encoder_without_a_start_token_is_a_word(pack, little_vocabulary_here):
    """Such as T5, whose conditioning begins with the prompt's first word."""
    t5 = tiny_families.FAMILIES["LTXV"].text.clip()
    (encoder,) = pack.host.text.encoders.encoders(t5)
    tiny_models.plant_words(encoder)
    subspace = pack.host.prompt.subspaces.build_subspace(t5, "weapon", ("pistol",))
    plain = encode(t5, "pistol on a red chair")
    filtered, report = outputs(pack.host.prompt.filter_conditioning.filter_conditioning(plain, (subspace,), 1.0, 0.0))
    assert report["tokens"][0]["flagged"]
    assert not torch.equal(filtered[0][0][:, 0], plain[0][0][:, 0])
