"""Run workflows and their guarded twins on the tiny checkpoint: does a twin fail where its original does not?

    .comfy/venv/bin/python -m dev.run_twins FOLDER [--most 40]

Each pair is cut down to ComfyUI's own nodes in the same way: a KSampler of two steps at 64 pixels for each node that
samples, whose positive and negative are everything that reaches them, put together; the encoders and guards as they
are, with the tiny checkpoint's CLIP, and SafreeConditioning in the place of its variants. Printed: a line for each
workflow, then the count.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from headless.check import known_to
from headless.client import Client, PromptFailed, PromptRejected
from headless.files import read_document
from headless.flow import Point, Trace
from headless.guard import guard
from headless.guards import GUARD, GUARDS, MULTI, PICTURE
from headless.policy import Policy
from headless.workflow import Workflow, WorkflowError

from . import setup_host
from .graphs import node
from .server import Server

CLIP = ["tiny", 1]
TEXT = "a cat and a pistol on a red chair"  # where a text is made by a node that is cut away
COMMON = ("clip", "subspaces", "mode", "strength", "threshold", "self_validation")  # of all our encoders
OURS = (*GUARDS, "ConceptSubspace")


class Cut:
    """The graph that is left of a workflow."""

    def __init__(self, workflow: Workflow, known):
        self.flow, self.known = workflow, known
        self.nodes = {
            "tiny": node("CheckpointLoaderSimple", ckpt_name=setup_host.CHECKPOINT),
            "latent": node("EmptyLatentImage", width=64, height=64, batch_size=1),
            "none": node("CLIPTextEncode", clip=CLIP, text=""),
        }
        for key in workflow.nodes:
            facts = known.get(workflow.kind(key))
            if facts and facts.samples:
                self._sampler(key, facts.samples)

    def _sampler(self, key: str, sampler) -> None:
        sides = {"positive": self._together(key, sampler.positive), "negative": self._together(key, sampler.negative)}
        schedule = {"seed": 1, "steps": 2, "cfg": 5.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        self.nodes[f"{key}/sample"] = node(
            "KSampler", model=["tiny", 0], latent_image=["latent", 0], **sides, **schedule
        )
        self.nodes[f"{key}/decode"] = node("VAEDecode", samples=[f"{key}/sample", 0], vae=["tiny", 2])
        self.nodes[f"{key}/show"] = node("PreviewImage", images=[f"{key}/decode", 0])

    def _together(self, key: str, sources) -> list:
        """All the conditioning that reaches an input, combined."""
        trace = Trace()
        trace.follow(self.flow, self.known, key, sources)
        links = [link for end in sorted(trace.ends) if (link := self._end(end))]
        whole = links[0] if links else ["none", 0]
        for link in links[1:]:
            name = f"both {len(self.nodes)}"
            self.nodes[name] = node("ConditioningCombine", conditioning_1=whole, conditioning_2=link)
            whole = [name, 0]
        return whole

    def _end(self, end: Point) -> list | None:
        """The node where conditioning is made, kept or as a stock encoder of its text; None for one without a text."""
        kind = self.flow.kind(end.node) if end.node in self.flow else ""
        if kind in GUARDS:
            return [self._keep(end.node), 0]
        facts = self.known.get(kind)
        encoder = facts.encodes.get((end.slot, end.lane)) if facts else None
        if encoder is None:
            return None
        text = self.flow.inputs(end.node).get(encoder.texts[0], "")
        name = f"{end.node}/{end.slot}{end.lane}"
        self.nodes[name] = node("CLIPTextEncode", clip=CLIP, text=text if isinstance(text, str) else TEXT)
        return [name, 0]

    def _keep(self, key: str) -> str:
        """Keep one of our nodes with everything of ours before it."""
        if key not in self.nodes:
            entry = self.flow.nodes[key]
            kind, given = entry["class_type"], dict(entry["inputs"])
            if kind in (MULTI, PICTURE):  # this checkpoint has one encoder, and no eyes: of several texts the first
                text = given.get("text", given.get("text_l", ""))
                kind, given = GUARD, {name: given[name] for name in COMMON} | {"text": text}
            inputs = {name: self._value(name, value) for name, value in given.items() if name != "like"}
            self.nodes[key] = node(kind, **inputs)
        return key

    def _value(self, name: str, value):
        if name == "clip":
            return CLIP
        if isinstance(value, list):
            return [self._keep(value[0]), value[1]] if self.flow.kind(value[0]) in OURS else TEXT
        return value


def outcome(client: Client, nodes: dict) -> str:
    """'ran', or the error that stopped it."""
    try:
        result = client.run(nodes)
        return f"refused: {result.refused}" if result.refused else "ran"
    except (PromptRejected, PromptFailed) as error:
        return f"{type(error).__name__}: {error}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=40)
    args = parser.parse_args(argv)
    policy, done, worse = Policy(concept_sets=("weapons",)), 0, []
    known = known_to(policy, {})
    with Server(setup_host.ROOT / "output" / "run_twins") as server:
        client = server.client()
        for path in sorted(args.folder.glob("*.json")):
            try:
                document = read_document(path)
            except WorkflowError:
                continue
            workflow = document.workflow
            twin, report = guard(workflow, policy, {}, drawn=document.types)
            if report.unguarded or not report.guarded or done == args.most:
                continue
            done += 1
            before, after = (outcome(client, Cut(one, known).nodes) for one in (workflow, twin))
            worse += [path.name] if before == "ran" and after != "ran" else []
            print(f"{path.name}: original {before}; twin {after}", flush=True)
    print(f"{done} pairs run; a twin fails where its original does not: {len(worse)} {' '.join(worse)}")
    return 1 if worse or not done else 0


if __name__ == "__main__":
    sys.exit(main())
