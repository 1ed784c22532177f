"""The plan of an ingest beside its parts: workers anywhere read it, and a killed run recognises itself by it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from olatkit import __version__
from olatkit.capture.camera import Calibration
from olatkit.capture.config import IngestConfig
from olatkit.capture.plan import CapturePlan
from olatkit.capture.region import Region
from olatkit.errors import OutputExistsError
from olatkit.io.documents import rig_from_document, rig_to_document
from olatkit.io.take_writing import TakeHeader
from olatkit.schedule import schedule_from_document, schedule_to_document


def store_plan(
    parts: Path, plan: CapturePlan, header: TakeHeader, origin: tuple[Path, str | None, str], overwrite: bool
) -> str:
    """Write the plan into the parts folder, or recognise the plan of an interrupted run; returns its digest.

    ``origin`` is the source's path, its transfer curve and a digest of its content.

    Raises
    ------
    OutputExistsError
        Parts of another plan lie there and ``overwrite`` is False.
    """
    source, transfer, content = origin
    document = {
        "source": str(source),
        "content": content,
        "transfer": transfer,
        "rig": rig_to_document(plan.rig),
        "schedule": schedule_to_document(plan.schedule),
        "phase": plan.phase,
        "config": plan.config.model_dump(),
        "grey_peak": plan.grey_peak,
        "ambient_share": plan.ambient_share,
        "shape": list(plan.shape),
        "calibration": plan.calibration.document(),
        "encoding": header.encoding,
        "compression": header.compression,
        "olatkit": __version__,
    }
    arrays = plan.calibration.camera.arrays() | {
        "region": plan.region.mask,
        "ticks": plan.ticks,
        "good": plan.good,
        "references": plan.references,
        "skipped": plan.skipped,
    }
    hasher = hashlib.sha256(json.dumps({**document, "source": source.name}, sort_keys=True).encode())
    for name in sorted(arrays):
        hasher.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    digest = hasher.hexdigest()
    stored = parts / "plan.json"
    if stored.exists():
        old = json.loads(stored.read_text())
        if old.get("digest") != digest:
            if not overwrite:
                raise OutputExistsError(
                    f"{parts} holds parts of a run with other input or settings; remove that folder or pass --overwrite"
                )
            for part in parts.glob("*.h5*"):
                part.unlink()
    parts.mkdir(parents=True, exist_ok=True)
    np.savez(parts / "plan.npz", **arrays)  # type: ignore[arg-type]
    temporary = parts / "plan.json.part"
    temporary.write_text(json.dumps({**document, "digest": digest}))
    temporary.replace(stored)
    return digest


def stored_digest(parts: str) -> str:
    """Digest of the plan in a parts folder."""
    return str(json.loads((Path(parts) / "plan.json").read_text())["digest"])


def load_plan(parts: str) -> tuple[CapturePlan, dict[str, Any]]:
    """The plan of a parts folder and the document it was read from."""
    document = json.loads((Path(parts) / "plan.json").read_text())
    with np.load(Path(parts) / "plan.npz") as arrays:
        data = {name: arrays[name] for name in arrays.files}
    config = IngestConfig.model_validate(document["config"])
    calibration = Calibration.from_document(document["calibration"], data)
    plan = CapturePlan(
        rig_from_document(document["rig"]),
        schedule_from_document(document["schedule"]),
        config,
        calibration,
        document["phase"],
        data["ticks"],
        data["good"],
        data["references"],
        data["skipped"],
        document["grey_peak"],
        tuple(document["shape"]),
        Region(data["region"]),
        document["ambient_share"],
    )
    return plan, document
