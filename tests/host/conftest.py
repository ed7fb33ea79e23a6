"""Fixtures of the tests that run the real text encoder and the real UNet of the tiny checkpoint."""

from __future__ import annotations

import pytest
import torch
from third_branch import SCALES
from tracing import encode


@pytest.fixture(scope="session")
def weapons(pack, clip):
    """Concept subspace of the shipped set `weapons`, with the tiny text encoder."""
    return pack.host.subspaces.build_subspace(clip, "weapons", pack.host.concept_sets.get("weapons").phrases)


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
    return pack.host.conditioning.guarded(cat, pistol, share=0.4, steps=20.0)


@pytest.fixture
def guarded(pack, cat, pistol):
    """'a cat' as the filtered form of 'a pistol', for the whole schedule."""
    return pack.host.conditioning.guarded(cat, pistol, share=1.0, steps=50.0)


@pytest.fixture
def patch(pack):
    """ReAttentionPatch's function: (model, scales) -> model."""

    def patch(model, scales=(SCALES[640], SCALES[320]), radius=0.0):
        return pack.host.reattention.patch(model, pack.host.reattention.Settings(scales, radius))

    return patch
