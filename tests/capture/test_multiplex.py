"""Inverting coded frames: exactness, noise, dead lights, too few frames."""

import numpy as np
import pytest
from tolerances import FLOAT32_INVERSION, MULTIPLEX_GAIN

from olatkit.capture.config import IngestConfig
from olatkit.capture.multiplex import invert_drive, multiplex_gain
from olatkit.errors import CaptureError
from olatkit.schedule import s_matrix_115

S = s_matrix_115()[:, :114]
ALL = np.ones(114, bool)
FULL_WELL_E, READ_E = 20_000, 20


def lights(level=0.5, shape=(114, 6, 8, 3), seed=0):
    """Images of single lights: a few bright, most dim, as on a face."""
    rng = np.random.default_rng(seed)
    return (level * rng.beta(0.4, 3, shape)).astype(np.float32)


def coded(drive, truth):
    return np.tensordot(drive, truth.astype(float), 1).astype(np.float32)


def noisy(images, seed=1):
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(np.maximum(images, 0) * FULL_WELL_E) + rng.normal(0, READ_E, images.shape)
    return (electrons / FULL_WELL_E).astype(np.float32)


@pytest.mark.parametrize("solver", ["lstsq", "wls"])
def test_noise_free_codes_are_exact(solver):
    truth = lights()
    out = invert_drive(S / 58, coded(S / 58, truth), ALL, IngestConfig(solver=solver))
    np.testing.assert_allclose(out, truth, atol=10 * FLOAT32_INVERSION)  # drives of 1/58 magnify float32 rounding


def test_negative_values_are_kept():
    """Noise around black must stay unbiased, so results are not clipped at 0."""
    truth = lights() - np.float32(0.01)
    out = invert_drive(S / 58, coded(S / 58, truth), ALL, IngestConfig())
    assert (out < 0).any()


def test_dead_lights_are_zero_and_do_not_disturb():
    enabled = ALL.copy()
    enabled[[5, 60]] = False
    truth = lights()
    truth[~enabled] = 0
    out = invert_drive(S / 58, coded(S / 58, truth), enabled, IngestConfig())
    assert not out[~enabled].any()
    np.testing.assert_allclose(out, truth, atol=10 * FLOAT32_INVERSION)


def test_read_noise_falls_by_the_gain_of_the_code():
    """Additive noise of equal size in single-light and coded frames: 5.41 times less after inversion."""
    rng = np.random.default_rng(0)
    truth = lights(shape=(114, 20, 20, 3))
    noise = rng.normal(0, 1e-3, (115, 20, 20, 3)).astype(np.float32)
    out = invert_drive(S, coded(S, truth) + noise, ALL, IngestConfig())
    assert 1e-3 / (out - truth).std() == pytest.approx(5.41, rel=0.02)


def test_weighting_by_noise_helps_where_levels_differ():
    """Codes of one to four bright lights: dark frames are far more certain than bright ones."""
    rng = np.random.default_rng(2)
    drive = np.concatenate([np.eye(12), (rng.random((24, 12)) < 0.3).astype(float)])
    truth = lights(0.9, (12, 8, 8, 3))
    images = noisy(coded(drive, truth))
    errors = {
        solver: np.square(invert_drive(drive, images, np.ones(12, bool), IngestConfig(solver=solver)) - truth).mean()
        for solver in ("lstsq", "wls")
    }
    assert errors["wls"] < 0.8 * errors["lstsq"]


@pytest.mark.parametrize("frames, lit", [(12, 12), (13, 12), (19, 12), (40, 12)])
def test_weighted_solution_is_that_of_the_normal_equations(frames, lit):
    """Literally: (W^T V^-1 W) x = W^T V^-1 y for every value, V from the solution before, twice."""
    rng = np.random.default_rng(frames)
    drive = np.concatenate([np.eye(lit), (rng.random((frames - lit, lit)) < 0.4).astype(float)])
    images = noisy(coded(drive, lights(0.9, (lit, 3, 4, 3))))
    flat = images.reshape(frames, -1).astype(float)
    expected = np.linalg.pinv(drive) @ flat
    for _ in range(2):
        variance = np.maximum(drive @ expected, 0) / FULL_WELL_E + (READ_E / FULL_WELL_E) ** 2
        expected = np.stack([
            np.linalg.solve(drive.T @ (drive / v[:, None]), drive.T @ (y / v))
            for v, y in zip(variance.T, flat.T, strict=True)
        ], axis=1)
    config = IngestConfig(solver="wls", full_well_e=FULL_WELL_E, read_noise_e=READ_E)
    out = invert_drive(drive, images, np.ones(lit, bool), config)
    np.testing.assert_allclose(out.reshape(lit, -1), expected, atol=1e-5)


def test_weights_need_no_read_noise():
    """A sensor that is said to have none, and pixels without any light."""
    rng = np.random.default_rng(0)
    drive = np.concatenate([np.eye(4), (rng.random((3, 4)) < 0.5).astype(float)])
    exact = lights(0.9, (4, 3, 4, 3))
    exact[:, 0] = 0
    out = invert_drive(drive, coded(drive, exact), np.ones(4, bool), IngestConfig(solver="wls", read_noise_e=0))
    np.testing.assert_allclose(out, exact, atol=1e-5)


def test_aligned_codes_win_only_where_read_noise_rules():
    """Ten-electron images gain from the S-matrix; well exposed ones, dimmed to fit the well, lose."""
    for level, drive, wins in ((0.002, 1.0, True), (0.5, 0.02, False)):
        truth = lights(level)
        single = noisy(truth)
        out = invert_drive(drive * S, noisy(coded(drive * S, truth)), ALL, IngestConfig())
        assert (np.square(out - truth).mean() < np.square(single - truth).mean()) is np.bool_(wins)


def test_too_few_frames_are_refused():
    with pytest.raises(CaptureError, match="the 100 coded frames around this instant separate 100 of 114 lights"):
        invert_drive(S[:100], np.zeros((100, 4, 4, 3), np.float32), ALL, IngestConfig())


def test_a_dropped_frame_is_affordable():
    """115 frames for 114 lights leave one to spare, at a price in noise."""
    truth = lights()
    out = invert_drive(S[:-1] / 58, coded(S[:-1] / 58, truth), ALL, IngestConfig())
    np.testing.assert_allclose(out, truth, atol=30 * FLOAT32_INVERSION)
    assert multiplex_gain(S[:-1]) < multiplex_gain(S)


def test_a_poor_code_is_warned_about(caplog):
    rng = np.random.default_rng(0)
    drive = (rng.random((114, 114)) < 0.5).astype(float)
    invert_drive(drive, np.zeros((114, 2, 2, 3), np.float32), ALL, IngestConfig())
    assert "one light at a time would be less noisy" in caplog.text
    caplog.clear()
    invert_drive(S, np.zeros((115, 2, 2, 3), np.float32), ALL, IngestConfig())
    assert not caplog.text


def test_gain_does_not_depend_on_order():
    rng = np.random.default_rng(0)
    shuffled = S[rng.permutation(115)][:, rng.permutation(114)]
    assert multiplex_gain(shuffled) == pytest.approx(multiplex_gain(S), abs=MULTIPLEX_GAIN / 100)
