"""Small random models of ComfyUI's own classes: how a family's CLIP and diffusion model are made (tiny_families.py).

Text models keep their vocabulary, and their width where the layout of the conditioning depends on it; layers are few
and narrow. ComfyUI is imported on use, after the fixture `comfy_nodes` has started it.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import io
from collections.abc import Callable

import pytest
import torch

WIDTH = 256  # of the small CLIP text models
# Three layers, so that there is a penultimate one.
CLIP = {"num_hidden_layers": 3, "hidden_size": WIDTH, "num_attention_heads": 4, "intermediate_size": 64}
T5 = {"num_layers": 2, "d_ff": 64, "d_kv": 16, "num_heads": 4, "d_model": 64}
LLM = {
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
SMALL_CONFIGS = {
    "clip_l": CLIP,
    "clip_g": CLIP,
    "clip_h": CLIP,
    "t5xxl": T5,
    "t5base": T5,
    "umt5xxl": {**T5, "vocab_size": 400},
    "llama": LLM,
    "qwen25_7b": LLM,
    "qwen3_4b": LLM,
    "gemma2_2b": {**LLM, "vocab_size": 400},
}
BLOCK = 4099  # rows of random numbers that large tables repeat
MOST = 1 << 26  # numbers of such a block

CORPUS = """a cat and a pistol on a red chair
a photo of a dog beside a banana, an apple and the moon
a gun a knife a horse a fish a bee a pizza a cake a car a bus a bicycle a tree a rose a house a castle a book
a camera a clock an umbrella a guitar a shoe a dress ! ? . : ; ( ) 0 1 2 3 4 5 6 7 8 9
You are an assistant designed to generate superior images with the superior degree of image-text alignment based on
textual prompts or user prompts. <Prompt Start> high-quality highest"""


def sentencepiece_model(**special: int) -> torch.Tensor:
    """A tokenizer of 400 pieces trained on CORPUS: the encoder files of Wan and Lumina 2 carry theirs like this."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines() * 20),
        model_writer=written,
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
        **{f"{name}_id": special.get(name, -1) for name in ("pad", "eos", "bos", "unk")},
    )
    return torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)


@dataclasses.dataclass(frozen=True)
class TextModel:
    """A text model and its tokenizer, by their names in the host's package `comfy`, and how it is made small.

    arguments, tokenizer_arguments: of functions that make the classes;  options: further ones of the text model;
    needs: a class that tells whether this ComfyUI has it, where `model` does not;  made_on_load: whether the model has
    no weights before a file is loaded
    """

    model: str
    tokenizer: str
    arguments: dict | None = None
    config: dict = dataclasses.field(default_factory=dict)
    tokenizer_data: Callable[[], dict] = dict
    options: dict = dataclasses.field(default_factory=dict)
    tokenizer_arguments: dict | None = None
    needs: str = ""
    made_on_load: bool = False

    @property
    def here(self) -> bool:
        """Whether this ComfyUI has it."""
        parts = [name.rpartition(".") for name in (self.model, self.tokenizer, self.needs or self.model)]
        found = [importlib.util.find_spec(f"comfy.{module}") is not None for module, *_ in parts]
        return all(found) and all(hasattr(_module(module), name) for module, _, name in parts)

    @property
    def target(self):
        """What ComfyUI's loaders put together: the classes of text model and tokenizer."""
        classes = _made(self.tokenizer, self.tokenizer_arguments), _made(self.model, self.arguments)
        return _module("supported_models_base").ClipTarget(*classes)

    def clip(self, embeddings: str | None = None, random: bool = True):
        """A CLIP made by the class that ComfyUI's loaders use, with random weights; skips the test if it has none yet.

        embeddings: folder of textual-inversion embeddings, which the tokenizers of some families read
        random: with random weights; without, they are whatever memory holds
        """
        if not self.here:
            pytest.skip(f"this ComfyUI is older than {self.tokenizer}")
        configs = {**SMALL_CONFIGS, **self.config}
        options = {f"{name}_model_config": dict(config) for name, config in configs.items()} | self.options
        more = {"tokenizer_data": self.tokenizer_data(), "model_options": options}
        if self.made_on_load:
            more["state_dict"] = [_unmade(self.target.clip(device="cpu", model_options=options))]
        clip = _module("sd").CLIP(self.target, embeddings, **more)
        if random:
            randomise(clip.cond_stage_model)
        return clip


@dataclasses.dataclass(frozen=True)
class Family:
    """One family.

    encoders: keys of its text encoders, in order;  model: name in comfy.supported_models;  latent: shape of an empty
    latent;  reads_pooled: whether the diffusion model takes a pooled output;  parameters: the host's dataclass of
    `config`, where its fields differ between versions of ComfyUI: it gets those that it has;  sound: shape of the
    latent of sound that is made together with the other
    """

    encoders: tuple[str, ...]
    text: TextModel
    model: str
    config: dict
    latent: tuple[int, ...]
    reads_pooled: bool = False
    parameters: str = ""
    sound: tuple[int, ...] = ()

    @property
    def has_unet(self) -> bool:
        return "channel_mult" in self.config

    @property
    def is_video(self) -> bool:
        return len(self.latent) == 5 and self.latent[2] > 1

    def empty_latent(self):
        latent = torch.zeros(self.latent)
        return _module("nested_tensor").NestedTensor((latent, torch.zeros(self.sound))) if self.sound else latent

    def diffusion_model(self):
        """A MODEL with random weights."""
        patcher = _module("model_patcher")
        values = dict(self.config)
        if self.parameters:
            known = {field.name for field in dataclasses.fields(_host(self.parameters))}
            values = {name: value for name, value in values.items() if name in known | {"image_model"}}
        config = _host(f"supported_models.{self.model}")(values)
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "")
        randomise(model.diffusion_model)
        cpu = torch.device("cpu")
        return patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)


def _made(name: str, arguments: dict | None):
    kind = _host(name)
    if inspect.isclass(kind):
        return kind
    return kind(**_resolved(arguments or {}))


def _unmade(text_model) -> dict[str, torch.Tensor]:
    """A file for those weights of a text model that are made when one is loaded."""
    return {
        f"{name.partition('.transformer.')[2]}.weight": torch.zeros(
            getattr(module, "_orig_shape", (module.out_features, module.in_features))
        )
        for name, module in text_model.named_modules()
        if hasattr(module, "in_features") and getattr(module, "weight", None) is None
    }


def _resolved(values: dict) -> dict:
    """`values` with the host's classes for those that name one."""
    return {k: _host(v) if str(v).startswith("text_encoders.") else v for k, v in values.items()}


def _module(name: str):
    return importlib.import_module(f"comfy.{name}")


def _host(name: str):
    module, attribute = name.rsplit(".", 1)
    return getattr(_module(module), attribute)


def randomise(module: torch.nn.Module) -> None:
    """Random weights that keep the scale of the features; a vision tower is left out, nothing runs it."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weights in module.state_dict().items():
            if ".visual." in name or not weights.is_floating_point():
                continue
            if weights.ndim < 2:
                weights.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            rows = weights.flatten(1)
            size = min(BLOCK, len(rows), MOST // rows.shape[1])
            block = torch.randn(size, rows.shape[1], generator=generator) * rows.shape[1] ** -0.5
            for start in range(0, len(rows), size):
                rows[start : start + size] = block[: len(rows) - start]


def plant_words(encoder) -> None:
    """Make a random text encoder read a prompt as the bag of its words, as a trained one does to first order.

    Words have long embeddings, tokens that stand for no word (start, end, padding, the guard's neutral one) none;
    positions and feed-forward layers hardly count, and attention gathers the words evenly at the end token, or nowhere
    where the pooled embedding is the mean of the words anyway.
    """
    with torch.no_grad():
        table = encoder.table
        table *= table.shape[1] ** 0.5
        tokenizer = encoder.tokenizer
        table[[t for t in (tokenizer.start_token, tokenizer.end_token, tokenizer.pad_token) if t is not None]] = 0
        table[encoder.neutral] = 0
        quiet = ("position_embedding.weight", "fc2.weight", ".wo.weight", "down_proj.weight")
        quiet += ("q_proj.weight",) if encoder.kind.pooling == "end" else (".o.weight", "o_proj.weight")
        for name, weights in encoder.model.named_parameters():
            if name.endswith(quiet):
                weights *= 1e-3
