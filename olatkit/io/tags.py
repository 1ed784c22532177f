"""What a rendered file says of itself: the map, take, imageset and exposure that it shows, and the program's version."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olatkit.io.exr import EXR_MAGIC, read_exr_header
from olatkit.io.facts import Fact
from olatkit.io.png_text import SIGNATURE, read_text

# Name of every tag in files, and for people. EXR has them as attributes, PNG as texts, videos as JSON in their comment.
TAGS = {
    "environment": "lit by", "take": "take", "imageset": "imageset", "picture": "picture of its film",
    "yawDegrees": "light turned by", "lighting": "map used as", "exposureStops": "exposure",
    "displayFactor": "linear to display", "transfer": "curve", "Software": "made by",
}
_FORMS = {"yawDegrees": "{:g} degrees", "exposureStops": "{:+g} stops", "displayFactor": "x {:.4g}"}


def film_comment(tags: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Tags and settings of a video as one text."""
    return json.dumps({**tags, "render": settings}, ensure_ascii=False)


def tag_facts(path: Path, start: bytes) -> list[Fact]:
    """Facts from the tags of a picture that this package rendered, none of another; ``start`` are its first bytes."""
    if start.startswith(EXR_MAGIC):
        return _facts(read_exr_header(path))
    return _facts(read_text(path.read_bytes())) if start.startswith(SIGNATURE) else []


def film_facts(comment: str) -> list[Fact]:
    """Facts from the comment of a video that this package rendered."""
    try:
        tags = json.loads(comment)
    except ValueError:
        return []
    return _facts(tags) if isinstance(tags, dict) else []


def _facts(tags: Mapping[str, Any]) -> list[Fact]:
    if not str(tags.get("Software", "")).startswith("olatkit"):
        return []
    return [
        Fact(label, _FORMS[key].format(float(tags[key])) if key in _FORMS else str(tags[key]), f"tag_{key}", tags[key])
        for key, label in TAGS.items() if key in tags and not (key == "yawDegrees" and float(tags[key]) == 0)
    ]
