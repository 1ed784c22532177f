"""Ingest throughput beside a plain OpenCV demultiplexer on one thread, measured in one run on the same frames.

The plain demultiplexer does what a user would write: for every imageset twelve DIS flows from the reference to the
tracking frames (finest scale 0, patch stride 3), displacements linear in time, two bicubic warps of the whole frame
per light, the linear blend, and a cast to half floats. It starts from demosaiced frames in memory and writes
nothing. ``olatkit ingest`` is timed with everything: file, phase, demosaic, region, flow, warp, codes, compression
and, for the second time given, the report.

Then the same ingest runs on one thread under a profiler, and the time of every kind of work is printed. Their sum
over the work that the threads do in the time of one is what the run would take if nothing waited: the limit it is
compared to. That gain is measured with a warp alone, since processors that share a core do less than two.

    python benchmarks/ingest.py [--size 512] [--frames 1480] [--workers 2] [--folder KEEP] [--json FILE]
"""

import argparse
import cProfile
import json
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from reference_head import BLACK, LEVEL, TRACKING_LEVEL, WHITE, Camera, ReferenceHead

import olatkit
from olatkit.capture.windows import observe_slot
from olatkit.io.cine_writer import write_cine
from olatkit.io.documents import write_rig, write_schedule
from olatkit.rig import default_rig
from olatkit.schedule import default_114
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


def make_take(folder, size, frames, speed):
    """Record the reference head, a Bayer take of 12 bits packed; the head's box fills 40 % of the frame."""
    head = ReferenceHead(size, speed, 0.3, samples=1)
    now = head.surface(frames // 2 / 1000)
    inside = head.coverage(frames // 2 / 1000) > 0.5
    some = np.stack([head.shade(now, row)[inside] for row in np.eye(114)[::4]])
    exposure = LEVEL / np.percentile(some, 99.5)
    tracking = TRACKING_LEVEL / (exposure * np.percentile(head.shade(now, np.ones(114))[inside], 99.5))
    camera = Camera(exposure, tracking, True, np.random.default_rng(0))
    schedule = default_114(float(tracking))
    folder.mkdir(parents=True, exist_ok=True)
    write_rig(folder / "rig.json", default_rig(), overwrite=True)
    write_schedule(folder / "schedule.json", schedule, overwrite=True)

    def recorded():
        for tick in range(frames):
            light = head.shade(head.surface(tick / 1000), schedule.drive[tick % schedule.cycle])
            codes = np.round(camera.shoot(light) * (WHITE - BLACK) + BLACK).astype(np.uint16)
            mosaic = codes[..., 1].copy()  # gbrg
            mosaic[0::2, 1::2], mosaic[1::2, 0::2] = codes[0::2, 1::2, 2], codes[1::2, 0::2, 0]
            if tick % 100 == 99:
                print(f"recorded {tick + 1} of {frames} frames", file=sys.stderr, flush=True)
            yield mosaic

    times = np.arange(frames) / 1000
    write_cine(
        folder / "take.cine",
        recorded(),
        frame_rate_hz=1000,
        bayer="gbrg",
        packing="p12l",
        bits=12,
        black_level=BLACK,
        white_level=WHITE,
        times_s=times,
        overwrite=True,
    )


WORK = {  # kind of work: names of the functions that do it and nothing else
    "warp and blend": ("(blend_looks)", "(sample_look)"),
    "warp flows": ("{remap}",),
    "flow": ("'cv2.DenseOpticalFlow' objects",),
    "demosaic": ("(demosaic_into)", "(_linearise)", "(invert_crosstalk)"),
    "unpack frames": ("(unpack_p12l)",),
    "statistics": ("{mean}", "{absdiff}"),
    "encode": ("(_encode)",),
    "compress": ("(pack)",),
    "write": ("Outlet.write", "posix.replace"),
}


def where_time_goes(folder, scratch):
    """Seconds of every kind of work of one ingest on one thread; the rest is under 'everything else'."""
    from olatkit.jobs.ingest import ingest

    profile = cProfile.Profile()
    profile.enable()
    ingest(
        folder / "take.cine", folder / "rig.json", folder / "schedule.json", Path(scratch) / "profiled.olat.h5",
        scheduler="sync", overwrite=True,
    )  # fmt: skip
    profile.disable()
    seconds, total = dict.fromkeys(WORK, 0.0), 0.0
    calls = dict.fromkeys(WORK, 0)
    for (_file, _line, name), (_, count, own, _, _) in pstats.Stats(profile).stats.items():
        total += own
        text = "{" + name[1:-1] + "}" if name.startswith("<") else f"({name})"
        for work, names in WORK.items():
            if any(part in text for part in names):
                seconds[work] += own
                calls[work] += count
    seconds["everything else"] = total - sum(seconds.values())
    return seconds, calls


def gain_of_threads(workers):
    """Work that so many threads do in the time of one: warps of pictures that stay in the cache."""
    image = np.random.default_rng(0).random((128, 128, 3), np.float32)
    y, x = np.mgrid[0:128, 0:128].astype(np.float32) + np.float32(0.3)

    def work(_):
        for _ in range(1500):
            cv2.remap(image, x, y, cv2.INTER_CUBIC)

    def seconds(threads):
        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        return time.perf_counter() - start

    return workers * min(seconds(1) for _ in range(3)) / min(seconds(workers) for _ in range(3))


def truth_at(size, speed, tick):
    """Exact images of all lights at a tick, (L, H, W, 3) in the head's own units, and the dilated silhouette."""
    head = ReferenceHead(size, speed, 0.3, samples=1)
    now = head.surface(tick / 1000)
    truth = np.stack([head.shade(now, row).astype(np.float32) for row in np.eye(114)])
    mask = cv2.dilate((head.coverage(tick / 1000) > 0.02).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return truth, mask


def psnr(estimate, truth, mask):
    """PSNR (dB) over the dilated silhouette, 1 = 99.5th percentile of the truth, one scale fitted."""
    top = np.percentile(truth[:, mask], 99.5)
    a, b = estimate[:, mask].astype(np.float32), truth[:, mask]
    use = b < 0.9 * top
    scale = float((a[use] * b[use]).sum(dtype=np.float64) / (a[use] ** 2).sum(dtype=np.float64))
    error = (np.clip(a * scale / top, 0, 1) - np.clip(b / top, 0, 1)) ** 2
    return float(-10 * np.log10(error.mean(dtype=np.float64)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=1480)
    parser.add_argument("--speed", type=float, default=120.0, help="peak image speed at 256 pixels, px/s")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep the recorded take here and use it again")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    speed = args.speed * args.size / 256
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch) / "stage"
        if not (folder / "take.cine").exists():
            make_take(folder, args.size, args.frames, speed)
        out = Path(scratch) / "take.olat.h5"
        command = [sys.executable, "-m", "olatkit", "ingest", str(folder / "take.cine")]
        command += ["--rig", str(folder / "rig.json"), "--schedule", str(folder / "schedule.json"), "-o", str(out)]
        command += ["--workers", str(args.workers), "--no-report", "--overwrite"]
        subprocess.run(command, check=True)  # once unmeasured: kernels compile, the file is in the cache
        start = time.perf_counter()
        subprocess.run(command, check=True)
        whole = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        start = time.perf_counter()
        subprocess.run([part for part in command if part != "--no-report"], check=True)
        reported = time.perf_counter() - start
        memory_with_report = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        take = olatkit.open_take(out)
        phase = int(take.notes["phase"])
        stream = olatkit.open_stream(folder / "take.cine")
        middle = len(take) // 2
        reference = int(take.reference_frames[middle])
        lo = reference - 120
        span = stream.white_level - stream.black_level
        raw = (stream.read(lo, reference + 121).astype(np.float32) - stream.black_level) / span
        frames = {lo + i: demosaic(frame, stream.bayer) for i, frame in enumerate(raw)}
        cv2.setNumThreads(1)
        plain_imageset(frames, take.schedule, phase, reference)
        start = time.perf_counter()
        plain = plain_imageset(frames, take.schedule, phase, reference)
        plain_s = time.perf_counter() - start
        truth, mask = truth_at(args.size, speed, reference)
        ours = whole / len(take)
        result = {
            "size": args.size,
            "box_share": take.box[2] * take.box[3] / float(np.prod(take.shape)),
            "region_share": take.notes["region_share"] * take.box[2] * take.box[3] / float(np.prod(take.shape)),
            "imagesets": len(take),
            "workers": args.workers,
            "plain_s_per_imageset": plain_s,
            "ingest_s_per_imageset": ours,
            "ratio": plain_s / ours,
            "report_s": reported - whole,
            "peak_gb": memory,
            "peak_gb_with_report": memory_with_report,
            "mb_per_imageset": out.stat().st_size / len(take) / 1e6,
            "plain_db": psnr(plain, truth, mask),
            "ingest_db": psnr(take[middle].radiance, truth, mask),
        }
        for key, value in result.items():
            print(f"{key:24s} {value:.4g}")
        seconds, calls = where_time_goes(folder, scratch)
        print(f"\non one thread, per imageset ({len(take)} of them):")
        for work, spent in sorted(seconds.items(), key=lambda item: -item[1]):
            count = f"{calls[work] / len(take):8.1f} calls" if work in calls else ""
            print(f"  {work:22s} {1000 * spent / len(take):7.1f} ms {count}")
        gain = gain_of_threads(args.workers)
        limit = sum(seconds.values()) / gain
        stored = out.stat().st_size / 1e6
        read = (folder / "take.cine").stat().st_size / 1e6
        print(f"  read {read / len(take):.1f} MB, stored {stored / len(take):.1f} MB, written twice (part, take)")
        print(f"{args.workers} threads do {gain:.2f} times the work of one")
        print(f"limit if nothing waited: {limit:.1f} s on {args.workers} workers; the run took {whole:.1f} s")
        result |= {"gain_of_threads": gain, "limit_s": limit, "whole_s": whole, "work_s": seconds}
        if args.json:
            args.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
