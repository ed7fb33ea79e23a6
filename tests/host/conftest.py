"""Fixtures of the tests that run the real text encoder and the real UNet of the tiny checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
from third_branch import SCALES
from tracing import encode


@pytest.fixture(scope="session")
def weapons(pack, clip):
    """Concept subspace of the shipped set `weapons`, with the tiny text encoder."""
    return pack.host.prompt.subspaces.build_subspace(
        clip, "weapons", pack.host.data.concept_sets.get("weapons").phrases
    )


@pytest.fixture(scope="session")
def cat(clip):
    """Stock CONDITIONING of 'a cat'."""
    return encode(clip, "a cat")


@pytest.fixture(scope="session")
def pistol(clip):
    """Stock CONDITIONING of 'a pistol'."""
    return encode(clip, "a pistol")


@pytest.fixture(scope="session")
def empty(clip):
    """Stock CONDITIONING of ''."""
    return encode(clip, "")


@pytest.fixture
def latent():
    """An empty LATENT of 64x64 pixels: small, so that many runs are cheap."""
    return {"samples": torch.zeros(1, 4, 8, 8)}


@pytest.fixture
def swapped(pack, cat, pistol):
    """Guarded CONDITIONING: 'a cat' (filtered) for the first 2 of 5 steps, 'a pistol' (original) afterwards."""
    return pack.host.conditioning.entries.guarded(cat, pistol, share=0.4, steps=20.0)


@pytest.fixture
def guarded(pack, cat, pistol):
    """'a cat' as the filtered form of 'a pistol', for the whole schedule."""
    return pack.host.conditioning.entries.guarded(cat, pistol, share=1.0, steps=50.0)


@pytest.fixture
def patch(pack):
    """ReAttentionPatch's function: (model, scales) -> model."""

    def patch(model, scales=(SCALES[640], SCALES[320]), radius=0.0):
        return pack.host.reattention.skip_features.patch(
            model, pack.host.reattention.skip_features.Settings(scales, radius)
        )

    return patch


@contextlib.contextmanager
def _little_vocabulary(pack, folder):
    known = pack.host.data.vocabulary.load()
    little = dataclasses.replace(known, phrases=known.phrases[::20], prompts=known.prompts[::20])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pack.host.data.vocabulary, "load", lambda: little)
        patched.setattr(pack.host.folders, "calibration", lambda: folder)
        yield


@pytest.fixture(scope="module")
def little_vocabulary(pack, weapons, tmp_path_factory):
    """A twentieth of everyday language, kept nowhere: random encoders are calibrated for layout, not for quality.

    Their tables repeat, so that some words are others: 'pistol' is 'golfer'. The tiny checkpoint is calibrated before.
    """
    with _little_vocabulary(pack, tmp_path_factory.mktemp("calibrations")):
        yield


@pytest.fixture
def little_vocabulary_here(pack, weapons, tmp_path):
    """The same for one test."""
    with _little_vocabulary(pack, tmp_path):
        yield
