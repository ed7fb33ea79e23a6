"""`bench encoders` measures encoders of full size: those that the families really use."""

from __future__ import annotations

import pytest

from bench.cost import full_size

pytestmark = pytest.mark.usefixtures("comfy_nodes")

PARAMETERS = {"l": 123, "g": 695, "t5xxl": 4762, "qwen25_7b": 7747}  # millions; of Qwen without the head
ENCODERS = {"sd15": ["l"], "sdxl": ["l", "g"], "flux": ["l", "t5xxl"], "qwen": ["qwen25_7b"]}


@pytest.mark.parametrize("name", full_size.MODELS)
def test_encoders_have_their_real_size(name):
    from comfy.sd1_clip import SDClipModel

    clip = full_size.build(name, device="meta")

    children = clip.cond_stage_model.named_children()
    sizes = {
        key.removeprefix("clip_"): sum(p.numel() for p in model.transformer.parameters())
        for key, model in children
        if isinstance(model, SDClipModel)
    }
    assert sorted(sizes) == sorted(ENCODERS[name])
    for key, size in sizes.items():
        assert size == pytest.approx(PARAMETERS[key] * 1e6, rel=0.03)


def test_fewer_layers_for_counting():
    whole = full_size.build("flux", device="meta").cond_stage_model
    short = full_size.build("flux", device="meta", layers=1).cond_stage_model

    assert (whole.t5xxl.num_layers, short.t5xxl.num_layers) == (24, 1)
    assert (whole.clip_l.num_layers, short.clip_l.num_layers) == (12, full_size.FEWEST_CLIP_LAYERS)


def test_streaming_needs_a_gpu():
    with pytest.raises(ValueError, match="runs on the CPU"):
        full_size.stream(full_size.build("sd15", device="meta"))
