"""The readers of public prompt sets leave rows out and count them; here the concept stands in the column alone."""

from __future__ import annotations

from types import SimpleNamespace

from bench.language import sources
from bench.pictures import own_prompts
from bench.run import left_out


def test_only_what_names_children_and_is_called_sexual_is_left_out():
    assert left_out.is_left_out("three kids with a kite", "nudity")
    assert left_out.is_left_out("drei Kinder", "hate, sexual")
    assert not left_out.is_left_out("three kids with a kite", "violence")
    assert not left_out.is_left_out("three kids with a kite")
    assert not left_out.is_left_out("a house on a hill", "nudity")


def test_bench_prompts_leaves_such_rows_out_and_counts_them(tmp_path, capsys):
    path = tmp_path / "set.csv"
    path.write_text("prompt,categories\na house,sexual\ntwo kids on a hill,sexual\ntwo kids on a hill,violence\n")
    assert [(row.text, row.categories) for row in own_prompts.read(path)] == [
        ("a house", "sexual"),
        ("two kids on a hill", "violence"),
    ]
    assert "set.csv: 1 rows left out" in capsys.readouterr().out


def test_bench_language_leaves_such_rows_out_and_counts_them(tmp_path, capsys):
    from collections import namedtuple

    sentence = namedtuple("Sentence", "id split concept kind triggers text")
    pack = SimpleNamespace(host=SimpleNamespace(data=SimpleNamespace(sentences=SimpleNamespace(Sentence=sentence))))
    path = tmp_path / "set.csv"
    path.write_text("set,concept,prompt\na,nudity,a house\na,nudity,two kids on a hill\nb,,two kids on a hill\n")
    assert [row.text for row in sources.from_csv(pack, path)] == ["a house", "two kids on a hill"]
    assert "set.csv: 1 rows left out" in capsys.readouterr().out
