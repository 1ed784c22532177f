"""The mark beside the parts of a take that says: they are joined, and what is left is the report.

A run that is killed after its take was whole finds the mark, and neither makes the take again nor refuses to go on because
its own take is there.
"""

import json
from pathlib import Path

from olatkit.io.outputs import whole_file

MARK = "joined.json"


def mark_joined(parts: Path, take: Path, digest: str) -> None:
    """Say in the folder ``parts`` that the run ``digest`` has made ``take``, which may be renamed after that."""
    with whole_file(parts / MARK, overwrite=True) as part:
        part.write_text(json.dumps(_stamp(take) | {"digest": digest}), encoding="utf-8")


def is_joined(parts: Path, take: Path, digest: str | None = None) -> bool:
    """True if ``take`` is the one that the mark means, made by the run ``digest`` (any if None), and untouched since."""
    try:
        mark = json.loads((parts / MARK).read_text(encoding="utf-8"))
        stamp = _stamp(take)
    except (OSError, ValueError):
        return False
    if not isinstance(mark, dict):
        return False
    made_by = mark.pop("digest", None)
    return mark == stamp and digest in (None, made_by)


def _stamp(take: Path) -> dict[str, int]:
    status = take.stat()
    return {"bytes": status.st_size, "changed_ns": status.st_mtime_ns}
