"""Pictures of pictures: contact sheets and strips, and the display exposure they share."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from olatkit.color import decode_srgb, encode_srgb, luminance
from olatkit.errors import CaptureError
from olatkit.imageset import Imageset
from olatkit.render.relight import relight

# Linear luminance that the middle of the foreground gets under a white sky; 0.54 in sRGB.
MIDDLE_LUMINANCE = 0.25


def contact_sheet(
    images: Sequence[np.ndarray], columns: int, labels: Sequence[str] | None = None, *, gap_px: int = 4
) -> np.ndarray:
    """Arrange equal pictures in rows; one row is a turntable strip.

    Parameters
    ----------
    images : sequence of ndarray, shape (H, W, 3), uint8
        sRGB pictures of one size.
    columns : int
        Pictures per row, at least 1.
    labels : sequence of str, optional
        One line of text drawn at the top left of each picture.
    gap_px : int
        Width of the dark lines between pictures.

    Returns
    -------
    ndarray, shape (rows * H + gaps, columns * W + gaps, 3), uint8
        Unused places stay dark.
    """
    if not len(images) or columns < 1:
        raise ValueError(f"a contact sheet needs pictures and columns, got {len(images)} and {columns}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels for {len(images)} pictures")
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3), 24, np.uint8)
    for i, image in enumerate(images):
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise ValueError(f"picture {i} is {image.dtype} {image.shape}, expected uint8 {(height, width, 3)}")
        top, left = i // columns * (height + gap_px), i % columns * (width + gap_px)
        labelled = image if labels is None else _draw_label(image, labels[i])
        sheet[top : top + height, left : left + width] = labelled
    return sheet


def above_white(picture: np.ndarray, exposure: float) -> tuple[float, float]:
    """How much of a picture (H, W, 3) is above white at an exposure, and so cut in PNG and videos.

    Returns
    -------
    float, float
        Share of the pixels that are lit (above a hundredth of white) of which a channel is above white, and by how many
        stops it is in the brightest hundredth of them, 0 if nothing is.
    """
    brightest = np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2]) * np.float32(exposure)
    count = int(np.count_nonzero(brightest > 1))
    if not count:
        return 0.0, 0.0
    lit = brightest[brightest > 0.01]
    return count / lit.size, max(0.0, float(np.log2(np.quantile(lit, 0.99))))


def find_exposure(imageset: Imageset, cell_areas: np.ndarray) -> float:
    """Factor that gives the foreground a median luminance of 0.25 under a white sky of radiance 1.

    Parameters
    ----------
    imageset : Imageset
        L images.
    cell_areas : ndarray, shape (L,)
        Weights of a white sky [sr].

    Returns
    -------
    float
        Multiplies linear pictures relit by maps of mean luminance 1.

    Raises
    ------
    CaptureError
        The imageset is black.
    """
    white = luminance(relight(imageset, np.repeat(np.asarray(cell_areas)[:, None], 3, axis=1)))
    foreground = white > _otsu_threshold(white)
    median = float(np.median(white[foreground])) if foreground.any() else 0.0
    if not median > 0:
        raise CaptureError(f"the imageset at {imageset.time_s:.3f} s is black under a white sky: no exposure fits it")
    return MIDDLE_LUMINANCE / median


def to_display(linear: np.ndarray, exposure: float, *, bits: int = 8, transfer: str = "srgb") -> np.ndarray:
    """Linear picture times an exposure factor as codes of a display.

    Parameters
    ----------
    linear : ndarray, shape (..., 3)
        Linear Rec.709.
    exposure : float
        Factor; 1 after it is white. Values beyond 0 and 1 are clipped here and only here.
    bits : {8, 16}
        uint8 or uint16.
    transfer : {"srgb", "linear"}
        Curve of the codes.
    """
    if bits == 8:
        return _to_codes8(np.asarray(linear), exposure, transfer)
    exposed = np.asarray(linear) * np.float32(exposure)
    curved = encode_srgb(exposed) if transfer == "srgb" else exposed
    return np.round(np.clip(np.nan_to_num(curved), 0, 1) * 65535).astype(np.uint16)


def _to_codes8(linear: np.ndarray, exposure: float, transfer: str) -> np.ndarray:
    """Rounded 8-bit codes, by comparison with the values at which each code begins."""
    from olatkit.render.kernels import codes_of

    out = np.empty(linear.shape, np.uint8)
    steps, guess = _code_steps(transfer)
    codes_of(np.ascontiguousarray(linear, np.float32).reshape(-1), np.float32(exposure), steps, guess, out.reshape(-1))
    return out


@lru_cache(maxsize=2)
def _code_steps(transfer: str) -> tuple[np.ndarray, np.ndarray]:
    """Linear values where codes 1 to 255 begin and NaN, and the code of every float32 whose lower 16 bits are 0."""
    middles = (np.arange(1, 256) - 0.5) / 255
    steps = (decode_srgb(middles) if transfer == "srgb" else middles).astype(np.float32)
    starts = (np.arange(65536, dtype=np.uint32) << 16).view(np.float32)
    positive = np.where(starts > 0, starts, 0)  # also NaN
    return np.append(steps, np.float32(np.nan)), np.searchsorted(steps, positive, side="right").astype(np.uint8)


def _otsu_threshold(values: np.ndarray) -> float:
    """Value that best splits an image into dark and bright, found on a perceptual scale (Otsu 1979)."""
    top = float(np.percentile(values, 99.5))
    if top <= 0:
        return 0.0
    codes = np.clip(encode_srgb(values / top) * 255, 0, 255).astype(np.uint8)
    counts = np.bincount(codes.ravel(), minlength=256).astype(float)
    below, mean_below = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (mean_below[-1] * below / below[-1] - mean_below) ** 2 / (below * above)
    cut = int(np.nanargmax(spread)) if np.isfinite(spread).any() else -1
    return float(values[codes <= cut].max()) if (codes <= cut).any() else -np.inf


def _draw_label(image: np.ndarray, text: str) -> np.ndarray:
    """Copy of a picture with a line of text at its top."""
    out = np.ascontiguousarray(image).copy()
    scale = max(0.35, image.shape[0] / 600)
    draw_text(out, text, (4, int(6 + 22 * scale)), scale)
    return out


def draw_text(image: np.ndarray, text: str, place: tuple[int, int], scale: float) -> None:
    """Write a line into ``image`` (H, W, 3) uint8, white on a dark outline, its baseline beginning at (x, y)."""
    import cv2

    x, y = place
    width = max(1, round(2 * scale))
    # A thicker text would also be a wider one: the outline is the text itself, moved.
    for dx, dy, grey in ((-width, 0, 0), (width, 0, 0), (0, -width, 0), (0, width, 0), (0, 0, 255)):
        cv2.putText(image, text, (x + dx, y + dy), cv2.FONT_HERSHEY_SIMPLEX, scale, (grey,) * 3, 1, cv2.LINE_AA)
