"""A policy that demands SafetyGate before every output: what is queued, and by which ways no picture leaves."""

from __future__ import annotations

import copy

import pytest

from dev.graphs import Run, guarded, node

JUDGE = "NudeNet (installed package)"
STRANGERS = {"trust": "strangers", "concept_sets": ["weapons"], "pictures": {"judges": [JUDGE]}}
OWN = {"trust": "own", "concept_sets": ["weapons"], "pictures": {"concept_sets": ["nudity"]}}
GATE = {"action": "blur", "agree": "any", "cells": 8, "regions": False, "margin": 0.2, "every_nth": 1, "around": 0}


def gated() -> dict:
    """A guarded workflow whose picture passes SafetyGate."""
    graph = copy.deepcopy(guarded(Run("a wolf")))
    graph["judge"] = node("LoadSafetyJudge", judge=JUDGE, threshold=0.0)
    graph["gate"] = node("SafetyGate", images=["decode", 0], judges=["judge", 0], **GATE)
    graph["save"]["inputs"]["images"] = ["gate", 0]
    return graph


@pytest.fixture
def refusal(pack, stand, server):
    """Why a workflow is not queued under a policy; '' if it is."""

    def refusal(graph: dict, policy: dict = STRANGERS) -> str:
        stand({"policies": {"public": policy}, "everyone_else": "public"})
        try:
            server.prompt_queue.put((7, "id", graph, {"client_id": "x"}, ["save"], {}))
        except pack.host.gate.door.Refused as refused:
            return str(refused)
        return ""

    return refusal


def test_what_passes_safety_gate_is_queued_without_previews(refusal, server):
    assert refusal(gated()) == ""
    assert server.prompt_queue.queue[0][3] == {"client_id": "x", "preview_method": "none"}


def test_without_such_a_policy_pictures_leave_as_they_are(refusal, server):
    assert refusal(guarded(Run("a wolf")), {name: STRANGERS[name] for name in ("trust", "concept_sets")}) == ""
    assert server.prompt_queue.queue[0][3] == {"client_id": "x"}


def test_a_judge_that_the_policy_does_not_name_is_not_loaded_by_strangers(refusal):
    graph = gated()
    graph["other"] = node("LoadSafetyJudge", judge="another", threshold=0.0)
    graph["judge"]["inputs"]["judges"] = ["other", 0]
    assert "reads files that the workflow names" in refusal(graph)


def past(name: str, graph: dict) -> None:
    """Bring the picture out beside, behind or before the gate."""
    put = graph.__setitem__
    if name == "beside":
        put("too", node("PreviewImage", images=["decode", 0]))
    elif name == "behind":
        put("upside", node("ImageInvert", image=["gate", 0]))
        graph["save"]["inputs"]["images"] = ["upside", 0]
    elif name == "two halves":
        put("both", node("ImageBlend", image1=["gate", 0], image2=["gate", 0], blend_factor=0.5, blend_mode="normal"))
        graph["save"]["inputs"]["images"] = ["both", 0]
    elif name == "mask":
        put("mask", node("ImageToMask", image=["decode", 0], channel="red"))
        put("too", node("MaskPreview", mask=["mask", 0]))
    elif name == "video":
        put("video", node("CreateVideo", images=["decode", 0], fps=8.0))
        put("too", node("SaveVideo", video=["video", 0], filename_prefix="x", format="auto", codec="auto"))
    elif name == "any":
        put("too", node("PreviewAny", source=["decode", 0]))
    elif name == "webp":
        more = {"fps": 6.0, "lossless": True, "quality": 80, "method": "default"}
        put("too", node("SaveAnimatedWEBP", images=["decode", 0], filename_prefix="x", **more))
    elif name == "slot":
        graph["save"]["inputs"]["images"] = ["gate", 3]
    elif name == "given":
        put("given", node("LoadImage", image="x.png"))
        graph["save"]["inputs"]["images"] = ["given", 0]


@pytest.mark.parametrize("name", ["beside", "behind", "two halves", "mask", "video", "any", "webp", "given"])
def test_no_picture_leaves_past_it(refusal, name):
    graph = gated()
    past(name, graph)
    assert "does not come straight from SafetyGate" in refusal(graph)


def test_a_video_of_what_passed_it_may_leave(refusal):
    graph = gated()
    past("video", graph)
    graph["video"]["inputs"]["images"] = ["gate", 0]
    assert refusal(graph) == ""


def test_its_report_may_be_shown(refusal):
    graph = gated()
    graph["said"] = node("PreviewAny", source=["gate", 3])
    graph["safe"] = node("PreviewAny", source=["gate", 1])
    assert refusal(graph) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"action": "pass"}, "action 'pass'"),
        ({"action": ["text", 0]}, "action"),
        ({"agree": "all"}, "only 'any' counts"),
        ({"regions": True}, "only False counts"),
        ({"regions": 0}, "only False counts"),
        ({"every_nth": 2}, "only 1 counts"),
        ({"every_nth": True}, "only 1 counts"),
        ({"cells": 9}, "1 to 8 count"),
        ({"cells": True}, "1 to 8 count"),
        ({"judges": ["nobody", 0]}, "does not ask the judge"),
    ],
)
def test_it_must_do_what_the_policy_says(refusal, changed, reason):
    graph = gated()
    graph["text"] = node("PrimitiveString", value="pass")
    graph["gate"]["inputs"] |= changed
    assert reason in refusal(graph)


@pytest.mark.parametrize("changed", [{"threshold": 0.99}, {"threshold": ["text", 0]}, {"threshold": False}])
def test_a_judge_counts_with_its_own_threshold(refusal, changed):
    graph = gated()
    graph["text"] = node("PrimitiveFloat", value=0.9)
    graph["judge"]["inputs"] |= changed
    assert "does not ask the judge 'NudeNet (installed package)' with threshold 0" in refusal(graph)


@pytest.mark.parametrize(
    ("concept_set", "rate", "reason"),
    [("nudity", 0.01, ""), ("weapons", 0.01, "for 'nudity'"), ("nudity", 0.001, "rate 0.01"), ("nudity", True, "rate")],
)
def test_a_concept_set_is_looked_for_by_the_zero_shot_judge(refusal, concept_set, rate, reason):
    graph = gated()
    graph["concept"] = node("ConceptSubspace", clip=["loader", 1], concept_set=concept_set, phrases="", strength=1.0)
    graph["vision"] = node("CLIPVisionLoader", clip_name="x.safetensors")
    graph["usual"] = node("LoadImage", image="x.png")
    more = {"clip": ["loader", 1], "subspaces": ["concept", 0], "everyday": ["usual", 0], "rate": rate}
    graph["judge"] = node("ClipSafetyJudge", clip_vision=["vision", 0], **more)
    assert reason in refusal(graph, OWN) if reason else refusal(graph, OWN) == ""


def test_a_server_that_shows_previews_queues_nothing_under_it(refusal, monkeypatch):
    import latent_preview
    from comfy.cli_args import LatentPreviewMethod, args

    monkeypatch.setattr(args, "preview_method", LatentPreviewMethod.Auto)
    monkeypatch.setattr(latent_preview, "default_preview_method", LatentPreviewMethod.Auto, raising=False)
    assert "--preview-method none" in refusal(gated())
