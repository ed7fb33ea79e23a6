"""Image classifiers of transformers as judges: a folder in models/safree_judges, with a map from labels to concepts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import comfy.model_management
import torch
from torch import Tensor

from ....safree import SafreeError
from .judge import Finding

MAP = "safree.json"
THRESHOLD = 0.5
FIELDS = {"concepts", "harmless", "threshold"}
NEEDED = ("config.json", "preprocessor_config.json", "model.safetensors", MAP)


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """concepts: for each of them the labels that show it. threshold: probability above which it counts."""

    concepts: dict[str, tuple[str, ...]]
    threshold: float


class ClassifierJudge:
    """threshold: probability above which a concept counts; 0 for the one of the map."""

    def __init__(self, folder: Path, threshold: float = 0.0):
        self.name = folder.name
        for name in NEEDED:
            if not (folder / name).is_file():
                raise SafreeError(
                    f"judge {self.name!r} has no file {name}. A judge's folder holds {', '.join(NEEDED)}; see "
                    "docs/judges.md."
                )
        self.model, self.processor = _load(folder)
        self.labels = [self.model.config.id2label[i] for i in range(self.model.config.num_labels)]
        self.map = read_map(folder / MAP, self.labels)
        self.threshold = threshold or self.map.threshold
        self.model.to(comfy.model_management.get_torch_device())

    def judge(self, images: Tensor) -> list[Finding]:
        shares = self._probabilities(images)  # [n, labels]
        if not torch.isfinite(shares).all():
            raise SafreeError(f"judge {self.name!r} returned NaN or infinity. Its weights are damaged; get them anew.")
        found = []
        for concept, labels in self.map.concepts.items():
            columns = shares[:, [self.labels.index(label) for label in labels]]
            scores = columns.amax(1) if self._independent else columns.sum(1)
            found += [Finding(concept, n, score, self.threshold) for n, score in enumerate(scores.tolist())]
        return found

    @property
    def _independent(self) -> bool:
        """Whether several labels can be true of one picture."""
        return self.model.config.problem_type == "multi_label_classification"

    def _probabilities(self, images: Tensor) -> Tensor:
        pixels = [(image * 255).round().byte().numpy() for image in images]
        try:
            inputs = self.processor(images=pixels, return_tensors="pt")["pixel_values"]
            with torch.no_grad():
                logits = self.model(inputs.to(self.model.device, self.model.dtype)).logits.float().cpu()
        except (ValueError, RuntimeError) as error:
            size = getattr(self.model.config, "image_size", "unknown")
            raise SafreeError(
                f"judge {self.name!r} cannot take these pictures: {error}. Its config.json says image_size {size}; "
                "preprocessor_config.json has to make pictures of that size."
            ) from error
        return logits.sigmoid() if self._independent else logits.softmax(1)


def _load(folder: Path):
    """(model, image processor) of a folder: safetensors only, none of the folder's code, nothing from the network."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True, **options)
        return model.eval().requires_grad_(False), AutoImageProcessor.from_pretrained(folder, **options)
    except Exception as error:  # whatever transformers raises for files that are none of its own
        raise SafreeError(f"judge {folder.name!r} cannot be loaded by transformers: {error}") from error


def read_map(path: Path, labels: list[str]) -> LabelMap:
    """The map of a judge's labels; SafreeError says what is wrong with it, or which label it lacks."""

    def wrong(problem: str) -> SafreeError:
        return SafreeError(f"judge {path.parent.name!r}: {path.name} {problem}. See docs/judges.md.")

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise wrong(f"cannot be read as JSON ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("concepts"), dict) or not data["concepts"]:
        raise wrong("has no object 'concepts' with the labels of each concept")
    if unknown := data.keys() - FIELDS:
        raise wrong(f"has the unknown field {sorted(unknown)[0]!r}")
    groups = {**data["concepts"], "harmless": data.get("harmless", [])}
    for name, group in groups.items():
        if not isinstance(group, list) or not all(isinstance(label, str) for label in group):
            raise wrong(f"gives {name!r} no list of labels")
    named = [label for group in groups.values() for label in group]
    if extra := [label for label in named if label not in labels]:
        raise wrong(f"names the label {extra[0]!r}, the model has {', '.join(map(repr, labels))}")
    if lacking := [label for label in labels if label not in named]:
        raise wrong(f"lacks the label {lacking[0]!r} of the model. Put it under a concept or under 'harmless'")
    threshold = data.get("threshold", THRESHOLD)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold < 1:
        raise wrong(f"has the threshold {threshold!r}, not a number between 0 and 1")
    return LabelMap({name: tuple(group) for name, group in data["concepts"].items()}, float(threshold))
