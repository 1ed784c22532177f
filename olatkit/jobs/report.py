"""The report of a take on disk: pictures and measurements from its imagesets, and from the stream while it is there."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from olatkit.capture.checks import LightLevels, measure_light
from olatkit.capture.demultiplex import assemble_imageset
from olatkit.capture.moments import frame_features
from olatkit.capture.plan import CapturePlan
from olatkit.capture.prepare import FrameWindow
from olatkit.capture.report import Picture, ReportExtras, render_report
from olatkit.capture.report_plots import Comb
from olatkit.color import luminance, to_srgb8
from olatkit.envmap import EnvironmentMap
from olatkit.geometry import latlong_directions
from olatkit.io.outputs import refuse_existing, whole_file
from olatkit.io.streams import FrameStream
from olatkit.io.takes import Take, open_take
from olatkit.render.pictures import contact_sheet
from olatkit.render.weights import light_weights
from olatkit.vision.matting import foreground_mask
from olatkit.wording import counted

PICTURE_PX = 360  # longest side of the pictures that are relit
COMPARISON_PX = 512
THUMB_PX = 96  # longest side of a light on the sheet
COLUMNS = 12
FRAMES_BYTES = 2**27  # frames read at once, as 8-byte numbers
YAWS = tuple(range(0, 360, 45))


def write_report(
    take_path: Path, *, overwrite: bool = False, plan: CapturePlan | None = None, stream: FrameStream | None = None,
) -> Path:
    """Write ``NAME.report.html`` beside the take ``NAME.olat.h5``.

    Parameters
    ----------
    take_path : Path
        A take.
    overwrite : bool
        Replace an existing report.
    plan, stream : CapturePlan, FrameStream, optional
        How the take was made and from what. With both, the report also shows the frames' brightness and one
        imageset without motion compensation.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    OutputExistsError
        The report exists and ``overwrite`` is False.
    """
    out = report_path(take_path)
    refuse_existing(out, overwrite=overwrite)
    with open_take(take_path) as take:
        text = render_report(take, title=take_path.name.removesuffix(".olat.h5"), extras=_extras(take, plan, stream))
    with whole_file(out, overwrite=overwrite) as part:
        part.write_text(text, encoding="utf-8")
    return out


def report_path(take_path: Path) -> Path:
    """Where the report of a take lies."""
    return take_path.with_name(take_path.name.removesuffix(".olat.h5") + ".report.html")


@dataclass(frozen=True, eq=False)
class _Look:
    """What the pictures need of one imageset, gathered light by light so that its size does not matter.

    ``relit`` (K, h, w, 3) under the turned sky, ``total`` (h, w, 3) the sum of the lights and ``full`` (h, w, 3) the
    fully lit frame at page size, all linear; ``mask`` (h, w); ``thumbs`` (L, h', w', 3) every light, small.
    """

    index: int
    relit: np.ndarray
    total: np.ndarray
    full: np.ndarray
    mask: np.ndarray
    thumbs: np.ndarray
    levels: LightLevels


def _extras(take: Take, plan: CapturePlan | None, stream: FrameStream | None) -> ReportExtras:
    look = _look_at(take, len(take) // 2)
    comparison, comb = [], None
    if plan is not None and stream is not None:
        comb = _comb(plan, stream)
        if plan.config.motion.method != "none":
            comparison = _comparison(take, plan, stream)
    return ReportExtras(
        look.index, _turntable(look), _closure(take, look), comparison, _sheet(take, look), look.levels, comb
    )


def _look_at(take: Take, index: int) -> _Look:
    """Read an imageset light by light, measure each light and add it to the pictures."""
    full = take.read_full(index)
    mask = foreground_mask(full.mean(axis=2))
    if not mask.any():
        mask[:] = True
    gains = np.asarray(take.rig.gains, np.float32)
    sky = simple_sky()
    turned = _Sum(np.array([light_weights(sky.rotate(yaw), take.rig) for yaw in YAWS]))
    total = _Sum((gains * np.asarray(take.rig.enabled)[:, None])[None])
    thumbs, rows = [], []
    for light in range(len(take.rig)):
        rgb = take.read_box(index, slice(light, light + 1))[0]
        rows.append(measure_light(rgb, mask, gains[light]))
        small = _reduce(rgb, PICTURE_PX)
        turned.add(light, small)
        total.add(light, small)
        thumbs.append(_reduce(small, THUMB_PX))
    means, xs, ys, saturated = np.array(rows).T
    levels = LightLevels(means, np.stack([xs, ys], axis=1), saturated)
    small_mask = _reduce(mask.astype(np.float32), PICTURE_PX) > 0.5
    full = _reduce(full, PICTURE_PX)
    return _Look(index, turned.pictures, total.pictures[0], full, small_mask, np.array(thumbs), levels)


class _Sum:
    """Pictures under K lightings, ``weights`` (K, L, 3), to which one light after another is added."""

    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights.astype(np.float32)
        self.pictures = np.zeros(0, np.float32)

    def add(self, light: int, image: np.ndarray) -> None:
        """Add the image (h, w, 3) of a light."""
        if not self.pictures.size:
            self.pictures = np.zeros((len(self._weights), *image.shape), np.float32)
        for picture, weight in zip(self.pictures, self._weights[:, light], strict=True):
            picture += weight * image


def _reduce(image: np.ndarray, longest: int) -> np.ndarray:
    """Reduce to at most ``longest`` pixels by area averaging, which commutes with adding up lights."""
    import cv2

    scale = longest / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def simple_sky(height: int = 32, width: int = 64) -> EnvironmentMap:
    """A soft sky over dark ground with a warm sun at 35 degrees in front and to the right; linear, no file needed."""
    d = latlong_directions(height, width)
    up = d[..., 1:2]
    sky = np.where(up > 0, 0.25 + 0.35 * up, 0.10 * (1 + up)) * np.array([0.75, 0.9, 1.25])
    elevation, azimuth = np.radians(35), np.radians(50)
    sun = np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    glow = np.exp(60 * (d @ sun - 1))[..., None] * np.array([1.25, 0.95, 0.65]) * 22
    return EnvironmentMap((sky + glow).astype(np.float32), "simple sky")


def _turntable(look: _Look) -> Picture:
    """The subject under the simple sky, turned once around."""
    exposure = _exposure(look.relit, look.mask)
    strip = contact_sheet([to_srgb8(p * exposure) for p in look.relit], len(YAWS) // 2, [f"{yaw:.0f} deg" for yaw in YAWS])
    return Picture(strip, f"Turntable of light, imageset {look.index}", (
        "A soft sky and a low warm sun, turned in steps of 45 degrees; one exposure. "
        "Good: the light travels smoothly around the subject, without ghosts or coloured edges."
    ))


def _closure(take: Take, look: _Look) -> list[Picture]:
    """Fully lit frame, sum of the lights, and their difference."""
    total = look.total
    exposure = _exposure(look.full, look.mask)
    reference = luminance(look.full)
    floor = 0.05 * float(np.median(reference[look.mask]))
    error = np.where(look.mask, (luminance(total) - reference) / np.maximum(reference, floor), 0)
    return [
        Picture(to_srgb8(look.full * exposure), "Fully lit frame ÷ its drive", "One tracking frame of the camera."),
        Picture(to_srgb8(total * exposure), f"Sum of {counted(len(take.rig), 'light')}",
                "Good: the same picture, to the eye."),
        Picture(_signed(error / 0.2), "Difference (blue −20 % … red +20 %)", (
            "Good: white. Blue patches are highlights that the sensor cut off under single lights, pairs of blue and "
            "red edges motion, an even tint drive, ambient light or black level."
        )),
    ]


def _signed(value: np.ndarray) -> np.ndarray:
    """Values -1 ... 1 as blue, white, red; shape (..., 3) uint8."""
    v = np.clip(value, -1, 1)[..., None]
    red, blue = np.array([200, 40, 40.0]), np.array([30, 90, 180.0])
    return np.round(255 + np.where(v > 0, v * (red - 255), -v * (blue - 255))).astype(np.uint8)


def _sheet(take: Take, look: _Look) -> Picture:
    """All lights in rows from top to bottom of the stage, each row from the picture's left around the front."""
    mask = _reduce(look.mask.astype(np.float32), THUMB_PX) > 0.5
    exposure = 0.9 / max(float(np.percentile(luminance(look.thumbs[:, mask]), 99.0)), 1e-6)
    thumbs = to_srgb8(look.thumbs * np.float32(exposure))
    order = _stage_order(take.rig.directions)
    sheet = contact_sheet([thumbs[l] for l in order], COLUMNS, [str(l) for l in order], gap_px=2)
    return Picture(sheet, f"The {counted(len(order), 'light')} of imageset {look.index}", (
        "Rows by height of the light, topmost first; in a row around the stage, from behind over the picture's left, "
        f"the front and the right. One exposure for all: ×{exposure:.3g} from full scale. "
        "Good: each lit from where its place says, none black in the middle columns, no double edges."
    ))


def _stage_order(directions: np.ndarray) -> list[int]:
    """Lights by height in rows of :data:`COLUMNS`, and by azimuth from behind over left, front, right within a row."""
    by_height = np.argsort(-directions[:, 1], kind="stable")
    order: list[int] = []
    for start in range(0, len(by_height), COLUMNS):
        line = by_height[start : start + COLUMNS]
        azimuth = np.arctan2(directions[line, 0], directions[line, 2])
        order += [int(l) for l in line[np.argsort(azimuth, kind="stable")]]
    return order


def _comb(plan: CapturePlan, stream: FrameStream) -> Comb:
    """Mean brightness of two cycles of frames in the middle of the take."""
    used = np.flatnonzero(plan.good)
    count = min(2 * plan.schedule.cycle, len(used))
    start = int(used[(len(used) - count) // 2])
    stop = min(start + count, len(stream))
    black, white = stream.black_level, stream.white_level
    step = max(1, min(40, FRAMES_BYTES // (8 * int(np.prod(stream.shape)))))
    means = np.concatenate([
        frame_features(stream.read(a, min(a + step, stop)), black_level=black, white_level=white)[:, 0]
        for a in range(start, stop, step)
    ])
    ticks = plan.ticks[start:stop]
    tracking = np.isin((ticks - plan.phase) % plan.schedule.cycle, plan.schedule.tracking_slots)
    return Comb(ticks, means, tracking)


class _HalfFrames(FrameWindow):
    """Frames kept as half floats, which a picture of 8 bits does not show: two cycles of them are most of the memory."""

    def frame(self, tick: int) -> np.ndarray:
        return super().frame(tick).astype(np.float32)

    def _prepare_block(self, block: int, only: int | None = None) -> dict[int, np.ndarray]:
        return {tick: frame.astype(np.float16) for tick, frame in super()._prepare_block(block, only).items()}


def _comparison(take: Take, plan: CapturePlan, stream: FrameStream) -> list[Picture]:
    """The imageset of fastest motion relit without and with motion compensation, and the region that gained most."""
    index = int(np.argmax(take.stats["motion_px"]))
    still = plan.config.model_copy(update={"motion": plan.config.motion.model_copy(update={"method": "none"})})
    demultiplexer = replace(plan.demultiplexer, config=still)
    # One light in memory at a time: at full frame all of them would be gigabytes.
    weights = light_weights(simple_sky(), take.rig)[None]
    without, with_ = _Sum(weights), _Sum(weights)
    assemble_imageset(
        demultiplexer, _HalfFrames(stream, plan.calibration, plan.ticks), int(plan.references[index]),
        lambda light, packed: without.add(light, _reduce(demultiplexer.region.unpack(packed), COMPARISON_PX)),
    )
    for light in range(len(take.rig)):
        with_.add(light, _reduce(take.read_box(index, slice(light, light + 1))[0], COMPARISON_PX))
    before, after = without.pictures[0], with_.pictures[0]
    mask = foreground_mask(after.mean(axis=2))
    exposure = _exposure(after, mask)
    pair = [to_srgb8(p * exposure) for p in (before, after)]
    window = _largest_difference(*pair)
    caption = f"Imageset {index}, the fastest of the take."
    return [
        Picture(pair[0], "Without compensation", caption + " Ghosts and double edges are motion between lights."),
        Picture(pair[1], "With compensation", caption + " Good: as sharp as a single exposure."),
        Picture(_enlarge(pair[0][window], pair[0].shape), "Without, enlarged", "Where the two differ most."),
        Picture(_enlarge(pair[1][window], pair[1].shape), "With, enlarged", "The same place."),
    ]


def _largest_difference(a: np.ndarray, b: np.ndarray) -> tuple[slice, slice]:
    """The part of a third of the picture's size in which two pictures differ most."""
    import cv2

    difference = np.abs(a.astype(np.float32) - b).mean(axis=2)
    height, width = (max(v // 3, 1) for v in difference.shape)
    total = cv2.boxFilter(difference, -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    total = total[: difference.shape[0] - height + 1, : difference.shape[1] - width + 1]
    top, left = (int(v) for v in np.unravel_index(total.argmax(), total.shape))
    return slice(top, top + height), slice(left, left + width)


def _enlarge(part: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    import cv2

    return cv2.resize(part, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _exposure(linear: np.ndarray, mask: np.ndarray) -> np.float32:
    """Factor that gives the subject a median luminance of 0.25, over all pictures given."""
    level = float(np.median(luminance(linear[..., mask, :])))
    return np.float32(0.25 / max(level, 1e-9))
