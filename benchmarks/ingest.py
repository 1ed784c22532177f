"""Ingest throughput beside a plain OpenCV demultiplexer on one thread, measured in one run on the same frames.

The plain demultiplexer does what a user would write: for every imageset twelve DIS flows from the reference to the
tracking frames (finest scale 0, patch stride 3), displacements linear in time, two bicubic warps of the whole frame
per light, the linear blend, and a cast to half floats. It starts from demosaiced frames in memory and writes
nothing. ``olatkit ingest`` is timed with everything: file, phase, demosaic, region, flow, warp, codes, compression.

    python benchmarks/ingest.py [--size 512] [--frames 760] [--workers 2] [--json FILE]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

import olatkit
from olatkit.capture.windows import observe_slot
from olatkit.vision.demosaic import demosaic


def plain_imageset(frames, schedule, phase, reference):
    """One imageset by plain OpenCV calls on full frames; returns (L, H, W, 3) float16."""
    height, width = frames[reference].shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(0)
    engine.setPatchStride(3)
    peak = np.percentile(frames[reference], 99.5)

    def grey(tick):
        luma = frames[tick] @ np.array([0.25, 0.5, 0.25], np.float32) / peak
        return (np.clip(luma, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)

    pictures = {k: grey(reference + 20 * k) for k in range(-6, 7)}
    fields = {
        k: engine.calc(pictures[0], pictures[k], None) if k else np.zeros((height, width, 2), np.float32)
        for k in pictures
    }

    def aligned(dt):
        k, part = divmod(dt, 20)
        d = fields[k] if part == 0 else (1 - part / 20) * fields[k] + (part / 20) * fields[k + 1]
        d = d.astype(np.float32)
        return cv2.remap(
            frames[reference + dt], x + d[..., 0], y + d[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )

    out = np.empty((schedule.n_lights, height, width, 3), np.float16)
    for light, slots in enumerate(schedule.light_slots):
        seen = observe_slot(int(slots[0]), reference, schedule.cycle, phase, range(10**9))
        w = np.float32(seen.weight_after)
        out[light] = (w * aligned(seen.after) + (1 - w) * aligned(seen.before)).astype(np.float16)
    return out


def make_take(folder, size, frames):
    """A simulated take of the embedded head; two seconds of patience per ten frames at 512."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "olatkit",
            "simulate",
            str(folder),
            "--size",
            str(size),
            "--seconds",
            str(frames / 1000),
            "--truth",
            "3",
            "--speed-px",
            str(60 * size / 256),
        ],
        check=True,
    )


def psnr_against_truth(radiances, truth_path, references):
    """Mean PSNR (dB) over the truth's instants of scaled and clipped images, in the subject's box."""
    import h5py

    with h5py.File(truth_path) as truth:
        unit = float(truth["olat"].attrs["codes_per_unit"])
        values = []
        for i, r in enumerate(truth["r"][:]):
            if int(r) not in references:
                continue
            want = truth["olat"][i].astype(np.float32) * unit
            mask = cv2.dilate((truth["mask"][i] > 5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            got = radiances(int(r))
            top = np.percentile(want[:, mask], 99.5)
            a, b = got[:, mask], want[:, mask]
            use = b < 0.9 * top
            scale = float((a[use] * b[use]).sum() / (a[use] ** 2).sum())
            error = (np.clip(a * scale / top, 0, 1) - np.clip(b / top, 0, 1)) ** 2
            values.append(-10 * np.log10(error.mean(dtype=np.float64)))
    return float(np.mean(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=760)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--take", type=Path, help="folder of an existing simulated take")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.take or Path(scratch) / "stage"
        if args.take is None:
            make_take(folder, args.size, args.frames)
        capture, rig, schedule_path = folder / "take.cine", folder / "rig.json", folder / "schedule.json"
        out = Path(scratch) / "take.olat.h5"
        command = [
            sys.executable,
            "-m",
            "olatkit",
            "ingest",
            str(capture),
            "--rig",
            str(rig),
            "--schedule",
            str(schedule_path),
            "-o",
            str(out),
            "--workers",
            str(args.workers),
            "--no-report",
            "--overwrite",
        ]
        subprocess.run(command, check=True)  # once unmeasured: kernels compile, the file is in the cache
        start = time.perf_counter()
        subprocess.run(command, check=True)
        whole = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        take = olatkit.open_take(out)
        schedule, phase = take.schedule, int(take.notes["phase"])

        stream = olatkit.open_stream(capture)
        cv2.setNumThreads(1)
        want = [int(r) for r in take.reference_ticks if r - 120 >= 0 and r + 120 < len(stream)]
        reference = want[len(want) // 2]
        lo, hi = reference - 120, reference + 121
        span = stream.white_level - stream.black_level
        raw = (stream.read(lo, hi).astype(np.float32) - stream.black_level) / span
        frames = {lo + i: demosaic(frame, stream.bayer) for i, frame in enumerate(raw)}
        plain_imageset(frames, schedule, phase, reference)
        start = time.perf_counter()
        plain = plain_imageset(frames, schedule, phase, reference)
        plain_s = time.perf_counter() - start
        box = take.box
        ours = whole / len(take)
        result = {
            "size": args.size,
            "box": box,
            "box_share": box[2] * box[3] / np.prod(take.shape),
            "imagesets": len(take),
            "plain_s_per_imageset": plain_s,
            "ingest_s_per_imageset": ours,
            "ratio": plain_s / ours,
            "workers": args.workers,
            "peak_gb": memory,
            "bytes_per_imageset": out.stat().st_size / len(take),
        }
        truth = folder / "truth.h5"
        if truth.exists():
            index = {int(t): i for i, t in enumerate(take.reference_frames)}
            result["ingest_db"] = psnr_against_truth(lambda r: take[index[r]].radiance, truth, {reference})
            result["plain_db"] = psnr_against_truth(lambda r: plain.astype(np.float32), truth, {reference})
        for key, value in result.items():
            print(f"{key:24s} {value:.4g}" if isinstance(value, float) else f"{key:24s} {value}")
        if args.json:
            args.json.write_text(json.dumps(result, indent=1, default=float))


if __name__ == "__main__":
    main()
