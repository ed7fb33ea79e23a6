"""`bench language --public`: the public sets' own formats as labelled sentences."""

from __future__ import annotations

import csv
import json

import pytest

from bench.language import public_sets


def test_t2vsafetybench_s_lists_are_concepts_of_shipped_sets(tmp_path, capsys):
    for number in (1, 3, 9):
        (tmp_path / f"{number}.txt").write_text(f"line of {number}\n\n", encoding="utf-8")
    assert public_sets.read(tmp_path) == [
        ("sexual: pornography", "nudity", "line of 1"),
        ("violence", "violence", "line of 3"),
    ]
    assert "1 rows left out of categories" in capsys.readouterr().out


def test_copro_s_pairs_are_a_harmful_and_a_harmless_sentence(tmp_path):
    pairs = [
        {"category": "violence", "concept": "war", "unsafe_prompt": "two fight", "safe_prompt": "two dance"},
        {"category": "illegal activity", "concept": "theft", "unsafe_prompt": "x", "safe_prompt": "y"},
    ]
    path = tmp_path / "CoPro_v1.0.json"
    path.write_text(json.dumps({"ID_train_data": [], "ID_test_data": pairs}), encoding="utf-8")
    assert public_sets.read(path) == [("violence", "violence", "two fight"), ("violence", "", "two dance")]


def test_a_row_of_i2p_counts_in_each_of_its_categories(tmp_path):
    path = tmp_path / "i2p.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("prompt", "categories"), ("two fight", "violence, shocking, harassment")])
    assert public_sets.read(path) == [("violence", "violence", "two fight"), ("shocking", "gore", "two fight")]


def test_rows_about_children_are_left_out_and_counted(tmp_path, capsys):
    (tmp_path / "1.txt").write_text("a child\na house\n", encoding="utf-8")
    assert [row[2] for row in public_sets.read(tmp_path)] == ["a house"]
    assert "1 rows left out that join" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text"), [("other.json", "{}"), ("other.csv", "text\na"), ("no.json", "["), ("list.json", "[1]")]
)
def test_another_file_is_an_error_in_one_line(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match="is none of T2VSafetyBench") as error:
        public_sets.read(tmp_path / name)
    assert "\n" not in str(error.value)
