"""Every model family: its text encoders steered, its model sampled, by ComfyUI's own code on small random models.

A test that ran writes its cell into `.comfy/family_table.json`, for dev/generate/family_table.py.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math

import pytest
import tiny_families
import tiny_models
import torch
from host_nodes import HostNodes
from newer_families import NEWER
from safetensors.torch import save_file
from tiny_families import FAMILIES
from tracing import outputs

from dev import setup_host

ALL = FAMILIES | NEWER
PROMPT = "a cat and a pistol on a red chair"
# weights, a textual-inversion embedding, and more than 75 tokens
PLAIN = "a (dog:1.3) beside a [banana], embedding:plain and a horse, " + "an apple and the moon, " * 16
NOTHING = 0.999  # a threshold that no word reaches
STEPS, CFG, SEED = 2, 3.0, 5
TABLE = setup_host.WORK / "family_table.json"


@dataclasses.dataclass
class Built:
    """One family, with PROMPT encoded and guarded."""

    name: str
    family: tiny_models.Family
    clip: object
    model: object
    subspaces: tuple
    stock: list
    guarded: list
    report: dict
    cleaned: dict  # tokens that the guard had the host encode
    sample: functools.partial

    @functools.cached_property
    def reads_embeddings(self) -> bool:
        """Whether the host itself encodes textual-inversion embeddings for this family."""
        try:
            tokens = self.clip.tokenize("an embedding:plain here")
            self.clip.encode_from_tokens_scheduled(tokens)
        except (RuntimeError, TypeError):  # HunyuanVideo's and Anima's take every token for a number
            return False
        return self.holds_embeddings(tokens)

    def holds_embeddings(self, tokens: dict) -> bool:
        chunks = [chunk for key in self.family.encoders for chunk in tokens[key]]
        return any(torch.is_tensor(token[0]) for chunk in chunks for token in chunk)

    @functools.cached_property
    def pictures(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of the unguarded and of the guarded prompt."""
        return self.sample(self.model, self.stock), self.sample(self.model, self.guarded)


pytestmark = pytest.mark.usefixtures("little_vocabulary")


@pytest.fixture(scope="module")
def results() -> dict:
    """Cells of the rows of this run; a row that runs again loses those that it had, so that none outlives its test."""
    return {}


@pytest.fixture(scope="module", params=list(ALL))
def built(request, comfy_nodes, pack, little_vocabulary, tmp_path_factory):
    family, folder = ALL[request.param], tmp_path_factory.mktemp("embeddings")
    clip = family.text.clip(str(folder))
    encoders = pack.host.text.encoders.encoders(clip)
    assert tuple(encoder.key for encoder in encoders) == family.encoders
    for encoder in encoders:
        tiny_models.plant_words(encoder)
    write_embeddings(clip, encoders, folder)
    subspaces = (pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",)),)
    stock = clip.encode_from_tokens_scheduled(clip.tokenize(PROMPT))
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    guarded, report, cleaned = guard(pack, clip, PROMPT, subspaces)

    def sample(model, positive):
        latent = {"samples": family.empty_latent()}
        (out,) = comfy_nodes.common_ksampler(model, SEED, STEPS, CFG, "euler", "simple", positive, negative, latent)
        return torch.cat([part.flatten() for part in out["samples"].unbind()]) if family.sound else out["samples"]

    model = family.diffusion_model()
    return Built(request.param, family, clip, model, subspaces, stock, guarded, report, cleaned, sample)


def guard(pack, clip, text: str, subspaces) -> tuple[list, dict, dict]:
    """(CONDITIONING, report, the tokens that the guard had the host encode last)."""
    spied, encoded = clip.clone(), []

    def encode(tokens):
        encoded.append(tokens)
        return clip.encode_from_tokens_scheduled(tokens)

    spied.encode_from_tokens_scheduled = encode
    settings = pack.host.prompt.findings.Settings()
    return *outputs(pack.host.prompt.guard.guard_prompt(spied, text, subspaces, settings)), encoded[-1]


def write_embeddings(clip, encoders, folder) -> None:
    """Files 'plain', of random vectors, and 'pistol', of those of that word; a part for each encoder."""
    generator, plain, pistol = torch.Generator().manual_seed(4), {}, {}
    for encoder in encoders:
        key, table = encoder.tokenizer.embedding_key, encoder.table
        (word,) = encoder.words(clip.tokenize(f"{encoder.kind.before}pistol")[encoder.key])
        pistol[key] = table[list(word.tokens)].detach().clone()
        plain[key] = torch.randn(2, table.shape[1], generator=generator) * pistol[key].std()
    save_file(plain, folder / "plain.safetensors")
    save_file(pistol, folder / "pistol.safetensors")


@pytest.fixture
def record(built, results):
    """Write a cell of the table: to be called where the test has shown what the cell says."""

    def write(column: str, cell: str) -> None:
        from comfyui_version import __version__

        results.setdefault(built.name, {})[column] = cell
        known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
        known[__version__] = known.get(__version__, {}) | results
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(json.dumps(known, indent=1))

    return write


def letters(clip, key: str, tokens: list) -> str:
    """The letters that the tokens of one encoder spell, by the host's own tokenizer."""
    tokenizer = getattr(clip.tokenizer, f"clip_{key}", None) or getattr(clip.tokenizer, key)
    pieces = "".join(tokenizer.inv_vocab[int(token[0])].removesuffix("</w>") for chunk in tokens for token in chunk)
    return "".join(c for c in pieces if c.isascii() and c.isalpha())


def equal(conditioning, other) -> bool:
    """Whether two CONDITIONINGs hold the same tensors, bit for bit."""
    return len(conditioning) == len(other) and all(
        torch.equal(a, b)
        and (oa.get("pooled_output") is None) == (ob.get("pooled_output") is None)
        and (oa.get("pooled_output") is None or torch.equal(oa["pooled_output"], ob["pooled_output"]))
        for (a, oa), (b, ob) in zip(conditioning, other, strict=True)
    )


def test_the_flagged_word_is_neutral_in_every_encoder(built, record):
    assert "pistol" in built.report["verdict"]
    cleaned, whole = built.cleaned, built.clip.tokenize(PROMPT)
    for key in built.family.encoders:
        before, after = (letters(built.clip, key, tokens[key]) for tokens in (whole, cleaned))
        assert "pistol" in before
        assert "pistol" not in after
        assert "redchair" in after
        changed = [a for a, b in zip(whole[key][0], cleaned[key][0], strict=True) if a != b]
        assert len(letters(built.clip, key, [changed])) <= len("apistolon")  # and hardly anything else
    assert equal(built.guarded, built.clip.encode_from_tokens_scheduled(cleaned))
    assert not torch.equal(built.guarded[0][0], built.stock[0][0])
    record("encoders", " + ".join(built.family.encoders))
    record("steering", "yes")


def test_the_pooled_output_is_that_of_the_cleaned_prompt(built, record):
    pooled, whole = built.guarded[0][1].get("pooled_output"), built.stock[0][1].get("pooled_output")
    if not built.family.reads_pooled:
        record("pooled", "not used")
        return
    assert not torch.equal(pooled, whole)
    mixed = [[built.stock[0][0], {**built.stock[0][1], "pooled_output": pooled}]]
    assert not torch.equal(built.sample(built.model, mixed), built.pictures[0])  # the model does read it
    record("pooled", "yes")


def test_unflagged_and_strength_0_are_the_stock_encoding(built, comfy_nodes, pack, record):
    guard_prompt, settings = pack.host.prompt.guard.guard_prompt, pack.host.prompt.findings.Settings
    text = PLAIN if built.reads_embeddings else PLAIN.replace("embedding:plain", "a fish")
    whole = stock_encoding(comfy_nodes, built, text)
    if not torch.isfinite(whole[0][0]).all():  # of weights, by ComfyUI itself, for Omnigen2
        text = text.replace("(dog:1.3)", "dog").replace("[banana]", "banana")
        whole = stock_encoding(comfy_nodes, built, text)
    checked, found = outputs(guard_prompt(built.clip, text, built.subspaces, settings(threshold=NOTHING)))
    assert found["tokens"]  # it was checked
    assert found["flagged"] == 0
    assert equal(checked, whole)
    assert ("[embedding]" in {token["text"] for token in found["tokens"]}) == built.reads_embeddings
    off, _ = outputs(guard_prompt(built.clip, PROMPT, built.subspaces, settings(strength=0.0)))
    assert equal(off, built.stock)
    record("unflagged", "bit-identical")


def test_an_embedding_that_carries_the_concept_is_taken_out(built, pack, record):
    if not built.reads_embeddings:
        record("embeddings", "not read by ComfyUI")
        return
    text = "a cat and a embedding:pistol on a red chair"
    conditioning, report, cleaned = guard(pack, built.clip, text, built.subspaces)
    assert {token["text"] for token in report["tokens"] if token["flagged"]} == {"[embedding]"}
    assert not built.holds_embeddings(cleaned)
    assert equal(conditioning, built.clip.encode_from_tokens_scheduled(cleaned))
    record("embeddings", "yes")


def stock_encoding(comfy_nodes, built: Built, text: str):
    """`text` by the family's own text encode node."""

    def extra(module: str, node: str, **inputs):
        return getattr(HostNodes(module), node)(built.clip, **inputs)[0]

    if built.name == "SDXL":
        sizes = dict.fromkeys(("width", "height", "target_width", "target_height"), 64) | {"crop_w": 0, "crop_h": 0}
        return extra("nodes_clip_sdxl", "CLIPTextEncodeSDXL", text_g=text, text_l=text, **sizes)
    if built.name.startswith("SD3"):
        return extra("nodes_sd3", "CLIPTextEncodeSD3", clip_l=text, clip_g=text, t5xxl=text, empty_padding="none")
    if built.name == "Flux":
        return extra("nodes_flux", "CLIPTextEncodeFlux", clip_l=text, t5xxl=text, guidance=3.5)
    return comfy_nodes.CLIPTextEncode().encode(built.clip, text)[0]


def test_guarded_sampling_is_finite_and_differs(built, record):
    unguarded, guarded = built.pictures
    assert torch.isfinite(unguarded).all()
    assert torch.isfinite(guarded).all()
    assert not torch.equal(unguarded, guarded)
    if built.family.sound:
        seen = math.prod(built.family.latent)
        assert unguarded.shape == guarded.shape == (seen + math.prod(built.family.sound),)
        assert not torch.equal(unguarded[:seen], guarded[:seen])
        assert not torch.equal(unguarded[seen:], guarded[seen:])
        record("sampled", "video and sound")
        return
    assert unguarded.shape == guarded.shape == built.family.latent
    record("sampled", "video" if built.family.is_video else "image")


def test_self_validation_switches_at_the_step(built, pack, record):
    def sample(steps: int) -> torch.Tensor:
        switch = pack.host.sampling.switching.Switch(fixed=steps)
        records = []
        patched = pack.host.sampling.run.self_validating(built.model, switch, records.append)
        latent = built.sample(patched, built.guarded)
        assert records[-1].filtered == [steps]
        return latent

    unguarded, guarded = built.pictures
    assert torch.equal(sample(0), unguarded)
    assert torch.equal(sample(STEPS), guarded)
    half = sample(1)
    assert torch.isfinite(half).all()
    assert not torch.equal(half, unguarded)
    assert not torch.equal(half, guarded)
    record("self-validation", "yes")


def test_re_attention_is_for_unets_and_says_so(built, pack, record):
    reattention = pack.host.reattention.skip_features
    settings = reattention.Settings((0.9, 0.2), radius=0.5)
    if not built.family.has_unet:
        with pytest.raises(pack.safree.SafreeError, match=r"works on the skip features of a UNet .* this model is a"):
            reattention.patch(built.model, settings)
        record("re-attention", "no UNet: refused")
        return
    damped = built.sample(reattention.patch(built.model, settings), built.guarded)
    assert torch.isfinite(damped).all()
    assert not torch.equal(damped, built.pictures[1])
    record("re-attention", "yes")


@pytest.mark.parametrize("mode", ["paper", "reference"])
def test_the_papers_modes_edit_only_token_states(built, pack, mode, record):
    settings = pack.host.prompt.findings.Settings(mode, validation="whole schedule")
    if built.name == "Anima" or not pack.host.text.families.slots(built.clip.cond_stage_model):
        with pytest.raises(pack.safree.SafreeError, match="Choose mode 'adaptive'"):
            pack.host.prompt.guard.guard_prompt(built.clip, PROMPT, built.subspaces, settings)
        record(mode, "refused")
        return
    conditioning, report = outputs(pack.host.prompt.guard.guard_prompt(built.clip, PROMPT, built.subspaces, settings))
    flagged = [token for token in report["tokens"] if token["flagged"]]
    changed = (conditioning[0][0] != built.stock[0][0]).any(dim=-1)[0]
    assert torch.isfinite(conditioning[0][0]).all()
    encoders_of_one_position = 2 if {"l", "g"} <= set(built.family.encoders) else 1
    assert 0 < changed.sum() <= len(flagged) <= encoders_of_one_position * changed.sum()
    pooled = built.stock[0][1].get("pooled_output")
    if pooled is not None:
        assert torch.equal(conditioning[0][1]["pooled_output"], pooled)
        assert "pooled output is still that of the whole prompt" in report["notes"][-1]
    record(mode, "token states")


SD3_PARTS = [
    (("l",), {"clip_g": False, "t5": False}),
    (("g",), {"clip_l": False, "t5": False}),
    (("t5xxl",), {"clip_l": False, "clip_g": False}),
]


@pytest.mark.parametrize(("keys", "arguments"), SD3_PARTS, ids=lambda value: "+".join(value))
@pytest.mark.parametrize("mode", ["adaptive", "paper"])
def test_sd3_with_only_some_of_its_encoders(comfy_nodes, pack, keys, arguments, mode):
    text = tiny_models.TextModel(*tiny_families.SD3_TEXT, arguments, config=tiny_families.SD3_CONFIG)
    clip = text.clip()
    (encoder,) = pack.host.text.encoders.encoders(clip)
    assert (encoder.key,) == keys
    tiny_models.plant_words(encoder)
    subspace = pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",))
    settings = pack.host.prompt.findings.Settings(mode, validation="whole schedule")
    ((tensor, _),), report = outputs(pack.host.prompt.guard.guard_prompt(clip, PROMPT, (subspace,), settings))
    assert "pistol" in report["verdict"]
    stock = clip.encode_from_tokens(clip.tokenize(PROMPT))
    assert not torch.equal(tensor, stock)
    columns = (tensor != stock).any(dim=1)[0].nonzero()
    if keys == ("g",):
        assert columns.min() >= 768  # the columns of CLIP-L, which is not there, stay zero


def test_an_unknown_encoder_is_an_error(comfy_nodes, pack, monkeypatch):
    """One that ComfyUI may bring tomorrow: here one whose refusal is forgotten."""
    for name in ("t5base", "SAT5Model"):
        monkeypatch.delitem(pack.host.text.families.REFUSED, name)
    clip = tiny_models.TextModel("text_encoders.sa_t5.SAT5Model", "text_encoders.sa_t5.SAT5Tokenizer").clip()
    with pytest.raises(pack.safree.SafreeError, match="text encoder 't5base' is not supported"):
        pack.host.prompt.subspaces.build_subspace(clip, "weapon", ("pistol",))
