"""The latent guard in every transformer that the table names: read at the right place, learned, damped, left alone.

A test that ran writes its cell into `.comfy/latent_table.json`, for dev/generate/latent_table.py.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json

import pytest
import torch
from host_nodes import HostNodes
from newer_families import NEWER
from tiny_families import FAMILIES
from tracing import SEED

from dev import setup_host

STEPS = 3
TABLE = setup_host.WORK / "latent_table.json"
ALL = FAMILIES | NEWER
# Deep enough that the single blocks, behind the joint ones, stand in the middle third.
DEEPER = {
    "Flux": {"depth_single_blocks": 2},
    "Chroma": {"depth_single_blocks": 2},
    "HunyuanVideo": {"depth_single_blocks": 2},
    "FLUX.2": {"depth_single_blocks": 2},
    "AuraFlow": {"n_layers": 3},
    "HiDream": {"num_single_layers": 2, "llama_layers": [1, 2, 3], "caption_channels": [64, 64]},
}
READ = [
    *("SD3, SD3.5", "Flux", "Chroma", "FLUX.2", "FLUX.2 klein", "Qwen-Image", "Lumina 2", "Z-Image", "AuraFlow"),
    *("PixArt", "HunyuanImage 2.1", "HunyuanDiT", "HiDream", "Omnigen2", "Ovis-Image", "Anima", "Cosmos Predict2"),
    *("Wan 2.1", "LTXV", "HunyuanVideo", "HunyuanVideo 1.5", "Mochi", "Kandinsky 5 video", "Kandinsky 5 image"),
]
NO_MASK = ["HunyuanVideo 1.5", "Kandinsky 5 video"]  # ComfyUI's own code fails there
REFUSED = ["Stable Cascade, stage C", "Stable Cascade, stage B", "LTX-2"]
CASES = [*READ, *(f"{name}, single blocks" for name in DEEPER)]
# Families whose conditioning takes pictures to edit or to refer to; ComfyUI puts their tokens beside the picture's.
REFERENCES = ["Flux", "Flux, single blocks", "FLUX.2", "FLUX.2, single blocks", "Qwen-Image", "Omnigen2"]


@dataclasses.dataclass
class Built:
    """One family. presence: learned from what its random model draws, which means nothing, but has all parts."""

    name: str
    model: object
    clip: object
    presence: object
    latent: torch.Tensor
    sample: functools.partial

    def empty(self) -> list:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(""))


@functools.cache
def made(name: str):
    """(MODEL, CLIP, shape of a latent); another height than width, so that a turned picture is noticed."""
    family, more = ALL[name.partition(", single")[0]], DEEPER if name.endswith("single blocks") else {}
    clip = family.text.clip("")
    config = {**family.config, **more.get(name.partition(", single")[0], {})}
    family = dataclasses.replace(family, config=config)
    *sides, width = family.latent
    return family.diffusion_model(), clip, (*sides, width if name == "PixArt" else width - 2)


@pytest.fixture(scope="module")
def results() -> dict:
    return {}


@pytest.fixture(scope="module", params=CASES)
def built(request, comfy_nodes, pack):
    model, clip, shape = made(request.param)
    presence = learned(pack, model, clip)

    def sample(model, cfg=3.0, steps=STEPS, latent=None, positive=None, **options):
        empty = clip.encode_from_tokens_scheduled(clip.tokenize(""))
        latent = {"samples": torch.zeros(shape)} if latent is None else latent
        settings = (SEED, steps, cfg, "euler", "simple", positive or empty, empty, latent)
        return comfy_nodes.common_ksampler(model, *settings, **options)[0]["samples"]

    return Built(request.param, model, clip, presence, torch.zeros(shape), sample)


def learned(pack, model, clip):
    learn = pack.host.latent.learn_presence
    size = 384 if type(model.model.diffusion_model).__name__ == "PixArtMS" else 64
    settings = learn.PictureSettings(pictures=16, steps=2, width=size, height=size, batch=16, cfg=1.0)
    return learn.learn(model, clip, pack.safree.subspace.ConceptSubspace("star", ("a star",), {}), settings)


@pytest.fixture
def write(results):
    """Write a cell of the table: to be called where the test has shown what the cell says."""

    def write(name: str, column: str, cell: str) -> None:
        from comfyui_version import __version__

        results.setdefault(name, {})[column] = cell
        known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
        known[__version__] = known.get(__version__, {}) | results
        partial = TABLE.with_suffix(".partial")
        partial.write_text(json.dumps(known, indent=1))
        partial.replace(TABLE)

    return write


@pytest.fixture
def record(built, write):
    return functools.partial(write, built.name)


ALWAYS, NEVER = -1e3, 1e3  # what clean pictures measure, so that everything or nothing counts as the concept


def showing(presence, clean: float):
    """The presence with another measure of clean pictures; where everything counts, each place shows it."""
    higher = 5.0 if clean == ALWAYS else 0.0
    probes = tuple(
        {block: dataclasses.replace(probe, offset=probe.offset - higher) for block, probe in probes.items()}
        for probes in presence.probes
    )
    return dataclasses.replace(presence, probes=probes, clean=torch.full_like(presence.clean, clean))


def guarded(pack, model, presence, clean: float):
    """(`model` guarded against what always or never shows, what its runs saw)."""
    latent_guard, runs = pack.host.latent.latent_guard, []
    settings = latent_guard.guard_of(latent_guard.patch(model, (showing(presence, clean),), 0.2))
    return latent_guard.guarded_by(model, settings, runs.append), runs


@pytest.fixture
def guard(pack, built):
    return lambda clean, model=None: guarded(pack, model or built.model, built.presence, clean)


def features(pack, built, noise: torch.Tensor, positive=None) -> dict[int, torch.Tensor]:
    """What a watcher sees of one call of the model with `noise`, by block."""
    import comfy.patcher_extension
    import comfy.sample
    import comfy.samplers

    found, seen = pack.host.features.model_features.features_of(built.model, "a test"), {}

    def watcher(block, h, _options):
        seen[block] = h.clone()
        return h

    def apply_model(executor, *args, **kwargs):
        return found.call(executor, watcher, *args, **kwargs)

    model = built.model.clone()
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "test", apply_model)
    positive, sigmas = positive or built.empty(), torch.tensor([0.9, 0.0])
    settings = (1.0, comfy.samplers.ksampler("euler"), sigmas, positive, positive, built.latent)
    comfy.sample.sample_custom(model, noise, *settings, seed=SEED)
    return seen


def places(features: torch.Tensor, other: torch.Tensor) -> tuple[int, ...]:
    """Where two features [1, D, ...] differ most."""
    away = (features - other).norm(dim=1)[0]
    return tuple(int(i) for i in torch.unravel_index(away.argmax(), away.shape))


def moved(built) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, and the same with another number for the last columns of the first row, in the last frame."""
    noise = torch.randn(built.latent.shape, generator=torch.Generator().manual_seed(3))
    other = noise.clone()
    frame = (-1,) if noise.ndim == 5 else ()
    other[(..., *frame, slice(0, 1), slice(-1, None))] += 20.0
    return noise, other


def test_the_features_are_those_of_the_place_in_the_picture(pack, built, record):
    before, after = (features(pack, built, noise) for noise in moved(built))
    for block, seen in before.items():
        grid = seen.shape[2:]
        wanted = (*(side - 1 for side in grid[:-2]), 0, grid[-1] - 1)
        assert places(seen, after[block]) == wanted
    record("read", "video" if len(grid) == 3 else "picture")
    kinds = pack.host.features.model_features.features_of(built.model, "a test").blocks.chosen.values()
    hooks = {"double_block": "ComfyUI's `double_block`", "single_block": "ComfyUI's `single_block`", "": "torch's hook"}
    record("blocks", ", ".join(dict.fromkeys(hooks[blocks.hook] for blocks, _ in kinds)))


def test_what_is_learned_holds_each_block(built, record):
    assert built.presence.probes[0].keys() == built.presence.probes[1].keys()
    assert all(torch.isfinite(probe.weight).all() for probe in built.presence.probes[0].values())
    record("learned", "yes")


def test_a_picture_without_the_concept_is_not_changed_bit_for_bit(built, guard, record):
    patched, runs = guard(NEVER)
    assert torch.equal(built.sample(patched), built.sample(built.model))
    assert runs[-1][0]["found_at"] is None
    record("unchanged", "bit-identical")


def test_once_found_it_is_damped_in_the_steps_that_follow(built, guard, record):
    patched, runs = guard(ALWAYS)
    damped, plain = built.sample(patched), built.sample(built.model)
    assert damped.isfinite().all()
    assert not torch.equal(damped, plain)
    (seen,) = runs[-1]
    assert (seen["found_at"], seen["damped"], len(seen["steps"])) == (1, STEPS - 1, STEPS)
    if built.latent.ndim == 5 and built.latent.shape[2] > 1:
        assert len(seen["frames"]) == built.latent.shape[2]
    record("damped", "yes")


def test_it_works_at_cfg_1(built, guard, record):
    patched, runs = guard(ALWAYS)
    assert not torch.equal(built.sample(patched, cfg=1.0), built.sample(built.model, cfg=1.0))
    assert len(runs[-1][0]["steps"]) == STEPS
    record("cfg 1", "yes")


def test_each_picture_of_a_batch_is_judged_by_itself(built, guard, record):
    patched, runs = guard(ALWAYS)
    built.sample(patched, latent={"samples": built.latent.repeat(2, *[1] * (built.latent.ndim - 1))})
    assert [seen["picture"] for seen in runs[-1]] == [0, 1]
    record("batch", "yes")


def test_a_masked_run_is_guarded(built, guard, record):
    if built.name in NO_MASK:
        pytest.skip("ComfyUI samples this family with no mask")
    patched, runs = guard(NEVER)
    mask = torch.zeros(1, 1, *built.latent.shape[-2:])
    mask[..., : mask.shape[-1] // 2] = 1
    latent = {"samples": built.latent, "noise_mask": mask}
    assert torch.equal(built.sample(patched, latent=latent), built.sample(built.model, latent=latent))
    assert len(runs[-1][0]["steps"]) == STEPS
    record("mask", "yes")


def test_a_finished_latent_is_looked_at(pack, built, record):
    look, finished = pack.host.latent.latent_look.look, {"samples": built.sample(built.model)}
    for clean, found in ((NEVER, False), (ALWAYS, True)):
        concept = showing(built.presence, clean)
        assert [finding["found"] for finding in look(built.model, (concept,), finished)] == [found]
    record("look", "yes")


def test_a_patch_of_the_same_block_that_is_there_already_runs_too(built, guard):
    blocks = guard(ALWAYS)[0].attachments["safree_latent_guard"].features.blocks
    ((kind, index), *_) = blocks.chosen.values()
    if not kind.hook:
        pytest.skip("this ComfyUI asks no patch for the blocks of this family")
    calls, other = [], built.model.clone()

    def counted(arguments, extra):
        calls.append(1)
        return extra["original_block"](arguments)

    other.set_model_patch_replace(counted, "dit", kind.hook, index)
    assert torch.equal(built.sample(guard(ALWAYS, model=other)[0]), built.sample(guard(ALWAYS)[0]))
    assert len(calls) >= STEPS


@pytest.mark.parametrize("name", REFERENCES)
def test_the_tokens_of_a_reference_picture_are_not_read(pack, comfy_nodes, name, write):
    model, clip, shape = made(name)
    built = Built(name, model, clip, None, torch.zeros(shape), None)
    reference = torch.randn(1, shape[1], *shape[2:-2], 6, 4, generator=torch.Generator().manual_seed(5))
    ((states, options),) = built.empty()
    positive = [[states, {**options, "reference_latents": [reference]}]]
    noise, other = moved(built)
    before, after = (features(pack, built, one, positive) for one in (noise, other))
    alone = features(pack, built, noise)
    for block, seen in before.items():
        assert places(seen, after[block]) == (0, seen.shape[-1] - 1)
        assert seen.shape == alone[block].shape
        assert not torch.equal(seen, alone[block])  # the reference was there
    write(name, "references", "yes")


@pytest.mark.parametrize("name", REFUSED)
def test_a_family_without_a_row_is_refused_with_its_reason(pack, comfy_nodes, name):
    import comfy.supported_models

    if not hasattr(comfy.supported_models, ALL[name].model):
        pytest.skip(f"this ComfyUI is older than {name}")
    network = type(ALL[name].diffusion_model().model.diffusion_model).__name__
    with pytest.raises(pack.safree.SafreeError, match=f"LatentGuardPatch does not read a {network}: "):
        pack.host.features.model_features.features_of(ALL[name].diffusion_model(), "LatentGuardPatch")


@pytest.fixture(scope="module")
def flux(comfy_nodes, pack):
    model, clip, shape = made("Flux")
    return model, clip, torch.zeros(shape), learned(pack, model, clip)


@pytest.fixture
def run(comfy_nodes, flux):
    _, clip, latent, _ = flux
    empty = clip.encode_from_tokens_scheduled(clip.tokenize(""))

    def run(model, steps=STEPS):
        settings = (SEED, steps, 3.0, "euler", "simple", empty, empty, {"samples": latent})
        return comfy_nodes.common_ksampler(model, *settings)[0]["samples"]

    return run


def test_steps_that_a_cache_answers_are_counted_as_not_looked_at(pack, flux, run):
    (cached,) = HostNodes("nodes_easycache").EasyCacheNode(flux[0], 1e6, 0.0, 1.0, False)
    patched, runs = guarded(pack, cached, flux[-1], NEVER)
    assert torch.equal(run(patched, 6), run(cached, 6))
    (seen,) = runs[-1]
    assert seen["skipped"] > 0
    assert len(seen["steps"]) + seen["skipped"] == 6


def test_a_compiled_model_is_read(pack, flux, run):
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    compiled = flux[0].clone()
    set_torch_compile_wrapper(compiled, backend="eager")
    patched, runs = guarded(pack, compiled, flux[-1], ALWAYS)
    torch.testing.assert_close(run(patched), run(guarded(pack, flux[0], flux[-1], ALWAYS)[0]))
    assert len(runs[-1][0]["steps"]) == STEPS


def test_no_hook_stays_when_a_run_is_over(pack, comfy_nodes):
    model, clip, shape = made("PixArt")
    built = Built("PixArt", model, clip, None, torch.zeros(shape), None)
    features(pack, built, torch.randn(shape))
    assert not any(block._forward_hooks for block in model.model.diffusion_model.blocks)


def test_a_presence_of_another_model_is_refused(pack, flux, comfy_nodes):
    other, *_ = made("Qwen-Image")
    probe = flux[-1].probes[0][0]
    deeper = dataclasses.replace(flux[-1], probes=({0: probe, 9: probe},) * 2)
    with pytest.raises(pack.safree.SafreeError, match="learned with another kind of model"):
        pack.host.latent.latent_guard.patch(other, (deeper,))


def test_blocks_that_a_newer_comfyui_names_otherwise_are_an_error(pack, comfy_nodes):
    model = ALL["Wan 2.1"].diffusion_model()
    network = model.model.diffusion_model
    network.add_module("stages", network._modules.pop("blocks"))
    with pytest.raises(pack.safree.SafreeError, match="does not find the blocks 'blocks' of this WanModel"):
        pack.host.features.model_features.features_of(model, "LatentGuardPatch")


def test_blocks_that_a_newer_comfyui_calls_otherwise_are_an_error(pack, flux, run, monkeypatch):
    families = pack.host.features.families
    place = "flux.model.Flux"
    row = families.FAMILIES[place]
    renamed = tuple(dataclasses.replace(blocks, hook=f"new_{blocks.hook}") for blocks in row.blocks)
    monkeypatch.setitem(families.FAMILIES, place, dataclasses.replace(row, blocks=renamed))
    with pytest.raises(pack.safree.SafreeError, match="block 0 of Flux was not read: this ComfyUI calls its blocks"):
        run(guarded(pack, flux[0], flux[-1], NEVER)[0])


def test_tokens_that_are_laid_out_otherwise_are_an_error(pack, flux, run):
    shorter = flux[0].clone()

    def shortened(arguments, extra):
        out = extra["original_block"](arguments)
        return {**out, "img": out["img"][:, :3]}

    shorter.set_model_patch_replace(shortened, "dit", "double_block", 0)
    with pytest.raises(pack.safree.SafreeError, match="block 0 of Flux holds 3 tokens, in which the picture's 12"):
        run(guarded(pack, shorter, flux[-1], NEVER)[0])


def test_a_model_that_edits_a_picture_learns_nothing_without_one(pack, clip, weapons, model, comfy_nodes):
    import comfy.model_base

    class Editing(type(model.model), comfy.model_base.IP2P):
        pass

    editing = model.clone()
    editing.model = copy.copy(model.model)
    editing.model.__class__ = Editing
    learn = pack.host.latent.learn_presence
    with pytest.raises(pack.safree.SafreeError, match=r"edits a picture .* and draws nothing without one"):
        learn.learn(editing, clip, weapons, learn.PictureSettings(16, 2))
