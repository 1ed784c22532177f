"""Quality of the demultiplexer on a moving head whose exact images are known, beside the bars it must reach.

    python benchmarks/capture_quality.py [--scene reference|embedded | --scene-script FILE.py] [--size 128]
        [--speeds 0,30,100] [--cases bars,crosstalk,margins,parts] [--set motion.shading=true] [--json FILE]

Scores in dB: A single-light images in the silhouette dilated by 3 px, B 3 px inside it, C relit in linear light, D
relit in sRGB. Filmed is the head of ``reference_head.py``, or with ``--scene embedded`` that of the simulated stage
(``embedded_head.py``). A script of one's own must define ``LIGHTS`` (L, 3), ``setup(size, speed, start, crosstalk)``
returning (scene, camera, frames by tick, truth, mask, level) and ``evaluate(estimate, truth, mask, level)``;
``camera.gt`` is the drive of its tracking frames. It may have ``BARS`` and ``parts(scene)`` (pixels by name).
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

from olatkit.capture.config import IngestConfig
from olatkit.capture.demultiplex import assemble_imageset
from olatkit.capture.moments import frame_features
from olatkit.capture.plan import plan_capture
from olatkit.cli.settings import read_config
from olatkit.io.sources import ArrayStream
from olatkit.rig import LightRig
from olatkit.schedule import default_114

COLUMNS = ("A", "B", "C", "D")
SCENES = {"reference": "reference_head.py", "embedded": "embedded_head.py"}
# Bars for a head at 128 px (a scene script may have its own), and how far A must lie above no compensation.
BARS = {0: (49.7, 49.0, 56.0, 48.5), 30: (39.8, 41.2, 39.5, 34.6), 100: (38.6, 39.8, 38.2, 31.8)}
MARGIN_OVER_NONE = {30: 10.0, 100: 15.0}
CROSSTALK_BAR = 49.5  # A, still head, 3 % crosstalk corrected
LARGE_BARS = {60: 42.3, 120: 41.3, 200: 40.2, 400: 37.2}  # A at 256 px, mean of two phases of the swing
BLEND_OVER_NEAREST = {60: 1.2, 400: 2.5}  # A at 256 px
STARTS = (0.0, 1.3)  # phases of the swing: near the highest speed, near the turning point


def load_scene(path: Path):
    """Import a scene script by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def bars_of(scene):
    """Bars of a scene by speed."""
    return getattr(scene, "BARS", BARS)


def margins_of(scene):
    """How far A must lie above no compensation, by speed."""
    return getattr(scene, "MARGIN_OVER_NONE", MARGIN_OVER_NONE)


def settings(mode="blend", method="auto", crosstalk=0.0, chosen=()) -> IngestConfig:
    """Default settings but for these; ``chosen`` are KEY=VALUE as for ``olatkit ingest --set``."""
    given = [f"mode={mode}", f"motion.method={method}", f"crosstalk={crosstalk}"]
    return read_config(IngestConfig, None, (*given, *chosen))


def demultiplex(scene, frames, gain, config):
    """Full-frame images (L, S, S, 3) of tick 0 and the plan, from frames by tick; the phase is found in the frames."""
    ticks = sorted(frames)
    stream = ArrayStream(np.stack([frames[t] for t in ticks]), 1000.0)
    schedule = default_114(gain)
    rig = LightRig("scene", np.asarray(scene.LIGHTS, float))
    features = frame_features(stream.read(0, len(stream)), black_level=0.0, white_level=1.0)
    plan = plan_capture(stream, rig, schedule, features, config)
    if (ticks[0] + plan.phase) % schedule.cycle:
        raise SystemExit(f"phase {plan.phase} was found, the take starts at tick {ticks[0]}")
    out = np.zeros((len(rig), *stream.shape), np.float32)
    top, left, height, width = plan.calibration.box

    def store(light, packed):
        out[light, top : top + height, left : left + width] = plan.region.unpack(packed)

    assemble_imageset(plan.demultiplexer, plan.frames(stream), -ticks[0], store)
    return out, plan


def score(scene, recording, config):
    """Scores of our imageset at tick 0."""
    _, camera, frames, truth, mask, level = recording
    estimate, plan = demultiplex(scene, frames, camera.gt, config)
    return scene.evaluate(estimate, truth, mask, level), plan


def show(label, values, bars=None):
    """One line of the table; a value under its bar is marked."""
    cells = []
    for i, value in enumerate(values):
        bar = None if bars is None else bars[i]
        mark = "" if bar is None else f" (bar {bar:.1f}{', MISSED' if value < bar else ''})"
        cells.append(f"{value:6.2f}{mark}")
    print(f"{label:36s} " + "  ".join(cells), flush=True)


def run_bars(scene, size, speeds, result, chosen):
    """The default (with the ``chosen`` settings) beside no compensation, at every speed."""
    bars, margins = bars_of(scene), margins_of(scene)
    for speed in speeds:
        recording = scene.setup(size, float(speed), 0.0, 0.0)
        best, _ = score(scene, recording, settings())
        show(f"{speed:g} px/s, default", best, bars.get(speed) if size == 128 else None)
        result[f"{speed:g} default"] = best
        if chosen:
            name = ", ".join(chosen)
            values, _ = score(scene, recording, settings(chosen=chosen))
            show(f"{speed:g} px/s, {name}", values)
            result[f"{speed:g} {name}"] = values
        for mode in ("nearest", "causal", "blend"):
            plain, _ = score(scene, recording, settings(mode, "none"))
            show(f"{speed:g} px/s, no compensation, {mode}", plain)
            result[f"{speed:g} none {mode}"] = plain
            if mode == "nearest" and speed in margins:
                show("  A above it", [best[0] - plain[0]], [margins[speed]])
        nearest, _ = score(scene, recording, settings("nearest"))
        show(f"{speed:g} px/s, nearest", nearest)
        result[f"{speed:g} nearest"] = nearest


def run_crosstalk(scene, size, result):
    """Crosstalk left alone, inverted with its true share, and estimated from the take."""
    for speed in (0, 120):
        for share in (0.0, 0.03, 0.08):
            recording = scene.setup(size, float(speed), 0.0, share)
            for name, setting in (("left", 0.0), ("known", share), ("estimated", "auto")):
                if share == 0 and name == "known":
                    continue
                values, plan = score(scene, recording, settings(crosstalk=setting))
                barred = (speed, share, size) == (0, 0.03, 128) and name != "left"
                bars = (CROSSTALK_BAR, None, None, None) if barred else None
                show(f"{speed} px/s, crosstalk {share:.2f}, {name} {plan.findings['crosstalk']:.4f}", values, bars)
                result[f"{speed} crosstalk {share:g} {name}"] = values


def run_parts(scene, size, speeds, result, chosen):
    """Where the error is: PSNR of single lights and share of the squared error by part of the subject."""
    for speed in speeds:
        recording = scene.setup(size, float(speed), 0.0, 0.0)
        subject, camera, frames, truth, mask, level = recording
        estimate, _ = demultiplex(scene, frames, camera.gt, settings(chosen=chosen))
        square = np.square(np.clip(estimate / level, 0, 1) - np.clip(truth / level, 0, 1)).mean(axis=(0, 3))
        for name, pixels in scene.parts(subject).items():
            some = pixels & mask
            row = {"pixels": int(some.sum()), "db": float(-10 * np.log10(square[some].mean())),
                   "share_of_error": float(square[some].sum() / square[mask].sum())}
            print(f"{speed:g} px/s, {name:12s} {row['pixels']:6d} px {row['db']:6.2f} dB "
                  f"{100 * row['share_of_error']:5.1f} % of the error", flush=True)
            result[f"{speed:g} {name}"] = row


def run_margins(scene, size, speeds, result):
    """Large heads: bars on A, and what the blend gains over the nearest look; at all speeds that have bars, or some."""
    for speed in [speed for speed in LARGE_BARS if speed in speeds] or LARGE_BARS:
        rows = {"blend": [], "nearest": []}
        for start in STARTS:
            recording = scene.setup(size, float(speed), start, 0.0)
            for mode, values in rows.items():
                values.append(score(scene, recording, settings(mode))[0])
        blend, nearest = (np.mean(rows[mode], axis=0).tolist() for mode in ("blend", "nearest"))
        bars = (LARGE_BARS[speed], None, None, None) if size == 256 else None
        show(f"{speed} px/s, default, two phases", blend, bars)
        show(f"{speed} px/s, nearest, two phases", nearest)
        if speed in BLEND_OVER_NEAREST:
            show("  A of blend over nearest", [blend[0] - nearest[0]], [BLEND_OVER_NEAREST[speed]])
        result[f"{speed} two phases blend"], result[f"{speed} two phases nearest"] = blend, nearest


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--scene", choices=SCENES, default="reference")
    which.add_argument("--scene-script", type=Path)
    parser.add_argument("--size", type=int, default=128, help="picture size; the margins are meant for 256")
    parser.add_argument("--speeds", default="0,30,100", help="peak image speeds, px/s; the margins are at 60,120,200,400")
    parser.add_argument("--cases", default="bars,crosstalk", help="bars, crosstalk, margins, parts (embedded only)")
    parser.add_argument("--set", dest="chosen", action="append", default=[], metavar="KEY=VALUE",
                        help="measure this setting of ingest too, e.g. motion.shading=true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    script = args.scene_script or Path(__file__).with_name(SCENES[args.scene])
    scene, result, speeds = load_scene(script), {}, [float(s) for s in args.speeds.split(",")]
    print(f"{script.name}, {args.size} px{'':20s}" + "       ".join(COLUMNS))
    for case in args.cases.split(","):
        if case == "bars":
            run_bars(scene, args.size, speeds, result, args.chosen)
        elif case == "parts" and hasattr(scene, "parts"):
            run_parts(scene, args.size, speeds, result, args.chosen)
        elif case == "crosstalk":
            run_crosstalk(scene, args.size, result)
        elif case == "margins":
            run_margins(scene, args.size, speeds, result)
        else:
            parser.error(f"case {case!r}, expected bars, crosstalk or margins, or parts with --scene embedded")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
