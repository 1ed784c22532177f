"""Pictures of pictures: contact sheets, strips, lighting balls, and the display exposure they share."""

from collections.abc import Sequence

import numpy as np

from olatkit.color import encode_srgb, luminance, to_srgb8
from olatkit.envmap import EnvironmentMap
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


def lighting_ball(environment: EnvironmentMap, size_px: int = 128, *, supersample: int = 3) -> np.ndarray:
    """A mirror ball and a white diffuse ball side by side, as the camera would see them, linear.

    Returns
    -------
    ndarray, shape (size_px, 2 * size_px, 3), float32
        Radiance; black outside the balls. Seen from far away along -Z.
    """
    n = size_px * supersample
    axis = (np.arange(n) + 0.5) / n * 2 - 1
    right, down = np.meshgrid(axis, axis)
    inside = right**2 + down**2 <= 1
    normals = np.stack([right, -down, np.sqrt(np.maximum(1 - right**2 - down**2, 0))], axis=-1)
    # The camera looks along -Z from +Z: the view vector to it is +Z, mirrored about the normal.
    mirrored = 2 * normals[..., 2:] * normals - np.array([0, 0, 1.0])
    balls = [environment.look_up(mirrored), _diffuse(environment, normals)]
    pictures = [np.where(inside[..., None], ball, 0) for ball in balls]
    whole = np.concatenate(pictures, axis=1).astype(np.float32)
    return whole.reshape(size_px, supersample, 2 * size_px, supersample, 3).mean(axis=(1, 3))


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


def to_display(linear: np.ndarray, exposure: float) -> np.ndarray:
    """Linear picture times an exposure factor as sRGB uint8."""
    return to_srgb8(np.asarray(linear) * np.float32(exposure))


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


def _diffuse(environment: EnvironmentMap, normals: np.ndarray) -> np.ndarray:
    """Radiosity of a white diffuse surface at the given normals: the clamped cosine over a small map, by π."""
    from olatkit.geometry import latlong_directions

    small = environment.downsample(32, 64)
    light = (small.radiance * small.solid_angles[:, None, None]).reshape(-1, 3)
    directions = latlong_directions(32, 64).reshape(-1, 3).astype(np.float32)
    rows = [np.maximum(row.astype(np.float32) @ directions.T, 0) @ light.astype(np.float32) for row in normals]
    return np.stack(rows) / np.pi


def _draw_label(image: np.ndarray, text: str) -> np.ndarray:
    """Copy of a picture with a line of text, white on a dark outline."""
    import cv2

    out = np.ascontiguousarray(image).copy()
    scale = max(0.35, image.shape[0] / 600)
    place = (4, int(6 + 22 * scale))
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(out, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return out
