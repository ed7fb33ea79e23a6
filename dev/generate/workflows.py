"""Write example_workflows/: each workflow for the editor, its API-format twin, and its thumbnail.

    .comfy/venv/bin/python -m dev.generate.workflows [NAME ...]

Thumbnails come from the pack itself, run on the tiny checkpoint: the picture where the graph fits that model, the
report's plot where it needs another one. recipes.py says what is built.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

from PIL import Image

from .. import setup_host
from ..server import Server
from .readable_json import readable
from .recipe import EXAMPLE_IMAGE, TINY, TINY_LORA, TINY_PRESENCE, Recipe
from .recipes import RECIPES
from .workflow_graph import Graph, guard

FOLDER = setup_host.ROOT / "example_workflows"
ASSETS = setup_host.ROOT / "tests" / "assets"
THUMBNAIL, PLOT_WIDTH = 384, 480  # pixels


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
            twin = tiny_twin(recipe, info)
            saver = str(next(node.id for node in twin.nodes if node.kind == "SaveImage"))
            picture = client.get("/view", **client.run(twin.api()).outputs[saver]["images"][0])
            thumbnail(picture).save(FOLDER / f"{name}.jpg", quality=60, optimize=True, progressive=True)
            print(name)


def thumbnail(png: bytes) -> Image.Image:
    """A square picture; of a report's plot, the upper left part, where the words are; of a curve, the upper end."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    side = min(image.width, PLOT_WIDTH if image.height < image.width else image.width)  # a curve is tall and needs all
    image = image.crop((0, 0, side, min(image.height, side)))
    scale = THUMBNAIL / image.width
    image = image.resize((THUMBNAIL, round(image.height * scale)), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (32, 32, 34))
    square.paste(image, (0, (THUMBNAIL - image.height) // 2))
    return square


if __name__ == "__main__":
    main(sys.argv[1:])
