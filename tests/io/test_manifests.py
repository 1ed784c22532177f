"""A manifest is complete or refused with the key and what is possible."""

from pathlib import Path

import pytest
import yaml
from photographs import directions, manifest, sphere, write_photographs

from olatkit.errors import ConfigError, FormatError
from olatkit.io.manifests import Lights, Manifest, Pictures, draft_manifest, read_manifest
from olatkit.io.picture_names import find_pictures

REQUIRED = [
    *((("pictures", key)) for key, field in Pictures.model_fields.items() if field.is_required()),
    *((("lights", key)) for key, field in Lights.model_fields.items() if field.is_required()),
]


@pytest.mark.parametrize(("group", "key"), REQUIRED)
def test_every_missing_key_is_named_with_its_meaning(tmp_path: Path, group: str, key: str) -> None:
    model = Pictures if group == "pictures" else Lights
    with pytest.raises(ConfigError) as error:
        read_manifest(manifest(tmp_path, **{group: {key: None}}))
    assert f"key '{group}.{key}' is missing: {model.model_fields[key].description}" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_decides_the_light_is_required() -> None:
    assert {key for _, key in REQUIRED} == {
        "files", "transfer", "black_level", "white_level", "source", "axes", "unit", "order", "gains"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pictures": {"transfer": "log"}}, "key 'pictures.transfer' is 'log': expected 'srgb', 'rec709', 'linear' or"),
        ({"pictures": {"gain": 2}}, "key 'pictures.gain' is unknown, expected one of files, transfer"),
        ({"pictures": {"scale": 2}}, "key 'pictures.scale' is 2"),
        ({"pictures": {"files": "a_{n}.png"}}, "holds {n}, known are azimuth"),
        ({"pictures": {"transfer": "srgb", "black_level": 16}}, "black levels and mosaics belong to linear pictures"),
        ({"pictures": {"black_level": 70000}}, "'pictures.black_level' 70000.0 is not below"),
        ({"lights": {"axes": "x-right"}}, "key 'lights.axes' is 'x-right': expected where x, y and z point"),
        ({"lights": {"order": "names"}}, "'names' goes with 'names' only"),
        ({"lights": {"order": "id"}}, "'pictures.files' has no {id}"),
        ({"lights": {"order": "names", "source": "names"}}, "must hold {x} and {y}"),
        (
            {"lights": {"order": "names", "source": "names"}, "pictures": {"files": "{x}_{y}.png"}},
            "key 'lights.z' is missing: third coordinate",
        ),
    ],
)
def test_contradictions(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_manifest(manifest(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not YAML: line 1, column 5: expected the node"), ("a: b: c", "line 1, column 5: mapping values are not "),
     ("a: '", "line 1, column 5: found unexpected end of stream"),
     ("a: 2024-13-45", "not YAML: month"), ("- 1", "holds a list"),
     ("pictures: 3\nlights: {}", "key 'pictures'"), ("", "holds nothing")],
)
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_manifest(tmp_path / "m.yaml")
    assert "<unicode string>" not in str(caught.value)
    with pytest.raises(ConfigError, match="--write-manifest drafts one"):
        read_manifest(tmp_path / "none.yaml")


def test_a_folder_that_is_not_there_is_no_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="gone: no such folder, expected a folder of photographs"):
        draft_manifest(tmp_path / "gone")
    with pytest.raises(FormatError, match="gone: no such folder, expected a folder of photographs"):
        find_pictures(tmp_path / "gone", read_manifest(manifest(tmp_path)))
    with pytest.raises(FormatError, match=r"manifest\.yaml: is a file, expected a folder"):
        draft_manifest(tmp_path / "manifest.yaml")


def test_a_draft_explains_every_key_and_is_refused_until_filled(tmp_path: Path) -> None:
    lights = directions(3)
    write_photographs(tmp_path, sphere(lights), lights)
    text = draft_manifest(tmp_path)
    assert "3 files *.png" in text
    assert "48x40 pixels, 3 channels, uint16" in text
    assert "lights.lp: perhaps a list of lights" in text
    for group, model in (("pictures", Pictures), ("lights", Lights)):
        assert f"\n{group}:\n" in text
        for key, field in model.model_fields.items():
            assert f"  {key}:" in text or f"  # {key}:" in text
            assert (field.description or "").split()[0] in text
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"key 'pictures.files' is missing"):
        read_manifest(tmp_path / "m.yaml")
    content = yaml.safe_load(text)
    filled = yaml.safe_load(manifest(tmp_path, "f.yaml").read_text())
    assert Manifest.model_validate({g: {**content[g], **filled[g]} for g in content}).lights.order == "listed"
