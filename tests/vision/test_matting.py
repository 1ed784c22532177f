"""Foreground of simple pictures and of stacks, coverage by matting."""

import os
import subprocess
import sys

import numpy as np
import pytest

from olatkit.errors import ConfigError
from olatkit.geometry import fibonacci_directions
from olatkit.vision.matting import alpha_matte, backdrop_matte, foreground_mask, stack_foreground

Y, X = np.mgrid[0:80, 0:100]
DISC = (Y - 40) ** 2 + (X - 55) ** 2 < 25**2


def agreement(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_a_bright_disc():
    grey = np.where(DISC, 0.5, 0.01) + np.random.default_rng(0).normal(0, 0.003, DISC.shape)
    assert agreement(foreground_mask(grey), DISC) > 0.93


def test_holes_are_filled_and_specks_left_out():
    grey = np.where(DISC, 0.5, 0.0)
    grey[35:45, 50:60] = 0  # an eye
    grey[2:6, 2:6] = 1.0  # a lamp
    mask = foreground_mask(grey)
    assert mask[40, 55]
    assert not mask[:10, :10].any()


def test_a_subject_that_touches_the_border():
    grey = np.where(Y > 30, 0.5, 0.0)
    assert agreement(foreground_mask(grey), Y > 30) > 0.95


def test_nothing_is_nothing():
    assert not foreground_mask(np.zeros((40, 40))).any()
    assert not foreground_mask(np.full((40, 40), -0.1)).any()


def test_a_threshold_wins():
    grey = np.where(DISC, 0.5, 0.0)
    assert not foreground_mask(grey, threshold=0.6).any()
    assert agreement(foreground_mask(grey, threshold=0.25), DISC) > 0.93


def lit_ball(hair, lights=24, size=96, noise=1e-3):
    """Pictures of a ball under lights all around, its upper half of another reflectance, and its mask."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / (size * 0.35)
    inside = x**2 + y**2 < 1
    normal = np.stack([x, -y, np.sqrt(np.maximum(1 - x**2 - y**2, 0))], -1)
    directions = fibonacci_directions(lights)
    shade = np.maximum(np.einsum("hwc,lc->lhw", normal, directions), 0) * inside * np.where(y < 0, hair, 0.6)
    pictures = np.repeat(shade[..., None], 3, axis=-1) + np.random.default_rng(1).normal(0, noise, (*shade.shape, 3))
    return pictures.astype(np.float32), inside


@pytest.mark.parametrize("hair", [0.6, 0.1, 0.05])
def test_black_hair_belongs_to_the_subject(hair):
    pictures, inside = lit_ball(hair)
    found = stack_foreground(pictures)
    assert set(np.unique(found)) == {0, 1}
    assert (inside & (found == 0)).sum() < 0.005 * inside.sum()
    assert agreement(found > 0.5, inside) > 0.88


def test_what_was_not_recorded_is_no_noise():
    pictures, inside = lit_ball(0.1)
    pictures[:, :10] = 0
    pictures[:, :, -12:] = 0
    assert agreement(stack_foreground(pictures) > 0.5, inside) > 0.88
    assert not stack_foreground(np.zeros((4, 8, 8, 3), np.float32)).any()


def composite(size=64):
    """A ramp of coverage between two textured colours, 8 bit, and the coverage."""
    alpha = np.clip((np.arange(size) - 24) / 16, 0, 1)[None, :] * np.ones((size, 1))
    front, back = np.array([200, 120, 60.0]), np.array([20, 40, 90.0])
    image = alpha[..., None] * front + (1 - alpha[..., None]) * back
    return np.round(image).astype(np.uint8), alpha


def test_a_matte_of_known_coverage_is_found():
    image, alpha = composite()
    trimap = np.where(alpha >= 1, 1.0, np.where(alpha <= 0, 0.0, 0.5))
    found = alpha_matte(image, trimap)
    assert found.dtype == np.float32
    assert np.abs(found - alpha).max() < 0.03
    assert (found[trimap == 1] == 1).all()
    assert (found[trimap == 0] == 0).all()


def test_a_mask_gets_a_band():
    image, alpha = composite()
    found = alpha_matte(image, (alpha > 0.2).astype(float), band_px=14)
    assert np.abs(found - alpha).mean() < 0.01
    assert np.abs((alpha > 0.2) - alpha).mean() > 0.05


@pytest.mark.parametrize("level", [0.0, 1.0, 0.5])
def test_a_mask_without_an_edge_stays(level):
    assert (alpha_matte(composite()[0], np.full((64, 64), level)) == level).all()


def test_matte_and_picture_must_agree():
    with pytest.raises(ValueError, match=r"expected \(30, 64, 3\) uint8"):
        alpha_matte(composite()[0], np.zeros((30, 64)))


@pytest.mark.parametrize("picture", ["black", "noise", "flat"])
def test_hard_pictures_have_an_answer(picture, capsys):
    image = np.full((40, 50, 3), 90 * (picture == "flat"), np.uint8)
    if picture == "noise":
        image = np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8)
    mask = np.zeros((40, 50))
    mask[10:30, 12:40] = 1
    found = alpha_matte(image, mask, band_px=6)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[20, 26] == 1
    assert found[0, 0] == 0
    assert capsys.readouterr().out == ""


def test_a_broken_installation_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymatting", None)
    with pytest.raises(ConfigError, match="mattes need pymatting: pip install pymatting"):
        alpha_matte(composite()[0], np.full((64, 64), 0.5) * (np.arange(64) > 8) + 0.5 * (np.arange(64) > 40))


def test_an_empty_layer_stays_empty_and_layers_keep_their_sum():
    from olatkit.vision.matting_laplacian import spread

    image, alpha = composite()
    free = (alpha > 0) & (alpha < 1)
    layers = np.stack([alpha >= 1, alpha <= 0, np.zeros(alpha.shape)]).astype(float)
    layers[:2, free] = 0.5
    found = spread(image, layers, free, np.zeros(alpha.shape))
    assert (found[2] == 0).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=0.01)
    assert np.abs(found[0] - alpha).max() < 0.03


LARGE_SYSTEM = """
import hashlib, numpy as np
from scipy.sparse import diags
from olatkit.vision.matting_laplacian import _solve
n = 40_000
system = diags([-1.0, 2.001, -1.0], [-1, 0, 1], shape=(n, n)).tocsc()
known = np.random.default_rng(0).random(n)
found = _solve(system, known, np.zeros(n), lambda rest: rest / 2)
assert np.linalg.norm(system @ found - known) < 1.01e-4 * np.linalg.norm(known)
print(hashlib.sha256(found.tobytes()).hexdigest())
"""


def test_the_solver_of_mattes_does_not_depend_on_the_threads_of_blas():
    """With more values than BLAS leaves to one thread: shards are the same bytes on every machine of a cluster."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    found = [
        subprocess.run([sys.executable, "-c", LARGE_SYSTEM], capture_output=True, text=True, check=True,
                       env=os.environ | dict.fromkeys(names, threads)).stdout
        for threads in ("1", "2")
    ]
    assert len(found[0]) > 60
    assert found[0] == found[1]


def test_a_lit_backdrop_gives_the_coverage():
    rng = np.random.default_rng(0)
    plate = rng.uniform(0.3, 0.6, (30, 64, 3))
    alpha = composite()[1][:30]
    found = backdrop_matte((1 - alpha[..., None]) * plate + rng.normal(0, 1e-3, plate.shape), plate)
    assert np.abs(found - alpha).max() < 0.02
    with pytest.raises(ValueError, match="expected the same"):
        backdrop_matte(plate[:20], plate)
    plate[:, :6] = 0
    with pytest.raises(ValueError, match=r"dark in 9.4% of the picture"):
        backdrop_matte(plate, plate)
