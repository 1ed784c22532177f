"""Imagesets of a take for rendering: only their stored region, one read ahead of the one in use."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np

from olatkit.errors import ConfigError
from olatkit.imageset import Imageset
from olatkit.rig import LightRig
from olatkit.wording import counted


class Take(Protocol):
    """What rendering needs of a take: its imagesets and its rig."""

    @property
    def rig(self) -> LightRig: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Imageset: ...


@runtime_checkable
class StoredTake(Protocol):
    """A take on disk, which can be read without the black around its region of interest."""

    shape: tuple[int, int]
    box: tuple[int, int, int, int]

    def read_box(self, index: int) -> np.ndarray: ...


@runtime_checkable
class CodedTake(StoredTake, Protocol):
    """One that can also be read as it is stored, in codes of 12 bits if ``encoding`` is 'sqrt12'."""

    encoding: str

    def read_codes(self, index: int) -> np.ndarray: ...


class ImagesetReader:
    """Reads images (L, h, w, 3) of a take's region, and puts pictures of the region back into the whole frame.

    Parameters
    ----------
    take : Take
        One that has ``read_box``, ``shape`` and ``box``, as takes on disk do, is read without what lies outside.
    rig : LightRig
        Its number of lights is checked.
    codes : bool
        Give codes where the take holds them, which is half the memory.
    """

    def __init__(self, take: Take, rig: LightRig, *, codes: bool = False) -> None:
        self._take, self._rig = take, rig
        self.coded = codes and isinstance(take, CodedTake) and take.encoding == "sqrt12"

    def read(self, index: int) -> np.ndarray:
        """Images of all lights, (L, h, w, 3), float32 or codes; a ConfigError if they are not as many as in the rig."""
        stored = self._take
        if self.coded and isinstance(stored, CodedTake):
            images = stored.read_codes(index)
        else:
            images = stored.read_box(index) if isinstance(stored, StoredTake) else self._take[index].radiance
        if len(images) != len(self._rig):
            raise ConfigError(f"the take has {counted(len(images), 'light')}, its rig '{self._rig.name}' has "
                              f"{len(self._rig)}")
        return images

    def read_ahead(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """Images in the given order; a thread decodes the next imageset while the caller works on one."""
        with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
            waiting = pool.submit(self.read, indices[0]) if indices else None
            for following in [*indices[1:], None]:
                assert waiting is not None
                images = waiting.result()
                waiting = pool.submit(self.read, following) if following is not None else None
                yield images
                del images  # at most two imagesets are in memory: the one in use and the one being read

    def whole_frame(self, picture: np.ndarray) -> np.ndarray:
        """A picture (h, w, 3) of the region in its place in the frame, black around it."""
        if not isinstance(self._take, StoredTake):
            return picture
        height, width = self._take.shape
        top, left, h, w = self._take.box
        if (h, w) == (height, width):
            return picture
        frame = np.zeros((height, width, 3), np.float32)
        frame[top : top + h, left : left + w] = picture
        return frame
