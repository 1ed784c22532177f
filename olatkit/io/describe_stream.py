"""Explain capture streams: camera, frames, clock, exposure, levels."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from olatkit.io.cine import CineStream
from olatkit.io.facts import Description, Fact, file_size, number, size, span, text
from olatkit.io.sources import VIDEO_SUFFIXES, open_stream
from olatkit.io.streams import FrameStream
from olatkit.io.tags import film_facts
from olatkit.io.video_frames import read_comment

PACKINGS = {
    "u8": "8 bits", "u16": "16 bits", "p10": "10 bits packed (P10), linearised to 12",
    "p12l": "12 bits packed (P12L)",
}
SHOWN_GAPS = 8


def describe_stream(path: Path) -> Description:
    """A .cine file, a video, an array or raw file with sidecar, or a folder of images; FormatError if it is none."""
    # A video must be opened with a curve, which changes nothing that is said here.
    video = path.suffix.lower() in VIDEO_SUFFIXES
    cine = not path.is_dir() and not video and path.suffix.lower() not in (".npy", ".raw")
    stream: FrameStream = CineStream(path) if cine else open_stream(path, transfer="linear" if video else None)
    facts, clock = [*_camera_facts(stream), *_frame_facts(stream)], _clock_facts(stream)
    tags = film_facts(read_comment(path)) if video else []
    if tags:  # a film that was rendered is no capture, and what an ingest must know is not said of it
        facts += [fact for fact in clock if fact.key != "timestamps"]
    else:
        facts += [*clock, *_level_facts(stream)]
    if video and not tags:
        facts.append(text("transfer curve", "not linear: give --transfer to ingest", "transfer"))
    facts += tags
    whole = path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.iterdir() if f.is_file())
    kind = "folder of images" if path.is_dir() else "video" if video else "Phantom .cine capture" if cine else "frames"
    return Description(kind, (*facts, file_size(whole)))


def find_gaps(times_s: np.ndarray) -> list[tuple[int, int]]:
    """Frames that the timestamps say are missing: (index of the frame after the gap, number missing)."""
    if len(times_s) < 3:
        return []
    steps = np.diff(times_s)
    missing = np.round(steps / np.median(steps)).astype(int) - 1
    return [(int(i) + 1, int(missing[i])) for i in np.flatnonzero(missing > 0)]


def _camera_facts(stream: FrameStream) -> list[Fact]:
    """What only a .cine file knows."""
    if not isinstance(stream, CineStream):
        return []
    trigger = datetime.fromtimestamp(stream.trigger_time_s, UTC).isoformat(sep=" ", timespec="milliseconds")
    return [
        text("camera", stream.camera or "not recorded", "camera"),
        Fact("serial number", "not recorded" if stream.serial is None else str(stream.serial), "serial", stream.serial),
        text("packing", PACKINGS[stream.packing], "packing"),
        number("significant bits", stream.bits, "", "bits"),
        number("first image", stream.first_image, "frames from the trigger", "first_image"),
        Fact("trigger", f"{trigger[:23]} UTC", "trigger_time_s", stream.trigger_time_s),
    ]


def _frame_facts(stream: FrameStream) -> list[Fact]:
    height, width = stream.shape[:2]
    sensor = "RGB" if len(stream.shape) == 3 else f"Bayer {stream.bayer.upper()}" if stream.bayer else "mono"
    facts = [size("picture", width, height, "size_px"), text("colour", sensor, "colour")]
    return [*facts, number("frames", len(stream), "", "frames")]


def _clock_facts(stream: FrameStream) -> list[Fact]:
    times, nominal = np.asarray(stream.times_s), stream.frame_rate_hz
    facts = [number("nominal rate", float(nominal), "frames per s", "frame_rate_hz")]
    if len(times) < 2:
        return facts
    if np.array_equal(times, np.arange(len(times)) / nominal):
        return [*facts, text("timestamps", "none: times follow the nominal rate", "timestamps"),
                number("duration", float(times[-1] + 1 / nominal), "s", "duration_s")]
    gaps = find_gaps(times)
    count = sum(n for _, n in gaps)
    places = ", ".join(f"{n} before frame {i}" for i, n in gaps[:SHOWN_GAPS])
    places += " ..." if len(gaps) > SHOWN_GAPS else ""
    step = float(np.median(np.diff(times)))
    wins = "" if abs(step * nominal - 1) < 0.01 else "; this one is used"
    return [
        *facts, number("rate by timestamps", 1 / step, f"frames per s{wins}", "measured_rate_hz"),
        number("duration", float(times[-1] + step), "s", "duration_s"),
        Fact("dropped frames", f"{count}: {places}" if count else "none by timestamps", "dropped_frames", count),
    ]


def _level_facts(stream: FrameStream) -> list[Fact]:
    facts = []
    if stream.exposure_s is not None:
        facts.append(span("exposure", 1000 * np.asarray(stream.exposure_s), "ms", "exposure_ms"))
    levels = [float(stream.black_level), float(stream.white_level)]
    facts.append(Fact("black and white", f"{levels[0]:g} and {levels[1]:g} (sensor values)", "levels", levels))
    balance = stream.white_balance
    shown = "not recorded" if balance is None else " ".join(f"{v:.4g}" for v in balance) + " (gains R G B, not applied)"
    return [*facts, Fact("white balance", shown, "white_balance", balance and [float(v) for v in balance])]
