"""Unknown node classes in one's own workflows: judged by what they are connected with, and never for strangers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev.graphs import node
from headless.check import Policy, unguarded_samplers
from headless.commands.guard import main
from headless.guard import guard
from headless.knowledge import load
from headless.names_by_rule import original
from headless.workflow import Workflow

OWN = Policy(concept_sets=("nudity",))
NEGATIVE = "nsfw, nude, blurry"


def graph(**more: dict) -> dict:
    """A plain graph; a node called n5 is '5', another one replaces the part of that name."""
    parts = {
        "loader": node("CheckpointLoaderSimple", ckpt_name="m"),
        "prompt": node("CLIPTextEncode", clip=["loader", 1], text="a person"),
        "negative": node("CLIPTextEncode", clip=["loader", 1], text=NEGATIVE),
        "latent": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sampler": node(
            "KSampler",
            model=["loader", 0],
            positive=["prompt", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            cfg=7.0,
        ),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["loader", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="x"),
    }
    return parts | more


def connected(nodes: dict, **links: list) -> dict:
    """`nodes` with other links: sampler_model=["new", 0] is input model of node sampler."""
    for place, link in links.items():
        key, _, name = place.partition("_")
        nodes[key]["inputs"][name] = link
    return nodes


CLEARED = {
    "picture to picture": connected(graph(new=node("X", image=["decode", 0])), save_images=["new", 0]),
    "a loader of pictures": connected(graph(new=node("X", file="a.png")), save_images=["new", 0]),
    "numbers": connected(graph(new=node("X", a=3)), latent_width=["new", 0]),
    "text, judged at its encoder": connected(graph(new=node("X", seed=3)), prompt_text=["new", 0]),
    "latent between known nodes": connected(graph(new=node("X", samples=["sampler", 0])), decode_samples=["new", 0]),
    "a VAE": connected(graph(new=node("X", vae_name="v")), decode_vae=["new", 0]),
    "an own saver": graph(new=node("X", images=["decode", 0], quality=90)),
}


@pytest.mark.parametrize("before", CLEARED.values(), ids=CLEARED.keys())
def test_what_no_prompt_goes_through_changes_no_guard(before):
    twin, report = guard(Workflow(before), OWN, {})
    assert report.unguarded == []
    assert twin.nodes["prompt"]["class_type"] == "SafreeConditioning"
    assert twin.nodes["negative"] == before["negative"]
    assert any("X (node new) is unknown; it changes no guard" in note for note in report.notes)
    strangers = Policy.for_strangers(("nudity",))
    assert any(problem.node == "new" for problem in unguarded_samplers(twin.nodes, None, strangers))


REFUSED = {
    "a prompt of its own becomes a picture": connected(graph(new=node("X", prompt="a cat")), save_images=["new", 0]),
    "a prompt of its own, and nothing comes out": graph(new=node("X", prompt="a cat")),
    "CLIP": connected(graph(new=node("X", clip=["loader", 1])), prompt_clip=["new", 0]),
    "conditioning": connected(graph(new=node("X", c=["prompt", 0])), sampler_positive=["new", 0]),
    "a sampler": connected(graph(new=node("X", model=["loader", 0])), decode_samples=["new", 0]),
    "nobody tells": graph(new=node("X", q=["other", 0]), other=node("Y", z=1)),
}


@pytest.mark.parametrize("before", REFUSED.values(), ids=REFUSED.keys())
def test_what_may_draw_or_hold_a_prompt_stays_refused(before):
    _, report = guard(Workflow(before), OWN, {})
    assert any(problem.class_type == "X" for problem in report.unguarded)
    assert any("--treat" in word or "X=" in word for word in report.options)


def test_a_patch_of_the_model_is_named_to_look_at_and_refused_when_strict():
    before = connected(graph(new=node("X", model=["loader", 0])), sampler_model=["new", 0])
    _, report = guard(Workflow(before), OWN, {})
    assert report.unguarded == []
    assert any(note.startswith("LOOK at X (node new)") for note in report.notes)
    _, report = guard(Workflow(before), Policy(concept_sets=("nudity",), strict=True), {})
    assert [problem.class_type for problem in report.unguarded] == ["X"]


def test_the_types_of_an_editors_file_and_of_a_server_are_believed():
    before = graph(new=node("X", q=["other", 0]), other=node("Y", z=1))
    drawn = {("other", 0): "IMAGE"}
    assert {p.class_type for p in guard(Workflow(before), OWN, {}, drawn=drawn)[1].unguarded} == set()
    info = {"input": {"required": {"q": ["CONDITIONING"]}}, "output": [], "python_module": "custom_nodes.x"}
    assert guard(Workflow(before), OWN, {"X": info}, drawn=drawn)[1].unguarded


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("VAELoaderMultiGPU", "VAELoader"),
        ("UNETLoaderDisTorch2MultiGPU", "UNETLoader"),
        ("KSampler //Inspire", "KSampler"),
        ("MultiGPU", None),
    ],
)
def test_a_name_made_by_a_rule_has_the_facts_of_its_original(kind, of):
    made = original(kind)
    assert (made and made.kind) == of
    if of:
        facts = load().get(kind)
        assert facts.samples == load()[of].samples
        assert facts.pack in ("ComfyUI-MultiGPU", "ComfyUI-Inspire-Pack")
        strangers = Policy.for_strangers(("nudity",))
        problems = unguarded_samplers(graph(new=node(kind)), None, strangers)
        assert any(problem.node == "new" and "does not name" in str(problem) for problem in problems)


NAG = {"nag_scale": 11.0, "nag_alpha": 0.25, "nag_tau": 2.5}


@pytest.mark.parametrize(("scale", "left"), [(11.0, True), (0.5, False)])
@pytest.mark.parametrize("kind", ["WanVideoNAG", "LTX2_NAG", "KSamplerWithNAG", "NAGCFGGuider"])
def test_a_negative_of_attention_guidance_is_left_where_it_is_drawn_away_from(kind, scale, left):
    given = {**NAG, "nag_scale": scale, "model": ["loader", 0]}
    if "NAG" in kind and kind.startswith(("KSampler", "NAGCFG")):
        sides = {"positive": ["prompt", 0], "negative": ["zero", 0], "nag_negative": ["negative", 0], "cfg": 1.0}
        new = node(kind, **given, **sides, latent_image=["latent", 0])
    else:
        name = "conditioning" if kind == "WanVideoNAG" else "nag_cond_video"
        new = node(kind, **given, **{name: ["negative", 0]})
    before = graph(new=new, zero=node("ConditioningZeroOut", conditioning=["prompt", 0]))
    if new["inputs"].get("positive") is None:
        before["sampler"]["inputs"] |= {"model": ["new", 0], "cfg": 1.0, "negative": ["zero", 0]}
    twin, report = guard(Workflow(before), OWN, {})
    assert report.unguarded == []
    assert (twin.nodes["negative"] == before["negative"]) == left


@pytest.mark.parametrize("kind", ["Safety Checker", "ApplyNudenet", "NSFWDetection"])
def test_safety_nodes_of_others_are_known(kind):
    facts = load()[kind]
    assert facts.inert
    before = connected(graph(new=node(kind, images=["decode", 0], image=["decode", 0])), save_images=["new", 0])
    twin, report = guard(Workflow(before), OWN, {})
    assert (report.unguarded, report.options) == ([], [])
    policy = Policy.for_strangers(("nudity",), packs=frozenset([facts.pack]))
    assert not any(problem.node == "new" for problem in unguarded_samplers(twin.nodes, None, policy))


OWN_CLIP = {
    "Power Prompt (rgthree)": ({"prompt": "a cat", "opt_clip": ["loader", 1]}, 0),
    "ImpactWildcardEncode": (
        {"wildcard_text": "a {cat|dog}", "populated_text": "a cat", "clip": ["loader", 1], "model": ["loader", 0]},
        2,
    ),
}


@pytest.mark.parametrize("kind", OWN_CLIP)
def test_an_encoder_that_gives_its_own_text_and_clip_stays_beside_its_guard(kind):
    inputs, slot = OWN_CLIP[kind]
    before = connected(graph(prompt=node(kind, **inputs)), sampler_positive=["prompt", slot])
    twin, report = guard(Workflow(before), OWN, {})
    assert report.unguarded == []
    assert twin.nodes["prompt"] == before["prompt"]
    assert all(link[0] != key for key in twin.nodes for _, link in twin.links(key))


def test_circles_and_types_that_do_not_fit_are_refused():
    circle = connected(graph(), prompt_text=["other", 0])
    circle["other"] = node("StringConcatenate", string_a=["more", 0], string_b="", delimiter="")
    circle["more"] = node("StringConcatenate", string_a=["other", 0], string_b="", delimiter="")
    assert {p.node for p in unguarded_samplers(circle, None, OWN) if "circle" in str(p)} == {"other", "more"}
    misfit = connected(graph(), decode_vae=["loader", 0])
    assert any("gives MODEL" in str(problem) for problem in unguarded_samplers(misfit, None, OWN))


def test_every_judged_core_class_has_its_widgets_and_types():
    """But for those that the ComfyUI at hand no longer has."""
    folder = Path(__file__).parents[2] / "headless"
    core = json.loads((folder / "packs" / "core.json").read_text("utf-8"))
    judged = {*core["nodes"], *(kind for kinds in core["inert"].values() for kind in kinds)}
    for table in ("widgets.json", "link_types.json"):
        assert judged - json.loads((folder / table).read_text("utf-8")).keys() <= GONE


GONE = {
    *("Load3DAnimation", "Preview3DAnimation", "LoadImageSetFromFolderNode", "LoadImageTextSetFromFolderNode"),
    *("SaveLoRANode", "SetModelHooksOnCond"),
}


def test_a_detailers_text_is_guarded_with_the_clip_of_its_pipe(tmp_path):
    before = graph(
        pipe=node("ToDetailerPipe", clip=["loader", 1], positive=["prompt", 0], negative=["negative", 0], wildcard=""),
        edit=node("EditDetailerPipe", detailer_pipe=["pipe", 0], wildcard="a person"),
        detail=node("FaceDetailerPipe", image=["decode", 0], detailer_pipe=["edit", 0], cfg=7.0),
    )
    source, target = tmp_path / "in.json", tmp_path / "out.json"
    source.write_text(json.dumps(before))
    assert main([str(source), str(target)]) == 0
    twin = json.loads(target.read_text())
    assert twin["edit"]["inputs"]["wildcard"] == ""
    opener = twin[twin[twin["edit"]["inputs"]["positive"][0]]["inputs"]["clip"][0]]
    assert opener["class_type"] == "FromDetailerPipe"
