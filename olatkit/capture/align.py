"""Motion of the subject around a reference instant, from the tracking frames.

All displacements lie on the grid of the reference: pixel x of the reference is found at x + d in the frame at
another tick. Between tracking frames a displacement is linear in time.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from olatkit.capture.config import MotionConfig
from olatkit.capture.region import Region
from olatkit.vision.flow import FlowTable, compose, direct_flow, dis_flow, grey8, invert, refined_flow
from olatkit.vision.warp import pixel_grid, warp

ASKED = 10_000  # pixels whose agreement is looked at
FAST_SHARE = 0.04  # motion over half a window, share of the region's longer side, from which flow is chained


@dataclass(frozen=True, eq=False)
class Motion:
    """Displacement fields at knots in time.

    Parameters
    ----------
    ticks : ndarray, shape (K,), int64
        Ticks of the knots relative to the reference, ascending.
    fields : list of ndarray, each (h, w, 2) float32
        Displacement (dx, dy) at each knot.
    disagreement : ndarray, shape (K,)
        Share of the foreground whose tracking frame, brought to the reference, still differs from it.
    speed_px : float
        95th percentile over the foreground of the motion per knot interval, scaled to 60 ticks.
    """

    ticks: np.ndarray
    fields: list[np.ndarray]
    disagreement: np.ndarray
    speed_px: float

    def at(self, tick: int) -> np.ndarray:
        """Displacement at ``tick`` relative to the reference, shape (h, w, 2); extrapolated outside the knots."""
        import cv2

        near, far, share = self.knots(tick)
        return near if share == 0 else cv2.addWeighted(near, 1 - share, far, share, 0)

    def knots(self, tick: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Fields at the two knots around ``tick`` and its share of the way; the first one twice where it lies on it."""
        k, share = self._bracket(tick)
        return self.fields[k], self.fields[k if share == 0 else k + 1], share

    def packed(self, region: Region) -> "Motion":
        """The same motion at the pixels of a region only, as absolute positions to sample: grid plus displacement."""
        positions = [region.positions + region.pack(field) for field in self.fields]
        return Motion(self.ticks, positions, self.disagreement, self.speed_px)

    def reliability(self, tick: int) -> float:
        """Largest disagreement of the two knots around ``tick``."""
        k, share = self._bracket(tick)
        return float(self.disagreement[k] if share == 0 else self.disagreement[k : k + 2].max())

    def _bracket(self, tick: int) -> tuple[int, float]:
        """Knot at or before ``tick`` and the share of the next one; the outer intervals extend beyond the ends."""
        ticks = self.ticks.tolist()  # asked for every look at every light; on arrays this would take longer than a warp
        if len(ticks) == 1:
            return 0, 0.0
        k = min(max(bisect_right(ticks, tick) - 1, 0), len(ticks) - 2)
        share = (tick - ticks[k]) / (ticks[k + 1] - ticks[k])
        return (k + 1, 0.0) if share == 1 else (k, share)


def estimate_motion(
    table: FlowTable, ticks: Sequence[int], anchor: int, config: MotionConfig, mask: np.ndarray
) -> Motion:
    """Find the motion from the tracking picture at ``anchor`` to those at all ``ticks``.

    Parameters
    ----------
    table : FlowTable
        Flows between tracking pictures, by tick.
    ticks : sequence of int
        Ticks of the tracking pictures; ``anchor`` is one of them.
    anchor : int
        Tick whose picture is the reference; the result counts ticks from it.
    config : MotionConfig
        Method, knots, dead zone.
    mask : ndarray of bool, shape (h, w)
        Foreground of the reference, where speed and disagreement are measured.

    References
    ----------
    Wenger et al., "Performance relighting and reflectance transformation with time-multiplexed illumination", ACM
    Trans. Graphics 24(3), 2005, doi:10.1145/1073204.1073258, compensates motion by flow between tracking frames.
    """
    if config.method == "none":
        still = np.zeros((*mask.shape, 2), np.float32)
        return Motion(np.array([0]), [still], np.zeros(1), 0.0)
    ticks = sorted(ticks)
    fields: dict[int, np.ndarray] = {}
    fast = config.method == "refine"
    if not fast:
        fields = direct_flow(table, ticks if config.every_knot else _every_second(ticks, anchor), anchor)
        fast = config.method == "auto" and _largest_step(fields, anchor, mask) > FAST_SHARE * max(mask.shape)
    if fast:
        fields = refined_flow(table, ticks, anchor)
    fields = _fill_knots(fields, ticks)
    if config.dead_zone_px:
        moving = np.any([_reaches(field, config.dead_zone_px) for field in fields.values()], axis=0)
        factor = np.repeat(moving.astype(np.float32)[..., None], 2, axis=2)
        fields = {tick: field * factor for tick, field in fields.items()}
    ordered = [np.ascontiguousarray(fields[t], np.float32) for t in ticks]
    disagreement = np.array([_disagreement(table, t, anchor, fields[t], mask) for t in ticks])
    knots = np.array(ticks, np.int64) - anchor
    return Motion(knots, ordered, disagreement, _speed(knots, ordered, mask))


def shift_reference(motion: Motion, offset: int) -> Motion:
    """Move the reference by ``offset`` ticks, to an instant that is no tracking frame.

    Every displacement is re-expressed on the grid of the new instant, so that images are still warped only once.
    """
    if offset == 0:
        return motion
    back = invert(motion.at(offset))
    fields = [compose(back, field) for field in motion.fields]
    return Motion(motion.ticks - offset, fields, motion.disagreement, motion.speed_px)


def _every_second(ticks: list[int], anchor: int) -> list[int]:
    """Every second tick counted from the anchor, and the outermost ones."""
    zero = ticks.index(anchor)
    return sorted({t for i, t in enumerate(ticks) if (i - zero) % 2 == 0} | {ticks[0], ticks[-1]})


def _fill_knots(fields: dict[int, np.ndarray], wanted: list[int]) -> dict[int, np.ndarray]:
    """Add the wanted ticks between known ones by cubic Lagrange interpolation in time over the nearest four."""
    known = np.array(sorted(fields))
    out = dict(fields)
    for tick in wanted:
        if tick in fields:
            continue
        start = int(np.clip(np.searchsorted(known, tick) - 2, 0, max(len(known) - 4, 0)))
        nodes = known[start : start + 4]
        total = np.zeros_like(fields[int(nodes[0])])
        for node in nodes:
            others = nodes[nodes != node]
            total += np.float32(np.prod((tick - others) / (node - others))) * fields[int(node)]
        out[tick] = total
    return out


def _largest_step(fields: dict[int, np.ndarray], anchor: int, mask: np.ndarray) -> float:
    """Motion over 60 ticks, from the knots nearest the anchor on both sides."""
    near = sorted((t for t in fields if t != anchor), key=lambda t: abs(t - anchor))[:2]
    return max((_percentile_speed(fields[t], mask) * 60 / abs(t - anchor) for t in near), default=0.0)


def _reaches(field: np.ndarray, distance: float) -> np.ndarray:
    """Where a displacement is at least ``distance`` along x or y, shape (h, w), bool."""
    return (np.abs(field[..., 0]) >= distance) | (np.abs(field[..., 1]) >= distance)


def _percentile_speed(field: np.ndarray, mask: np.ndarray) -> float:
    """95th percentile of the length of a displacement over the foreground (everywhere if it is empty).

    Every second pixel in both directions is asked.
    """
    field, mask = field[::2, ::2], mask[::2, ::2]
    lengths = np.hypot(field[..., 0], field[..., 1])
    return float(np.percentile(lengths[mask] if mask.any() else lengths, 95))


def _speed(ticks: np.ndarray, fields: list[np.ndarray], mask: np.ndarray) -> float:
    """Fastest motion between neighbouring knots, in pixels per 60 ticks."""
    if len(ticks) < 2:
        return 0.0
    steps = [
        _percentile_speed(b - a, mask) * 60 / (t1 - t0)
        for t0, t1, a, b in zip(ticks[:-1], ticks[1:], fields[:-1], fields[1:], strict=True)
    ]
    return max(steps)


def _disagreement(table: FlowTable, tick: int, anchor: int, field: np.ndarray, mask: np.ndarray) -> float:
    """Share of the foreground where the warped tracking picture differs from the reference by over 32 of 255.

    A grid of some ten thousand pixels is asked: a share needs no more.
    """
    import cv2

    step = max(1, round((mask.size / ASKED) ** 0.5))
    some = (slice(None, None, step), slice(None, None, step))
    asked = np.count_nonzero(mask[some])
    if tick == anchor or not asked:
        return 0.0
    where = field[some] + pixel_grid(*mask.shape)[some]
    aligned = cv2.remap(table.picture(tick), where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    differs = cv2.absdiff(aligned, np.ascontiguousarray(table.picture(anchor)[some])) > 32
    return float(np.count_nonzero(differs & mask[some]) / asked)


def follow_shading(after: np.ndarray, before: np.ndarray, weight_after: float) -> tuple[np.ndarray, np.ndarray]:
    """Move the shadows and highlights of two aligned looks at one light to where they are at the reference.

    Motion compensation brings the subject's surface into place, but a shadow edge slides over that surface. The
    remaining flow between the two looks is found and each is warped its share of the way; where they agree,
    nothing moves.

    Parameters
    ----------
    after, before : ndarray, shape (h, w, 3), float32
        Aligned looks.
    weight_after : float
        Weight of ``after`` in the blend, which is also how far the reference lies from ``before`` in time.

    Returns
    -------
    tuple of ndarray
        Both looks with their shading at the reference.
    """
    import cv2

    peak = float(np.percentile(np.maximum(after, before).max(axis=2), 99.8))
    if peak <= 0:
        return after, before
    a8, b8 = (grey8(x, peak) for x in (after, before))
    # Averaging both directions puts the flow on the grid between the two looks.
    flow = (1 - weight_after) * dis_flow(b8, a8, quality="medium") - weight_after * dis_flow(a8, b8, quality="medium")
    difference = cv2.GaussianBlur(cv2.absdiff(a8, b8).astype(np.float32), (0, 0), 2)
    differs = cv2.GaussianBlur(np.clip((difference - 2) / 2, 0, 1), (0, 0), 2)
    flow = (flow * differs[..., None]).astype(np.float32)
    return warp(after, (1 - weight_after) * flow), warp(before, -weight_after * flow)
