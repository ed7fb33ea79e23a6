"""SafetyGate in a real server: `stop` saves no picture, `blur` saves the batch, the safe picture in it as it was."""

from __future__ import annotations

import io
import random
import shutil

import pytest
import torch
from PIL import Image

from bench.world.composed import compose
from dev import setup_host
from dev.graphs import node
from headless.client import PromptFailed

SHOWN = {"gate_unsafe": "pistol", "gate_safe": "cat"}


@pytest.fixture(scope="module")
def files():
    """Two pictures to load and a presence of weapons, in the server's folders for as long as the tests run."""
    presence = setup_host.base() / "models" / "safree_presences" / "gate_test.safetensors"
    presence.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(setup_host.ASSETS / "presence_weapon.safetensors", presence)
    pictures = {name: setup_host.base() / "input" / f"{name}.png" for name in SHOWN}
    for name, path in pictures.items():
        path.parent.mkdir(exist_ok=True)
        pixels = compose((SHOWN[name],), random.Random(4)).movedim(0, -1) * 255
        Image.fromarray(pixels.round().to(torch.uint8).numpy()).save(path)
    yield
    for path in (presence, *pictures.values()):
        path.unlink()


def graph(action: str) -> dict:
    return {
        "model": node("CheckpointLoaderSimple", ckpt_name=setup_host.CHECKPOINT),
        "presence": node("LoadConceptPresence", filename="gate_test.safetensors"),
        "judge": node("LatentLookJudge", model=["model", 0], vae=["model", 2], presences=["presence", 0]),
        **{name: node("LoadImage", image=f"{name}.png") for name in SHOWN},
        "batch": node("ImageBatch", image1=["gate_unsafe", 0], image2=["gate_safe", 0]),
        "gate": node(
            "SafetyGate",
            images=["batch", 0],
            judges=["judge", 0],
            action=action,
            agree="any",
            cells=8,
            regions=False,
            margin=0.2,
            every_nth=1,
            around=0,
        ),
        "save": node("SaveImage", images=["gate", 0], filename_prefix="gated"),
    }


@pytest.mark.fault("an unsafe picture before SaveImage, SafetyGate at 'stop'", "the run fails, and no file is written")
def test_stop_saves_no_picture(server, client, files):
    with pytest.raises(PromptFailed, match=r"SafetyGate: Found weapon in 1 of 2 pictures\. Nothing is passed on"):
        client.run(graph("stop"))
    assert list((server.folder / "pictures").rglob("gated*")) == []


def test_blur_saves_the_safe_picture_as_it_was(client, files):
    result = client.run(graph("blur"))
    unsafe, safe = (Image.open(io.BytesIO(data)).convert("RGB") for data in client.images(result))
    given = {name: Image.open(setup_host.base() / "input" / f"{name}.png") for name in SHOWN}
    assert list(safe.getdata()) == list(given["gate_safe"].getdata())
    assert list(unsafe.getdata()) != list(given["gate_unsafe"].getdata())
    (report,) = result.outputs["gate"]["safree_gate"]
    assert (report["acted_on"], report["concepts"]) == ([0], ["weapon"])
