"""Demosaicing filters beside Malvar's and OpenCV's bilinear ones, on pictures with known answers and sensor noise.

The pictures are OLAT images of a ``truth.h5`` (by default of a freshly simulated head, otherwise of ``--truth``), put
through a Bayer mosaic and a 12-bit sensor (full well 20,000 electrons, read noise 20). Scored inside the subject, 1 =
99.5th percentile; 'two frames' is the mean of two noisy shots, as a blend of two looks sees it. Times are one thread.

    python benchmarks/demosaic.py [--truth FOLDER/truth.h5] [--lights 38]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import h5py
import numpy as np

from olatkit.vision.demosaic import DemosaicModel, demosaic_filters, demosaic_into

FULL_WELL_E, READ_NOISE_E = 20_000, 20


def malvar(mosaic):
    """Malvar, He and Cutler (2004), by their published 5x5 weights, pattern gbrg."""
    cross = np.zeros((5, 5), np.float32)
    cross[2], cross[:, 2] = (-1, 2, 4, 2, -1), (-1, 2, 4, 2, -1)
    row = np.array(
        [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]], np.float32
    )
    corner = np.array(
        [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]], np.float32
    )
    green, along, across, far = (
        cv2.filter2D(mosaic, -1, k / 8, borderType=cv2.BORDER_REFLECT_101) for k in (cross, row, row.T.copy(), corner)
    )
    out = np.empty((*mosaic.shape, 3), np.float32)
    red, blue = np.s_[1::2, 0::2], np.s_[0::2, 1::2]
    out[..., 1] = mosaic
    out[(*red, 1)], out[(*blue, 1)] = green[red], green[blue]
    for channel, own, other, own_row, other_row in ((0, red, blue, 1, 0), (2, blue, red, 0, 1)):
        out[own_row::2, :, channel], out[other_row::2, :, channel] = along[own_row::2], across[other_row::2]
        out[(*own, channel)], out[(*other, channel)] = mosaic[own], far[other]
    return out


def bilinear(mosaic):
    """OpenCV's bilinear interpolation of 16-bit values."""
    coded = np.round((mosaic + 0.1) * 50_000).astype(np.uint16)
    return cv2.cvtColor(coded, cv2.COLOR_BayerGBRG2RGB).astype(np.float32) / 50_000 - np.float32(0.1)


def ours(mosaic, filters):
    """The filters of olatkit.vision.demosaic."""
    out = np.empty((*mosaic.shape, 3), np.float32)
    demosaic_into(mosaic, filters, out)
    return out


def shoot(images, rng):
    """Mosaics (N, H, W) of images (N, H, W, 3) through the sensor, linear, 1 = full scale."""
    mosaic = images[..., 1].copy()
    mosaic[:, 1::2, 0::2], mosaic[:, 0::2, 1::2] = images[:, 1::2, 0::2, 0], images[:, 0::2, 1::2, 2]
    electrons = rng.poisson(np.clip(mosaic, 0, 4) * FULL_WELL_E) + rng.normal(0, READ_NOISE_E, mosaic.shape)
    codes = np.clip(np.round(electrons / FULL_WELL_E * 4031) + 64, 0, 4095)
    return ((codes - 64) / 4031).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--lights", type=int, default=38)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        truth_path = args.truth
        if truth_path is None:
            command = [
                sys.executable,
                "-m",
                "olatkit",
                "simulate",
                scratch + "/stage",
                "--size",
                "256",
                "--seconds",
                "0.13",
            ]
            subprocess.run([*command, "--truth", "1", "--speed-px", "0"], check=True, capture_output=True)
            truth_path = Path(scratch) / "stage" / "truth.h5"
        with h5py.File(truth_path) as file:
            unit = float(file["olat"].attrs["codes_per_unit"]) / float(file.attrs["full_scale_codes"])
            step = max(1, file["olat"].shape[1] // args.lights)
            images = file["olat"][0, ::step].astype(np.float32) * np.float32(unit)
            inside = file["mask"][0] > 127
    rng = np.random.default_rng(0)
    first, second = shoot(images, rng), shoot(images, rng)
    top = float(np.percentile(images[:, inside], 99.5))
    filters = demosaic_filters("gbrg", DemosaicModel())
    cv2.setNumThreads(1)

    def decibels(guess):
        error = (np.clip(guess / top, 0, 1) - np.clip(images / top, 0, 1))[:, inside] ** 2
        return -10 * np.log10(error.mean(dtype=np.float64))

    print(f"{'filters':10s} {'one frame':>10s} {'two frames':>11s} {'ms/frame':>9s}")
    for name, method in (("bilinear", bilinear), ("Malvar", malvar), ("olatkit", lambda m: ours(m, filters))):
        method(first[0])
        start = time.perf_counter()
        a = np.stack([method(m) for m in first])
        elapsed = (time.perf_counter() - start) / len(first) * 1e3
        b = np.stack([method(m) for m in second])
        print(f"{name:10s} {decibels(a):7.2f} dB {decibels((a + b) / 2):8.2f} dB {elapsed:9.2f}")


if __name__ == "__main__":
    main()
