"""Explain what ingest and simulate write: takes and truth files."""

from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.imageset import QUALITY_NAMES
from olatkit.io.banks import is_bank
from olatkit.io.describe_bank import describe_bank
from olatkit.io.facts import Description, Fact, file_size, number, size, span, text
from olatkit.io.takes import open_take
from olatkit.wording import counted

ENCODINGS = {"sqrt12": "12-bit square-root codes", "float16": "16-bit floats", "float32": "32-bit floats"}


def describe_hdf5(path: Path) -> Description:
    """A take or a truth file; FormatError for other HDF5 files."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = dict(file.attrs)
            shapes = {name: tuple(file[name].shape) for name in file if isinstance(file[name], h5py.Dataset)}
    except OSError as error:
        raise FormatError(f"{path}: damaged HDF5 file: {error}") from error
    if attributes.get("format") == "olatkit-take":
        return _describe_take(path)
    if is_bank(attributes):
        return describe_bank(path)
    if "olat" in shapes and "codes_per_unit" in attributes:
        return _describe_truth(path, attributes, shapes)
    if {"label", "r_tick"} <= shapes.keys() and len(shapes["label"]) == 3:
        return _describe_labels(path, shapes)
    if attributes.get("format") == "olatkit-shard":
        from olatkit.io.describe_shards import describe_shard

        return describe_shard(path)
    known = ", ".join([*shapes][:6]) or "no datasets"
    raise FormatError(f"{path}: HDF5 file of no known kind ({known}), expected a take or a simulated take's truth")


def _describe_take(path: Path) -> Description:
    with open_take(path) as take:
        (height, width), (top, left, box_h, box_w) = take.shape, take.box
        dead = int((~np.asarray(take.rig.enabled)).sum())
        facts = [
            number("imagesets", len(take), "", "imagesets"),
            span("reference instants", take.times_s, "s", "times_s", ".6g"),
            Fact("lights", f"{len(take.rig)}, {dead} dead, rig '{take.rig.name}'", "lights", len(take.rig)),
            size("picture", width, height, "size_px"),
            Fact("stored region", f"{box_w} x {box_h} px at ({left}, {top})", "box_px", [left, top, box_w, box_h]),
            Fact("stored as", ENCODINGS.get(take.encoding, take.encoding), "encoding", take.encoding),
        ]
        if take.frame_rate_hz > 0:  # photographs of one instant have no rate
            facts.insert(1, number("rate", take.frame_rate_hz, "imagesets per s", "frame_rate_hz"))
        if take.schedule is not None:
            facts.append(text("schedule", f"{take.schedule.name}, cycle {take.schedule.cycle} frames", "schedule"))
        facts += _note_facts(take.notes) + _stat_facts(take.stats) + _quality_facts(take.quality)
    return Description("take of OLAT imagesets", (*facts, file_size(path.stat().st_size)))


def _note_facts(notes: dict[str, Any]) -> list[Fact]:
    """Where the take came from."""
    facts = [text("made by", f"olatkit {notes['olatkit']}", "olatkit")] if "olatkit" in notes else []
    if "source" in notes:
        facts.append(text("source", str(notes["source"]), "source"))
    if "phase" in notes:
        score = f" (score {notes['phase_score']:.3f})" if np.isfinite(notes.get("phase_score", np.nan)) else " (given)"
        facts.append(Fact("phase", f"{counted(notes['phase'], 'frame')}{score}", "phase", notes["phase"]))
    if "crosstalk" in notes:
        facts.append(Fact("crosstalk inverted", f"{100 * notes['crosstalk']:.2f} %", "crosstalk", notes["crosstalk"]))
    if "measured_full_well_e" in notes:
        noise = [notes["measured_full_well_e"], notes["measured_read_noise_e"]]
        facts.append(Fact("sensor noise", f"full well {noise[0]:.0f} e-, read noise {noise[1]:.1f} e-", "noise_e", noise))
    if "color_error" in notes:
        mean, most = notes["color_error"]
        facts.append(Fact("colour chart", f"dE {mean:.1f} on average, {most:.1f} at most", "color_error", [mean, most]))
    if "frames" in notes:
        facts.append(Fact("frames", f"{notes['frames']}, {notes.get('dropped', 0)} dropped", "frames", notes["frames"]))
    return facts


def _stat_facts(stats: dict[str, np.ndarray]) -> list[Fact]:
    facts = []
    if "closure" in stats:
        facts.append(span("closure error", 100 * stats["closure"], "%", "closure_percent", "+.2f"))
    if "motion_px" in stats:
        facts.append(span("motion", stats["motion_px"], "px per 60 frames", "motion_px", ".3g"))
    return facts


def _quality_facts(quality: np.ndarray) -> list[Fact]:
    """How many images carry which bit."""
    counts = {name: int(((quality & bit) > 0).sum()) for bit, name in QUALITY_NAMES.items()}
    flagged = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    clean = int((quality == 0).sum())
    shown = f"{clean} of {quality.size} without remark" + (f"; {flagged}" if flagged else "")
    return [Fact("images", shown, "images", {"all": int(quality.size), "clean": clean, **counts})]


def _describe_labels(path: Path, shapes: dict[str, tuple[int, ...]]) -> Description:
    """Truth beside a take that is exact itself: labels and mask."""
    instants, height, width = shapes["label"]
    facts = (
        number("instants", instants, "", "instants"), size("picture", width, height, "size_px"),
        text("holds", ", ".join(sorted(shapes)), "datasets"), file_size(path.stat().st_size),
    )
    return Description("true labels of a simulated take", facts)


def _describe_truth(path: Path, attributes: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> Description:
    instants, lights, height, width = shapes["olat"][:4]
    facts = [
        number("instants", instants, "", "instants"),
        number("lights", lights, "", "lights"),
        size("picture", width, height, "size_px"),
        text("holds", ", ".join(sorted(shapes)), "datasets"),
    ]
    if "subject" in attributes:
        mesh = attributes.get("mesh")
        named = f"{attributes['subject']} {mesh}" if mesh else f"{attributes['subject']} {attributes['subject_seed']}"
        facts.insert(0, text("subject", named, "subject"))
    if "full_scale_codes" in attributes:
        scale = float(attributes["full_scale_codes"])
        facts.append(number("full scale", scale, "sensor values above black", "full_scale_codes"))
    for key, label, unit in (("phase", "phase", "frames"), ("eps", "crosstalk", "of a frame's light")):
        if key in attributes:
            facts.append(number(label, float(attributes[key]), unit, key))
    dropped = np.atleast_1d(attributes.get("dropped_ticks", []))
    facts.append(number("dropped frames", len(dropped), "", "dropped_frames"))
    return Description("ground truth of a simulated take", (*facts, file_size(path.stat().st_size)))
