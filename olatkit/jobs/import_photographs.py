"""Photographs under one light each to a take of one imageset: a task per photograph, then one file."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from olatkit import __version__
from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.imageset import CLIPPED_CODES, SATURATED
from olatkit.io import codes as radiance_codes
from olatkit.io.documents import rig_from_document, rig_to_document
from olatkit.io.joined_take import is_joined, mark_joined
from olatkit.io.light_parts import join_light_parts, write_light_part
from olatkit.io.manifests import Manifest
from olatkit.io.outputs import refuse_existing
from olatkit.io.photographs import Photograph, read_mask, read_photograph
from olatkit.io.picture_names import find_pictures
from olatkit.io.run_lock import running_alone
from olatkit.io.take_writing import TakeHeader, part_is_whole
from olatkit.io.takes import open_take
from olatkit.jobs.calibration import read_color_matrix
from olatkit.jobs.report import report_path, write_report
from olatkit.jobs.schedulers import Progress, run_tasks, task_path
from olatkit.vision.demosaic import demosaic

SATURATED_SHARE = 0.01  # of the subject's pixels, from which a light's picture is flagged


@dataclass(frozen=True)
class ImportSummary:
    """What an import did: lights in the take, how many of them are dead, flagged as saturated, done by an earlier run."""

    take: Path
    lights: int
    dead: int
    saturated: int
    beyond: int
    resumed: int


@dataclass(frozen=True, eq=False)
class _Plan:
    """What every task of an import needs."""

    folder: Path
    pictures: tuple[Path | None, ...]
    manifest: Manifest
    header: TakeHeader
    size: tuple[int, int]
    digest: str


def import_photographs(
    folder: Path, manifest: Manifest, out: Path, *, encoding: str = "auto", compression: str = "bitshuffle",
    scheduler: str = "threads", workers: int | None = None, overwrite: bool = False, report: bool = False,
    progress: Progress | None = None, join_progress: Progress | None = None,
) -> ImportSummary:
    """Turn a folder of photographs into a take of one imageset.

    Parameters
    ----------
    folder : Path
        Photographs, one light each.
    manifest : Manifest
        What they are; see :func:`olatkit.io.manifests.read_manifest`.
    out : Path
        Take to write, ``NAME.olat.h5``.
    encoding : {"auto", "sqrt12", "float16", "float32"}
        How radiance is stored; auto: sqrt12 for integer pictures, float32 for float ones.
    compression, scheduler, workers, overwrite, report
        As for :func:`olatkit.jobs.ingest.ingest`.
    progress, join_progress : callable (done, total), optional
        Pictures read; pictures joined.

    Returns
    -------
    ImportSummary

    Raises
    ------
    CaptureError, ConfigError, FormatError
        Pictures, lights and manifest do not fit together. No take is left behind.
    OutputExistsError
        The take exists, or parts of an import with other settings, and ``overwrite`` is false.
    """
    folder, out = Path(folder), Path(out)
    parts = out.with_name(out.name + ".parts")
    goes_on = is_joined(parts, out)  # a run was killed when only the report was missing
    for path in (out, *([report_path(out)] if report else [])):
        refuse_existing(path, overwrite=overwrite or goes_on)
    plan = _make_plan(folder, manifest, encoding, compression)
    with running_alone(parts):
        done = _run(plan, parts, out, overwrite, (scheduler, workers), progress, join_progress)
        if report:
            write_report(out, overwrite=overwrite or goes_on)
        shutil.rmtree(parts)
    return done


def _run(
    plan: _Plan, parts: Path, out: Path, overwrite: bool, where: tuple[str, int | None], progress: Progress | None,
    join_progress: Progress | None,
) -> ImportSummary:
    """Make the parts that are missing, and join them unless that is done."""
    _store_plan(parts, plan, task_path(plan.folder, where[0]), overwrite)
    names = [parts / f"{light:06d}.h5" for light in range(len(plan.pictures))]
    if is_joined(parts, out, plan.digest):
        return _summary(plan, out, len(names))
    todo = [light for light, name in enumerate(names) if not part_is_whole(name, plan.digest)]
    run_tasks(
        _import_light, [(str(task_path(parts, where[0])), plan.digest, light) for light in todo], scheduler=where[0],
        workers=where[1], progress=progress, given=[plan.folder, out],
    )
    join_light_parts(
        names, out, plan.header, plan.digest, overwrite=overwrite, progress=join_progress,
        mark=lambda take: mark_joined(parts, take, plan.digest),
    )
    return _summary(plan, out, len(names) - len(todo))


def _summary(plan: _Plan, out: Path, resumed: int) -> ImportSummary:
    """What the take says of its lights."""
    with open_take(out) as take:
        saturated, beyond = int((take.quality & SATURATED > 0).sum()), int(take.stats["beyond_codes"].sum())
    enabled = plan.header.rig.enabled
    return ImportSummary(out, len(enabled), int((~enabled).sum()), saturated, beyond, resumed)


def _make_plan(folder: Path, manifest: Manifest, encoding: str, compression: str) -> _Plan:
    """Find pictures and lights, look at the first picture, fix the size of the take."""
    rig, pictures = find_pictures(folder, manifest)
    first = next((path for path in pictures if path is not None), None)
    if first is None:
        raise ConfigError(f"{folder}: no light is alive of {len(rig)}, so there is nothing to import")
    seen = read_photograph(first, manifest.pictures)
    size = seen.saturated.shape
    settings = manifest.pictures
    x, y, width, height = _crop(settings.crop, size)
    shape = (max(round(height * settings.scale), 1), max(round(width * settings.scale), 1))
    stored = encoding if encoding != "auto" else ("float32" if _is_float(first) else "sqrt12")
    box = (0, 0, *shape)
    if settings.mask is not None:
        mask = _fit(read_mask(folder / settings.mask, size)[y : y + height, x : x + width].astype(np.float32), shape)
        box = _bounding_box(mask > 0.5, folder / settings.mask)
    document = manifest.model_dump(mode="json")
    notes: dict[str, Any] = {"command": "import", "olatkit": __version__, "source": folder.name, "manifest": document}
    header = TakeHeader(rig, None, shape, box, 0.0, stored, compression, notes)
    content = {
        "manifest": document, "rig": rig_to_document(rig), "pictures": [_stamp(path) for path in pictures],
        "others": [_stamp(folder / name) for name in (settings.ambient, settings.mask, settings.color) if name],
        "shape": shape, "box": box, "encoding": stored, "compression": compression, "olatkit": __version__,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return _Plan(folder, pictures, manifest, header, size, digest)


def _store_plan(parts: Path, plan: _Plan, folder: Path, overwrite: bool) -> None:
    """Write the plan into the parts folder, or recognise that of an interrupted run; ``folder`` as tasks find it."""
    stored = parts / "plan.json"
    if stored.exists() and json.loads(stored.read_text(encoding="utf-8")).get("digest") != plan.digest:
        if not overwrite:
            raise OutputExistsError(
                f"{parts} holds parts of a run with other input or settings; remove that folder or pass --overwrite"
            )
        for part in parts.glob("*.h5*"):
            part.unlink()
    document = {
        "command": "import", "source": str(folder), "digest": plan.digest, "size": list(plan.size),
        "pictures": [None if path is None else path.name for path in plan.pictures],
        "manifest": plan.manifest.model_dump(mode="json"), "rig": rig_to_document(plan.header.rig),
        "shape": list(plan.header.shape), "box": list(plan.header.box), "encoding": plan.header.encoding,
        "compression": plan.header.compression,
    }
    parts.mkdir(parents=True, exist_ok=True)
    _load_plan.cache_clear()  # the same pictures may be called otherwise than before
    _load_shared.cache_clear()
    temporary = parts / "plan.json.part"
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(stored)


@lru_cache(maxsize=4)
def _load_plan(parts: str, _digest: str) -> _Plan:
    """The plan of a parts folder, read once per process and run."""
    document = json.loads((Path(parts) / "plan.json").read_text(encoding="utf-8"))
    folder = Path(document["source"])
    header = TakeHeader(
        rig_from_document(document["rig"]), None, tuple(document["shape"]), tuple(document["box"]), 0.0,
        document["encoding"], document["compression"],
    )
    pictures = tuple(None if name is None else folder / name for name in document["pictures"])
    manifest = Manifest.model_validate(document["manifest"])
    return _Plan(folder, pictures, manifest, header, tuple(document["size"]), document["digest"])


@dataclass(frozen=True, eq=False)
class _Shared:
    """What all pictures share, at the size of the take: light to subtract, subject, colour matrix."""

    ambient: np.ndarray | None
    mask: np.ndarray | None
    matrix: np.ndarray | None


@lru_cache(maxsize=4)
def _load_shared(parts: str, digest: str) -> _Shared:
    """Ambient picture, mask and matrix, read once per process and run."""
    plan = _load_plan(parts, digest)
    settings, (x, y, width, height) = plan.manifest.pictures, _crop(plan.manifest.pictures.crop, plan.size)
    ambient = mask = matrix = None
    if settings.ambient is not None:
        ambient = _developed(read_photograph(plan.folder / settings.ambient, settings), plan, settings.ambient)
    if settings.mask is not None:
        whole = read_mask(plan.folder / settings.mask, plan.size)[y : y + height, x : x + width]
        mask = _fit(whole.astype(np.float32), plan.header.shape) > 0.5
    if settings.color is not None:
        matrix = read_color_matrix(plan.folder / settings.color).astype(np.float32)
    return _Shared(ambient, mask, matrix)


def _import_light(parts: str, digest: str, light: int) -> None:
    """One photograph into its part: levels, curve, crop, size, ambient light, gain, colour, mask, codes."""
    plan, path = _load_plan(parts, digest), Path(parts) / f"{light:06d}.h5"
    shared, picture = _load_shared(parts, digest), plan.pictures[light]
    top, left, height, width = plan.header.box
    flags = 0
    if picture is None:
        linear = np.zeros((height, width, 3), np.float32)
    else:
        photograph = read_photograph(picture, plan.manifest.pictures)
        whole = _developed(photograph, plan, picture.name)
        if shared.ambient is not None:
            whole -= shared.ambient
        whole /= plan.header.rig.gains[light].astype(np.float32)
        if shared.matrix is not None:
            whole = whole @ shared.matrix.T
        clipped = _cut(photograph.saturated.astype(np.float32), plan)
        if shared.mask is not None:
            whole *= shared.mask[..., None]
            clipped = clipped[shared.mask]
        flags = SATURATED if float((clipped > 0).mean()) > SATURATED_SHARE else 0
        linear = whole[top : top + height, left : left + width]
        del photograph, whole
    codes, beyond = _encode(linear, plan.header.encoding)
    write_light_part(path, codes, plan.header, digest, quality=flags | (CLIPPED_CODES if beyond else 0), beyond=beyond)


def _developed(photograph: Photograph, plan: _Plan, name: str) -> np.ndarray:
    """Linear RGB (H, W, 3) at the size of the take."""
    if photograph.saturated.shape != plan.size:
        height, width = photograph.saturated.shape
        raise FormatError(
            f"{plan.folder / name}: {width}x{height} pixels, expected {plan.size[1]}x{plan.size[0]} like the first picture"
        )
    linear = photograph.linear
    if photograph.bayer is not None:
        linear = demosaic(np.ascontiguousarray(linear, np.float32), photograph.bayer)
    return _cut(linear, plan)


def _cut(image: np.ndarray, plan: _Plan) -> np.ndarray:
    """Crop and reduce."""
    x, y, width, height = _crop(plan.manifest.pictures.crop, plan.size)
    return _fit(np.ascontiguousarray(image[y : y + height, x : x + width]), plan.header.shape)


def _fit(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Reduce by averaging areas, which keeps light linear."""
    import cv2

    return image if image.shape[:2] == shape else cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)


def _crop(crop: tuple[int, int, int, int] | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x, y, width, height of the crop, checked against the pictures."""
    if crop is None:
        return 0, 0, size[1], size[0]
    x, y, width, height = crop
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > size[1] or y + height > size[0]:
        raise ConfigError(f"'pictures.crop' {list(crop)} reaches out of pictures of {size[1]}x{size[0]} pixels")
    return crop


def _bounding_box(mask: np.ndarray, source: Path) -> tuple[int, int, int, int]:
    """top, left, height, width of what the mask shows."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise ConfigError(f"{source}: the mask shows nothing inside 'pictures.crop'")
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1


def _encode(linear: np.ndarray, encoding: str) -> tuple[np.ndarray, int]:
    """Stored values, and how many lay beyond their range."""
    if encoding == "sqrt12":
        return radiance_codes.encode(linear)
    values = linear.astype(encoding, copy=False)
    infinite = ~np.isfinite(values)
    beyond = int(infinite.sum())
    if beyond:
        limit = np.finfo(values.dtype).max
        values = np.where(infinite, np.clip(linear, -limit, limit).astype(encoding), values)
    return values, beyond


def _is_float(path: Path) -> bool:
    """True for formats that hold linear floats."""
    return path.suffix.lower() in (".exr", ".hdr")


def _stamp(path: Path | None) -> list[Any] | None:
    """Name, size and time of change of a file: parts of other content are not reused."""
    return None if path is None else [path.name, path.stat().st_size, path.stat().st_mtime_ns]
