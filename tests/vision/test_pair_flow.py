"""Flow both ways and occlusion: sign, known motions, networks made here."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.errors import ConfigError, FormatError
from olatkit.vision.labels import LabelConfig
from olatkit.vision.occlusion import hidden_points
from olatkit.vision.pair_flow import flow_pair, grey_of_srgb
from olatkit.vision.warp import pixel_grid

SHAPE = (72, 96)


@functools.cache
def texture(seed=0, shape=(112, 136)):
    """Smooth noise in colour, uint8."""
    import cv2

    noise = np.random.default_rng(seed).random((*shape, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.8)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def window(dx, dy):
    """The texture after it has moved by (dx, dy)."""
    return np.ascontiguousarray(texture()[20 - dy : 20 - dy + SHAPE[0], 20 - dx : 20 - dx + SHAPE[1]])


@pytest.mark.parametrize("preset", ["smooth", "fine", "balanced", "medium", "fast"])
def test_content_that_moved_by_a_known_step(preset):
    pair = flow_pair(window(0, 0), window(5, -3), LabelConfig(flow_preset=preset))
    inner = (slice(12, -12), slice(12, -12))
    assert pair.forward.shape == (*SHAPE, 2)
    assert pair.forward.dtype == np.float32
    assert np.abs(pair.forward[inner] - (5, -3)).mean() < 0.5
    assert np.abs(pair.backward[inner] - (-5, 3)).mean() < 0.5
    assert pair.occluded_forward[inner].mean() < 0.02
    assert pair.occluded_forward[:, -4:].mean() > 0.9  # what the right edge loses


@given(st.floats(-9, 9), st.floats(-9, 9))
@settings(max_examples=40, deadline=None)
def test_nothing_is_hidden_in_a_shift_but_what_leaves(dx, dy):
    forward = np.full((*SHAPE, 2), (dx, dy), np.float32)
    landing = pixel_grid(*SHAPE) + forward
    inside = ((landing >= -0.5) & (landing < np.array(SHAPE[::-1]) - 0.5)).all(-1)
    assert (hidden_points(forward, -forward) == ~inside).all()


@given(st.floats(-3, 3), st.floats(0.05, 2))
@settings(max_examples=40, deadline=None)
def test_the_formula_of_the_check(error, slack):
    forward = np.full((*SHAPE, 2), (2, 1), np.float32)
    backward = -forward + np.float32([error, 0])
    lengths = 5 + float(np.square(backward[0, 0]).sum())
    if abs(error**2 - (0.01 * lengths + slack)) > 1e-3:
        wanted = error**2 >= 0.01 * lengths + slack
        assert (hidden_points(forward, backward, slack=slack)[3:-3, 3:-3] == wanted).all()


def test_a_square_that_moves_hides_a_strip():
    # Exact flows of a square that moves right by 8 over a still ground.
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    before, after = ((x >= left) & (x < left + 30) & (y >= 20) & (y < 50) for left in (20, 28))
    forward, backward = np.zeros((2, *SHAPE, 2), np.float32)
    forward[before, 0], backward[after, 0] = 8, -8
    covered = after & ~before  # ground that the square comes to lie on
    assert (hidden_points(forward, backward) == covered).all()
    assert (hidden_points(backward, forward) == (before & ~after)).all()


@pytest.mark.slow
def test_flow_of_a_simulated_head_is_within_half_a_pixel():
    from olatkit.color import to_srgb8
    from olatkit.rig import default_rig
    from olatkit.simulate.subject import Subject

    subject, rig = Subject(2, (128, 128), speed_px=75), default_rig(40)
    times = (0.40, 0.44)
    white = np.full((len(rig), 3), 4 * np.pi / len(rig))
    lit = [subject.relight(subject.view(t), rig.directions, white) for t in times]
    inside = subject.alpha(times[0]) >= 1
    scale = 0.25 / np.median(lit[0][inside])
    pair = flow_pair(*(to_srgb8(image * scale) for image in lit), LabelConfig())
    flow, hidden = subject.flow(*times)
    error = np.linalg.norm(pair.forward - flow, axis=-1)[inside & ~hidden]
    motion = np.linalg.norm(flow, axis=-1)[inside & ~hidden]
    assert motion.mean() > 0.8
    assert error.mean() < 0.3
    back, back_hidden = subject.flow(times[1], times[0])
    seen = (subject.alpha(times[1]) >= 1) & ~back_hidden
    assert np.linalg.norm(pair.backward - back, axis=-1)[seen].mean() < 0.3


def write_flow_network(path, *, size=(None, None), inputs=2, outputs=2):
    """A network whose flow is (red, green) of the first picture minus that of the second."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    float_ = onnx.TensorProto.FLOAT
    names = ["first", "second", "third"][:inputs]
    nodes = [helper.make_node("Sub", ["first", names[-1]], ["difference"]),
             helper.make_node("Slice", ["difference", "from", "to", "axis"], ["flow"]),
             helper.make_node("AveragePool", ["flow"], ["small"], kernel_shape=[8, 8], strides=[8, 8])]
    made = [helper.make_tensor_value_info("small", float_, None), helper.make_tensor_value_info("flow", float_, None)]
    constants = [numpy_helper.from_array(np.array([v], np.int64), n) for n, v in (("from", 0), ("to", 2), ("axis", 1))]
    graph = helper.make_graph(nodes, "tiny", [helper.make_tensor_value_info(n, float_, [1, 3, *size]) for n in names],
                              made[:outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return str(path)


@pytest.mark.parametrize("values", ["0..255", "0..1", "-1..1"])
def test_a_flow_network_of_the_user(tmp_path, values):
    pytest.importorskip("onnxruntime")
    net = write_flow_network(tmp_path / "flow.onnx")
    first, second = texture(1)[:70, :93], texture(2)[:70, :93]  # no multiples of 8
    pair = flow_pair(first, second, LabelConfig(flow="onnx", flow_onnx=net, flow_onnx_range=values))
    scale = {"0..255": 1, "0..1": 1 / 255, "-1..1": 2 / 255}[values]
    wanted = (first.astype(float) - second)[..., :2] * scale
    np.testing.assert_allclose(pair.forward, wanted, atol=1e-4)
    np.testing.assert_allclose(pair.backward, -wanted, atol=1e-4)


def test_flow_of_a_network_of_fixed_size_is_scaled(tmp_path):
    pytest.importorskip("onnxruntime")
    net = write_flow_network(tmp_path / "flow.onnx", size=(32, 16))
    first, second = np.full((64, 64, 3), 30, np.uint8), np.full((64, 64, 3), 20, np.uint8)
    pair = flow_pair(first, second, LabelConfig(flow="onnx", flow_onnx=net))
    np.testing.assert_allclose(pair.forward, np.full((64, 64, 2), (40, 20)), atol=1e-4)


@pytest.mark.parametrize(
    ("form", "message"),
    [({"inputs": 1}, r"expected two of \(1, 3, height, width\)"), ({"inputs": 3}, "expected two of"),
     ({"outputs": 1}, r"outputs have shapes \(1, 2, 8, 12\), expected one of \(1, 2, 64, 96\)")],
)
def test_flow_networks_of_another_form(tmp_path, form, message):
    pytest.importorskip("onnxruntime")
    net = write_flow_network(tmp_path / "flow.onnx", **form)
    picture = np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(FormatError, match=message):
        flow_pair(picture, picture, LabelConfig(flow="onnx", flow_onnx=net))


def test_what_is_not_there_is_said():
    import cv2

    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ConfigError, match="set flow_onnx to an ONNX file"):
        flow_pair(picture, picture, LabelConfig(flow="onnx"))
    if not hasattr(cv2, "cuda_NvidiaOpticalFlow_2_0"):
        with pytest.raises(ConfigError, match=r"built without NVIDIA's optical flow.*use flow 'dis'"):
            flow_pair(picture, picture, LabelConfig(flow="nvidia"))
    with pytest.raises(ValueError, match="expected the same size"):
        flow_pair(picture, picture[:30], LabelConfig())


def test_grey_weighs_green_twice():
    assert grey_of_srgb(np.array([[[255, 0, 0], [0, 255, 0], [255, 255, 255]]], np.uint8)).tolist() == [[64, 128, 255]]
