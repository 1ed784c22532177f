"""The sheet of pictures of a training, pixel by pixel: every column shows what its name says."""

import numpy as np
import pytest
import torch

from olatkit.color import encode_srgb
from olatkit.learn.passes import Passes
from olatkit.learn.pictures import sample_sheet
from olatkit.learn.sample import Sample
from olatkit.render.pictures import contact_sheet

PAIRS, GAP = 3, 4
DX, DY = 3, -2  # from t to t + 1
NAMES = [
    "input", "target", "relit", "own light", "difference", "labels", "parsing", "light in", "light found", "target light",
    "warp error",
]


def _random(size: int, classes: int) -> tuple[Passes, Sample]:
    """Noise everywhere, so that nothing looks like anything else, and a motion by whole pixels."""
    generator = torch.Generator().manual_seed(size)

    def noise(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    forward = torch.tensor([DX, DY]).float()[:, None, None].expand(PAIRS, 2, size, size)
    sample = Sample(
        *(noise(PAIRS, 2, 3, size, size) for _ in range(4)), (19 * noise(PAIRS, 2, size, size)).to(torch.uint8),
        (noise(PAIRS, 2, 1, size, size) < 0.8).float(), torch.stack([forward, -2 * forward], dim=1),
        (noise(PAIRS, 2, 1, size, size) < 0.2).float(), 3 * noise(PAIRS, 2, 3, 16, 16), 3 * noise(PAIRS, 3, 16, 16),
        torch.arange(PAIRS),
    )
    relit, own = (noise(2 * PAIRS, 3, size, size) for _ in range(2))
    parsing = noise(2 * PAIRS, classes, size, size) - 0.5 if classes else None
    return Passes(3 * noise(2 * PAIRS, 3, 16, 16), noise(2 * PAIRS, 4, 1, 1), relit, own, parsing), sample


def _tile(sheet: np.ndarray, row: int, name: str, side: int) -> np.ndarray:
    top, left = row * (side + GAP), NAMES.index(name) * (side + GAP)
    return sheet[top : top + side, left : left + side]


def _warp_error(passes: Passes, sample: Sample, n: int) -> np.ndarray:
    """|Ĩ_{t+1} at x + flow − Ĩ_t|, 0 where a frame has no such point or it is hidden or background."""
    before, after = passes.relit[2 * n].numpy(), passes.relit[2 * n + 1].numpy()
    mask, hidden = sample.mask[n, :, 0].numpy(), sample.occluded[n, 0, 0].numpy()
    out = np.zeros_like(before)
    for y, x in np.ndindex(before.shape[1:]):
        v, u = y + DY, x + DX
        if 0 <= v < sample.size and 0 <= u < sample.size and mask[0, y, x] and mask[1, v, u] and not hidden[y, x]:
            out[:, y, x] = np.abs(after[:, v, u] - before[:, y, x])
    return out


def _expected(passes: Passes, sample: Sample, n: int, palette: np.ndarray) -> dict[str, np.ndarray]:
    """The pictures of a row before they are enlarged."""

    def picture(values: torch.Tensor | np.ndarray) -> np.ndarray:
        return np.round(255 * np.clip(np.moveaxis(np.asarray(values), 0, -1), 0, 1)).astype(np.uint8)

    def lighting(light: torch.Tensor) -> np.ndarray:
        return picture(np.kron(encode_srgb(light.numpy() / 2), np.ones((1, sample.size // 16, sample.size // 16))))

    labels, found = sample.labels[n, 0].numpy(), np.zeros((sample.size, sample.size), int)
    if passes.parsing is not None:
        logits = passes.parsing[2 * n].numpy()
        labels, found = ((labels > 0) * 1, (logits[0] > 0) * 1) if len(logits) == 1 else (labels, logits.argmax(0))
    off = sample.mask[n, 0] * (sample.target_srgb[n, 0] - passes.relit[2 * n]).abs()
    return {
        "input": picture(sample.input_srgb[n, 0]), "target": picture(sample.target_srgb[n, 0]),
        "relit": picture(passes.relit[2 * n]), "own light": picture(passes.own[2 * n]), "difference": picture(4 * off),
        "labels": palette[labels], "parsing": palette[found], "light in": lighting(sample.input_light[n, 0]),
        "light found": lighting(passes.light[2 * n]), "target light": lighting(sample.target_light[n]),
        "warp error": picture(4 * _warp_error(passes, sample, n)),
    }


def _palette() -> np.ndarray:
    """The colours of the 19 classes, as the second row of a sheet, where no text is, shows them: (19, 3)."""
    passes, sample = _random(128, 19)
    shown, labels = _tile(sample_sheet(passes, sample, 2), 1, "labels", 128), sample.labels[1, 0].numpy()
    colours = [np.unique(shown[labels == k], axis=0) for k in range(19)]
    assert all(len(of_class) == 1 for of_class in colours)
    return np.concatenate(colours)


def test_every_class_has_a_colour_of_its_own_and_background_is_black() -> None:
    palette = _palette()
    assert len(np.unique(palette, axis=0)) == 19
    assert not palette[0].any()


@pytest.mark.parametrize(("size", "classes"), [(64, 19), (64, 1), (64, 0), (128, 19)])
def test_every_column_shows_what_its_name_says(size: int, classes: int) -> None:
    passes, sample = _random(size, classes)
    palette, enlarged = _palette(), 128 // size
    sheet = sample_sheet(passes, sample, rows=2)
    pictures = [
        picture.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
        for n in range(2) for picture in _expected(passes, sample, n, palette).values()
    ]
    expected = contact_sheet(pictures, len(NAMES), NAMES + [""] * len(NAMES))
    assert sheet.shape == expected.shape
    for row in range(2):
        for name in NAMES:
            found, wanted = (_tile(x, row, name, 128).astype(int) for x in (sheet, expected))
            # Rounding where warping by whole pixels is not quite exact.
            assert np.abs(found - wanted).max() <= 1, f"row {row}, {name}"


@pytest.mark.parametrize(("asked", "rows"), [(1, 1), (4, PAIRS)])
def test_there_are_no_more_rows_than_pairs(asked: int, rows: int) -> None:
    sheet = sample_sheet(*_random(64, 1), rows=asked)
    assert sheet.shape == (rows * (128 + GAP) - GAP, len(NAMES) * (128 + GAP) - GAP, 3)
