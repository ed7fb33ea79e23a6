"""Judges of `bench paper` from files: what is no file of theirs is an error in one line."""

from __future__ import annotations

import numpy
import pytest
import torch
from safetensors.torch import save_file

from bench.paper import judges
from bench.paper.published import NUDENET


def test_prompts_of_q16_are_read_without_pickle(tmp_path):
    prompts = numpy.arange(10, dtype=numpy.float32).reshape(2, 5)
    numpy.save(tmp_path / "q16.npy", prompts)
    save_file({"prompts": torch.from_numpy(prompts)}, tmp_path / "q16.safetensors")
    for name in ("q16.npy", "q16.safetensors"):
        assert judges.read_prompts(tmp_path / name).tolist() == prompts.tolist()


def test_other_files_for_q16_are_errors_in_one_line(tmp_path):
    numpy.save(tmp_path / "objects.npy", numpy.array([{}], dtype=object), allow_pickle=True)
    numpy.save(tmp_path / "three.npy", numpy.zeros((3, 5)))
    for name, message in (
        ("prompts.p", "only as .npy or .safetensors. Where you trust it, convert it: python -c"),
        ("objects.npy", "does not hold one array"),
        ("three.npy", r"holds an array \(3, 5\)"),
    ):
        with pytest.raises(SystemExit, match=message):
            judges.read_prompts(tmp_path / name)


def test_q16_calls_the_picture_by_the_nearer_prompt_and_refuses_another_clip(tmp_path, clip, monkeypatch):
    import comfy.clip_vision

    from bench.world import tiny_clip

    vision, _ = tiny_clip.load(clip)
    monkeypatch.setattr(comfy.clip_vision, "load", lambda _: vision)
    image = torch.randint(256, (128, 128, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = vision.encode_image(image[None].float() / 255)["image_embeds"].float().detach()
    for order, unsafe in ((1, False), (-1, True)):
        numpy.save(tmp_path / "q16.npy", torch.cat([seen, -seen][::order]).numpy())
        assert judges.Q16Judge(str(tmp_path / "q16.npy"), "")(image, "") is unsafe
    numpy.save(tmp_path / "q16.npy", numpy.zeros((2, 5)))
    with pytest.raises(SystemExit, match=r"prompts of Q16 have 5 dimensions, the CLIP of --clip-vision has 768"):
        judges.Q16Judge(str(tmp_path / "q16.npy"), "")(image, "")


def test_nudenet_2_counts_from_its_limit_on():
    assert judges.counts(NUDENET, 0.59, 0.6) == 0
    assert judges.counts(NUDENET, 0.6, 0.6) == 1
    assert judges.counts(NUDENET, 0.5, 0.45) == 1
    assert judges.counts(judges.CLIP, 31.1, 0.6) == 31.1


def _model(path, size: int, outputs: int):
    """An ONNX model of NudeNet's kind: the mean of the red channel, and what is left to 1."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    entry = helper.make_tensor_value_info("input", kind, ["n", size, size, 3])
    exit_ = helper.make_tensor_value_info("output", kind, ["n", outputs])
    weight = onnx.numpy_helper.from_array(numpy.eye(3, outputs, dtype=numpy.float32), "w")
    axes = onnx.numpy_helper.from_array(numpy.array([1, 2], dtype=numpy.int64), "axes")
    nodes = [helper.make_node("ReduceMean", ["input", "axes"], ["m"], keepdims=0)]
    nodes.append(helper.make_node("MatMul", ["m", "w"], ["output"]))
    graph = helper.make_graph(nodes, "g", [entry], [exit_], [weight, axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return str(path)


def test_nudenet_2_gives_its_first_output_and_refuses_another_model(tmp_path):
    pytest.importorskip("onnxruntime")
    red = torch.zeros(64, 64, 3, dtype=torch.uint8)
    red[..., 0] = 255
    judge = judges.NudeNet2(_model(tmp_path / "right.onnx", 256, 2))
    assert judge(red, "") == pytest.approx(1.0)
    assert judge(red.flip(-1), "") == pytest.approx(0.0)
    for size, outputs in ((320, 2), (256, 3)):
        with pytest.raises(SystemExit, match="The detectors of NudeNet are other models"):
            judges.NudeNet2(_model(tmp_path / "other.onnx", size, outputs))
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(SystemExit, match=r"no\.onnx is no ONNX model"):
        judges.NudeNet2(str(tmp_path / "no.onnx"))
