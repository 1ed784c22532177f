"""Relighting is the weighted sum of the images: exact for one light, linear, and the same on every path."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.envmap import EnvironmentMap
from olatkit.errors import ConfigError
from olatkit.imageset import Imageset
from olatkit.io.codes import LAST, decode, encode
from olatkit.render.basis import BFLOAT16_PIXELS, LightingBasis
from olatkit.render.panels import CACHE, GROUP
from olatkit.render.relight import BLOCK, SHARES, relight, relight_codes
from olatkit.render.vectors import PANEL
from olatkit.render.weights import cell_areas, light_weights
from olatkit.rig import default_rig

# float32 sums of about a hundred positive terms, in any order.
FLOAT32 = 1e-6


def make_images(lights: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 0.2, (lights, height, width, 3)).astype(np.float32)


def reference(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("lhwc,...lc->...hwc", images.astype(np.float64), weights)


def error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(image - truth).max() / np.abs(truth).max())


@settings(max_examples=40, deadline=None)
@given(lights=st.integers(1, 20), height=st.integers(1, 13), width=st.integers(1, 13), seed=st.integers(0, 99))
def test_equals_the_plain_sum_for_any_size(lights: int, height: int, width: int, seed: int) -> None:
    images = make_images(lights, height, width, seed)
    weights = np.random.default_rng(seed).random((lights, 3))
    image = relight(images, weights)
    assert image.dtype == np.float32
    assert image.shape == (height, width, 3)
    np.testing.assert_allclose(image, reference(images, weights), atol=FLOAT32 * lights)


def test_equals_the_plain_sum_over_several_blocks() -> None:
    images = make_images(11, 300, 250)
    assert images[0].size > 2 * BLOCK
    weights = np.random.default_rng(1).random((11, 3))
    assert error(relight(images, weights), reference(images, weights)) < FLOAT32


@pytest.mark.parametrize("light", [0, 1, 7, 8, 12])
def test_one_light_returns_its_image_bit_for_bit(light: int) -> None:
    images = make_images(13, 20, 31)
    weights = np.zeros((13, 3))
    weights[light] = 1
    np.testing.assert_array_equal(relight(images, weights), images[light])
    np.testing.assert_array_equal(relight(images, np.stack([weights] * (GROUP + 1)))[GROUP], images[light])


def test_colour_of_the_weights_goes_to_its_channel() -> None:
    images = make_images(5, 8, 8)
    weights = np.zeros((5, 3))
    weights[2] = 1, 0, 3
    np.testing.assert_allclose(relight(images, weights), images[2] * [1, 0, 3], rtol=FLOAT32)


def test_is_linear_in_the_weights() -> None:
    images = np.abs(make_images(114, 24, 24))
    rng = np.random.default_rng(2)
    w1, w2 = rng.random((2, 114, 3))
    mixed = relight(images, 0.3 * w1 + 2.5 * w2)
    assert error(0.3 * relight(images, w1) + 2.5 * relight(images, w2), mixed) < FLOAT32


@pytest.mark.parametrize("count", [0, 1, 2, GROUP - 1, GROUP, 2 * GROUP + 1])
def test_a_batch_equals_its_single_lightings(count: int) -> None:
    images = make_images(19, 40, 30)
    weights = np.random.default_rng(3).random((count, 19, 3))
    batch = relight(images, weights)
    assert batch.shape == (count, 40, 30, 3)
    for image, one in zip(batch, weights, strict=True):
        assert error(image, relight(images, one)) < FLOAT32


@pytest.mark.parametrize("width", [1, PANEL - 1, PANEL, PANEL + 1, 5 * PANEL + 7, 1500 * PANEL + 3])
def test_a_batch_over_any_number_of_panels(width: int) -> None:
    images = make_images(7, 1, width)
    weights = np.random.default_rng(3).random((2 * GROUP + 3, 7, 3))
    assert error(relight(images, weights), reference(images, weights)) < FLOAT32


def test_a_batch_of_several_blocks_each_of_several_runs_of_panels() -> None:
    images = make_images(60, 150, 231)
    assert images[0].size / 3 / SHARES > 2 * CACHE / (12 * 60)
    weights = np.random.default_rng(3).random((GROUP + 1, 60, 3))
    assert error(relight(images, weights), reference(images, weights)) < FLOAT32


@pytest.mark.parametrize("lights", [700, 9000])
def test_a_batch_over_many_lights(lights: int) -> None:
    images = make_images(lights, 5, 9)
    weights = np.random.default_rng(3).random((30, lights, 3))
    # Roundings of a sum grow with its length.
    assert error(relight(images, weights), reference(images, weights)) < FLOAT32 * max(1, lights / 1000)


def test_dead_lights_are_not_read() -> None:
    images = make_images(6, 5, 5)
    weights = np.random.default_rng(4).random((6, 3))
    weights[3] = 0
    expected = relight(images, weights)
    images[3] = np.nan
    np.testing.assert_array_equal(relight(images, weights), expected)
    for device in "cpu", "cpu:0":
        assert not relight(images, np.zeros((6, 3)), device=device).any()


def test_takes_imagesets_views_and_half_floats() -> None:
    images = make_images(7, 10, 12)
    weights = np.random.default_rng(5).random((7, 3))
    expected = relight(images, weights)
    imageset = Imageset(images, images[0], 0.0, np.zeros(7, np.uint8))
    np.testing.assert_array_equal(relight(imageset, weights), expected)
    assert error(relight(images[:, ::-1], weights), expected[::-1]) < FLOAT32
    half = images.astype(np.float16)
    assert error(relight(half, weights), reference(half, weights)) < FLOAT32


def test_torch_gives_the_same() -> None:
    images = make_images(7, 10, 12)
    for weights in np.random.default_rng(6).random((7, 3)), np.random.default_rng(6).random((6, 7, 3)):
        on_torch = relight(images, weights, device="cpu:0")
        assert on_torch.dtype == np.float32
        assert error(on_torch, relight(images, weights)) < FLOAT32


def test_a_basis_gives_what_relight_gives() -> None:
    images = np.abs(make_images(9, 11, 13))
    for shape in (9, 3), (5, 9, 3), (0, 9, 3):
        weights = np.random.default_rng(8).random(shape)
        plain = relight(images, weights)
        np.testing.assert_array_equal(LightingBasis(images).relight(weights), plain)
        assert LightingBasis(images, device="cpu:0").relight(weights).shape == plain.shape
        # bfloat16 has 8 bits: images, weights and sums are each rounded by at most 2^-8.
        rough = LightingBasis(images, precision="bfloat16").relight(weights)
        assert rough.dtype == np.float32
        np.testing.assert_allclose(rough, plain, rtol=3 * 2**-8, atol=1e-6)


def test_a_basis_in_bfloat16_over_several_blocks() -> None:
    images = np.abs(make_images(5, 70, 150))
    assert images[0, ..., 0].size > 2 * BFLOAT16_PIXELS
    basis, weights = LightingBasis(images, precision="bfloat16"), np.random.default_rng(9).random((3, 5, 3))
    plain = relight(images, weights)
    for rough in (basis.relight(weights), basis.relight_on_device(weights).numpy()):
        np.testing.assert_allclose(rough, plain, rtol=3 * 2**-8, atol=1e-6)
    # Rounding is not biased: what is left in the mean is that of the few weights, 0.1 % (rms) each.
    assert (basis.relight(weights) / plain).mean() == pytest.approx(1, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(lights=st.integers(1, 13), height=st.integers(1, 13), width=st.integers(1, 13), seed=st.integers(0, 99))
def test_a_basis_of_codes_gives_what_they_decode_to(lights: int, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, LAST + 1, (lights, height, width, 3)).astype(np.uint16)
    basis = LightingBasis(codes, precision="sqrt12")
    for shape in (lights, 3), (5, lights, 3):
        weights = rng.random(shape)
        image = basis.relight(weights)
        assert image.dtype == np.float32
        # Values reach 4, and are the difference of two terms near black.
        np.testing.assert_allclose(image, reference(decode(codes), weights), atol=4 * FLOAT32 * lights)


def test_a_basis_of_codes_over_several_blocks_and_from_radiance() -> None:
    images = decode(encode(make_images(11, 300, 250))[0])
    assert images[0].size > 2 * BLOCK
    weights = np.random.default_rng(1).random((11, 3))
    basis = LightingBasis(images, precision="sqrt12")
    assert error(basis.relight(weights), reference(images, weights)) < 2 * FLOAT32
    assert error(basis.relight(weights[None])[0], reference(images, weights)) < 2 * FLOAT32


def test_a_basis_refuses_what_it_cannot_do() -> None:
    images = make_images(3, 4, 4)
    with pytest.raises(ConfigError, match=r"2 of 144 values lie beyond the codes' range, -0.146 to 4; give"):
        LightingBasis(np.where(np.arange(144).reshape(3, 4, 4, 3) < 2, 9, np.clip(images, 0, 1)), precision="sqrt12")
    with pytest.raises(ConfigError, match="precision is 'sqrt12' on device 'cuda'"):
        LightingBasis(images, device="cuda", precision="sqrt12")
    with pytest.raises(ValueError, match="codes are float32, expected uint16"):
        relight_codes(images, np.ones((3, 3)))
    with pytest.raises(ConfigError, match="precision is 'float8', expected one of float32, bfloat16"):
        LightingBasis(images, precision="float8")
    with pytest.raises(ConfigError, match="device 'abacus' cannot be used"):
        LightingBasis(images, device="abacus")
    with pytest.raises(ValueError, match=r"weights have shape \(4, 3\)"):
        LightingBasis(images, precision="bfloat16").relight(np.ones((4, 3)))
    with pytest.raises(ValueError, match="call relight"):
        LightingBasis(images).relight_on_device(np.ones((3, 3)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "sqrt12"])
@pytest.mark.parametrize("count", [None, 0, 1, 6])
def test_results_go_where_they_are_wanted(precision: str, count: int | None) -> None:
    images = decode(encode(np.abs(make_images(9, 11, 13)))[0])
    weights = np.random.default_rng(8).random((9, 3) if count is None else (count, 9, 3))
    basis = LightingBasis(images, precision=precision)
    expected = basis.relight(weights)
    memory = np.full(expected.shape, np.nan, np.float32)
    assert basis.relight(weights, out=memory) is memory
    np.testing.assert_array_equal(memory, expected)
    if precision == "float32":
        assert relight(images, weights, out=memory) is memory
        assert relight(images, weights, device="cpu:0", out=memory) is memory


def test_memory_that_does_not_fit_is_refused_and_left_alone() -> None:
    images, weights = make_images(4, 6, 8), np.ones((2, 4, 3))
    small, wide = np.zeros((6, 8, 3), np.float32), np.zeros((2, 6, 16, 3), np.float32)
    for memory, message in [
        (small, r"out is float32 of shape \(6, 8, 3\), expected float32 of shape \(2, 6, 8, 3\)"),
        (np.zeros((2, 6, 8, 3)), "out is float64 of shape"),
        (wide[:, :, ::2], "out is not contiguous"),
        (images[:2], "out lies in the memory of the images"),
    ]:
        before = memory.copy()
        with pytest.raises(ValueError, match=message):
            relight(images, weights, out=memory)
        np.testing.assert_array_equal(memory, before)
    for device in ("cpu", "cpu:0"):
        with pytest.raises(TypeError, match=r"out is a list, expected a float32 array of shape \(2, 6, 8, 3\)"):
            relight(images, weights, device=device, out=[1])


@pytest.mark.gpu
def test_cuda_gives_the_same() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        if os.environ.get("OLATKIT_REQUIRE_GPU") == "1":
            pytest.fail("no CUDA device")
        pytest.skip("no CUDA device")
    images, weights = make_images(30, 64, 64), np.random.default_rng(7).random((6, 30, 3))
    # Tensor cores may round float32 products to TF32, 10 bits of mantissa.
    assert error(relight(images, weights, device="cuda"), relight(images, weights)) < 1e-3
    basis = LightingBasis(images, device="cuda")
    assert basis.relight_on_device(weights).device.type == "cuda"
    for one in weights:
        assert error(basis.relight(one), relight(images, one)) < 1e-3
    rough = LightingBasis(images, device="cuda", precision="bfloat16").relight(weights)
    assert error(rough, relight(images, weights)) < 2e-2


@pytest.mark.parametrize("images, weights, message", [
    (np.zeros((4, 5, 3), np.float32), np.zeros((4, 3)), r"images have shape \(4, 5, 3\)"),
    (np.zeros((4, 5, 5, 3), np.float32), np.zeros((5, 3)), r"weights have shape \(5, 3\), expected \(4, 3\)"),
    (np.zeros((4, 5, 5, 3), np.float32), np.full((4, 3), np.nan), "not finite"),
])
def test_wrong_arguments_are_named(images: np.ndarray, weights: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relight(images, weights)


def lambertian_sphere(directions: np.ndarray, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Closed-form images of a white diffuse sphere under each light, and its mask."""
    x = (np.arange(size) + 0.5) / size * 2 - 1
    right, down = np.meshgrid(x, x)
    inside = right**2 + down**2 < 1
    normals = np.stack([right, -down, np.sqrt(np.maximum(1 - right**2 - down**2, 0))], axis=-1)
    shading = np.maximum(np.einsum("hwc,lc->lhw", normals, directions), 0) * inside / np.pi
    return np.repeat(shading[..., None], 3, axis=3).astype(np.float32), inside


def test_a_diffuse_sphere_under_a_white_sky_is_evenly_white() -> None:
    rig = default_rig()
    images, inside = lambertian_sphere(rig.directions)
    image = relight(images, np.repeat(cell_areas(rig)[:, None], 3, axis=1))
    # Radiosity of a white diffuse surface under radiance 1 is 1; 114 samples of the sky leave about 1 %.
    np.testing.assert_allclose(image[inside], 1, atol=0.02)


def test_turning_the_light_by_90_degrees_brings_it_to_the_right_of_the_picture() -> None:
    radiance = np.zeros((16, 32, 3), np.float32)
    radiance[7:9, [0, -1]] = 1  # around the seam: +Z, the camera's side
    rig = default_rig()
    images, inside = lambertian_sphere(rig.directions)
    front = relight(images, light_weights(EnvironmentMap(radiance), rig))[..., 0]
    right = relight(images, light_weights(EnvironmentMap(radiance).rotate(yaw_deg=90), rig))[..., 0]
    half = images.shape[2] // 2
    assert front[:, :half].sum() == pytest.approx(front[:, half:].sum(), rel=0.1)
    assert right[:, half:].sum() > 20 * right[:, :half].sum()
    assert inside.any()
