"""Write example_workflows/: each workflow for the editor, its API-format twin, and its thumbnail.

    .comfy/venv/bin/python -m dev.generate.workflows [NAME ...]

Thumbnails come from the pack itself, run on the tiny checkpoint: the picture where the graph fits that model, the
report's plot where it needs another one. Only what a concept catches is measured with MiniLM, since the tiny checkpoint
knows few words. recipes.py says what is built.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from .. import inprocess, setup_host, text_encoders
from ..server import Server
from .readable_json import readable
from .recipe import EXAMPLE_IMAGE, TINY, TINY_LORA, TINY_PRESENCE, Recipe
from .recipes import RECIPES
from .workflow_graph import Graph, guard

FOLDER = setup_host.ROOT / "example_workflows"
ASSETS = setup_host.ROOT / "tests" / "assets"
THUMBNAIL, PLOT_WIDTH, SECTION = 384, 512, 18  # pixels
MEASURED = "what_it_catches"  # the workflow that draws no picture


def build(recipe: Recipe, object_info: dict) -> Graph:
    graph = Graph(object_info, recipe.note)
    recipe.build(graph, recipe.world, recipe.prompt)
    return graph


def tiny_twin(recipe: Recipe, object_info: dict) -> Graph:
    """What the thumbnail shows: the same graph on the tiny checkpoint, or the plot of a report."""
    graph = Graph(object_info, "")
    if recipe.world is not None:
        recipe.build(graph, TINY, recipe.tiny_prompt)
        return graph
    clip = graph.add("CheckpointLoaderSimple", ckpt_name=TINY.checkpoint)[1]
    guarded = guard(graph, clip, recipe.tiny_prompt, "weapons").node
    graph.add("SaveImage", images=graph.add("SafetyReportPlot", report=guarded[1])[0])
    return graph


def write(path: Path, data: dict) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(readable(data) + "\n", encoding="utf-8")


def main(names: list[str]) -> None:
    shutil.copy(setup_host.host() / "input" / EXAMPLE_IMAGE, setup_host.base() / "input")
    for kind, name in (("loras", TINY_LORA), ("safree_presences", TINY_PRESENCE)):
        folder = setup_host.base() / "models" / kind
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ASSETS / name, folder)
    with Server(setup_host.ROOT / "output" / "workflows") as server:
        client = server.client()
        info = json.loads(client.get("/object_info"))
        for name in names or RECIPES:
            recipe = RECIPES[name]
            graph = build(recipe, info)
            write(FOLDER / f"{name}.json", graph.editor())
            write(FOLDER / "api" / f"{name}.json", graph.api())
            picture = curve(recipe.prompt) if name == MEASURED else drawn(client, tiny_twin(recipe, info))
            thumbnail(picture).save(FOLDER / f"{name}.jpg", quality=60, optimize=True, progressive=True)
            print(name)


def drawn(client, graph: Graph) -> Image.Image:
    """What a server saves of `graph`; of a report's plot, the upper left part, where the words are."""
    saver = str(next(node.id for node in graph.nodes if node.kind == "SaveImage"))
    png = client.get("/view", **client.run(graph.api()).outputs[saver]["images"][0])
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return image if image.width == image.height else image.crop((0, 0, PLOT_WIDTH, min(image.height, PLOT_WIDTH)))


def curve(concept: str) -> Image.Image:
    """The upper sections of SafreeMeasureConcept's plot for a shipped concept, with MiniLM."""
    inprocess.boot()
    nodes = inprocess.load_pack().nodes
    clip = text_encoders.minilm()
    subspaces = nodes.concept_subspace.ConceptSubspace.execute(clip, concept, "", 1.0, "").args[0]
    plot = nodes.measure_concept.SafreeMeasureConcept.execute(clip, subspaces, "half").args[0]
    image = Image.fromarray((plot[0].numpy() * 255).astype("uint8"))
    return image.crop((0, 0, image.width, _end_of_section(image)))


def _end_of_section(image: Image.Image) -> int:
    """Where the last section ends that fits into a square: the last run of SECTION rows with nothing in them."""
    rows = np.asarray(image.convert("L"))[: image.width]
    empty = np.ptp(rows, axis=1) == 0
    runs = np.lib.stride_tricks.sliding_window_view(empty, SECTION).all(axis=1)
    return int(np.flatnonzero(runs)[-1])


def thumbnail(image: Image.Image) -> Image.Image:
    """`image` whole, in the middle of a square."""
    scale = THUMBNAIL / max(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    square = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (32, 32, 34))
    square.paste(image, [(THUMBNAIL - side) // 2 for side in image.size])
    return square


if __name__ == "__main__":
    main(sys.argv[1:])
