"""The editor's rules one by one: what widgets hold, what bypassed nodes pass on, what subgraphs show."""

from __future__ import annotations

import copy
import itertools

import pytest

from dev.drawn import LOADER, PROMPT, SUBGRAPH, document, drawn, node
from headless.editor import edited, to_api
from headless.editor.dynamic_text import has_choices, resolved
from headless.editor.graph import Graph
from headless.editor.new_nodes import GAP, SOCKETS, STEP, fill, free_place, size
from headless.editor.sources import fits
from headless.editor.values import as_sent, controls_among, restored
from headless.editor.widgets import NOTHING, Widget, widgets_of
from headless.workflow import WorkflowError

CLIP = [(10, 1, 1, 2, 0, "CLIP")]


def inputs(api: dict, key: str) -> dict:
    return api[key]["inputs"]


def named(*entries, group: str = "required") -> dict:
    """An entry of /object_info with these inputs."""
    return {"input": {group: dict(entries)}}


@pytest.mark.parametrize(
    ("spec", "default"),
    [
        (["INT", {"default": 5}], 5),
        (["INT"], 0),
        (["STRING", {}], ""),
        (["BOOLEAN", {"default": True}], True),
        ([["a", "b"]], "a"),
        ([["a", "b"], {"default": "b"}], "b"),
        (["COMBO", {"options": ["x", "y"]}], "x"),
        ([[]], None),
    ],
)
def test_a_fresh_widget_holds_its_default_else_its_first_choice_else_that_of_its_type(spec, default):
    for group in ("required", "optional"):
        assert widgets_of(named(("x", spec), group=group)) == (Widget("x", default),)


@pytest.mark.parametrize("spec", [["MODEL"], ["MODEL", {}], ["CLIP,VAE", {}], ["*", {"default": 5}]])
def test_an_input_of_another_type_is_no_widget(spec):
    assert widgets_of(named(("x", spec))) == ()


def test_seeds_bring_their_control_uploads_a_button_and_forced_inputs_an_old_value():
    control = Widget("control_after_generate", "randomize", sent=False)
    assert widgets_of(named(("seed", ["INT"]), ("steps", ["INT"])))[:2] == (Widget("seed", 0), control)
    assert len(widgets_of(named(("seed", ["INT"]), ("steps", ["INT"])))) == 3
    assert control in widgets_of(named(("n", ["INT", {"control_after_generate": True}])))
    assert control not in widgets_of(named(("seed", ["INT", {"control_after_generate": False}])))
    assert control not in widgets_of(named(("seed", ["FLOAT"])))
    upload = widgets_of(named(("image", [["a"], {"image_upload": True}]), ("x", ["INT"])))
    assert upload == (Widget("image", "a"), Widget("x", 0), Widget("upload", "image", sent=False))
    assert widgets_of(named(("x", ["INT", {"forceInput": True}]))) == (Widget("x", None, sent=False, forced=True),)
    assert widgets_of(named(("t", ["STRING", {"dynamicPrompts": True}]))) == (Widget("t", "", dynamic=True),)
    both = {"input": {"required": {"a": ["INT"]}, "optional": {"b": ["INT"]}}}
    assert [widget.name for widget in widgets_of(both)] == ["a", "b"]


CHOICE = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {"key": "one", "inputs": {"required": {"a": ["INT", {"default": 3}]}, "optional": {"b": ["STRING"]}}},
            {"key": "two", "inputs": {"required": None, "optional": {"c": ["FLOAT", {"default": 0.5}]}}},
            {"key": "none", "inputs": {}},
        ]
    },
]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["one", 7, "x", 9], {"way": "one", "way.a": 7, "way.b": "x", "after": 9}),
        (["two", 0.25, 9], {"way": "two", "way.c": 0.25, "after": 9}),
        (["none", 9], {"way": "none", "after": 9}),
        ([], {"way": "one", "way.a": 3, "way.b": "", "after": 1}),
        (["unheard of", 9], {"way": "unheard of", "after": 9}),
        (["one", None, None, None], {"way": "one", "way.a": 3, "way.b": "", "after": 1}),
    ],
)
def test_a_choice_brings_widgets_of_its_own_whose_values_follow_it(values, found):
    widgets = widgets_of(named(("way", CHOICE), ("after", ["INT", {"default": 1}])))
    assert {one.widget.name: one.value for one in restored(widgets, values)} == found


def test_a_value_knows_its_place_in_the_file_and_a_default_has_none():
    widgets = (Widget("a", 1), Widget("b", 2), Widget("c", 3))
    assert [(one.value, one.place) for one in restored(widgets, [7, None])] == [(7, 0), (2, 1), (3, None)]


def test_where_no_default_is_known_a_control_is_told_by_its_look_and_missing_values_end_the_list():
    widgets = (Widget("seed"), Widget("steps"), Widget("cfg"))
    assert all(widget.default is NOTHING for widget in widgets)
    assert [one.value for one in restored(widgets, [5, "fixed", 20])] == [5, 20]
    assert [one.value for one in restored(widgets, [5, 20, 8])] == [5, 20, 8]
    assert [one.value for one in restored((Widget("a"), Widget("b")), [5, "fixed"])] == [5, "fixed"]
    assert [one.value for one in restored((Widget("seed"), Widget("b")), ["5", "fixed"])] == ["5", "fixed"]


def test_an_older_file_has_a_value_for_each_input_that_used_to_be_a_widget():
    widgets = (Widget("a", 1), Widget("old", None, sent=False, forced=True), Widget("b", 2))
    assert [one.value for one in restored(widgets, [5, 6, 7])] == [5, 7]
    assert [one.value for one in restored(widgets, [5, 7])] == [5, 7]


def test_lists_are_wrapped_and_controls_counted():
    assert (as_sent([1]), as_sent("x")) == ({"__value__": [1]}, "x")
    assert controls_among([5, "fixed", 7, "increment", "x", "fixed"]) == 2


@pytest.mark.parametrize(
    ("one", "other", "fit"),
    [
        ("MODEL", "MODEL", True),
        ("MODEL", "model", True),
        ("MODEL", "CLIP", False),
        ("MODEL,CLIP", "CLIP, VAE", True),
        ("*", "CLIP", True),
        ("CLIP", "", True),
        (0, "CLIP", True),
        ("MODELS", "MODEL", False),
    ],
)
def test_types_that_the_editor_connects(one, other, fit):
    assert fits(one, other) is fits(other, one) is fit


def bypassed(slots: list, outputs: tuple, slot: int, asked: str = "CLIP") -> list | None:
    """What arrives at input `x` of type `asked`, from output `slot` of a bypassed node; nodes 20, 21, ... feed it."""
    entries = [(f"in{n}", kind, 30 + n) for n, kind in enumerate(slots)]
    makers = [node(20 + n, "VAELoader", ["v"], outputs=(kind,)) for n, kind in enumerate(slots)]
    way = node(5, "Somebodys", [], entries, outputs, mode=4)
    taker = node(6, "Takers", [], [("x", asked, 10)])
    links = [(30 + n, 20 + n, 0, 5, n, kind) for n, kind in enumerate(slots)] + [(10, 5, slot, 6, 0, asked)]
    return inputs(to_api(document(*makers, way, taker, links=links)), "6").get("x")


@pytest.mark.parametrize(
    ("slots", "outputs", "slot", "asked", "maker"),
    [
        (["MODEL", "CLIP"], ("MODEL", "CLIP"), 1, "CLIP", "21"),
        (["MODEL", "CLIP"], ("CLIP",), 0, "CLIP", "21"),
        (["CLIP", "CLIP"], ("MODEL", "CLIP"), 1, "CLIP", "21"),
        (["CLIP", "MODEL", "CLIP"], ("CLIP", "CLIP"), 1, "CLIP", "20"),
        (["MODEL"], ("MODEL", "CLIP"), 1, "CLIP", None),
        (["MODEL", "CLIP"], ("MODEL", "CLIP"), 1, "*", "21"),
        (["MODEL"], ("MODEL", "CLIP"), 1, "*", "20"),
        (["*", "CLIP"], ("CLIP",), 0, "CLIP", "20"),
        (["MODEL", "*", "CLIP"], ("CLIP",), 0, "CLIP", "22"),
        ([], ("CLIP",), 0, "*", None),
    ],
)
def test_a_bypassed_node_passes_on_the_input_beside_its_output_else_the_first_that_fits(
    slots, outputs, slot, asked, maker
):
    assert bypassed(slots, outputs, slot, asked) == ([maker, 0] if maker else None)


def reroutes(count: int) -> dict:
    """That many in a row between a loader and a prompt."""
    chain = [node(100 + n, "Reroute", inputs=[("", "*", 100 + n)], outputs=("*",)) for n in range(count)]
    ids = [1, *(100 + n for n in range(count)), 2]
    links = [
        (100 + n if target != 2 else 10, origin, 1 if origin == 1 else 0, target, 0, "CLIP")
        for n, (origin, target) in enumerate(itertools.pairwise(ids))
    ]
    return document(LOADER, *chain, PROMPT, links=links)


def test_reroutes_are_followed_however_many_up_to_a_bound():
    for count in (1, 150):
        assert inputs(to_api(reroutes(count)), "2")["clip"] == ["1", 1]
    with pytest.raises(WorkflowError, match="in a circle"):
        to_api(reroutes(250))


@pytest.mark.parametrize(("mode", "arrives"), [(0, True), (2, False), (4, False)])
def test_a_muted_maker_gives_nothing_and_a_bypassed_one_without_inputs_neither(mode, arrives):
    api = to_api(document({**LOADER, "mode": mode}, PROMPT, links=CLIP))
    assert ("clip" in inputs(api, "2")) is arrives


def test_a_getter_takes_what_the_setter_of_its_name_was_given():
    setters = [
        node(5, "SetNode", ["other"], [("CLIP", "CLIP", 11)], ("CLIP",)),
        node(6, "SetNode", ["mine"], [("CLIP", "CLIP", 12)], ("CLIP",)),
    ]
    second = {**LOADER, "id": 9}
    for name, maker in (("mine", "9"), ("other", "1"), ("none", None)):
        getter = node(7, "GetNode", [name], outputs=("CLIP",))
        links = [(11, 1, 1, 5, 0, "CLIP"), (12, 9, 1, 6, 0, "CLIP"), (10, 7, 0, 2, 0, "CLIP")]
        api = to_api(document(LOADER, second, *setters, getter, PROMPT, links=links))
        assert inputs(api, "2").get("clip") == ([maker, 1] if maker else None)


def shown(subgraph: dict, values: list, slots: list, **properties) -> dict:
    """The inputs of the encoder inside, for a subgraph's node with these values and inputs."""
    use = node(8, "sub", values, slots, ("CONDITIONING",), properties=properties)
    links = [(10, 1, 1, 8, next(n for n, slot in enumerate(slots) if slot[0] == "clip"), "CLIP")]
    return inputs(to_api(document(LOADER, use, links=links, definitions={"subgraphs": [subgraph]})), "8:4")


CLIP_SLOT, TEXT_SLOT = ("clip", "CLIP", 10), ("text", "STRING", None, True)


@pytest.mark.parametrize("slots", [[CLIP_SLOT, TEXT_SLOT], [TEXT_SLOT, CLIP_SLOT], [CLIP_SLOT]])
def test_a_widget_that_a_subgraph_shows_has_its_value_there_in_the_definitions_order(slots):
    assert shown(SUBGRAPH, ["shown"], slots) == {"clip": ["1", 1], "text": "shown"}
    assert shown(SUBGRAPH, [], slots) == {"clip": ["1", 1], "text": "inside"}


@pytest.mark.parametrize(
    ("entry", "text"),
    [(["4", "text"], "shown"), (["-1", "text"], "shown"), ([4, "text"], "shown")],
)
def test_the_property_says_whose_the_values_are(entry, text):
    assert shown(SUBGRAPH, ["shown"], [CLIP_SLOT, TEXT_SLOT], proxyWidgets=[entry])["text"] == text
    unwired = copy.deepcopy(SUBGRAPH)
    unwired["links"] = [link for link in unwired["links"] if link["id"] != 2]
    unwired["inputs"] = unwired["inputs"][:1]
    unwired["nodes"][0]["inputs"][1]["link"] = None
    inside = shown(unwired, ["shown"], [CLIP_SLOT], proxyWidgets=[entry])["text"]
    assert inside == ("shown" if entry[0] != "-1" else "inside")
    assert shown(unwired, [None], [CLIP_SLOT], proxyWidgets=[entry])["text"] == "inside"


def everywhere(noted: list | None, mode: int = 0, kind: str = "CLIP") -> dict:
    sender = node(5, "Anything Everywhere", inputs=[("anything", "*", 11)], mode=mode)
    prompt = node(2, "CLIPTextEncode", ["a cat"], [("clip", kind, None)], ("CONDITIONING",))
    extra = {} if noted is None else {"ue_links": noted}
    return document(LOADER, sender, prompt, links=[(11, 1, 1, 5, 0, "CLIP")], extra=extra)


NOTED = {"downstream": 2, "downstream_slot": 0, "upstream": "1", "upstream_slot": 1, "controller": 5, "type": "CLIP"}


def test_connections_that_are_made_everywhere_are_those_that_the_file_notes():
    assert inputs(to_api(everywhere([NOTED])), "2")["clip"] == ["1", 1]
    assert "clip" not in inputs(to_api(everywhere([])), "2")
    assert "clip" not in inputs(to_api(everywhere([NOTED], mode=4)), "2")
    assert "clip" not in inputs(to_api(everywhere([NOTED | {"downstream_slot": 1}])), "2")
    assert "clip" not in inputs(to_api(everywhere([NOTED | {"upstream": 77}])), "2")
    assert "clip" not in inputs(to_api(everywhere([NOTED | {"downstream": 77}])), "2")
    for document_ in (everywhere(None, mode=2), everywhere(None, kind="VAE")):
        assert "clip" not in inputs(to_api(document_), "2")
    with pytest.raises(WorkflowError, match="does not hold"):
        to_api(everywhere(None))


def test_a_connection_that_is_there_stays_whatever_is_sent_everywhere():
    second = {**LOADER, "id": 9}
    both = document(LOADER, second, PROMPT, links=CLIP, extra={"ue_links": [NOTED | {"upstream": 9}]})
    assert inputs(to_api(both), "2")["clip"] == ["1", 1]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a {red|blue} cat", "a red cat", "a blue cat"),
        ("{a|{b|c}|d}", "a", "d"),
        (r"\{a|b\}", "{a|b}", "{a|b}"),
        ("a // no\nb /* x\ny */c", "a \nb c", "a \nb c"),
        ("{a", "a", "a"),
        ("a|b}", "a|b}", "a|b}"),
        ("", "", ""),
        ("a\\", "a\\", "a\\"),
    ],
)
def test_choices_and_comments_are_resolved(text, first, last):
    assert resolved(text, lambda words: words[0]) == first
    assert resolved(text, lambda words: words[-1]) == last
    assert has_choices(text) is (first != last)


def box(x: float, y: float, w: float = 100, h: float = 50, number: int = 0) -> dict:
    return {"id": number, "pos": [x, y], "size": [w, h]}


def place(room: list, user: dict, *others: dict) -> list:
    nodes = [{**entry, "id": n} for n, entry in enumerate([user, *others])]
    return free_place(Graph({"nodes": nodes}), room, user)


def test_a_new_node_stands_to_the_left_of_what_it_is_for_and_on_nothing():
    user, room = box(1000, 200), [340, 120]
    left = 1000 - 340 - GAP
    assert place(room, user) == [left, 200]
    assert place(room, user, box(left + 100, 150)) == [left, 200 + STEP]  # 40 below the end of the other
    assert place(room, user, box(left + 100, 250)) == [left, 200 + 4 * STEP]
    assert place(room, user, box(left + 100, 200 + 120 + STEP)) == [left, 200]  # just far enough below
    assert place(room, user, box(left - 100 - GAP / 3, 200)) == [left, 200]  # just far enough beside
    assert place(room, user, box(left - 99 - GAP / 3, 200)) != [left, 200]
    assert place(room, {**user, "pos": {"0": 1000, "1": 200}}, box(0, 0)) == [left, 200]


@pytest.mark.parametrize("kind", SOCKETS)
def test_a_drawn_node_has_room_for_its_sockets_widgets_and_texts(kind):
    entry = {"id": 1, "type": kind}
    fill(entry, {"class_type": kind, "inputs": {}, "_meta": {"title": kind}})
    width, height = size(entry)
    assert width == 340
    texts = {"text", "text_l", "text_g", "text_t5xxl", "text_llm", "text_bert", "phrases", "retain"}
    count = len(entry["widgets_values"])
    lines = max(len(entry["inputs"]) - count, len(entry["outputs"]))
    names = [slot["name"] for slot in entry["inputs"] if "widget" in slot]
    assert height == 40 + 24 * lines + 28 * count + 90 * len(texts.intersection(names))


def test_an_edit_connects_to_outputs_of_its_own_graph_and_sets_values_in_their_place():
    before = drawn(subgraph=False)
    api = to_api(before)
    after = copy.deepcopy(api)
    after["4"]["inputs"] |= {"steps": 30, "negative": ["2", 0]}
    assert to_api(edited(before, api, after)) == after
    after["4"]["inputs"]["latent_image"] = ["77", 0]
    with pytest.raises(WorkflowError, match="into a subgraph that is not there"):
        edited(before, api, after)
    after["4"]["inputs"] = api["4"]["inputs"] | {"none": 5}
    with pytest.raises(WorkflowError, match="has no none that could be changed"):
        edited(before, api, after)


@pytest.mark.parametrize("subgraph", [False, True])
def test_without_a_change_a_file_stays_as_it_is(subgraph):
    before = drawn(subgraph=subgraph)
    api = to_api(before)
    assert to_api(edited(before, api, copy.deepcopy(api))) == api


@pytest.mark.parametrize(
    ("links", "named", "told"),
    [
        ([], 10, None),  # left over: nothing is connected
        (CLIP, 10, None),
        ([*CLIP, (11, 1, 1, 2, 0, "CLIP")], 10, None),  # of several, the input names one
        (CLIP, None, "link None at the input, 10 among the links"),
        (CLIP, 11, "link 11 at the input, 10 among the links"),
        ([*CLIP, (11, 1, 1, 3, 0, "CLIP")], 11, "link 11 at the input, 10 among the links"),
        ([(10, 1, 1, 2, 1, "CLIP")], 10, "link 10 at the input, none among the links"),
    ],
)
def test_a_file_that_says_two_things_about_a_connection_is_refused(links, named, told):
    prompt = node(2, "CLIPTextEncode", ["a cat"], [("clip", "CLIP", named)], ("CONDITIONING",))
    file = document(LOADER, prompt, links=links)
    if told:
        with pytest.raises(WorkflowError, match=f"two things about what is connected to 'clip'.*{told}"):
            to_api(file)
    else:
        to_api(file)


def test_two_nodes_with_one_id_are_refused():
    with pytest.raises(WorkflowError, match="same id"):
        to_api(document(LOADER, LOADER))


def test_widgets_that_a_pack_writes_by_name_keep_their_names_but_for_its_preview():
    values = {"a": 5, "videopreview": {"x": 1}, "z": "x"}
    assert inputs(to_api(document(node(5, "Videos") | {"widgets_values": values})), "5") == {"a": 5, "z": "x"}


def test_of_two_shown_widgets_each_has_the_value_that_the_property_gives_it():
    both = copy.deepcopy(SUBGRAPH)
    both["nodes"].append(node(6, "CLIPTextEncode", ["second"], [("text", "STRING", 4, True)], ("CONDITIONING",)))
    both["inputs"].append({"id": "in-more", "name": "more", "type": "STRING", "linkIds": [4]})
    both["links"].append(
        {"id": 4, "origin_id": -10, "origin_slot": 2, "target_id": 6, "target_slot": 0, "type": "STRING"}
    )
    slots = [CLIP_SLOT, TEXT_SLOT, ("more", "STRING", None, True)]

    def texts(values: list, *proxies: list) -> tuple:
        use = node(8, "sub", values, slots, ("CONDITIONING",), properties={"proxyWidgets": list(proxies)})
        links = [(10, 1, 1, 8, 0, "CLIP")]
        api = to_api(document(LOADER, use, links=links, definitions={"subgraphs": [both]}))
        return inputs(api, "8:4")["text"], inputs(api, "8:6")["text"]

    assert texts(["one", "two"]) == ("one", "two")
    for first, second in ((["4", "text"], ["6", "text"]), (["-1", "text"], ["-1", "more"])):
        assert texts(["one", "two"], first, second) == ("one", "two")
        assert texts(["one", "two"], second, first) == ("two", "one")
