"""How good labels, mattes and flow are on simulated heads, whose answers are exact; and the labels of a portrait.

    python benchmarks/labels.py [--size 256] [--seeds 1,2,3,5,12,17] [--models FOLDER] [--presets smooth,medium]
        [--only flow] [--take TAKE --truth TRUTH.h5] [--portrait PICTURE --out LABELS.png]

Without --take, heads are lit by 114 lights with the noise of a sensor, at four instants 40 ms apart. With --take, an
ingested simulated take is scored against its truth (`olatkit simulate --truth all`). IoU: intersection over union, mean
over heads. `landmarks` needs the small models, see `olatkit models fetch`. With `--only flow` just the fully lit pictures of
two instants are rendered, with noise of their own, which takes a twentieth of the time.
"""

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from olatkit.color import luminance, to_srgb8
from olatkit.render.fully_lit import find_kappa, fully_lit
from olatkit.vision.labels import LabelConfig, make_labeller
from olatkit.vision.matting import alpha_matte, stack_foreground
from olatkit.vision.occlusion import hidden_points
from olatkit.vision.pair_flow import flow_pair
from olatkit.vision.parsing import CLASSES
from olatkit.vision.parsing_landmarks import missing_for_landmarks
from olatkit.vision.temporal_labels import vote_labels

INSTANTS_S = (0.40, 0.44, 0.48, 0.52)
SPEEDS = (60, 150, 300)  # px/s at 256 pixels, taken in turn
FULL_WELL_E, READ_NOISE_E = 20_000, 20
COLOURS = np.array([
    (0, 0, 0), (204, 120, 90), (255, 255, 0), (200, 200, 0), (0, 255, 255), (0, 160, 200), (255, 0, 255), (255, 128, 0),
    (200, 90, 0), (255, 255, 255), (120, 60, 200), (80, 0, 0), (255, 0, 0), (255, 110, 150), (150, 90, 60), (0, 0, 255),
    (40, 110, 60), (60, 50, 160), (0, 255, 0),
], np.uint8)


@dataclass
class Scene:
    """Neighbouring instants: pictures, coverage found and true, labels, and true flow from each to the next."""

    name: str
    srgb: list
    mask: list
    matte: list
    alpha: list
    label: list
    flow: list
    hidden: list
    back: np.ndarray | None = None  # true flow from the second instant to the first


def simulated(seed: int, size: int, speed: float) -> Scene:
    """A head under the default rig, with the noise of two looks at each light."""
    import cv2

    from olatkit.rig import default_rig
    from olatkit.simulate.subject import Subject

    rig, rng = default_rig(), np.random.default_rng(seed)
    subject = Subject(seed, (size, size), speed_px=speed * size / 256)
    stacks = [subject.olat(subject.view(t), rig.directions) for t in INSTANTS_S]
    alpha = [subject.alpha(t) for t in INSTANTS_S]
    exposure = np.float32(0.6 / np.percentile(stacks[0][:, alpha[0] > 0.5], 99.5))
    for stack in stacks:
        for image in stack:
            cv2.GaussianBlur(image, (0, 0), 0.6, dst=image)
        stack *= exposure
        variance = (np.maximum(stack, 0) / FULL_WELL_E + (READ_NOISE_E / FULL_WELL_E) ** 2) / 2
        stack += rng.standard_normal(stack.shape, np.float32) * np.sqrt(variance)
    flows = [subject.flow(*pair) for pair in pairwise(INSTANTS_S)]
    name = f"seed {seed} ({subject.identity.hair_style}), {speed} px/s"
    scene = make_scene(name, stacks, rig, alpha, [subject.labels(t) for t in INSTANTS_S], flows)
    scene.back = subject.flow(INSTANTS_S[1], INSTANTS_S[0])[0]
    return scene


def report_flow_alone(seeds: list[int], size: int, presets: list[str]) -> None:
    """Flow between two fully lit pictures that were rendered without their single lights."""
    import cv2

    from olatkit.rig import default_rig
    from olatkit.simulate.subject import Subject

    rig, scenes, times = default_rig(24), [], INSTANTS_S[:2]
    sky = np.full((len(rig), 3), 4 * np.pi / len(rig))
    for number, seed in enumerate(seeds):
        speed, rng = SPEEDS[number % len(SPEEDS)], np.random.default_rng(seed)
        subject = Subject(seed, (size, size), speed_px=speed * size / 256)
        alpha = [subject.alpha(t) for t in times]
        lit = [subject.relight(subject.view(t), rig.directions, sky) for t in times]
        kappa = np.float32(find_kappa([luminance(lit[0])[alpha[0] > 0.5]]))
        srgb = []
        for image in lit:
            image = kappa * cv2.GaussianBlur(image, (0, 0), 0.6)
            # About what 114 exposures of two looks each leave in their sum.
            image += rng.standard_normal(image.shape, np.float32) * np.sqrt(np.maximum(image, 0) / (57 * FULL_WELL_E))
            srgb.append(to_srgb8(image))
        flow, hidden = subject.flow(*times)
        name = f"seed {seed} ({subject.identity.hair_style}), {speed} px/s"
        scenes.append(Scene(name, srgb, [], [], alpha, [], [flow], [hidden], subject.flow(*times[::-1])[0]))
    report_flow(scenes, presets)


def ingested(take_path: Path, truth_path: Path) -> list[Scene]:
    """Every four neighbouring instants of a take whose truth is known."""
    import h5py

    import olatkit

    take, scenes = olatkit.open_take(take_path), []
    with h5py.File(truth_path) as truth:
        row = {int(tick): i for i, tick in enumerate(truth["r_tick"])}
        ticks = [int(tick) for tick in take.reference_ticks]
        for first in range(0, len(ticks) - 3, 4):
            rows = [row[tick] for tick in ticks[first : first + 4] if tick in row]
            if len(rows) == 4 and rows[3] == rows[0] + 3:
                flows = [(truth["flow_fw"][i], truth["occ_fw"][i].astype(bool)) for i in rows[:3]]
                stacks = [take[i].radiance for i in range(first, first + 4)]
                alpha, label = [truth["mask"][i] / 255 for i in rows], [truth["label"][i] for i in rows]
                scenes.append(make_scene(f"{take_path.name} {first}", stacks, take.rig, alpha, label, flows))
    if not scenes:
        raise SystemExit(f"{truth_path}: no four neighbouring instants of {take_path}; simulate with --truth all")
    return scenes


def make_scene(name, stacks, rig, alpha, label, flows) -> Scene:
    """What the labels see, found as the shards' builder finds it."""
    lit = [fully_lit(stack, rig) for stack in stacks]
    masks = [stack_foreground(stack) for stack in stacks]
    kappa = find_kappa([luminance(lit[0])[masks[0] > 0.5]])
    srgb = [to_srgb8(np.float32(kappa) * image) for image in lit]
    mattes = [alpha_matte(*pair) for pair in zip(srgb, masks, strict=True)]
    return Scene(name, srgb, masks, mattes, alpha, label, [f for f, _ in flows], [h for _, h in flows])


def union_share(found: np.ndarray, true: np.ndarray) -> float:
    """Intersection over union; NaN if neither has anything."""
    union = (found | true).sum()
    return float((found & true).sum() / union) if union else np.nan


def report_foreground(scenes: list[Scene]) -> None:
    """Backend `foreground` against the true coverage, before and after matting."""
    print("\nforeground of the light stage      IoU      mean error of coverage")
    for label, field in (("mask", "mask"), ("matte", "matte")):
        rows = [(getattr(s, field)[i], s.alpha[i]) for s in scenes for i in range(len(s.alpha))]
        share = np.mean([union_share(found > 0.5, true > 0.5) for found, true in rows])
        print(f"  {label:<32} {share:.4f}   {np.mean([np.abs(f - t).mean() for f, t in rows]):.4f}")


def report_flow(scenes: list[Scene], presets: list[str]) -> None:
    """End-point error on points that both pictures show, and the check of occlusion."""
    print("\nflow, 40 ms apart           motion px   error px  95 %   where kept   occluded: precision recall   s/pair")
    for preset in presets:
        config, sums, rows, spent = LabelConfig(flow_preset=preset), np.zeros(3), [], 0.0
        for scene in scenes:
            began = time.perf_counter()
            pair = flow_pair(scene.srgb[0], scene.srgb[1], config)
            spent += time.perf_counter() - began
            inside, hidden, flagged = scene.alpha[0] >= 1, scene.hidden[0], pair.occluded_forward
            error = np.linalg.norm(pair.forward - scene.flow[0], axis=-1)
            seen = inside & ~hidden
            motion = np.linalg.norm(scene.flow[0], axis=-1)[seen].mean()
            rows.append((motion, error[seen].mean(), np.percentile(error[seen], 95), error[seen & ~flagged].mean()))
            sums += [(inside & hidden & flagged).sum(), (inside & flagged).sum(), (inside & hidden).sum()]
            print(f"  {scene.name:<28} {rows[-1][0]:6.2f}     {rows[-1][1]:6.3f}  {rows[-1][2]:6.2f}   {rows[-1][3]:6.3f}")
        mean = np.mean(rows, axis=0)
        print(f"{preset:<30} {mean[0]:6.2f}     {mean[1]:6.3f}  {mean[2]:6.2f}   {mean[3]:6.3f}        "
              f"{sums[0] / max(sums[1], 1):17.2f} {sums[0] / max(sums[2], 1):8.2f}   {spent / len(scenes):7.2f}")
    sums = np.zeros(3)
    for scene in scenes:
        if scene.back is not None:
            inside, hidden, flagged = scene.alpha[0] >= 1, scene.hidden[0], hidden_points(scene.flow[0], scene.back)
            sums += [(inside & hidden & flagged).sum(), (inside & flagged).sum(), (inside & hidden).sum()]
    if sums.all():
        print(f"{'the same check on exact flow':84}{sums[0] / sums[1]:17.2f} {sums[0] / sums[2]:8.2f}")


def report_labels(scenes: list[Scene], models: str | None) -> None:
    """IoU per class of the backend `landmarks`, alone and after the vote, and how much labels flicker."""
    labeller, tables, flicker, spent, count = make_labeller(LabelConfig(parsing="landmarks", models=models)), [], [], 0.0, 0
    for scene in scenes:
        began = time.perf_counter()
        alone = [labeller.parse(image, matte) for image, matte in zip(scene.srgb, scene.matte, strict=True)]
        spent, count = spent + time.perf_counter() - began, count + len(alone)
        pairs = [flow_pair(*two, LabelConfig()) for two in pairwise(scene.srgb)]
        voted = [vote_labels(alone[i], [
            (alone[i - 1], pairs[i - 1].backward, pairs[i - 1].occluded_backward),
            (alone[i + 1], pairs[i].forward, pairs[i].occluded_forward),
        ]) for i in (1, 2)]
        tables.append([[union_share(found == c, scene.label[1] == c) for c in range(len(CLASSES))]
                       for found in (alone[1], voted[0])])
        flicker.append([changed(scene, *two) for two in (alone[1:3], voted, scene.label[1:3])])
    known = np.isfinite(tables)
    mean = np.where(known, tables, 0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    print(f"\nbackend {labeller.name}: IoU by class, {spent / count:.2f} s per picture\n{'':<14} alone  voted")
    for c, name in enumerate(CLASSES):
        if np.isfinite(mean[0, c]):
            print(f"  {name:<12} {mean[0, c]:6.3f} {mean[1, c]:6.3f}")
    print(f"  {'mean':<12} {np.nanmean(mean[0]):6.3f} {np.nanmean(mean[1]):6.3f}")
    before, after, true = 100 * np.mean(flicker, axis=0)
    print(f"visible points whose label changes to the next instant: {before:.2f} % alone, {after:.2f} % voted, "
          f"{true:.2f} % in truth")


def changed(scene: Scene, labels: np.ndarray, following: np.ndarray) -> float:
    """Share of visible points of the middle picture whose label differs where the true motion takes them."""
    y, x = np.nonzero((scene.alpha[1] >= 1) & ~scene.hidden[1])
    to = np.round(scene.flow[1][y, x] + np.stack([x, y], -1)).astype(int)
    to = np.clip(to, 0, np.array(labels.shape[::-1]) - 1)
    return float((labels[y, x] != following[to[:, 1], to[:, 0]]).mean())


def draw_portrait(path: Path, out: Path, models: str | None) -> None:
    """The picture, its labels in colour, and both."""
    import cv2

    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path}: no picture")
    labels = make_labeller(LabelConfig(parsing="landmarks", models=models)).parse(
        np.ascontiguousarray(image[..., ::-1]), None
    )
    colours = COLOURS[labels][..., ::-1]
    cv2.imwrite(str(out), np.hstack([image, colours, (image // 2 + colours // 2)]))
    found = [CLASSES[c] for c in np.unique(labels)]
    print(f"\n{out}: labels of {path.name} by landmarks: {', '.join(found)}")


def main() -> None:
    """Read the options, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seeds", default="1,2,3,5,12,17")
    parser.add_argument("--presets", default="smooth,medium")
    parser.add_argument("--only", choices=["flow"])
    parser.add_argument("--models")
    parser.add_argument("--take", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--portrait", type=Path)
    parser.add_argument("--out", type=Path, default=Path("labels.png"))
    options = parser.parse_args()
    if options.take and not options.truth:
        parser.error("--take needs --truth")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    if options.only:
        report_flow_alone(seeds, options.size, options.presets.split(","))
        return
    scenes = ingested(options.take, options.truth) if options.take else [
        simulated(seed, options.size, SPEEDS[i % len(SPEEDS)]) for i, seed in enumerate(seeds)
    ]
    report_foreground(scenes)
    report_flow(scenes, options.presets.split(","))
    missing = missing_for_landmarks(options.models)
    if missing:
        print(f"\nbackend landmarks left out: {missing}")
        return
    report_labels(scenes, options.models)
    if options.portrait:
        draw_portrait(options.portrait, options.out, options.models)


if __name__ == "__main__":
    main()
