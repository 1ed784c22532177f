"""Frames as they are seen from the reference instant: which can be brought there, and how they look then."""

from collections.abc import Container
from typing import TYPE_CHECKING

import numpy as np

from olatkit.capture.align import Motion, follow_shading
from olatkit.capture.prepare import FrameWindow
from olatkit.capture.windows import Observation, observe_slot
from olatkit.imageset import CROSSTALK, LOW_FLOW_CONFIDENCE, ONE_SIDED, SATURATED
from olatkit.schedule import LightingSchedule
from olatkit.vision.looks import Look, blend_looks, sample_look

if TYPE_CHECKING:
    from olatkit.capture.demultiplex import Demultiplexer

SATURATED_SHARE = 0.01  # of the region, from which a light is flagged


class Tracked:
    """Usable ticks relative to nothing: good frames whose motion is known or extrapolated by under one interval."""

    def __init__(self, usable: Container[int], motion: Motion, reference: int, schedule: LightingSchedule) -> None:
        self._usable = usable
        if len(motion.ticks) == 1:
            self._lo, self._hi = reference - schedule.cycle, reference + schedule.cycle
            return
        first, last = int(motion.ticks[1] - motion.ticks[0]), int(motion.ticks[-1] - motion.ticks[-2])
        self._lo = reference + int(motion.ticks[0]) - first + 1
        self._hi = reference + int(motion.ticks[-1]) + last - 1

    def __contains__(self, tick: object) -> bool:
        return isinstance(tick, int) and self._lo <= tick <= self._hi and tick in self._usable


class Looker:
    """Brings observed frames of one imageset to its reference, at the pixels of the region.

    Parameters
    ----------
    demultiplexer : Demultiplexer
        Of the take.
    frames : FrameWindow
        Prepared frames.
    reference : int
        Reference tick.
    motion : Motion
        On the grid of the reference, over a cycle on both sides.
    """

    def __init__(self, demultiplexer: "Demultiplexer", frames: FrameWindow, reference: int, motion: Motion) -> None:
        self.d, self.frames, self.reference = demultiplexer, frames, reference
        self._near = self._far = motion, motion.packed(demultiplexer.region)

    def reach_further(self, motion: Motion) -> None:
        """Take another motion, over two cycles on both sides, for looks beyond the near ones."""
        self._far = motion, motion.packed(self.d.region)

    def _motion(self, tick: int) -> tuple[Motion, Motion]:
        """Motion for a look ``tick`` after the reference: displacements, and positions at the region's pixels."""
        return self._far if self._beyond(tick) else self._near

    def _beyond(self, tick: int) -> bool:
        return abs(tick) > self.d.schedule.cycle

    def aligned(self, tick: int) -> np.ndarray:
        """The frame ``tick`` after the reference, warped to it, (rows, 512, 3)."""
        if self.d.config.motion.method == "none":
            return self.d.region.pack(self.frames.frame(self.reference + tick))
        out = np.empty((*self.d.region.positions.shape[:2], 3), np.float32)
        sample_look(self._look(tick, 1.0), out)
        return out

    def _blended(self, seen: Observation) -> np.ndarray:
        """Both looks of an observation brought to the reference and blended, (rows, 512, 3)."""
        assert seen.after is not None
        assert seen.before is not None
        motion = self.d.config.motion
        if motion.method != "none" and not motion.shading:
            out = np.empty((*self.d.region.positions.shape[:2], 3), np.float32)
            weight = seen.weight_after
            blend_looks(self._look(seen.after, weight), self._look(seen.before, 1 - weight), out)
            return out
        after, before = self.aligned(seen.after), self.aligned(seen.before)
        if motion.shading:
            region = self.d.region
            pair = follow_shading(region.unpack(after), region.unpack(before), seen.weight_after)
            after, before = (region.pack(image) for image in pair)
        return np.float32(seen.weight_after) * after + np.float32(1 - seen.weight_after) * before

    def _look(self, tick: int, weight: float) -> Look:
        near, far, share = self._motion(tick)[1].knots(tick)
        return Look(self.frames.padded(self.reference + tick), near, far, np.float32(share), np.float32(weight))

    def image(self, seen: Observation) -> tuple[np.ndarray, int]:
        """Blended image (rows, 512, 3) of one slot and its quality bits.

        Saturated pixels take part in the blend like all others: leaving them to the look that is not saturated
        was tried and lost quality on a moving head, because a highlight that has moved on is no substitute.
        """
        looks = [t for t in (seen.after, seen.before) if t is not None]
        out = self.aligned(looks[0]) if len(looks) == 1 else self._blended(seen)
        bits = 0
        if any(self.reference + t in self.frames.uncorrected for t in looks):
            bits |= CROSSTALK
        if any(self._motion(t)[0].reliability(t) > self.d.config.motion.confidence for t in looks):
            bits |= LOW_FLOW_CONFIDENCE
        alone = self.d.config.mode == "blend" and len(looks) == 1 and looks[0] != 0
        if alone or any(self._beyond(t) for t in looks):
            bits |= ONE_SIDED
        if self.saturated(seen) > SATURATED_SHARE:
            bits |= SATURATED
        return out, bits

    def saturated(self, seen: Observation) -> float:
        """Saturated share of the region in the looks at one slot, the larger one."""
        looks = [self.reference + t for t in (seen.after, seen.before) if t is not None]
        return max(self.frames.saturated[t] for t in looks) / self.frames.samples_per_pixel / self.d.region.count

    def dark_image(self, usable: Container[int]) -> np.ndarray | None:
        """Ambient light at the reference, from the dark slots of the schedule; None without them."""
        slots = np.flatnonzero(self.d.schedule.kinds == "dark")
        seen = [
            observe_slot(int(p), self.reference, self.d.schedule.cycle, self.d.phase, usable, mode=self.d.config.mode)
            for p in slots
        ]
        images = [self.image(s)[0] for s in seen if s.after is not None or s.before is not None]
        return sum(images[1:], images[0]) / np.float32(len(images)) if images else None
