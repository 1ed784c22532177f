"""A trained network on pictures of any size and type: the same answer as the network itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from painted_runs import ALONE
from painted_samples import painted_batches, tiny_config

import olatkit
from olatkit.learn.checkpoint import load_network
from olatkit.learn.train import train

RNG = np.random.default_rng(0)
FRAME = RNG.random((70, 100, 3)).astype(np.float32)
LIGHT = RNG.random((16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(tiny_config(), painted_batches, folder, ALONE)
    return folder


@pytest.fixture(scope="module")
def relighter(run: Path) -> olatkit.Relighter:
    return olatkit.Relighter.load(run)


def test_answers_as_the_network_does(run: Path, relighter: olatkit.Relighter) -> None:
    frame = FRAME[:64, :64]
    tensors = (torch.from_numpy(array.transpose(2, 0, 1).copy())[None] for array in (frame, LIGHT))
    with torch.no_grad():
        expected = load_network(run)(*tensors)[0][0].permute(1, 2, 0).numpy()
    relit, state = relighter(frame, LIGHT)
    np.testing.assert_array_equal(relit, expected)
    assert np.ptp(relit) > 0.01
    again, _ = relighter(frame, LIGHT, state)
    np.testing.assert_array_equal(again, relit)


def test_any_size_is_answered_at_that_size(relighter: olatkit.Relighter) -> None:
    relit, _ = relighter(FRAME, LIGHT)
    # By hand: edges repeated up to the next multiple of 64, which is cut off again.
    rows, columns = np.minimum(np.arange(128), 69), np.minimum(np.arange(128), 99)
    whole, _ = relighter(FRAME[rows][:, columns], LIGHT)
    np.testing.assert_array_equal(relit, whole[:70, :100])


def test_bytes_come_back_as_bytes(relighter: olatkit.Relighter) -> None:
    frame = (255 * FRAME).astype(np.uint8)
    relit, _ = relighter(frame, LIGHT)
    assert relit.dtype == np.uint8
    precise, _ = relighter(frame.astype(np.float32) / 255, LIGHT)
    np.testing.assert_allclose(relit / 255, precise, atol=0.5 / 255 + 1e-6)


def test_maps_are_averaged_and_scaled_as_in_training(relighter: olatkit.Relighter) -> None:
    env = olatkit.EnvironmentMap(RNG.gamma(0.3, 5, (48, 96, 3)).astype(np.float32))
    by_map, _ = relighter(FRAME, env)
    small = env.downsample(16, 16)
    by_array, _ = relighter(FRAME, small.radiance / np.float32(small.mean_luminance))
    np.testing.assert_allclose(by_map, by_array, atol=1e-5)
    brighter, _ = relighter(FRAME, olatkit.EnvironmentMap(env.radiance * 8))
    np.testing.assert_allclose(by_map, brighter, atol=1e-5)


def test_what_rounding_leaves_outside_is_cut(relighter: olatkit.Relighter) -> None:
    relit, _ = relighter(np.clip(FRAME, 0.1, 0.9) * np.float32(1.0000002 / 0.9), LIGHT)
    inside, _ = relighter(np.clip(np.clip(FRAME, 0.1, 0.9) / np.float32(0.9), 0, 1), LIGHT)
    np.testing.assert_allclose(relit, inside, atol=1e-4)


@pytest.mark.parametrize("frame, lighting, message", [
    (FRAME[..., 0], LIGHT, r"frame has shape \(70, 100\), expected \(height, width, 3\)"),
    ((255 * FRAME).astype(np.int32), LIGHT, "frame is int32, expected uint8, or floats"),
    (2 * FRAME, LIGHT, "expected sRGB from 0 to 1; clip it first"),
    (FRAME * np.float32("nan"), LIGHT, "frame has values from nan to nan"),
    (FRAME, LIGHT[:8], r"lighting has shape \(8, 16, 3\), expected \(16, 16, 3\) or an EnvironmentMap"),
    (FRAME, -LIGHT, "negative or not finite"),
    (FRAME, olatkit.EnvironmentMap(np.zeros((16, 32, 3), np.float32), "night"), "environment 'night' is black"),
])
def test_what_cannot_be_relit(
    relighter: olatkit.Relighter, frame: np.ndarray, lighting: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        relighter(frame, lighting)


def test_a_folder_without_a_training(tmp_path: Path) -> None:
    with pytest.raises(olatkit.FormatError, match="holds no checkpoint"):
        olatkit.Relighter.load(tmp_path)
