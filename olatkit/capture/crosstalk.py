"""Light that leaks from one frame into the next: LED decay, phosphor, shutter skew.

The model is y_n = (1 - ε) x_n + ε x_{n-1} in linear light, x being the frames as they should be and y as recorded.
"""

from dataclasses import dataclass

import numpy as np

from olatkit.capture.cut_highlights import remove_hidden_leak
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule
from olatkit.wording import counted

BLOCK_PX = 8
SHADOW_COSINE = -0.25  # between normal and light; at 0 the terminator would be taken for a leak
MIN_SAMPLES = 200


@dataclass(frozen=True)
class CrosstalkEstimate:
    """Share ε of a frame's light that leaks into the next one.

    Parameters
    ----------
    eps : float
        The share; NaN if it cannot be estimated.
    stderr : float
        Standard error, frames taken as independent.
    n : int
        Pairs of a block and a frame that were used.
    reason : str
        Why there is no estimate; empty if there is one.
    """

    eps: float
    stderr: float
    n: int
    reason: str = ""


def invert_crosstalk(
    frames: np.ndarray, eps: float, previous: np.ndarray | None = None, *, cut: np.ndarray | None = None,
    mosaic: bool = False, out: np.ndarray | None = None,
) -> np.ndarray:
    """Undo crosstalk along consecutive frames by the recursion x_n = (y_n - ε x_{n-1}) / (1 - ε).

    Parameters
    ----------
    frames : ndarray, shape (T, ...), float
        Linear frames above black, one tick apart.
    eps : float
        Share that leaks, 0 <= ε < 0.5; from 0.5 on the recursion amplifies its own errors.
    previous : ndarray, shape (...), optional
        The corrected frame before the first one. Without it the first frame keeps its leak, which is wrong by
        ε (y_0 - x_{-1}) there and fades by a factor ε/(1-ε) per frame.
    cut : ndarray of bool, shape (T, ...), optional
        Where the recorded frames are saturated. They leak more than their values say; the rest is removed by
        :func:`~olatkit.capture.cut_highlights.remove_hidden_leak`. Frames are then pictures (T, H, W[, 3]).
    mosaic : bool
        Whether the frames are Bayer mosaics; only matters with ``cut``.
    out : ndarray, optional
        Where to write; may be ``frames``.

    Returns
    -------
    ndarray, shape (T, ...)

    Raises
    ------
    ValueError
        If ε is out of range.
    """
    if not 0 <= eps < 0.5:
        raise ValueError(f"crosstalk is {eps}, expected 0 <= eps < 0.5")
    result = np.empty_like(frames) if out is None else out
    share, scale = frames.dtype.type(eps), frames.dtype.type(1 / (1 - eps))
    for n, frame in enumerate(frames):
        result[n] = frame if previous is None else (frame - share * previous) * scale
        if cut is not None and n and eps and cut[n - 1].any():
            remove_hidden_leak(result[n], cut[n - 1], eps, mosaic=mosaic)
        previous = result[n]
    return result


def estimate_crosstalk(
    frames: np.ndarray, slots: np.ndarray, rig: LightRig, schedule: LightingSchedule, mask: np.ndarray, *,
    saturation: float = 0.985,
) -> CrosstalkEstimate:
    """Measure crosstalk on the subject itself, from the parts of it that a light cannot reach.

    The frames of one cycle give each block of 8x8 pixels a rough normal, Σ_l I_l d_l. Where a light lies well
    behind it, a block should be dark, and what it shows is ambient light, light bounced off other parts, and the
    leak of the frame before. The leak alone follows that frame: after constants and terms linear in the light's
    direction are taken out per block, its regression on the frame before is ε.

    Parameters
    ----------
    frames : ndarray, shape (T, H, W) or (T, H, W, 3), float32
        Linear frames above black, 1 = full scale, mosaic or not.
    slots : ndarray of int, shape (T,)
        Slot of every frame; where one does not follow the one before, there is a gap.
    rig, schedule
        Of the take.
    mask : ndarray of bool, shape (H, W)
        The subject.
    saturation : float
        Share of full scale from which a frame says nothing about what it leaks.

    Returns
    -------
    CrosstalkEstimate
        With a reason instead of a number if no block is ever in shadow: mix schedules, lights on one side only,
        less than a cycle.
    """
    cycle = schedule.cycle
    if len(frames) < cycle:
        return _no_estimate(f"{counted(len(frames), 'frame')}, less than a cycle of {cycle}")
    if schedule.is_multiplexed:
        return _no_estimate("mix slots leave no part of the subject dark")
    inside = _block_reduce(np.asarray(mask, np.float32)[None], np.min)[0] > 0.5
    blocks = _block_reduce(frames, np.mean)[:, inside].astype(float)
    usable = _block_reduce(frames, np.max)[:, inside] < saturation
    follows = np.concatenate([[False], (slots[:-1] + 1) % cycle == slots[1:]])
    parts = range(0, len(frames) - cycle + 1, cycle)
    eps, fit = 0.0, (0.0, float("inf"), 0)
    for _ in range(4):  # the frame before leaks too: correct it by what is known so far
        clean = _invert_runs(blocks, follows, eps)
        samples = [
            _shadow_samples(blocks, clean, usable, follows, slots, rig, schedule, slice(start, start + cycle))
            for start in parts
        ]
        fit = _pooled_slope(samples)
        if fit[2] < MIN_SAMPLES:
            return _no_estimate(f"only {counted(fit[2], 'dark sample')} on the subject; the rig may have no lights "
                                "behind it")
        eps = float(np.clip(fit[0], -0.2, 0.4))
    return CrosstalkEstimate(*fit)


def _no_estimate(reason: str) -> CrosstalkEstimate:
    return CrosstalkEstimate(float("nan"), float("nan"), 0, reason)


def _block_reduce(frames: np.ndarray, function) -> np.ndarray:
    """Blocks of BLOCK_PX pixels squared (and all channels) reduced, shape (T, h, w); a rest at the edge is left out."""
    t, height, width = frames.shape[:3]
    h, w = height // BLOCK_PX, width // BLOCK_PX
    cut = frames[:, : h * BLOCK_PX, : w * BLOCK_PX].reshape(t, h, BLOCK_PX, w, BLOCK_PX, -1)
    return function(cut, axis=(2, 4, 5))


def _invert_runs(blocks: np.ndarray, follows: np.ndarray, eps: float) -> np.ndarray:
    """The recursion on block means, restarted at every gap."""
    clean = blocks.copy()
    for n in np.flatnonzero(follows):
        clean[n] = (blocks[n] - eps * clean[n - 1]) / (1 - eps)
    return clean


def _shadow_samples(
    blocks: np.ndarray, clean: np.ndarray, usable: np.ndarray, follows: np.ndarray, slots: np.ndarray, rig: LightRig,
    schedule: LightingSchedule, part: slice,
) -> tuple[np.ndarray, np.ndarray]:
    """Dark blocks of one cycle and the frame before, (frames, blocks), less what direction explains; 0 = unused."""
    lights = schedule.slot_lights[slots[part]]
    lit = (lights >= 0) & np.asarray(rig.enabled)[lights]
    unlit = (schedule.kinds[slots[part]] == "dark") | ((lights >= 0) & ~lit)
    directions = np.where(lit[:, None], rig.directions[lights], 0.0)
    normals = clean[part][lit].T @ directions[lit]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    dark = (lit[:, None] & (directions @ normals.T < SHADOW_COSINE)) | unlit[:, None]
    level = clean[part].mean(axis=0)
    dark &= follows[part][:, None] & (level > 0.2 * np.median(level))
    before = np.arange(part.start, part.stop) - 1
    dark &= usable[before]
    design = np.concatenate([np.ones((len(directions), 1)), directions], axis=1)
    leak, source = np.zeros(dark.shape), np.zeros(dark.shape)
    for b in np.flatnonzero(dark.sum(axis=0) > 2 * design.shape[1]):
        rows = dark[:, b]
        both = np.stack([blocks[part][rows, b], clean[before][rows, b]], axis=1)
        both -= design[rows] @ np.linalg.lstsq(design[rows], both, rcond=None)[0]
        leak[rows, b], source[rows, b] = both.T
    return leak, source


def _pooled_slope(samples: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float, int]:
    """Robust slope of leak on source over all blocks, its standard error with frames as clusters, and sample count."""
    leak, source = (np.concatenate(arrays) for arrays in zip(*samples, strict=True))
    weight = (source != 0).astype(float)
    n = int(weight.sum())
    slope, spread = 0.0, 0.0
    for _ in range(6):
        total = (weight * source**2).sum()
        if n == 0 or total <= 0:
            return 0.0, float("inf"), 0
        slope = (weight * source * leak).sum() / total
        residual = leak - slope * source
        spread = 1.4826 * np.median(np.abs(residual[source != 0])) + 1e-12
        weight = (source != 0) / np.maximum(np.abs(residual) / (1.5 * spread), 1)
    residual = leak - slope * source
    per_frame = (weight * source * residual).sum(axis=1)
    return float(slope), float(np.sqrt((per_frame**2).sum()) / (weight * source**2).sum()), n
