"""The judges: a real classifier of transformers, NudeNet's real wheel, the look into the latent, and their errors."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

LABELS = {0: "gun", 1: "sword", 2: "cat", 3: "dog"}
MAP = {"concepts": {"weapons": ["gun", "sword"]}, "harmless": ["cat", "dog"], "threshold": 0.5}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small ViT of transformers with random weights, as its own `save_pretrained` writes it, and a map."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("judges") / "small-vit"
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        id2label=LABELS,
        label2id={label: number for number, label in LABELS.items()},
    )
    torch.manual_seed(3)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    (folder / "safree.json").write_text(json.dumps(MAP))
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "small-vit")


@pytest.fixture
def classifier(pack):
    return pack.host.gate.judges.classifier.ClassifierJudge


@pytest.fixture
def pictures():
    return torch.rand(3, 40, 50, 3, generator=torch.Generator().manual_seed(4))


def test_a_classifier_gives_the_probability_of_a_concepts_labels_together(classifier, folder, pictures):
    judge = classifier(folder)
    found = judge.judge(pictures)
    assert [(one.concept, one.picture) for one in found] == [("weapons", 0), ("weapons", 1), ("weapons", 2)]
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    pixels = AutoImageProcessor.from_pretrained(folder)(
        images=[(picture * 255).round().byte().numpy() for picture in pictures], return_tensors="pt"
    )
    with torch.no_grad():
        shares = AutoModelForImageClassification.from_pretrained(folder)(**pixels).logits.softmax(1)
    assert torch.allclose(torch.tensor([one.score for one in found]), shares[:, :2].sum(1), atol=1e-4)


def test_labels_that_may_be_true_together_are_judged_one_by_one(classifier, folder, pictures):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    both = classifier(folder).judge(pictures)[0].score
    (folder / "safree.json").write_text(json.dumps({**MAP, "concepts": {"a": ["gun"], "b": ["sword"]}}))
    one, other = (one.score for one in classifier(folder).judge(pictures[:1]))
    assert both == pytest.approx(max(one, other), abs=1e-5)


@pytest.mark.parametrize(("threshold", "limit"), [(0.0, 0.5), (0.2, 0.2)])
def test_a_threshold_of_the_node_goes_before_that_of_the_map(classifier, folder, pictures, threshold, limit):
    assert classifier(folder, threshold).judge(pictures)[0].limit == limit


def broken(folder, file: str, change) -> None:
    path = folder / file
    data = change(json.loads(path.read_text()))
    path.write_text(json.dumps(data))


BAD_MAPS = {
    "lacks a label": ({**MAP, "harmless": ["cat"]}, "lacks the label 'dog'"),
    "names no label": ({**MAP, "harmless": ["cat", "dog", "cow"]}, "names the label 'cow'"),
    "no concepts": ({"harmless": ["cat"]}, "has no object 'concepts'"),
    "unknown field": ({**MAP, "treshold": 1}, "unknown field 'treshold'"),
    "threshold": ({**MAP, "threshold": 1.5}, "threshold 1.5"),
    "no list": ({**MAP, "concepts": {"weapons": "gun"}}, "no list of labels"),
    "a list": ([], "has no object 'concepts'"),
}


@pytest.mark.fault("a map of a judge's labels that is not whole", "SafreeError names the judge and the label or field")
@pytest.mark.parametrize("case", BAD_MAPS)
def test_a_map_that_is_not_whole_is_an_error(pack, classifier, folder, case):
    data, message = BAD_MAPS[case]
    (folder / "safree.json").write_text(json.dumps(data))
    with pytest.raises(pack.safree.SafreeError, match=message):
        classifier(folder)


@pytest.mark.fault("a judge whose processor makes pictures of another size", "SafreeError names the judge and its size")
def test_a_judge_of_another_size_is_an_error(pack, classifier, folder, pictures):
    broken(folder, "preprocessor_config.json", lambda data: {**data, "size": {"height": 48, "width": 48}})
    with pytest.raises(pack.safree.SafreeError, match=r"judge 'small-vit' cannot take these pictures.*image_size 32"):
        classifier(folder).judge(pictures)


@pytest.mark.fault("a judge's folder with pickled weights or without weights", "SafreeError; nothing is unpickled")
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "preprocessor_config.json", "safree.json"])
def test_a_folder_that_is_not_whole_is_an_error(pack, classifier, folder, file):
    (folder / file).unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(pack.safree.SafreeError, match=f"judge 'small-vit' has no file {file}"):
        classifier(folder)


@pytest.mark.fault("damaged weights of a judge", "SafreeError names the judge")
def test_damaged_weights_are_an_error(pack, classifier, folder):
    (folder / "model.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(pack.safree.SafreeError, match="judge 'small-vit' cannot be loaded"):
        classifier(folder)


@pytest.mark.fault("a judge with NaN in its weights", "SafreeError names the judge")
def test_a_judge_with_nan_is_an_error(pack, classifier, folder, pictures):
    judge = classifier(folder)
    judge.model.classifier.bias.data.fill_(torch.nan)
    with pytest.raises(pack.safree.SafreeError, match="judge 'small-vit' returned NaN"):
        judge.judge(pictures)


def test_the_loader_lists_the_folders_and_asks_for_no_network(pack, folder, monkeypatch, pictures):
    import folder_paths

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "safree_judges", ([str(folder.parent)], set()))
    node = pack.nodes.safety_judges.LoadSafetyJudge
    assert node.define_schema().inputs[0].options[1:] == ["small-vit"]
    ((judge,),) = node.execute("small-vit", 0.0).args
    assert len(judge.judge(pictures)) == 3
    before = node.fingerprint_inputs("small-vit")
    broken(folder, "safree.json", lambda data: {**data, "threshold": 0.1})
    assert node.fingerprint_inputs("small-vit") > before
    with pytest.raises(pack.safree.SafreeError, match=r"LoadSafetyJudge: there is no judge '\.\./small-vit'"):
        node.execute("../small-vit", 0.0)


def test_nudenets_real_wheel_judges_pictures_and_knows_the_classes_that_count(pack, nudenet):
    module = pack.host.gate.judges.nudenet
    (judges,) = pack.nodes.safety_judges.LoadSafetyJudge.execute(module.NAME, 0.0).args
    pictures = torch.rand(2, 128, 96, 3, generator=torch.Generator().manual_seed(4))
    found = judges[0].judge(pictures)
    assert [(one.concept, one.picture, one.found) for one in found] == [("nudity", 0, False), ("nudity", 1, False)]
    assert set(vars(nudenet)["__labels"]) >= module.CLASSES
    done = pack.nodes.safety_gate.SafetyGate.execute(pictures, judges, "blur", "any", 8, True, 0.2, 1, 0)
    assert (torch.equal(done.args[0], pictures), done.args[1]) == (True, True)


def test_the_boxes_that_nudenets_wheel_makes_of_its_networks_answer_lie_in_the_picture(pack, nudenet):
    """The network's answer for a picture 200 wide and 100 high: one part, its middle and size in 320ths of 200."""
    judge = pack.host.gate.judges.nudenet.NudeNetJudge()
    answer = torch.zeros(1, 4 + 18, 2100).numpy()
    answer[0, :4, 7] = 160, 80, 160, 96
    answer[0, 4 + vars(nudenet)["__labels"].index("BUTTOCKS_EXPOSED"), 7] = 0.75
    assert judge.detector.onnx_session.get_outputs()[0].shape[1] == answer.shape[1]
    judge.detector.onnx_session = type("Answers", (), {"run": lambda self, names, given: [answer]})()
    (finding,) = judge.judge(torch.rand(1, 100, 200, 3))
    assert finding.box == (0.25, 0.2, 0.75, 0.8)
    assert finding.score == 0.75


def test_boxes_of_nudenet_are_shares_of_the_picture(pack, monkeypatch):
    """What the wheel's detector returns, for a picture 200 wide and 100 high."""
    module = pack.host.gate.judges.nudenet
    judge = object.__new__(module.NudeNetJudge)
    parts = [
        {"class": "BUTTOCKS_EXPOSED", "score": 0.75, "box": [50, 20, 100, 60]},
        {"class": "FACE_FEMALE", "score": 0.9, "box": [0, 0, 10, 10]},
    ]
    judge.detector = type("Detector", (), {"detect": lambda self, pixels: parts})()
    judge.threshold = 0.5
    (finding,) = judge.judge(torch.rand(1, 100, 200, 3))
    assert finding.box == (0.25, 0.2, 0.75, 0.8)
    assert finding.found


@pytest.mark.fault("NudeNet chosen where it is not installed", "SafreeError says how to install it")
def test_nudenet_that_is_not_installed_is_an_error(pack, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "nudenet", None)
    with pytest.raises(pack.safree.SafreeError, match="LoadSafetyJudge: the package nudenet is not installed"):
        pack.nodes.safety_judges.LoadSafetyJudge.execute(pack.host.gate.judges.nudenet.NAME, 0.0)
