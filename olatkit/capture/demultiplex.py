"""From prepared frames to the OLAT images of one instant."""

from collections.abc import Callable, Container
from dataclasses import dataclass, field

import numpy as np

from olatkit.capture.align import Motion, estimate_motion, shift_reference
from olatkit.capture.config import IngestConfig
from olatkit.capture.looker import Looker, Tracked
from olatkit.capture.prepare import FrameWindow
from olatkit.capture.region import Region
from olatkit.capture.windows import Observation, look_further, observe_slot, tracking_ticks
from olatkit.color import grey_mean
from olatkit.errors import CaptureError
from olatkit.imageset import INTERPOLATED
from olatkit.once import Once
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule
from olatkit.vision.flow import FlowTable, grey8
from olatkit.vision.matting import foreground_mask

FINE_FLOW_ROWS = 320  # height of the region up to which flow is worked out to the last pixel


@dataclass(frozen=True, eq=False)
class Demultiplexer:
    """How one take's frames become imagesets.

    Parameters
    ----------
    rig, schedule : LightRig, LightingSchedule
        Gains are divided out here, once; dead lights stay black.
    phase : int
        Tick of slot 0, modulo the cycle.
    usable : container of int
        Ticks that hold a good frame.
    span : tuple of int
        First and last tick of the take.
    grey_peak : float
        Linear level of the tracking frames that becomes white in the flow pictures.
    region : Region
        Pixels of the prepared frames that are made; the others stay zero.
    config : IngestConfig
        Settings.
    ambient_share : float
        Constant light in every frame, as a share of the fully lit picture; subtracted.
    """

    rig: LightRig
    schedule: LightingSchedule
    phase: int
    usable: Container[int]
    span: tuple[int, int]
    grey_peak: float
    region: Region
    config: IngestConfig = field(default_factory=IngestConfig)
    ambient_share: float = 0.0

    def flow_table(self, frames: FrameWindow) -> FlowTable:
        """An empty table of flows between the tracking frames of ``frames``; neighbouring imagesets share one."""
        quality = self.config.motion.flow
        if quality == "auto":
            quality = "fine" if self.region.mask.shape[0] <= FINE_FLOW_ROWS else "balanced"
        pictures: Once[int, np.ndarray] = Once()

        def picture(tick: int) -> np.ndarray:
            pictures.drop(lambda t: abs(t - tick) > 4 * self.schedule.cycle)
            return pictures.get(tick, lambda: grey8(frames.frame(tick), self.grey_peak))

        return FlowTable(picture, quality=quality)

    def motion(self, frames: FrameWindow, flows: FlowTable, reference: int, *, cycles: int = 1) -> tuple[Motion, int]:
        """Motion on the grid of the reference, and the tick of the tracking frame it was measured from.

        It covers ``cycles`` of the schedule on both sides.
        """
        cycle = self.schedule.cycle
        lo, hi = max(reference - cycles * cycle, self.span[0]), min(reference + cycles * cycle, self.span[1])
        ticks = [int(t) for t in tracking_ticks(lo, hi, self.schedule, self.phase) if t in self.usable]
        if not ticks:
            raise CaptureError(f"tick {reference}: no tracking frame within a cycle; the take cannot be aligned there")
        anchor = min(ticks, key=lambda t: (abs(t - reference), t))
        flows.keep(lo - cycle, hi + cycle)  # other threads may be an imageset behind or ahead
        mask = foreground_mask(grey_mean(frames.frame(anchor)))
        return shift_reference(
            estimate_motion(flows, ticks, anchor, self.config.motion, mask), reference - anchor
        ), anchor


@dataclass
class ImagesetRecord:
    """What was found about one imageset beside its pictures."""

    quality: np.ndarray
    observations: np.ndarray
    weights_after: np.ndarray
    stats: dict[str, float]


StoreLight = Callable[[int, np.ndarray], None]


def assemble_imageset(
    demultiplexer: Demultiplexer,
    frames: FrameWindow,
    reference: int,
    store: StoreLight,
    *,
    flows: FlowTable | None = None,
) -> tuple[np.ndarray, ImagesetRecord]:
    """Make the imageset at tick ``reference``.

    Parameters
    ----------
    demultiplexer : Demultiplexer
        Rig, schedule, phase, region and settings.
    frames : FrameWindow
        Prepared frames of the take.
    reference : int
        Reference tick.
    store : callable (light, packed)
        Receives every light's image at the region's pixels, (rows, 512, 3) float32, gains divided out, in ascending
        order of lights; ``demultiplexer.region.unpack`` makes it a picture.
    flows : FlowTable, optional
        Of :meth:`Demultiplexer.flow_table`, to share flows with neighbouring imagesets.

    Returns
    -------
    full : ndarray, shape (h, w, 3), float32
        Tracking frame at the reference divided by its drive, zeros outside the region.
    record : ImagesetRecord
        Quality bits, observations (ticks relative to the reference, or a large negative number) and statistics.

    Raises
    ------
    CaptureError
        If there is no tracking frame near the reference, or a light has no observation and no neighbours.
    """
    d = demultiplexer
    flows = flows or d.flow_table(frames)
    motion, anchor = d.motion(frames, flows, reference)
    look = Looker(d, frames, reference, motion)
    full = look.aligned(anchor - reference) / np.float32(d.schedule.tracking_gain)
    usable = Tracked(d.usable, motion, reference, d.schedule)
    slots = {
        int(p): observe_slot(int(p), reference, d.schedule.cycle, d.phase, usable, mode=d.config.mode)
        for p in d.schedule.coded_slots
    }
    if d.config.mode == "blend":
        _look_further(d, slots, look, flows)
    lights = d.schedule.n_lights
    record = ImagesetRecord(
        np.zeros(lights, np.uint8), np.full((lights, 2), NEVER, np.int32), np.zeros(lights, np.float32), {}
    )
    ambient = look.dark_image(usable)
    if ambient is None and d.ambient_share:
        ambient = full * np.float32(d.ambient_share / (1 + d.ambient_share / d.schedule.tracking_gain))
    if ambient is not None:
        full -= ambient / np.float32(d.schedule.tracking_gain)
    totals = _Totals()
    take = _invert_mixes if d.schedule.is_multiplexed else _take_lights
    take(d, slots, look, ambient, record, totals, store)
    picture = d.region.unpack(full)
    _statistics(d, motion, picture, full, totals, record)
    return picture, record


NEVER = np.iinfo(np.int32).min


def _look_further(
    d: Demultiplexer, slots: dict[int, Observation], look: Looker, flows: FlowTable
) -> None:
    """Put looks a cycle further away in place of missing ones, where there are any.

    Motion over two cycles is found for these alone: over the near looks it would be a little less exact.
    """
    further = {p: look_further(s, look.reference, d.schedule.cycle, d.phase, d.usable) for p, s in slots.items()}
    if all(further[p] == s for p, s in slots.items()):
        return
    motion, _ = d.motion(look.frames, flows, look.reference, cycles=2)
    look.reach_further(motion)
    usable = Tracked(d.usable, motion, look.reference, d.schedule)
    for p, seen in slots.items():
        slots[p] = look_further(seen, look.reference, d.schedule.cycle, d.phase, usable)


@dataclass
class _Totals:
    """Running totals over the lights of one imageset: mean of the region, saturated share."""

    mean: float = 0.0
    saturated: float = 0.0


def _take_lights(
    d: Demultiplexer,
    slots: dict[int, Observation],
    look: Looker,
    ambient: np.ndarray | None,
    record: ImagesetRecord,
    totals: _Totals,
    store: StoreLight,
) -> None:
    """Every light has slots of its own: its image is that of its best-placed slot."""
    best: list[Observation | None] = []
    for own in d.schedule.light_slots:
        looks = [slots[int(p)] for p in own if slots[int(p)].after is not None or slots[int(p)].before is not None]
        best.append(min(looks, key=_remoteness) if looks else None)
    gains = d.rig.gains

    def light_image(light: int) -> tuple[np.ndarray, int]:
        seen = best[light]
        assert seen is not None
        rgb, bits = look.image(seen)
        totals.saturated += look.saturated(seen)
        if ambient is not None:
            rgb = rgb - ambient
        if not (gains[light] == 1).all():
            rgb = rgb / gains[light].astype(np.float32)
        return rgb, bits

    for light in range(len(d.rig)):
        if not d.rig.enabled[light]:
            store(light, np.zeros((*d.region.positions.shape[:2], 3), np.float32))
            continue
        seen = best[light]
        if seen is not None:
            rgb, record.quality[light] = light_image(light)
            record.observations[light] = [NEVER if t is None else t for t in (seen.after, seen.before)]
            record.weights_after[light] = seen.weight_after
        else:
            near, shares = neighbours(d.rig, light, [b is not None for b in best])
            rgb = np.zeros((*d.region.positions.shape[:2], 3), np.float32)
            for other, share in zip(near, shares, strict=True):
                rgb += np.float32(share) * light_image(other)[0]
            record.quality[light] = INTERPOLATED
        totals.mean += _mean(rgb, gains[light])
        store(light, rgb)


def _remoteness(seen: Observation) -> float:
    """Expected error of an observation: the product of both distances in time, or the square of the only one."""
    if seen.after is not None and seen.before is not None:
        return float(seen.after * -seen.before)
    return float((seen.after if seen.after is not None else seen.before) or 0) ** 2


def neighbours(rig: LightRig, light: int, seen: list[bool]) -> tuple[list[int], np.ndarray]:
    """Three nearest enabled and observed lights around ``light`` and their spherical barycentric shares (sum 1)."""
    candidates = np.flatnonzero(np.array(seen) & rig.enabled)
    candidates = candidates[candidates != light]
    if len(candidates) < 3:
        raise CaptureError(
            f"light {light} was never seen, and of the others only {len(candidates)}; check the schedule"
        )
    order = candidates[np.argsort(-(rig.directions[candidates] @ rig.directions[light]), kind="stable")]
    near = order[:3]
    shares = np.linalg.lstsq(rig.directions[near].T, rig.directions[light], rcond=None)[0]
    shares = np.maximum(shares, 0)
    return [int(i) for i in near], shares / shares.sum()


def _invert_mixes(
    d: Demultiplexer,
    slots: dict[int, Observation],
    look: Looker,
    ambient: np.ndarray | None,
    record: ImagesetRecord,
    totals: _Totals,
    store: StoreLight,
) -> None:
    """Several lights share a frame: align every coded frame first, then invert the drive matrix."""
    from olatkit.capture.multiplex import invert_drive

    seen = [p for p, s in slots.items() if s.after is not None or s.before is not None]
    images = np.empty((len(seen), *d.region.positions.shape[:2], 3), np.float32)
    bits = np.zeros(len(seen), np.uint8)
    for i, p in enumerate(seen):
        image, bits[i] = look.image(slots[p])
        images[i] = image if ambient is None else image - ambient
        totals.saturated += look.saturated(slots[p])
    drive = d.schedule.drive[seen]
    lights = invert_drive(drive, images, d.rig.enabled, d.config)
    for light in range(len(d.rig)):
        used = np.abs(drive[:, light]) > 0
        record.quality[light] = np.bitwise_or.reduce(bits[used]) if used.any() else 0
        totals.mean += _mean(lights[light])
        store(light, lights[light] / d.rig.gains[light].astype(np.float32))


def _mean(packed: np.ndarray, gain: np.ndarray | None = None) -> float:
    """Mean over the region's pixels and channels, times the light's gain: what the camera saw."""
    import cv2

    channels = np.array(cv2.mean(packed)[:3])
    return float((channels if gain is None else channels * gain).mean())


def _statistics(
    d: Demultiplexer,
    motion: Motion,
    picture: np.ndarray,
    full: np.ndarray,
    totals: _Totals,
    record: ImagesetRecord,
) -> None:
    """Numbers for the report: motion, tracking, saturation, closure."""
    whole = _mean(full)
    record.stats = {
        "motion_px": motion.speed_px,
        "disagreement": float(motion.disagreement.max()),
        "foreground": float(foreground_mask(grey_mean(picture)).mean()),
        "saturated": totals.saturated / max(len(d.schedule.coded_slots), 1),
        "closure": totals.mean / whole - 1 if whole > 0 else 0.0,
        "mean_full": whole,
        "mean_sum": totals.mean,
    }
