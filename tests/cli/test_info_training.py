"""``olatkit info`` on what comes after the take: shards, trainings, settings, tables, pages."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from painted_runs import ALONE, read_rows
from painted_samples import painted_batches, tiny_config
from small_shards import write_small_set

from olatkit.cli.info import command
from olatkit.cli.shards import command as shards_command
from olatkit.errors import FormatError
from olatkit.io.describe import describe
from olatkit.jobs.simulate_set import SetPlan, write_set
from olatkit.learn.train import train
from olatkit.learn.variants import VARIANTS
from olatkit.rig import default_rig
from olatkit.schedule import default_114
from olatkit.simulate.cast import Actor

MATRIX = [[1.7, 0.1, -0.5], [-0.4, 1.7, -0.6], [0, -0.8, 2.6]]


def facts(path: Path) -> dict:
    """Keys and values as machines get them."""
    result = CliRunner().invoke(command, [str(path), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)[0]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_set(tmp_path_factory.mktemp("shards"), 2, 5, splits={"test": ["take1"]})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(tiny_config(), painted_batches, folder, ALONE)
    return folder


def test_a_set_of_shards_by_folder_and_index(shards: Path) -> None:
    found = facts(shards)
    assert found["kind"] == "shard set"
    assert found["imagesets"] == 10
    assert found["split_test"] == ["take1"]
    assert {**facts(shards / "index.json"), "path": ""} == {**found, "path": ""}
    shown, same = CliRunner().invoke(command, [str(shards)]), CliRunner().invoke(shards_command, ["info", str(shards)])
    assert same.output == shown.output


def test_one_shard(shards: Path) -> None:
    found = facts(shards / "shard-00001.h5")
    assert found["kind"] == f"one file of the shard set {shards}"
    assert (found["take"], found["imagesets"]) == ("take0", [3, 4])
    assert "flow_fw" in found["datasets"]


def test_a_training_and_its_checkpoints(run: Path) -> None:
    found = facts(run)
    assert found["kind"] == "folder of a training"
    assert (found["step"], found["checkpoint"], found["sizes_px"]) == (4, "step-0000004.pt", [64])
    assert found["variant"].startswith("variant tiny")
    assert found["total"] > 0
    for name in ("step-0000004.pt", "step-0000002.json"):
        assert facts(run / name)["kind"] == "checkpoint of a training"
    assert facts(run / "step-0000002.json")["step"] == 2
    assert facts(run / "metrics.csv")["rows"] == 4
    settings = facts(run / "train.yaml")
    assert settings["kind"] == "settings, YAML"
    assert settings["variant"] in VARIANTS


def test_pairs_are_counted_over_all_processes(run: Path, tmp_path: Path) -> None:
    alone = facts(run)
    assert (alone["pairs"], alone["processes"]) == (int(read_rows(run)[-1]["pairs"]), 1)
    words = json.loads((run / "step-0000004.json").read_text())
    (tmp_path / "step-0000004.json").write_text(json.dumps({**words, "processes": 2}))
    both = facts(tmp_path / "step-0000004.json")
    assert (both["pairs"], both["processes"]) == (2 * alone["pairs"], 2)


def test_a_checkpoint_without_its_words(run: Path, tmp_path: Path) -> None:
    (tmp_path / "step-0000004.pt").write_bytes((run / "step-0000004.pt").read_bytes())
    with pytest.raises(FormatError, match=r"step-0000004\.pt: explained by step-0000004\.json, which is missing"):
        describe(tmp_path / "step-0000004.pt")
    (tmp_path / "step-0000004.json").write_text('{"variant": "tiny"}')
    with pytest.raises(FormatError, match="no description of a checkpoint"):
        describe(tmp_path / "step-0000004.pt")


def test_a_training_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("variant: tiny\n")
    assert facts(tmp_path)["checkpoint"] == "none yet"


@pytest.mark.parametrize("name, content, kind", [
    ("m.json", json.dumps(MATRIX), "matrix from camera colours to linear Rec.709"),
    ("light.yaml", "duration_s: 2\nlamps: []\n", "light track, YAML"),
    ("manifest.yaml", "pictures: {files: a}\nlights: {source: b}\n", "manifest of photographs, YAML"),
    ("crosstalk.yaml", "crosstalk: 0.03\n", "settings, YAML"),
    ("scores.csv", "method,rmse\ncopy,0.1\n", "scores of an evaluation"),
    ("page.html", "<!DOCTYPE html><title>a</title>", "page to open in a browser"),
])
def test_small_documents(tmp_path: Path, name: str, content: str, kind: str) -> None:
    (tmp_path / name).write_text(content)
    assert facts(tmp_path / name)["kind"] == kind


def test_a_light_track_is_counted_in_words(tmp_path: Path) -> None:
    (tmp_path / "red.yaml").write_text(
        "maps: [{map: a.exr}, {map: b.exr, at_s: 2}, {map: a.exr, at_s: 2.5}]\nreference_luminance: 2\n"
        "lamps: [{name: red, keys: [{intensity: 0}, {at_s: 3, intensity: 1.2}]}, {keys: [{color: '#ff2010'}]}]\n"
    )
    shown = {fact.label: fact.text for fact in describe(tmp_path / "red.yaml").facts}
    del shown["on disk"]
    assert shown == {
        "duration": "3 s", "maps": "2 (3 keys): a.exr, b.exr", "rotation": "none",
        "lamps": "2: red (2 keys), lamp 1 (1 key)", "reference_luminance": "2",
    }
    assert facts(tmp_path / "red.yaml")["lamps"][0]["keys"][1] == {"at_s": 3, "intensity": 1.2}
    for damaged in ("lamps: [3]", "maps: {map: a}", "maps: [{map: a, at_s: soon}]", "lamps: 7"):
        (tmp_path / "red.yaml").write_text(damaged)
        assert describe(tmp_path / "red.yaml").kind == "light track, YAML"


def test_groups_of_keys_are_shown_as_yaml_has_them(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("pictures: {files: a, scale: 0.5}\n")
    assert describe(tmp_path / "m.yaml").facts[0].text == "files: a, scale: 0.5"


def test_the_plan_of_a_set_names_its_test_actors(tmp_path: Path) -> None:
    actors = (Actor("actor-01", 1, "train", 40.0), Actor("actor-02", 2, "test", 60.0))
    write_set(tmp_path, SetPlan(actors, default_rig(), default_114(), 3, (48, 64)))
    found = facts(tmp_path / "set.json")
    assert found["kind"] == "plan of a simulated training set"
    assert (found["actors"], found["imagesets"], found["size_px"]) == (2, 3, [64, 48])
    assert found["test_actors"] == ["actor-02"]


def test_settings_with_what_json_has_no_words_for(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("day: 2024-01-02\nlimits: {1: .inf, b: [.nan, 2]}\n")
    found = facts(tmp_path / "a.yaml")
    assert found["day"] == "2024-01-02"
    assert found["limits"] == {"1": None, "b": [None, 2]}


def test_settings_do_not_hide_what_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("path: b\nkind: c\nbytes: 1\n")
    found = facts(tmp_path / "a.yaml")
    assert (found["path"], found["kind"], found["bytes"]) == (str(tmp_path / "a.yaml"), "settings, YAML", 25)
    assert (found["path_"], found["kind_"], found["bytes_"]) == ("b", "c", 1)


def test_a_training_whose_metrics_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("variant: tiny\n")
    (tmp_path / "metrics.csv").write_text("step,total\n1,o.5\n")
    with pytest.raises(FormatError, match=r"metrics\.csv: no metrics of a training \(could not convert .*'o\.5'\)"):
        describe(tmp_path)


def test_a_matrix_is_told_row_by_row(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps(MATRIX))
    found = facts(tmp_path / "m.json")
    np.testing.assert_array_equal([found[f"row_{name}"] for name in ("red", "green", "blue")], MATRIX)


@pytest.mark.parametrize("name, content, message", [
    ("a.json", "[1, 2]", r"JSON of no known kind \(a list\), expected a 3x3 matrix"),
    ("set.json", '{"actors": [{"name": "a"}]}', r"no plan of a simulated set \('split'\)"),
    ("a.yaml", "- 1\n", "YAML without keys"),
    ("a.yaml", "a: [", "not YAML: "),
    ("a.yaml", "[" * 2000, "not YAML that can be read: its brackets are nested too deep"),
    ("a.yaml", "day: 2024-13-45\n", "not YAML: month must be in"),
    ("a.csv", "hello\n", "columns"),
    ("a.csv", 'step,"' + "a" * 200_000, "no table .*, expected metrics of a training"),
])
def test_what_looks_like_one_but_is_none(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match=message):
        describe(tmp_path / name)
