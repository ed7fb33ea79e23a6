"""Recipes with SafetyGate behind the other guards."""

from __future__ import annotations

from .recipe import TINY, TINY_PRESENCE, Recipe, World
from .workflow_graph import Graph, conditioning, guard, sample

NUDENET = "NudeNet (installed package)"


def three_guards(graph: Graph, world: World, prompt: str) -> None:
    """What the words say, what shows while it is drawn, and the finished picture."""
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=world.checkpoint)
    model, clip, vae = checkpoint[0], checkpoint[1], checkpoint[2]
    weapons = graph.add("ConceptSubspace", clip=clip, concept_set="weapons")[0]
    if world is TINY:
        presences = graph.add("LoadConceptPresence", filename=TINY_PRESENCE)
        subspaces, judges = weapons, {}
    else:
        learning = {"batch_size": 4, "width": world.side, "height": world.side}
        presences = graph.add("ConceptPresence", model=model, clip=clip, subspaces=weapons, **learning)
        graph.add("SaveConceptPresence", presences=presences[0], filename="weapons", overwrite=True)
        subspaces = graph.add("ConceptSubspace", clip=clip, concept_set="nudity", subspaces=weapons)[0]
        judges = {"judges": graph.add("LoadSafetyJudge", judge=NUDENET)[0]}
    watched = graph.add("LatentGuardPatch", model=model, presences=presences[0])
    judge = graph.add("LatentLookJudge", model=model, vae=vae, presences=presences[0], **judges)
    latent = graph.add("EmptyLatentImage", width=world.side, height=world.side)
    positive = conditioning(graph, clip, subspaces, prompt)
    options = {"steps": world.steps, "cfg": world.cfg, "on_problem": "warn"}  # what is still there the gate deals with
    sampled = sample(graph, watched[0], positive, clip, latent[0], **options)
    decoded = graph.add("VAEDecode", samples=sampled, vae=vae)
    gate(graph, decoded[0], judge[0], "SaveImage", filename_prefix="safree/three_guards")


def guarded_video(graph: Graph, world: None, prompt: str) -> None:
    """Wan, whose words and finished frames are looked at."""
    model = graph.add("UNETLoader", unet_name="wan2.1_t2v_1.3B_fp16.safetensors")
    clip = graph.add("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan")
    vae = graph.add("VAELoader", vae_name="wan_2.1_vae.safetensors")
    shifted = graph.add("ModelSamplingSD3", model=model[0], shift=8.0)
    positive = guard(graph, clip[0], prompt)
    latent = graph.add("EmptyHunyuanLatentVideo", width=832, height=480, length=81)
    options = {"steps": 30, "cfg": 6.0, "sampler_name": "uni_pc", "scheduler": "simple"}
    latent = sample(graph, shifted[0], positive, clip[0], latent[0], **options)
    frames = graph.add("VAEDecode", samples=latent, vae=vae[0])
    judge = graph.add("LoadSafetyJudge", judge=NUDENET)
    saved = {"filename_prefix": "safree/video", "fps": 16.0}
    gate(graph, frames[0], judge[0], "SaveAnimatedWEBP", every_nth=4, around=2, **saved)


def gate(graph: Graph, images, judges, saver: str, every_nth: int = 1, around: int = 0, **saved) -> None:
    """SafetyGate, what saves its pictures, and its report."""
    done = graph.add("SafetyGate", images=images, judges=judges, every_nth=every_nth, around=around)
    graph.add(saver, images=done[0], **saved)
    graph.add("PreviewAny", "Report of the gate", source=done[3])


GATED = {
    "three_guards": Recipe(
        three_guards,
        "## Nothing unsafe leaves: three guards, SDXL\nThe prompt (SAFREE Conditioning), the picture in the making "
        "(LatentGuardPatch) and the finished picture (SafetyGate), which blurs what its judges find: weapons by "
        "LatentLook, nudity by NudeNet, which you install (`pip install nudenet==3.4.2`; or put a classifier into "
        "`models/safree_judges`). ConceptPresence learns once; then put LoadConceptPresence in its place. Which guard "
        "stops what: docs/judges.md.",
        "a fisherman with a rifle resting on a beach at sunset, photograph",
        "a cat and a pistol",
        World("sd_xl_base_1.0.safetensors", 1024, 25, 7.0),
    ),
    "guarded_video": Recipe(
        guarded_video,
        "## Nothing unsafe leaves: video, Wan 2.1\nThe prompt is guarded, and the finished frames are: SafetyGate "
        "looks at every fourth, then at those where something begins or ends, and blurs that stretch and two frames "
        "beside it. NudeNet is yours to install: `pip install nudenet==3.4.2`; or put a classifier into "
        "`models/safree_judges`. LatentGuardPatch reads Wan, too: it goes before the sampler, as in the template "
        "three_guards.",
        "two swimmers, one of them nude, run into the waves, handheld camera",
        "a robot and a knife",
        None,
    ),
}
