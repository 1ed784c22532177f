"""From the imagesets of a take to what a shard holds: reduced lights, fully lit picture, matte, labels, flow."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from olatkit.color import luminance, to_srgb8
from olatkit.errors import FormatError
from olatkit.imageset import CLIPPED_CODES
from olatkit.io import codes as radiance_codes
from olatkit.io.takes import Take
from olatkit.io.truth_labels import read_truth_labels
from olatkit.jobs.shard_plan import ShardConfig, TakePlan
from olatkit.render.fully_lit import find_kappa, fully_lit
from olatkit.vision.labels import Labeller, make_labeller
from olatkit.vision.matting import alpha_matte, stack_foreground
from olatkit.vision.pair_flow import FlowPair, flow_pair
from olatkit.vision.temporal_labels import vote_labels

KAPPA_STEP = 10  # every tenth imageset decides a take's brightness


@dataclass(frozen=True, eq=False)
class Instant:
    """One imageset at the shards' size, S x S.

    ``radiance`` (L, S, S, 3) float32 linear, decoded from ``codes`` (L, S, S, 3) uint16; ``full_srgb`` (S, S, 3) uint8
    under uniform white; ``matte`` (S, S) uint8; ``labels`` (S, S) uint8 of this instant alone; ``quality`` (L,) uint8.
    """

    index: int
    radiance: np.ndarray
    codes: np.ndarray
    full_srgb: np.ndarray
    matte: np.ndarray
    labels: np.ndarray
    quality: np.ndarray


@dataclass(frozen=True, eq=False)
class Finished:
    """An instant with its labels voted; the next one and the flow between them, unless the take ends here."""

    instant: Instant
    labels: np.ndarray
    following: Instant | None
    pair: FlowPair | None


def make_square(take: Take, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for the radiance and the codes of an imageset, to be filled again and again.

    To get half a gigabyte from the system costs more than to decode it.
    """
    shape = (len(take.rig), size, size, 3)
    return np.empty(shape, np.float32), np.empty(shape, np.uint16)


def read_square(
    take: Take, index: int, size: int, square: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An imageset cropped to the middle square and reduced to ``size``; fills ``square`` if it is given.

    Returns
    -------
    radiance, codes : ndarray, shape (L, size, size, 3), float32 and uint16
        The radiance is that of the codes. A take of this size keeps its codes exactly.
    beyond : ndarray, shape (L,)
        Values of each light that the codes could not hold.

    Notes
    -----
    Lights are read one after the other: only one is in memory at the take's size. Pixels are reduced by area, in
    linear light.
    """
    import cv2

    radiance, codes = square or make_square(take, size)
    height, width = take.shape
    top, left, h, w = take.box
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    kept = side == size and take.encoding == "sqrt12"
    dark, kind = (radiance_codes.BLACK, np.uint16) if kept else (0, np.float32)
    canvas, beyond = np.full((height, width, 3), dark, kind), np.zeros(len(take.rig), np.int64)
    middle: np.ndarray = canvas[y : y + side, x : x + side]
    for light, row in enumerate(codes):
        if kept:
            canvas[top : top + h, left : left + w] = take.read_codes(index, slice(light, light + 1))[0]
            np.minimum(middle, radiance_codes.LAST, out=row)
        else:
            canvas[top : top + h, left : left + w] = take.read_box(index, slice(light, light + 1))[0]
            image = middle if side == size else cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA)
            beyond[light] = radiance_codes.encode_into(image, row, np.array([[0, 0, row.size]]))
        radiance_codes.decode_into(row, radiance[light])
    return radiance, codes, beyond


def measure_kappa(take: Take, size: int) -> float:
    """The brightness factor of a take, from every tenth imageset."""
    square = make_square(take, size)
    return find_kappa(_bright(take, index, size, square) for index in range(0, len(take), KAPPA_STEP))


def _bright(take: Take, index: int, size: int, square: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Fully lit luminance of the subject's pixels."""
    radiance = read_square(take, index, size, square)[0]
    return luminance(fully_lit(radiance, take.rig))[stack_foreground(radiance) > 0.5]


class TakePictures:
    """Makes the instants of a take in order, each once, and the flow between neighbours.

    Two instants are in memory: an imageset's radiance and codes are overwritten by those of the one after the next.
    """

    def __init__(self, take: Take, entry: TakePlan, config: ShardConfig, kappa: float) -> None:
        if len(take) != entry.imagesets or len(take.rig) != entry.lights:
            raise FormatError(f"{take.path}: the take has changed since the build was planned; run build-shards again")
        self._take, self._config, self._kappa = take, config, kappa
        self._squares = [make_square(take, config.size) for _ in range(2)]
        truth = read_truth_labels(entry.truth) if entry.truth else None
        self.labeller: Labeller = make_labeller(config.labels, truth)

    def make_instant(self, index: int) -> Instant:
        """Everything that one imageset gives on its own."""
        radiance, codes, beyond = read_square(self._take, index, self._config.size, self._squares[index % 2])
        full = to_srgb8(np.float32(self._kappa) * fully_lit(radiance, self._take.rig))
        coverage = stack_foreground(radiance)
        matte = alpha_matte(full, (coverage > 0.5).astype(np.float32)) if self._config.matte else coverage
        labels = self.labeller.parse(full, coverage, int(self._take.reference_ticks[index]))
        quality = self._take.quality[index] | np.where(beyond > 0, CLIPPED_CODES, 0).astype(np.uint8)
        return Instant(index, radiance, codes, full, np.round(matte * 255).astype(np.uint8), labels, quality)

    def finished(self, first: int, stop: int) -> Iterator[Finished]:
        """Instants ``first`` to ``stop`` - 1; one more on either side is made where the take has it.

        The vote on labels looks at both neighbours and the flow at the next one, so that the result of an instant
        does not depend on where a shard begins.
        """
        config, length = self._config.labels, len(self._take)
        before: tuple[np.ndarray, FlowPair] | None = None  # labels of the instant before, and the flow from there
        current = self.make_instant(max(first - 1, 0))
        for index in range(current.index, stop):
            following = self.make_instant(index + 1) if index + 1 < length else None
            pair = flow_pair(current.full_srgb, following.full_srgb, config) if following else None
            if index >= first:
                yield Finished(current, self._vote(before, current, pair, following), following, pair)
            if following is None or pair is None:
                return
            before, current = (current.labels, pair), following

    def _vote(
        self, before: tuple[np.ndarray, FlowPair] | None, current: Instant, pair: FlowPair | None,
        following: Instant | None,
    ) -> np.ndarray:
        """Labels of the current instant after the vote of three."""
        neighbours = []
        if before is not None:
            labels, flow = before
            neighbours.append((labels, flow.backward, flow.occluded_backward))
        if following is not None and pair is not None:
            neighbours.append((following.labels, pair.forward, pair.occluded_forward))
        return vote_labels(current.labels, neighbours) if self._config.labels.vote else current.labels
