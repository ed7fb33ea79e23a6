"""What example_workflows/ holds: how each graph is built, its note and its prompts."""

from __future__ import annotations

from .gate_recipes import GATED
from .recipe import EXAMPLE_IMAGE, TINY, TINY_LORA, TINY_PRESENCE, Recipe, World
from .workflow_graph import Graph, conditioning, guard, negative, sample, save

STYLE_STRENGTH = 2.0  # past the prompt without the style, as the node's tooltip advises


def text_to_image(graph: Graph, world: World, prompt: str, concept: str = "nudity", reattention=False, **options):
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=world.checkpoint)
    model, clip, vae = checkpoint[0], checkpoint[1], checkpoint[2]
    if reattention:
        model = graph.add("ReAttentionPatch", model=model)[0]
    positive = guard(graph, clip, prompt, concept, **options)
    latent = graph.add("EmptyLatentImage", width=world.side, height=world.side)
    save(graph, sample(graph, model, positive, clip, latent[0], steps=world.steps, cfg=world.cfg), vae, "image")
    return positive.node


def tiny_checkpoint(graph: Graph, world: World, prompt: str) -> None:
    guarded = text_to_image(graph, world, prompt, "weapons")
    graph.add("PreviewImage", images=graph.add("SafetyReportPlot", report=guarded[1])[0])


def what_it_catches(graph: Graph, world: World, concept: str) -> None:
    """The pack's own sentences through the checkpoint's text encoder; no picture is sampled."""
    clip = graph.add("CheckpointLoaderSimple", ckpt_name=world.checkpoint)[1]
    concepts = graph.add("ConceptSubspace", clip=clip, concept_set=concept)
    part = "quick" if world is TINY else "half"
    measured = graph.add("SafreeMeasureConcept", clip=clip, subspaces=concepts[0], sentences=part)
    graph.add("SaveImage", images=measured[0], filename_prefix="what_it_catches")
    graph.add("PreviewAny", source=measured[1])


def image_to_image(graph: Graph, world: World, prompt: str) -> None:
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=world.checkpoint)
    image = graph.add("LoadImage", image=EXAMPLE_IMAGE)
    size = {"width": world.side, "height": world.side, "upscale_method": "lanczos", "crop": "center"}
    scaled = graph.add("ImageScale", image=image[0], **size)
    latent = graph.add("VAEEncode", pixels=scaled[0], vae=checkpoint[2])
    positive = guard(graph, checkpoint[1], prompt)
    options = {"steps": world.steps, "cfg": world.cfg, "denoise": 0.7}
    save(graph, sample(graph, checkpoint[0], positive, checkpoint[1], latent[0], **options), checkpoint[2], "img2img")


def sdxl(graph: Graph, world: None, prompt: str) -> None:
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name="sd_xl_base_1.0.safetensors")
    positive = guard(graph, checkpoint[1], prompt)
    latent = graph.add("EmptyLatentImage", width=1024, height=1024)
    options = {"steps": 25, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
    save(graph, sample(graph, checkpoint[0], positive, checkpoint[1], latent[0], **options), checkpoint[2], "sdxl")


def sd3(graph: Graph, world: None, prompt: str) -> None:
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name="sd3.5_large_fp8_scaled.safetensors")
    positive = guard(graph, checkpoint[1], prompt)
    latent = graph.add("EmptySD3LatentImage", width=1024, height=1024)
    options = {"steps": 20, "cfg": 4.0, "scheduler": "sgm_uniform"}
    save(graph, sample(graph, checkpoint[0], positive, checkpoint[1], latent[0], **options), checkpoint[2], "sd3")


def flux(graph: Graph, world: None, prompt: str) -> None:
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name="flux1-dev-fp8.safetensors")
    positive = graph.add("FluxGuidance", conditioning=guard(graph, checkpoint[1], prompt), guidance=3.5)
    latent = graph.add("EmptySD3LatentImage", width=1024, height=1024)
    options = {"steps": 20, "cfg": 1.0, "scheduler": "simple"}
    latent = sample(graph, checkpoint[0], positive[0], checkpoint[1], latent[0], **options)
    save(graph, latent, checkpoint[2], "flux")


def video(graph: Graph, world: None, prompt: str) -> None:
    model = graph.add("UNETLoader", unet_name="wan2.1_t2v_1.3B_fp16.safetensors")
    clip = graph.add("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan")
    vae = graph.add("VAELoader", vae_name="wan_2.1_vae.safetensors")
    shifted = graph.add("ModelSamplingSD3", model=model[0], shift=8.0)
    positive = guard(graph, clip[0], prompt, "violence")
    latent = graph.add("EmptyHunyuanLatentVideo", width=832, height=480, length=33)
    options = {"steps": 30, "cfg": 6.0, "sampler_name": "uni_pc", "scheduler": "simple"}
    latent = sample(graph, shifted[0], positive, clip[0], latent[0], **options)
    frames = graph.add("VAEDecode", samples=latent, vae=vae[0])
    graph.add("SaveAnimatedWEBP", images=frames[0], filename_prefix="safree/video", fps=16.0)


def two_models(graph: Graph, world: World, prompt: str) -> None:
    """Wan 2.2, whose two models share a schedule; on the tiny checkpoint one model stands for both."""
    if world is TINY:
        checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=world.checkpoint)
        models, clip, vae = [checkpoint[0]] * 2, checkpoint[1], checkpoint[2]
        latent = graph.add("EmptyLatentImage", width=world.side, height=world.side)
        options = {"steps": world.steps, "cfg": world.cfg, "scheduler": "normal"}
    else:
        files = [f"wan2.2_t2v_{part}_noise_14B_fp8_scaled.safetensors" for part in ("high", "low")]
        loaded = [graph.add("UNETLoader", unet_name=file)[0] for file in files]
        models = [graph.add("ModelSamplingSD3", model=model, shift=8.0)[0] for model in loaded]
        clip = graph.add("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan")[0]
        vae = graph.add("VAELoader", vae_name="wan_2.1_vae.safetensors")[0]
        latent = graph.add("EmptyHunyuanLatentVideo", width=640, height=640, length=81)
        options = {"steps": 20, "cfg": 3.5, "scheduler": "simple"}
    schedule = {name: options[name] for name in ("steps", "scheduler")}
    whole = graph.add("BasicScheduler", "The schedule of both", model=models[0], **schedule)[0]
    high, low = (graph.add("SelfValidationPatch", model=model, schedule=whole)[0] for model in models)
    sides = {"positive": guard(graph, clip, prompt, "weapons"), "negative": negative(graph, clip)}
    options |= {"sampler_name": "euler", "noise_seed": 3} | sides
    half = options["steps"] // 2
    first = {"end_at_step": half, "return_with_leftover_noise": "enable", "latent_image": latent[0]}
    noisy = graph.add("KSamplerAdvanced", "High noise", model=high, **options, **first)
    second = {"add_noise": "disable", "start_at_step": half, "latent_image": noisy[0]}
    frames = graph.add("KSamplerAdvanced", "Low noise", model=low, **options, **second)
    if world is TINY:
        save(graph, frames[0], vae, "two_models")
    else:
        decoded = graph.add("VAEDecode", samples=frames[0], vae=vae)
        graph.add("SaveAnimatedWEBP", images=decoded[0], filename_prefix="safree/video", fps=16.0)


def several_concepts(graph: Graph, world: World, prompt: str) -> None:
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=world.checkpoint)
    clip = checkpoint[1]
    weapons = graph.add("ConceptSubspace", clip=clip, concept_set="weapons")
    drinks = "beer\nwine\ncocktail\nchampagne\nalcohol"
    both = graph.add("ConceptSubspace", clip=clip, phrases=drinks, subspaces=weapons[0])
    positive = conditioning(graph, clip, both[0], prompt)
    latent = graph.add("EmptyLatentImage", width=world.side, height=world.side)
    options = {"steps": world.steps, "cfg": world.cfg}
    save(graph, sample(graph, checkpoint[0], positive, clip, latent[0], **options), checkpoint[2], "several")


def artist_style(graph: Graph, world: World, prompt: str) -> None:
    if world == TINY:
        text_to_image(graph, world, prompt, "(phrases only)", phrases="fluent style", strength=STYLE_STRENGTH)
    else:
        text_to_image(graph, world, prompt, "artist_style_example", strength=STYLE_STRENGTH)


def full_stack(graph: Graph, world: World, prompt: str) -> None:
    text_to_image(graph, world, prompt, "weapons", reattention=True)


def latent_guard(graph: Graph, world: World, prompt: str) -> None:
    """A LoRA that draws a weapon unasked; on the tiny checkpoint with the presence that the benchmark learned."""
    checkpoint = graph.add("CheckpointLoaderSimple", ckpt_name=world.checkpoint)
    model, clip, vae = checkpoint[0], checkpoint[1], checkpoint[2]
    concepts = graph.add("ConceptSubspace", clip=clip, concept_set="weapons")
    if world is TINY:
        presences = graph.add("LoadConceptPresence", filename=TINY_PRESENCE)
    else:
        presences = graph.add("ConceptPresence", model=model, clip=clip, subspaces=concepts[0], batch_size=4)
        graph.add("SaveConceptPresence", presences=presences[0], filename="weapons", overwrite=True)
    lora = TINY_LORA if world is TINY else "your_lora.safetensors"
    drawing = graph.add("LoraLoaderModelOnly", model=model, lora_name=lora)
    watched = graph.add("LatentGuardPatch", model=drawing[0], presences=presences[0])
    latent = graph.add("EmptyLatentImage", width=world.side, height=world.side)
    positive = conditioning(graph, clip, concepts[0], prompt)
    options = {"steps": world.steps, "cfg": world.cfg, "on_problem": "again"}
    sampled = sample(graph, watched[0], positive, clip, latent[0], **options).node
    save(graph, sampled[0], vae, "latent_guard")
    graph.add("PreviewImage", images=graph.add("SafetyReportPlot", report=sampled[1])[0])


RECIPES = {
    "tiny_checkpoint": Recipe(
        tiny_checkpoint,
        "## SAFREE in one minute\nRuns anywhere, without a GPU too: `make demo` puts the tiny checkpoint in place. "
        "Press Run: *pistol* is marked on SAFREE Conditioning, and the picture keeps the rest of the prompt.",
        "a monkey and a pistol on a pink background",
        "a monkey and a pistol on a pink background",
        TINY,
    ),
    "sd15_basic": Recipe(
        text_to_image,
        "## Text to image, Stable Diffusion 1.5\nSAFREE Conditioning stands where CLIPTextEncode stood, the SAFREE "
        "sampler where KSampler stood.",
        "a painting of a nude woman reading a book beside a window",
        "a cat and a bikini",
    ),
    "what_it_catches": Recipe(
        what_it_catches,
        "## What does this concept catch with my model?\nThe pack's sentences through the checkpoint's text encoder: "
        "caught, flagged wrongly, the curve over all thresholds. Load your checkpoint, choose a concept set, run.",
        "nudity",
        "weapons",
    ),
    "sd15_img2img": Recipe(
        image_to_image,
        "## Guarded image to image\nWith denoise below 1 the filter covers the same share of the steps that remain. "
        "The guard reads the prompt, not the picture that you load.",
        "a nude statue in a garden, watercolour",
        "a cat on a pink background",
    ),
    "sdxl": Recipe(
        sdxl,
        "## SDXL\nBoth text encoders (l and g) are checked, each against its own subspace.",
        "a nude man resting on a beach at sunset, photograph",
        "a fox and a pistol",
        None,
    ),
    "sd3": Recipe(
        sd3,
        "## Stable Diffusion 3.5\nThe checkpoint with CLIP-L, CLIP-G and T5 inside; all three are checked.",
        "a nude dancer on a stage, oil painting",
        "an owl next to a dagger",
        None,
    ),
    "flux": Recipe(
        flux,
        "## Flux at CFG 1\nA distilled model has no negative branch, so a negative prompt does nothing; SAFREE does "
        "not need one.",
        "a naked couple under a waterfall, film still",
        "a pig with a handgun",
        None,
    ),
    "video_wan": Recipe(
        video,
        "## Video, Wan 2.1\nThe same two nodes: steering edits the CONDITIONING, whatever the model makes of it.",
        "two knights fight in a blood-soaked battle, one is stabbed",
        "a robot and a knife",
        None,
    ),
    "two_models": Recipe(
        two_models,
        "## Two models, one schedule: Wan 2.2\nThe guarded prompt goes into both samplers, a SelfValidationPatch "
        "stands before each model, and the whole schedule goes into `schedule` of both, so that t' counts over all of "
        "it. The same for SDXL base and refiner, with a SAFREE Conditioning for each CLIP.",
        "a cowboy with a revolver rides through a canyon",
        "a fox and a pistol",
    ),
    "several_concepts": Recipe(
        several_concepts,
        "## Several concepts\nChain one ConceptSubspace a concept. They stay separate, each with its own strength, and "
        "the report names the one that a word leans into.",
        "a monkey with a pistol and a glass of wine in a tavern",
        "a pistol and a beer",
    ),
    "artist_style": Recipe(
        artist_style,
        "## Remove an artist's style\nCopy `concept_sets/artist_style_example.json`, or choose *(phrases only)* "
        "and write the artist's name. Strength 2, because a model that is asked for no style still draws in one.",
        "a village at night in the style of Vincent van Gogh",
        "a cat, fluent style",
    ),
    "full_stack": Recipe(
        full_stack,
        "## Everything on\nDetection, context re-encoding, self-validated sampling and latent re-attention, which "
        "needs a UNet (SD1.x, SD2.x, SDXL).",
        "a knight holding a sword in front of a castle",
        "a guitar and a knife",
    ),
    "latent_guard": Recipe(
        latent_guard,
        "## What no word asks for\nA LoRA (choose yours) may draw a weapon unasked. ConceptPresence learns once what "
        "weapons look like to the checkpoint, before the LoRA; then put LoadConceptPresence in its place. The SAFREE "
        "sampler shows when and where one was found, looks at the result, and samples once more if it is still there.",
        "a man walking through a forest",
        "a cat",
    ),
    **GATED,
}
