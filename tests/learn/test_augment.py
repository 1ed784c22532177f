"""Augmentation: flow, labels, light and pictures change together; errors are put on the inputs alone."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shards import SIZE, write_small_set

from olatkit.learn.augment import (
    NO_AUGMENTATION,
    AugmentConfig,
    View,
    draw_view,
    find_occluded,
    view_flow,
    view_labels,
    view_light,
    view_pictures,
)
from olatkit.learn.dataset import ShardDataset
from olatkit.learn.degrade import add_sensor_noise, jpeg_errors, round_to_8_bits
from olatkit.learn.loader import ShardLoader
from olatkit.learn.warp import warp
from olatkit.render.sampling import GRID
from olatkit.vision.occlusion import hidden_points

torch.set_num_threads(1)
S = 64


def smooth(channels, seed, scale=8.0, amplitude=1.0):
    """Random smooth fields (C, S, S)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (channels, S, S))
    blurred = np.stack([cv2.GaussianBlur(part, (0, 0), scale, borderType=cv2.BORDER_REFLECT) for part in noise])
    return torch.from_numpy((amplitude * blurred / blurred.std()).astype(np.float32))


# ---------------------------------------------------------------- flow and pictures

@given(
    st.integers(0, 20), st.integers(0, 20), st.integers(16, 44), st.booleans(), st.sampled_from([16, 24, 32, 48, 64]),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_warping_augmented_pictures_is_augmenting_warped_ones(top, left, side, flip, size, seed):
    """The law of the transformed flow, wherever the point that is fetched lies inside the crop."""
    view = View(top, left, side, flip)
    picture, flow = smooth(3, seed, 8.0), smooth(2, seed + 100, 12.0, 2.0)
    one = warp(picture[None], flow[None])[0]
    expected = view_pictures(one, view, size)
    moved = view_flow(flow, view, size)
    got = warp(view_pictures(picture, view, size)[None], moved[None])[0]
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    margin = max(2.0, 2.0 * size / side)
    landing = torch.stack([x + moved[0], y + moved[1]])
    inside = ((landing >= margin) & (landing <= size - 1 - margin)).all(0)
    inside &= (x >= margin) & (x < size - margin) & (y >= margin) & (y < size - margin)
    if inside.any():
        assert (got - expected)[:, inside].abs().max() < 0.12  # fields of deviation 1, interpolated twice


@given(st.integers(0, 20), st.integers(0, 20), st.integers(16, 44), st.booleans())
@settings(max_examples=30, deadline=None)
def test_crops_and_mirrors_alone_are_exact(top, left, side, flip):
    """Whole pixels move by whole pixels: no interpolation, no tolerance."""
    view = View(top, left, side, flip)
    picture, flow = smooth(3, 1), smooth(2, 2, 12.0, 2.0).round()
    one = view_pictures(warp(picture[None], flow[None])[0], view, side)
    moved = view_flow(flow, view, side)
    two = warp(view_pictures(picture, view, side)[None], moved[None])[0]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    inside = (x + moved[0] >= 0) & (x + moved[0] < side) & (y + moved[1] >= 0) & (y + moved[1] < side)
    torch.testing.assert_close(two[:, inside], one[:, inside], atol=1e-4, rtol=0)


def test_a_mirrored_flow_points_the_other_way_and_scales():
    flow = torch.stack([torch.full((S, S), 3.0), torch.full((S, S), -2.0)])
    out = view_flow(flow, View(0, 0, S, flip=True), S // 2)
    torch.testing.assert_close(out[0], torch.full((32, 32), -1.5))
    torch.testing.assert_close(out[1], torch.full((32, 32), -1.0))


def test_twice_mirrored_is_as_before():
    view = View(0, 0, S, flip=True)
    flow, labels = smooth(2, 3), torch.randint(0, 19, (S, S), dtype=torch.uint8)
    light = torch.rand(3, GRID, GRID)
    assert torch.equal(view_flow(view_flow(flow, view, S), view, S), flow)
    assert torch.equal(view_labels(view_labels(labels, view, S), view, S), labels)
    assert torch.equal(view_light(view_light(light, view), view), light)


@pytest.mark.parametrize("before, after", [(2, 3), (3, 2), (4, 5), (5, 4), (7, 8), (8, 7), (1, 1), (10, 10), (17, 17)])
def test_left_and_right_classes_change_places(before, after):
    labels = torch.zeros(4, 4, dtype=torch.uint8)
    labels[1, 0] = before
    out = view_labels(labels, View(0, 0, 4, flip=True), 4)
    assert int(out[1, 3]) == after
    assert int((out > 0).sum()) == 1
    assert torch.equal(view_labels(labels, View(0, 0, 4), 4), labels)


@pytest.mark.parametrize("side, size", [(32, 64), (64, 32), (48, 20), (20, 48)])
def test_labels_are_resized_to_the_nearest_pixel(side, size):
    labels = torch.randint(0, 19, (S, S), dtype=torch.uint8)
    out = view_labels(labels, View(0, 0, side), size)
    expected = cv2.resize(labels.numpy()[:side, :side], (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    if size % side == 0 or side % size == 0:
        np.testing.assert_array_equal(out, expected)
    assert set(np.unique(out)) <= set(np.unique(labels))


def test_a_mirrored_light_lights_the_other_side():
    """A light at +X (u = 3/4) comes to -X (u = 1/4)."""
    light = torch.zeros(1, GRID, GRID)
    light[0, 7, 12] = 1
    assert torch.nonzero(view_light(light, View(0, 0, S, flip=True)))[0].tolist() == [0, 7, 3]


def test_a_reduced_picture_keeps_its_mean():
    picture = torch.rand(3, S, S)
    for size in (32, 16):
        out = view_pictures(picture, View(0, 0, S), size)
        assert float((out.mean((1, 2)) - picture.mean((1, 2))).abs().max()) < 4e-3


@given(st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_occlusion_on_tensors_is_that_of_arrays(seed):
    forward, backward = smooth(2, seed, 6.0, 3.0), smooth(2, seed + 1, 6.0, 3.0)
    got = find_occluded(torch.stack([forward, backward])[None])[0, :, 0].numpy() > 0
    a, b = (np.ascontiguousarray(flow.permute(1, 2, 0).numpy()) for flow in (forward, backward))
    for mine, theirs in zip(got, (hidden_points(a, b), hidden_points(b, a)), strict=True):
        assert (mine != theirs).mean() < 0.01  # OpenCV interpolates in steps of a 32nd of a pixel


def test_a_mirrored_sample_is_the_mirror_of_the_sample(tmp_path):
    """Everything at once, from files to tensors."""
    folder = write_small_set(tmp_path, 1, 3)
    flip = AugmentConfig(crop=(1, 1), flip=1, noise=0, jpeg=0, rounding=0)
    a = next(iter(ShardLoader(ShardDataset(folder), 2, shuffle=False)))
    b = next(iter(ShardLoader(ShardDataset(folder, augment=flip), 2, shuffle=False)))
    # The same numbers of random draws either way, so the same lightings: mirrored as well.
    for name in ("input_srgb", "target_srgb", "full_srgb", "mask", "input_light", "target_light"):
        torch.testing.assert_close(getattr(b, name), getattr(a, name).flip(-1))
    torch.testing.assert_close(b.flow[:, :, 0], -a.flow[:, :, 0].flip(-1))
    torch.testing.assert_close(b.flow[:, :, 1], a.flow[:, :, 1].flip(-1))
    assert (b.occluded != a.occluded.flip(-1)).float().mean() < 0.02  # stored, and found again from half floats


# ---------------------------------------------------------------- views

@given(st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_crops_keep_enough_of_the_subject(seed):
    mask = np.zeros((S, S), bool)
    mask[40:60, 5:25] = True
    config = AugmentConfig()
    view = draw_view(np.random.default_rng(seed), mask, config)
    assert S // 2 <= view.side <= S
    assert view.top + view.side <= S
    assert view.left + view.side <= S
    kept = mask[view.top : view.top + view.side, view.left : view.left + view.side].sum()
    assert kept >= config.least_mask * mask.sum()
    assert draw_view(np.random.default_rng(seed), mask, config) == view


def test_views_follow_their_probabilities():
    mask, rng = np.ones((S, S), bool), np.random.default_rng(0)
    views = [draw_view(rng, mask, AugmentConfig()) for _ in range(2000)]
    for share, expected in (
        (np.mean([v.flip for v in views]), 0.5), (np.mean([v.full_well > 0 for v in views]), 0.3),
        (np.mean([v.jpeg > 0 for v in views]), 0.3), (np.mean([v.rounding for v in views]), 0.5),
        (np.mean([v.side for v in views]) / S, 0.75),
    ):
        assert share == pytest.approx(expected, abs=0.04)
    assert {v.jpeg for v in views} - {0} == set(range(60, 96))
    shared = draw_view(rng, mask, AugmentConfig(), views[0])
    assert (shared.top, shared.left, shared.side) == (views[0].top, views[0].left, views[0].side)
    plain = draw_view(rng, mask, NO_AUGMENTATION)
    assert (plain.top, plain.left, plain.side, plain.flip, plain.degrades) == (0, 0, S, False, False)


@pytest.mark.parametrize("given_", [
    {"crop": (0, 1)}, {"crop": (0.8, 0.5)}, {"jpeg_quality": (0, 50)}, {"full_well": (0, 1)}, {"flips": 1},
])
def test_settings_are_checked(given_):
    with pytest.raises(ValueError, match=next(iter(given_))):
        AugmentConfig(**given_)


# ---------------------------------------------------------------- errors on the inputs

def test_noise_has_the_variance_of_its_sensor():
    view = View(0, 0, S, full_well=2000, read_noise_e=5, seed=3)
    for level in (0.0, 0.2, 0.9):
        linear = torch.full((2, 3, 256, 256), level)
        noisy = add_sensor_noise(linear, view)
        assert float(noisy.mean()) == pytest.approx(level, abs=2e-4)
        assert float(noisy.var()) == pytest.approx(level / 2000 + (5 / 2000) ** 2, rel=0.02)
        assert torch.equal(noisy, add_sensor_noise(linear, view))


@pytest.mark.parametrize("quality", [60, 75, 95])
@pytest.mark.parametrize("shape", [(64, 64), (50, 37)])
def test_jpeg_errors_are_those_of_a_jpeg_file(quality, shape):
    """Against libjpeg: the pictures agree far better with each other than with the original."""
    height, width = shape
    rng = np.random.default_rng(1)
    base = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 1.5)
    picture = np.round(255 * (base - base.min()) / (base.max() - base.min())).astype(np.uint8)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, coded = cv2.imencode(".jpg", picture[..., ::-1], flags)
    theirs = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    ours = jpeg_errors(torch.from_numpy(picture.transpose(2, 0, 1) / 255.0).float()[None], quality)[0]
    ours = ours.permute(1, 2, 0).numpy() * 255
    between, error = np.abs(ours - theirs).mean(), np.abs(theirs - picture).mean()
    assert between < 0.35 * error + 0.1
    assert np.abs(ours - np.round(ours)).max() < 1e-3


def test_errors_are_on_the_inputs_alone(tmp_path):
    folder = write_small_set(tmp_path, 1, 4)
    plain, rough = AugmentConfig(crop=(1, 1), flip=0, noise=0, jpeg=0, rounding=0), AugmentConfig(
        crop=(1, 1), flip=0, noise=1, jpeg=0.5, rounding=0.5, full_well=(500, 600)
    )
    a, b = (next(iter(ShardLoader(ShardDataset(folder, augment=c, variants=2), 6))) for c in (plain, rough))
    for name in ("clean_srgb", "target_srgb", "full_srgb", "flow", "labels", "input_light"):
        assert torch.equal(getattr(a, name), getattr(b, name))
    assert torch.equal(a.input_srgb, a.clean_srgb)
    mask = a.mask.bool().expand_as(a.input_srgb)
    assert 0.005 < float((b.input_srgb - b.clean_srgb)[mask].std()) < 0.2
    assert b.input_srgb.shape[-1] == SIZE
    assert float(b.input_srgb.min()) >= 0
    assert float(b.input_srgb.max()) <= 1


def test_rounding_leaves_whole_codes():
    x = torch.rand(3, 8, 8)
    codes = round_to_8_bits(x) * 255
    torch.testing.assert_close(codes, codes.round())
    assert float((round_to_8_bits(x) - x).abs().max()) <= 0.5 / 255 + 1e-6
