"""Look over a take once and decide everything that its imagesets share: clock, phase, region, levels, crosstalk."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from olatkit.capture.camera import Calibration, CameraCalibration
from olatkit.capture.clock import ticks_from_times
from olatkit.capture.config import IngestConfig
from olatkit.capture.demultiplex import Demultiplexer
from olatkit.capture.flicker import find_bad_frames
from olatkit.capture.prepare import FrameWindow
from olatkit.capture.region import Region
from olatkit.capture.survey import check_box, choose_region, find_ambient, find_crosstalk, find_subject, saturated_share
from olatkit.capture.sync import PhaseEstimate, PhaseTrack, find_phase, track_phase
from olatkit.capture.windows import reference_ticks
from olatkit.errors import CaptureError, ConfigError
from olatkit.io.streams import FrameStream
from olatkit.rig import LightRig
from olatkit.schedule import LightingSchedule
from olatkit.vision.demosaic import DemosaicModel
from olatkit.wording import counted

log = logging.getLogger(__name__)

SMALLEST = 16  # pixels of a side that flow needs


@dataclass(frozen=True, eq=False)
class CapturePlan:
    """Everything that the imagesets of one take share, found before the first is made.

    ``ticks`` (N,) are the camera ticks of the stored frames, ``good`` (N,) False for bad frames, ``references``
    the ticks of the imagesets to make, ``skipped`` those whose reference frame is missing, ``findings`` plain
    numbers and lists for provenance and report.
    """

    rig: LightRig
    schedule: LightingSchedule
    config: IngestConfig
    calibration: Calibration
    phase: int
    ticks: np.ndarray
    good: np.ndarray
    references: np.ndarray
    skipped: np.ndarray
    grey_peak: float
    shape: tuple[int, int]
    region: Region
    ambient_share: float = 0.0
    findings: dict[str, Any] = field(default_factory=dict)

    @property
    def demultiplexer(self) -> Demultiplexer:
        """The kernel set up for this take."""
        usable = frozenset(int(t) for t in self.ticks[self.good])
        span = int(self.ticks[0]), int(self.ticks[-1])
        return Demultiplexer(
            self.rig,
            self.schedule,
            self.phase,
            usable,
            span,
            self.grey_peak,
            self.region,
            self.config,
            self.ambient_share,
        )

    def frames(self, stream: FrameStream) -> FrameWindow:
        """A window on the prepared frames of ``stream``."""
        return FrameWindow(stream, self.calibration, self.ticks)

    def reference_frame(self, tick: int) -> int:
        """Index in the file of the frame at ``tick``, -1 if none was stored."""
        i = int(np.searchsorted(self.ticks, tick))
        return i if i < len(self.ticks) and self.ticks[i] == tick else -1


def plan_capture(
    stream: FrameStream,
    rig: LightRig,
    schedule: LightingSchedule,
    features: np.ndarray,
    config: IngestConfig | None = None,
    *,
    phase: int | None = None,
    span: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
    box: tuple[int, int, int, int] | str = "auto",
    camera: CameraCalibration | None = None,
) -> CapturePlan:
    """Decide how a take becomes imagesets.

    Parameters
    ----------
    stream : FrameStream
        The take.
    rig, schedule : LightRig, LightingSchedule
        Of the same number of lights.
    features : ndarray, shape (N, 3)
        :func:`olatkit.capture.moments.frame_features` of every frame; those outside ``span`` are not looked at.
    config : IngestConfig, optional
        Settings.
    phase : int, optional
        Tick of slot 0 modulo the cycle; found from the frames if None.
    span : tuple of int, optional
        First frame and one past the last frame to use.
    size : tuple of int, optional
        (height, width) of the imagesets; the largest centred part of that aspect is used.
    box : tuple of int or {'auto', 'full'}
        Region of interest (top, left, height, width) in pixels of the imagesets; 'auto' finds the subject.
    camera : CameraCalibration, optional
        What was measured about the camera. A measured full well or read noise is used where ``config`` was made
        without one.

    Raises
    ------
    CaptureError
        No phase, a take shorter than a cycle, no imageset fits, no subject, too much saturation.
    ConfigError
        Rig and schedule disagree, or a box outside the picture.
    """
    camera = camera or CameraCalibration()
    config = _with_noise(config or IngestConfig(), camera)
    first, stop = check_input(stream, rig, schedule, span, size, box)
    every_tick = ticks_from_times(stream.times_s, stream.frame_rate_hz)
    used = slice(first, stop)
    estimate, shown = _find_phase(features[used], every_tick[used], schedule, rig, phase)
    track = _track(features[used], every_tick[used], schedule, rig, shown)
    every_tick = _shifted(every_tick, track.ticks, used)
    ticks = every_tick
    good = np.zeros(len(stream), bool)
    good[used] = ~find_bad_frames(features[used], ticks[used], schedule, estimate.phase)
    calibration = _calibration(stream, config, size, camera)
    shape = calibration.size or calibration.crop[2:]  # type: ignore[index]
    none_yet = np.empty(0, np.int64)
    plan = CapturePlan(
        rig, schedule, config, calibration, estimate.phase, ticks, good, none_yet, none_yet, 1.0, shape,
        Region(np.ones(shape, bool)),
    )
    plan = _with_region(plan, stream, used, box)
    crosstalk = find_crosstalk(plan.frames(stream), plan.demultiplexer, every_tick[used])
    plan = replace(plan, calibration=replace(plan.calibration, crosstalk=crosstalk.share))
    plan.findings.update(crosstalk.findings)
    plan = _with_references(plan, stream, used)
    if config.ambient == "closure":
        middle = int(plan.references[len(plan.references) // 2])
        share = find_ambient(plan.frames(stream), plan.demultiplexer, middle)
        plan = replace(plan, ambient_share=share)
        plan.findings["ambient_share"] = share
    plan.findings.update(
        **_camera_findings(camera),
        phase=estimate.phase,
        phase_score=estimate.score,
        phase_runner_up=estimate.runner_up,
        comb_contrast=estimate.comb_contrast,
        phase_scores=[round(float(s), 4) for s in estimate.scores],
        phase_given=phase is not None,
        schedule_phase=schedule.phase,
        window_frames=[int(v) + first for v in track.window_frames],
        window_scores=[round(float(v), 4) for v in track.window_scores],
        frames=len(stream),
        first_frame=first,
        stop_frame=stop,
        dropped=int(ticks[stop - 1] - ticks[first] + 1 - (stop - first)),
        unrecorded_gaps=[[int(f) + first, int(n)] for f, n in track.events],
        bad_frames=[int(i) + first for i in np.flatnonzero(~good[used])][:1000],
        skipped_references=[int(t) for t in plan.skipped],
    )
    return plan


def check_input(
    stream: FrameStream, rig: LightRig, schedule: LightingSchedule, span: tuple[int, int] | None,
    size: tuple[int, int] | None = None, box: tuple[int, int, int, int] | str = "auto",
) -> tuple[int, int]:
    """First frame to use and the one after the last, once all that can be told without looking at a frame is right.

    Raises
    ------
    ConfigError
        Rig and schedule disagree, the schedule cannot be followed, or frames outside the file, a size that the camera has
        not or a box outside the pictures are asked for.
    CaptureError
        Fewer frames than a cycle.
    """
    _check_lights(rig, schedule)
    first, stop = span or (0, len(stream))
    if first >= stop:
        raise ConfigError(f"{stream.name}: --start {first} --stop {stop}: the first frame must come before the end")
    if first < 0 or stop > len(stream):
        raise ConfigError(
            f"{stream.name}: --start {first} --stop {stop}: the file has {counted(len(stream), 'frame')}, expected "
            f"0 to {len(stream)}"
        )
    if stop - first < schedule.cycle:
        raise CaptureError(
            f"{stream.name}: {counted(stop - first, 'frame')}, shorter than one cycle of {schedule.cycle}; "
            "record a longer take or give the right schedule"
        )
    height, width = stream.shape[:2]
    if size is not None:
        _largest_crop(height, width, size)
    check_box(box, size or (height, width))
    return first, stop


def _check_lights(rig: LightRig, schedule: LightingSchedule) -> None:
    """Rig and schedule fit each other, and the schedule has tracking slots of one drive."""
    if len(rig) != schedule.n_lights:
        raise ConfigError(
            f"rig '{rig.name}' has {counted(len(rig), 'light')}, schedule '{schedule.name}' {schedule.n_lights}; "
            "give the rig and schedule of the same stage"
        )
    if not len(schedule.tracking_slots):
        raise ConfigError(
            f"schedule '{schedule.name}': no tracking slot in the cycle of {schedule.cycle}; motion is followed from "
            "frames with all lights on, add one at least every 20 frames"
        )
    schedule.tracking_gain  # noqa: B018  an error if the tracking slots differ


def _find_phase(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, rig: LightRig, given: int | None
) -> tuple[PhaseEstimate, int | None]:
    """The phase to use, and the one that the frames show (None if they show none).

    A given phase wins; without one the frames win, and a different non-zero one in the schedule is warned about.
    """
    if given is None:
        found = find_phase(features, ticks, schedule, rig)
        if schedule.phase and schedule.phase != found.phase:
            log.warning(
                "schedule '%s' says phase %d, the frames say %d; the frames win",
                schedule.name,
                schedule.phase,
                found.phase,
            )
        return found, found.phase
    shown = None
    try:
        found = find_phase(features, ticks, schedule, rig)
        shown = found.phase
        if shown != given % schedule.cycle:
            log.warning("phase %d was given, the frames say %d (score %.3f)", given, shown, found.score)
    except CaptureError as error:
        log.warning("phase %d was given; it cannot be confirmed: %s", given, error)
    nothing = float("nan")
    return PhaseEstimate(given % schedule.cycle, nothing, nothing, nothing, np.empty(0)), shown


def _track(
    features: np.ndarray, ticks: np.ndarray, schedule: LightingSchedule, rig: LightRig, shown: int | None
) -> PhaseTrack:
    """Gaps that the timestamps do not show; they can only be looked for if the frames show a phase."""
    if shown is None:
        return PhaseTrack(ticks, (), np.empty(0, int), np.empty(0))
    return track_phase(features, ticks, schedule, rig, shown)


def _shifted(every_tick: np.ndarray, tracked: np.ndarray, used: slice) -> np.ndarray:
    """Ticks of the whole file after unrecorded gaps inside the used part were found."""
    out = every_tick.copy()
    out[used] = tracked
    out[used.stop :] += int(tracked[-1] - every_tick[used.stop - 1])
    return out


def _with_noise(config: IngestConfig, camera: CameraCalibration) -> IngestConfig:
    """Settings with what was measured about the sensor's noise, unless the user said something else."""
    measured = {"full_well_e": camera.full_well_e, "read_noise_e": camera.read_noise_e}
    given = config.model_fields_set
    return config.model_copy(update={k: v for k, v in measured.items() if v is not None and k not in given})


def _camera_findings(camera: CameraCalibration) -> dict[str, Any]:
    """What the calibration recordings told, for provenance and report."""
    findings: dict[str, Any] = {}
    if camera.full_well_e is not None:
        findings.update(measured_full_well_e=camera.full_well_e, measured_read_noise_e=camera.read_noise_e)
    if camera.color_error is not None:
        findings["color_error"] = list(camera.color_error)
    if camera.bad is not None:
        findings["bad_pixels"] = int(camera.bad.sum())
    return findings


def _calibration(
    stream: FrameStream, config: IngestConfig, size: tuple[int, int] | None, camera: CameraCalibration
) -> Calibration:
    """Calibration with the whole picture as its box; crop and size from the wanted aspect."""
    height, width = stream.shape[:2]
    for name, value in (("dark frame", camera.dark), ("bad pixel map", camera.bad), ("flat field", camera.flat)):
        if value is not None and value.shape[:2] != (height, width):
            raise ConfigError(
                f"{name} is {value.shape[1]}x{value.shape[0]}, the stream {width}x{height}; expected equal sizes"
            )
    if config.optical_black is not None and not 0 <= config.optical_black[0] < config.optical_black[1] <= width:
        raise ConfigError(
            f"optical_black is columns {list(config.optical_black)}, the stream has 0 to {width}; expected the first and "
            "one past the last shielded column"
        )
    crop = (0, 0, height, width)
    if size is not None:
        crop = _largest_crop(height, width, size)
    gain = float(stream.white_level - stream.black_level) / config.full_well_e
    demosaic = config.demosaic
    return Calibration(
        black=stream.black_level,
        white=stream.white_level,
        bayer=stream.bayer,
        box=(0, 0, *(size or crop[2:])),
        crop=crop,
        size=size,
        saturation=config.saturation,
        shielded=config.optical_black,
        transients=config.transients,
        noise=(gain, config.read_noise_e * gain),
        model=DemosaicModel(blur_px=demosaic.blur_px, noise=demosaic.noise, chroma=demosaic.chroma),
        camera=camera,
    )


def _largest_crop(height: int, width: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Largest centred part (top, left, height, width) of a frame that has the aspect of ``size``."""
    if min(size) < SMALLEST:
        raise ConfigError(
            f"size {size[1]}x{size[0]} is too small to find motion in; expected at least {SMALLEST} pixels"
        )
    if size[0] > height or size[1] > width:
        raise ConfigError(
            f"size {size[1]}x{size[0]} is larger than the camera's {width}x{height}; imagesets are not enlarged"
        )
    scale = min(height / size[0], width / size[1])
    h, w = int(size[0] * scale) // 2 * 2, int(size[1] * scale) // 2 * 2
    return (height - h) // 4 * 2, (width - w) // 4 * 2, h, w


def _with_region(
    plan: CapturePlan, stream: FrameStream, used: slice, box: tuple[int, int, int, int] | str
) -> CapturePlan:
    """Region of interest and flow level from tracking frames spread over the take; and the saturation check."""
    view = find_subject(plan.frames(stream), plan.demultiplexer, stream.name)
    even = plan.calibration.size is None
    frame, mask = choose_region(view, box, margin=plan.config.roi_margin, even=even)
    top, left, height, width = frame
    calibration = replace(plan.calibration, box=frame)
    findings = {
        "box": list(frame),
        "tracking_level": view.level,
        "grey_peak": view.peak,
        "region_share": float(mask.mean()),
    }
    plan = replace(plan, calibration=calibration, grey_peak=view.peak, region=Region(mask), findings=findings)
    share = saturated_share(
        plan.frames(stream),
        plan.demultiplexer,
        plan.ticks[plan.good],
        view.mask[top : top + height, left : left + width].sum(),
    )
    findings["saturated_share"] = share
    if share > plan.config.max_saturated:
        raise CaptureError(
            f"{stream.name}: {100 * share:.0f} % of the subject's pixels are saturated over one cycle, expected under "
            f"{100 * plan.config.max_saturated:.0f} %; record with less light, or raise max_saturated to go on"
        )
    return plan


def _with_references(plan: CapturePlan, stream: FrameStream, used: slice) -> CapturePlan:
    """Reference instants inside the used frames; those whose own frame is missing are skipped and named."""
    schedule = plan.schedule
    first, last = int(plan.ticks[used.start]), int(plan.ticks[used.stop - 1])
    references = reference_ticks(first, last, schedule, plan.phase)
    if not references.size:
        raise CaptureError(
            f"{stream.name}: no reference instant has half a cycle ({counted(schedule.cycle // 2, 'frame')}) on both "
            f"sides; given were {counted(used.stop - used.start, 'frame')}"
        )
    usable = plan.demultiplexer.usable
    at_tracking = np.isin((references - plan.phase) % schedule.cycle, schedule.tracking_slots)
    missing = np.array([bool(at) and int(r) not in usable for r, at in zip(references, at_tracking, strict=True)])
    if missing.any():
        log.warning(
            "%d imagesets are skipped, their reference frames are missing or bad: ticks %s",
            missing.sum(),
            references[missing][:10].tolist(),
        )
    return replace(plan, references=references[~missing], skipped=references[missing])
