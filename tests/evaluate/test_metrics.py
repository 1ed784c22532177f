"""Metrics against literal NumPy and SciPy, and what they must be for pictures whose answer is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from olatkit.evaluate.metrics import masked_ssim, measure_pictures


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three pictures of 40 x 33 px, others like them, soft masks that reach the border."""
    rng = np.random.default_rng(5)
    target = gaussian_filter(rng.random((3, 3, 40, 33)), (0, 0, 2, 2)) * 2 - 0.5
    picture = target + 0.1 * rng.standard_normal(target.shape)
    mask = np.clip(gaussian_filter(rng.standard_normal((3, 1, 40, 33)), (0, 0, 4, 4)) * 10 + 0.5, 0, 1)
    return tuple(torch.from_numpy(x) for x in (picture, target, mask))  # type: ignore[return-value]


def _ssim(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """SSIM of (3, H, W) by SciPy's Gaussian, cut at five pixels, with mirrored borders."""
    a, b = mask * np.clip(a, 0, 1), mask * np.clip(b, 0, 1)
    total = 0.0
    for x, y in zip(a, b, strict=True):
        mx, my, xx, yy, xy = (
            gaussian_filter(v, sigma=1.5, truncate=3.5, mode="reflect") for v in (x, y, x * x, y * y, x * y)
        )
        ssim = (2 * mx * my + 0.01**2) * (2 * (xy - mx * my) + 0.03**2)
        ssim /= (mx**2 + my**2 + 0.01**2) * (xx - mx**2 + yy - my**2 + 0.03**2)
        total += float((mask[0] * ssim).sum())
    return total / (3 * float(mask.sum()))


def test_metrics_are_those_of_numpy(batch: tuple[torch.Tensor, ...]) -> None:
    found = measure_pictures(*batch)
    for n, (a, b, mask) in enumerate(zip(*(x.numpy() for x in batch), strict=True)):
        error = mask * (np.clip(a, 0, 1) - np.clip(b, 0, 1)) ** 2
        rmse = np.sqrt(error.sum() / (3 * mask.sum()))
        assert float(found["rmse"][n]) == pytest.approx(rmse, rel=1e-9)
        assert float(found["psnr"][n]) == pytest.approx(-20 * np.log10(rmse), rel=1e-9)
        assert float(found["ssim"][n]) == pytest.approx(_ssim(a, b, mask), rel=1e-9)


def test_the_truth_is_perfect(batch: tuple[torch.Tensor, ...]) -> None:
    _, target, mask = batch
    found = measure_pictures(target, target, mask)
    assert float(found["rmse"].max()) == 0
    assert float(found["psnr"].min()) == pytest.approx(120)
    torch.testing.assert_close(found["ssim"], torch.ones(3, dtype=target.dtype))


def test_what_lies_outside_the_mask_counts_nothing(batch: tuple[torch.Tensor, ...]) -> None:
    picture, target, mask = batch
    mask = (mask > 0.5).to(picture.dtype)
    other = torch.where(mask > 0, picture, 0.3)
    before, after = measure_pictures(picture, target, mask), measure_pictures(other, target, mask)
    for name in before:
        torch.testing.assert_close(before[name], after[name])


def test_an_empty_mask_is_refused(batch: tuple[torch.Tensor, ...]) -> None:
    picture, target, mask = batch
    with pytest.raises(ValueError, match="empty mask"):
        masked_ssim(picture, target, torch.zeros_like(mask))
