"""What of a rendering is done, so that a killed run goes on where it was: a folder beside the output."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olatkit.errors import OutputExistsError
from olatkit.io.run_lock import LOCK


class Journal:
    """A folder that says which chunks of a piece of work are whole, and holds their parts of videos.

    Whoever uses it holds the folder by :func:`olatkit.io.run_lock.running_alone`.

    Parameters
    ----------
    folder : Path
        ``OUT.parts``, removed when the work is finished.
    settings : mapping
        JSON-like; everything that decides the output. Finished chunks of other settings are not reused.
    overwrite : bool
        Begin anew if the folder belongs to other settings; otherwise that is an OutputExistsError.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self._folder = folder
        self._plan = folder / "plan.json"
        self._text = json.dumps(settings, sort_keys=True, indent=1)
        self._digest = hashlib.sha256(self._text.encode()).hexdigest()
        if self._plan.exists() and self._found_digest() != self._digest:
            if not overwrite:
                raise OutputExistsError(
                    f"{folder} holds an unfinished rendering with other settings; finish it with the same command, "
                    "choose another output, or give --overwrite to begin anew"
                )
            self._empty()

    def _found_digest(self) -> str:
        return hashlib.sha256(self._plan.read_text(encoding="utf-8").encode()).hexdigest()

    @property
    def goes_on(self) -> bool:
        """True if an earlier run of the same work left something."""
        return self._plan.exists()

    def begin(self) -> None:
        """Make the folder and say in it what the work is, unless an earlier run did."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._plan.exists():
            temporary = self._plan.with_suffix(".part")
            temporary.write_text(self._text, encoding="utf-8")
            temporary.replace(self._plan)

    def is_done(self, chunk: int) -> bool:
        """True if a chunk is whole."""
        return (self._folder / f"{chunk:05d}.done").exists()

    def mark_done(self, chunk: int) -> None:
        """Remember that a chunk is whole."""
        (self._folder / f"{chunk:05d}.done").touch()

    def part(self, output: Path, chunk: int) -> Path:
        """Where a chunk's part of a video lies."""
        return self._folder / output.stem / f"{chunk:05d}{output.suffix}"

    def finish(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def give_up(self) -> None:
        """After an error: leave nothing unless it is worth going on from."""
        if not any(self._folder.glob("*.done")):
            self._empty()

    def _empty(self) -> None:
        """Remove all but the lock of the run that is at work here."""
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
