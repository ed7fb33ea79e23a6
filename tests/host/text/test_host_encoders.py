"""This ComfyUI's own list of text encoders: none is missing in the table of those that are steered or refused."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import itertools
import pkgutil

import pytest
from tiny_encoders import ROWS

OF_LENS = "text_encoders.gpt_oss.LensGptOssClipModel"  # an encoder in a text model, as SDClipModel is


def base_of(kind: type) -> str:
    """The host's name of a class that a function of the host may have made."""
    known = next(k for k in kind.__mro__ if "<locals>" not in k.__qualname__ and k.__module__.startswith("comfy."))
    return f"{known.__module__.removeprefix('comfy.')}.{known.__qualname__}"


@pytest.fixture(scope="module")
def in_table(comfy_nodes) -> set[tuple[str, str]]:
    """(text model, tokenizer) of every row that this ComfyUI has."""
    targets = [row.text.target for row in ROWS.values() if row.text.here]
    return {(base_of(target.clip), base_of(target.tokenizer)) for target in targets}


@pytest.fixture(scope="module")
def loaded(comfy_nodes) -> dict[tuple[str, str], str]:
    """(text model, tokenizer) that ComfyUI's loaders put together, with how: of every kind of file, or two of them.

    The files hold nothing: what they are is said by each name of the host's list in turn.
    """
    import comfy.sd

    found, said = {}, {}

    class Taken(Exception):
        pass

    def take(target, **_):
        raise Taken(target)

    def detect(file):
        return said[id(file)]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(comfy.sd, "CLIP", take)
        patched.setattr(comfy.sd, "detect_te_model", detect)
        for kind in comfy.sd.CLIPType:
            files = [(one,) for one in (*comfy.sd.TEModel, None)]
            files += itertools.combinations_with_replacement(comfy.sd.TEModel, 2)
            files += [(comfy.sd.TEModel.CLIP_L,) * count for count in (3, 4)]
            for names in files:
                states = [{} for _ in names]
                said.update({id(state): name for state, name in zip(states, names, strict=True)})
                try:
                    comfy.sd.load_text_encoder_state_dicts(states, clip_type=kind)
                except Taken as taken:
                    (target,) = taken.args
                    key = base_of(target.clip), base_of(target.tokenizer)
                    found.setdefault(key, f"{kind.name} of {' + '.join(str(name) for name in names)}")
    return found


@pytest.fixture(scope="module")
def of_checkpoints(comfy_nodes) -> dict[tuple[str, str], str]:
    """(text model, tokenizer) of the checkpoints that hold theirs."""
    import comfy.supported_models
    from comfy.sd1_clip import SDClipModel

    found = {}
    for kind in comfy.supported_models.models:
        with contextlib.suppress(UnboundLocalError):  # one wants to read in the file which of its encoders it holds
            target = kind.clip_target(kind.__new__(kind), {})
            if target is not None and not issubclass(target.clip, SDClipModel):  # CogVideoX: CLIP takes no bare encoder
                found[base_of(target.clip), base_of(target.tokenizer)] = kind.__name__
    return found


def test_what_the_loaders_make_is_in_the_table(loaded, in_table):
    assert not {pair: how for pair, how in loaded.items() if pair not in in_table}
    assert len(loaded) > 20


def test_what_checkpoints_hold_is_in_the_table(of_checkpoints, in_table):
    assert not {pair: how for pair, how in of_checkpoints.items() if pair not in in_table}


def test_every_text_model_of_the_host_is_in_the_table(in_table):
    """Whatever class encodes tokens to conditioning, be it loaded in a way that the other tests do not know."""
    import comfy.text_encoders
    from comfy.sd1_clip import SDClipModel

    known, found = {model for model, _ in in_table}, set()
    for listed in pkgutil.iter_modules(comfy.text_encoders.__path__):
        module = importlib.import_module(f"comfy.text_encoders.{listed.name}")
        own = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
        found |= {base_of(k) for k in own if hasattr(k, "encode_token_weights") and not issubclass(k, SDClipModel)}
    assert found - known <= {OF_LENS}


def test_qwen35_of_every_size_is_known(pack):
    if not importlib.util.find_spec("comfy.text_encoders.qwen35"):
        pytest.skip("this ComfyUI has no Qwen3.5")
    sizes = importlib.import_module("comfy.text_encoders.qwen35").QWEN35_MODELS
    assert sizes.keys() <= pack.host.text.families.ENCODERS.keys()
