"""Parsing backends: one contract for all, an ONNX network made here, true labels, and what is missing."""

import logging
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from olatkit.errors import ConfigError, FormatError
from olatkit.simulate.texture import LABELS
from olatkit.vision.labels import LabelConfig, make_labeller
from olatkit.vision.parsing import CLASSES, foreground_labels

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (128, 128, 128)


def quarters(size=64):
    """A picture whose quarters are red, green, grey, grey, and a foreground that leaves the last one out."""
    picture = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    picture[:half, :half], picture[:half, half:], picture[half:] = RED, GREEN, GREY
    foreground = np.ones((size, size), np.float32)
    foreground[half:, half:] = 0
    return picture, foreground


def write_network(path: Path, *, classes=19, size=(None, None), inputs=1, outputs_at=1.0, kind="FLOAT") -> Path:
    """A parsing network of one convolution: its class 1 answers to red, class 2 to green, class 3 to neither.

    Scores are exact in the normalised values, so a wrong mean, deviation or order of channels changes the answer.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    red, green, blue = (np.array(1 / s) for s in (0.229, 0.224, 0.225))
    mean = np.array([0.485, 0.456, 0.406])
    weights = np.zeros((classes, 3, 1, 1), np.float32)
    bias = np.full(classes, -10, np.float32)
    # Undo the normalisation: score = value of the channel in 0 ... 1, minus the others' sum.
    for index, sign in ((1, (1, -1, -1)), (2, (-1, 1, -1))):
        scale = np.array(sign) / np.array([red, green, blue])
        weights[index, :, 0, 0], bias[index] = scale, (np.array(sign) * mean).sum()
    bias[3] = 0.2
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["scores"])]
    if outputs_at != 1.0:
        nodes = [
            helper.make_node("Conv", ["image", "w", "b"], ["large"]),
            helper.make_node("Resize", ["large", "", "scales"], ["scores"], mode="nearest"),
        ]
    names = ["image", "other"][:inputs]
    element = getattr(onnx.TensorProto, kind)
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info(name, element, [1, 3, *size]) for name in names],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, classes, None, None])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b"),
         numpy_helper.from_array(np.array([1, 1, outputs_at, outputs_at], np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def onnx_labels(path, picture, foreground, **settings):
    labeller = make_labeller(LabelConfig(parsing="onnx", onnx=str(path), **settings))
    assert labeller.name == "onnx"
    return labeller.parse(picture, foreground)


def test_classes_are_those_of_the_simulator():
    assert CLASSES == LABELS
    assert len(CLASSES) == 19


@pytest.mark.parametrize("shape", [{}, {"size": (32, 48)}, {"size": (128, 128), "outputs_at": 0.25}])
def test_a_network_of_the_user(tmp_path, shape):
    pytest.importorskip("onnxruntime")
    picture, foreground = quarters()
    labels = onnx_labels(write_network(tmp_path / "net.onnx", **shape), picture, foreground)
    assert labels.dtype == np.uint8
    assert labels.shape == (64, 64)
    centres = [labels[16, 16], labels[16, 48], labels[48, 16], labels[48, 48]]
    assert centres == [1, 2, 3, 0]


def test_classes_of_another_network_are_mapped(tmp_path):
    pytest.importorskip("onnxruntime")
    path = write_network(tmp_path / "net.onnx", classes=4)
    picture, _ = quarters()
    with pytest.raises(FormatError, match=r"expected \(1, 19, h, w\).*onnx_classes"):
        onnx_labels(path, picture, None)
    labels = onnx_labels(path, picture, None, onnx_classes=(0, 17, 16, 1))
    assert [labels[16, 16], labels[16, 48], labels[48, 48]] == [17, 16, 1]
    with pytest.raises(ConfigError, match="expected numbers 0 to 18"):
        onnx_labels(path, picture, None, onnx_classes=(0, 1, 2, 19))


@pytest.mark.parametrize(
    ("shape", "message"),
    [({"inputs": 2}, r"expected one of \(1, 3, height, width\)"), ({"kind": "FLOAT16"}, None)],
)
def test_networks_of_another_form(tmp_path, shape, message):
    pytest.importorskip("onnxruntime")
    path = write_network(tmp_path / "net.onnx", **shape)
    with pytest.raises(FormatError, match=message or r"net\.onnx: (not an ONNX network|inputs are)"):
        onnx_labels(path, *quarters())


def test_what_is_no_network(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "net.onnx").write_bytes(b"weights")
    with pytest.raises(FormatError, match="not an ONNX network"):
        onnx_labels(tmp_path / "net.onnx", *quarters())
    with pytest.raises(ConfigError, match="no such ONNX file"):
        onnx_labels(tmp_path / "none.onnx", *quarters())
    with pytest.raises(ConfigError, match="set onnx to an ONNX file"):
        make_labeller(LabelConfig(parsing="onnx"))


def test_a_network_written_anew_is_opened_anew(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "net.onnx"
    first = onnx_labels(write_network(path, classes=4), quarters()[0], None, onnx_classes=(0, 5, 5, 5))
    path.unlink()
    second = onnx_labels(write_network(path), quarters()[0], None)
    assert first[16, 16] == 5
    assert second[16, 16] == 1


def test_foreground_backend():
    labeller = make_labeller(LabelConfig(parsing="foreground"))
    picture, foreground = quarters()
    assert labeller.name == "foreground"
    assert (labeller.parse(picture, foreground) == (foreground >= 0.5)).all()
    assert (foreground_labels(np.array([[0.49, 0.5]])) == [[0, 1]]).all()
    with pytest.raises(ValueError, match="needs the coverage"):
        labeller.parse(picture, None)
    with pytest.raises(ValueError, match=r"foreground is \(3, 3\)"):
        labeller.parse(picture, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="expected \\(H, W, 3\\) uint8"):
        labeller.parse(picture.astype(np.float32), foreground)


def test_true_labels_by_tick():
    true = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4), 8, 0), 8, 1)
    labeller = make_labeller(LabelConfig(parsing="truth"), {80: true})
    assert labeller.name == "truth"
    assert (labeller.parse(np.zeros((32, 32, 3), np.uint8), None, 80) == true).all()
    assert (labeller.parse(np.zeros((4, 4, 3), np.uint8), None, 80) == true[4::8, 4::8]).all()
    # A wider truth is cut about its middle, as takes and shards are.
    assert (labeller.parse(np.zeros((32, 16, 3), np.uint8), None, 80) == true[:, 8:24]).all()
    with pytest.raises(ConfigError, match="no labels at tick 120, it has 80"):
        labeller.parse(np.zeros((32, 32, 3), np.uint8), None, 120)
    with pytest.raises(ConfigError, match=r"give its truth\.h5"):
        make_labeller(LabelConfig(parsing="truth"))


def test_auto_takes_what_is_there(tmp_path, caplog):
    config = LabelConfig(models=str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert make_labeller(config).name == "foreground"
    assert "olatkit models fetch" in caplog.text or "pip install" in caplog.text
    assert make_labeller(config, {0: np.zeros((2, 2), np.uint8)}).name == "truth"
    pytest.importorskip("onnxruntime")
    net = str(write_network(tmp_path / "net.onnx"))
    assert make_labeller(LabelConfig(onnx=net), {0: np.zeros((2, 2), np.uint8)}).name == "onnx"


def test_missing_models_name_the_command(tmp_path):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(FormatError, match=r"missing .*olatkit models fetch"):
        make_labeller(LabelConfig(parsing="landmarks", models=str(tmp_path)))
    (tmp_path / "face_detection_short_range.tflite").write_bytes(b"other")
    with pytest.raises(FormatError, match=r"SHA-256 is .*expected bbff11ce"):
        make_labeller(LabelConfig(parsing="landmarks", models=str(tmp_path)))


def test_settings_are_checked():
    with pytest.raises(ValidationError):
        LabelConfig(parsing="magic")
    with pytest.raises(ValidationError):
        LabelConfig(colour="red")
    with pytest.raises(ValidationError):
        LabelConfig(occlusion_slack_px2=0)


def test_every_setting_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    table = page.partition("## Settings")[2].partition("\n## ")[0]
    listed = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    assert listed == set(LabelConfig.model_fields)
