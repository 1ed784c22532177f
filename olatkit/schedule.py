"""The lighting schedule: which lights are lit in each frame of the repeating cycle."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from olatkit.errors import ConfigError
from olatkit.wording import called, counted

log = logging.getLogger(__name__)

SLOT_KINDS = ("track", "olat", "mix", "dark", "matte")


@dataclass(frozen=True)
class Slot:
    """One frame of the cycle.

    ``kind`` is one of :data:`SLOT_KINDS`. ``gain`` is the drive of all lights in a tracking slot (1 = the drive
    of a single-light frame), ``light`` the light of an ``olat`` slot, ``weights`` pairs (light, drive) of a
    ``mix`` slot.
    """

    kind: str
    light: int = -1
    gain: float = 1.0
    weights: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in SLOT_KINDS:
            raise ConfigError(f"slot kind {self.kind!r} is unknown, expected one of {', '.join(SLOT_KINDS)}")
        if not np.isfinite(self.gain) or self.gain <= 0:
            raise ConfigError(f"slot of kind '{self.kind}' has gain {self.gain!r}, expected a positive number")
        lights = [light for light, _ in self.weights]
        twice = [light for light in lights if lights.count(light) > 1]
        if twice:
            raise ConfigError(f"mix slot drives light {twice[0]} {len(twice)} times, expected once; add up its weights")


@dataclass(frozen=True)
class LightingSchedule:
    """The repeating cycle of a capture.

    Parameters
    ----------
    slots : sequence of Slot
        One cycle, P slots.
    n_lights : int
        Number of lights L of the rig.
    frame_rate_hz : float
        Camera frame rate.
    stride : int
        Frames between two imagesets (40 at 1000 fps for 25 imagesets per second).
    phase : int
        Frame index that holds slot 0, taken modulo the cycle.
    name : str
        Name shown in messages.

    Raises
    ------
    ConfigError
        A light outside 0..L-1, a light that the cycle does not make observable (it is named), no tracking slot
        with ``stride`` not usable, or numbers out of range.
    """

    slots: Sequence[Slot]
    n_lights: int
    frame_rate_hz: float = 1000.0
    stride: int = 40
    phase: int = 0
    name: str = "schedule"
    _drive: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", tuple(self.slots))
        if not self.slots:
            raise ConfigError(f"schedule '{self.name}': no frames in the cycle")
        if self.n_lights < 1:
            raise ConfigError(f"schedule '{self.name}': n_lights is {self.n_lights}, expected at least 1")
        if not np.isfinite(self.frame_rate_hz) or self.frame_rate_hz <= 0:
            raise ConfigError(f"schedule '{self.name}': fps is {self.frame_rate_hz}, expected a positive number")
        if not 1 <= self.stride <= self.cycle:
            raise ConfigError(
                f"schedule '{self.name}': stride is {self.stride}, expected 1 to the cycle length {self.cycle}"
            )
        object.__setattr__(self, "phase", int(self.phase) % self.cycle)
        drive = np.zeros((self.cycle, self.n_lights))
        for p, slot in enumerate(self.slots):
            pairs = ((slot.light, 1.0),) if slot.kind == "olat" else slot.weights if slot.kind == "mix" else ()
            for light, weight in pairs:
                if not 0 <= light < self.n_lights:
                    raise ConfigError(
                        f"schedule '{self.name}': slot {p} lights light {light}, expected 0 to {self.n_lights - 1}"
                    )
                if not np.isfinite(weight):
                    raise ConfigError(
                        f"schedule '{self.name}': slot {p} drives light {light} with {weight}, expected a number"
                    )
                drive[p, light] += weight
            if slot.kind == "track":
                drive[p] = slot.gain
        drive.setflags(write=False)
        object.__setattr__(self, "_drive", drive)
        self._check_observable()

    def _check_observable(self) -> None:
        """Every light must be recoverable from the coded slots of one cycle, else the missing ones are named."""
        coded = self._drive[self.coded_slots]
        unlit = np.flatnonzero(~(np.abs(coded) > 0).any(axis=0)) if coded.size else np.arange(self.n_lights)
        if unlit.size:
            shown = ", ".join(map(str, unlit[:5])) + (" ..." if unlit.size > 5 else "")
            raise ConfigError(
                f"schedule '{self.name}': light {shown} never has its own slot "
                f"({self.n_lights - unlit.size} of {self.n_lights} covered). Add a slot or remove the light from the rig."
            )
        if self.is_multiplexed:
            rank = int(np.linalg.matrix_rank(coded))
            if rank < self.n_lights:
                raise ConfigError(
                    f"schedule '{self.name}': the mix slots separate only {rank} of {self.n_lights} lights "
                    "(their drive matrix is singular). Change the patterns, e.g. to an S-matrix."
                )

    @property
    def cycle(self) -> int:
        """Frames in one cycle, P."""
        return len(self.slots)

    @property
    def kinds(self) -> np.ndarray:
        """Kind of every slot, shape (P,), array of str."""
        return np.array([slot.kind for slot in self.slots])

    @property
    def tracking_slots(self) -> np.ndarray:
        """Indices of the tracking slots, ascending."""
        return np.flatnonzero(self.kinds == "track")

    @property
    def coded_slots(self) -> np.ndarray:
        """Indices of the slots that observe lights (``olat`` and ``mix``), ascending."""
        return np.flatnonzero(np.isin(self.kinds, ("olat", "mix")))

    @property
    def is_multiplexed(self) -> bool:
        """True if any slot lights a mix, so that lights come from an inversion."""
        return bool((self.kinds == "mix").any())

    @property
    def drive(self) -> np.ndarray:
        """Linear drive of each light in each slot, shape (P, L); tracking rows hold their gain."""
        return self._drive

    @property
    def slot_lights(self) -> np.ndarray:
        """Light of each ``olat`` slot and -1 elsewhere, shape (P,)."""
        return np.array([slot.light if slot.kind == "olat" else -1 for slot in self.slots])

    @property
    def light_slots(self) -> list[np.ndarray]:
        """For each light the ``olat`` slots that show it alone, ascending."""
        lights = self.slot_lights
        return [np.flatnonzero(lights == light) for light in range(self.n_lights)]

    @property
    def tracking_gain(self) -> float:
        """Drive g_T of the tracking slots; they must all share one."""
        gains = {self.slots[p].gain for p in self.tracking_slots}
        if len(gains) != 1:
            raise ConfigError(f"schedule '{self.name}': tracking gains {sorted(gains)}, expected exactly one value")
        return gains.pop()

    def __repr__(self) -> str:
        return (
            f"LightingSchedule('{self.name}', cycle {self.cycle}, stride {self.stride}, {self.n_lights} lights, "
            f"{len(self.tracking_slots)} tracking slots, {self.frame_rate_hz:g} fps, phase {self.phase})"
        )


def default_114(tracking_gain: float = 0.034) -> LightingSchedule:
    """The default cycle of 120 frames: 6 x (1 tracking + 19 single-light frames), order ``default_rng(114)``.

    Neighbouring slots light far-apart lights, which makes the phase unambiguous and turns residual displacement
    into noise instead of a shift. The paper does not publish its schedule; its counts (147 imagesets from a take
    of 6 s) agree with this one.
    """
    order = np.random.default_rng(114).permutation(114)
    return grouped_schedule(order, group=19, tracking_gain=tracking_gain, name="default-114")


def grouped_schedule(
    order: Sequence[int] | np.ndarray,
    *,
    group: int,
    tracking_gain: float,
    stride: int = 40,
    frame_rate_hz: float = 1000.0,
    name: str = "grouped",
) -> LightingSchedule:
    """A cycle of ``len(order) / group`` runs, each one tracking frame and ``group`` single-light frames."""
    slots: list[Slot] = []
    for i, light in enumerate(order):
        if i % group == 0:
            slots.append(Slot("track", gain=tracking_gain))
        slots.append(Slot("olat", light=int(light)))
    return LightingSchedule(slots, len(order), frame_rate_hz, stride, 0, name)


def mixed_schedule(
    patterns: np.ndarray,
    *,
    group: int,
    tracking_gain: float,
    drive: float = 1.0,
    stride: int = 40,
    frame_rate_hz: float = 1000.0,
    name: str = "mixed",
) -> LightingSchedule:
    """A cycle that lights ``patterns`` (S, L) of drives 0..1 one after another, a tracking frame before each ``group``."""
    slots: list[Slot] = []
    for i, row in enumerate(np.asarray(patterns, float)):
        if i % group == 0:
            slots.append(Slot("track", gain=tracking_gain))
        slots.append(Slot("mix", weights=tuple((int(l), float(row[l] * drive)) for l in np.flatnonzero(row))))
    return LightingSchedule(slots, np.shape(patterns)[1], frame_rate_hz, stride, 0, name)


# First rows of four symmetric circulants of order 29 (Williamson form); found by search, checked in the tests.
_WILLIAMSON_29 = (
    "+++--++-+-++------++-+-++--++",
    "++--++--+-++------++-+--++--+",
    "+++-+-++---+-++++-+---++-+-++",
    "+-+++++-+++-+----+-+++-+++++-",
)


def hadamard_116() -> np.ndarray:
    """A Hadamard matrix of order 116, shape (116, 116), entries ±1, H Hᵀ = 116 I.

    Neither Sylvester's nor Paley's construction reaches 116; this one is Williamson's (Duke Math. J. 11, 1944).
    """
    a, b, c, d = (
        np.stack([np.roll([1 if s == "+" else -1 for s in row], k) for k in range(29)]) for row in _WILLIAMSON_29
    )
    return np.block([[a, b, c, d], [-b, a, -d, c], [-c, d, a, -b], [-d, -c, b, a]])


def s_matrix_115() -> np.ndarray:
    """The S-matrix of order 115, entries 0 and 1, 58 ones per row; its last column is dropped for 114 lights."""
    h = hadamard_116()
    h = h * h[0][None]
    h = h * h[:, :1]
    return (1 - h[1:, 1:]) / 2


def multiplexed_114(tracking_gain: float = 0.034, drive: float = 1.0) -> LightingSchedule:
    """The coded default: 5 x (1 tracking + 23 S-matrix frames) = 120 frames for 114 lights.

    Pays only when single-light frames are read-noise limited (5.4x less noise at equal exposure, no photon noise).
    """
    return mixed_schedule(
        s_matrix_115()[:, :114], group=23, tracking_gain=tracking_gain, drive=drive, name="s-matrix-114"
    )


def schedule_to_document(schedule: LightingSchedule) -> dict:
    """The schedule as the JSON document of ``docs/capture.md``."""
    frames: list[dict] = []
    for slot in schedule.slots:
        item: dict = {"k": slot.kind}
        if slot.kind == "track":
            item["gain"] = slot.gain
        elif slot.kind == "olat":
            item["l"] = slot.light
        elif slot.kind == "mix":
            item["w"] = {str(light): weight for light, weight in slot.weights}
        frames.append(item)
    return {
        "version": 1,
        "name": schedule.name,
        "fps": schedule.frame_rate_hz,
        "cycle": schedule.cycle,
        "stride": schedule.stride,
        "n_lights": schedule.n_lights,
        "phase": schedule.phase,
        "frames": frames,
    }


def schedule_from_document(document: Mapping, *, source: str = "schedule") -> LightingSchedule:
    """Build a schedule from its JSON document; unknown keys are ignored, wrong values are a ConfigError."""
    for key in ("fps", "cycle", "stride", "n_lights", "frames"):
        if key not in document:
            raise ConfigError(f"{source}: key '{key}' is missing, expected fps, cycle, stride, n_lights, frames")
    if document.get("version", 1) != 1:
        raise ConfigError(f"{source}: schedule version {document['version']}, expected 1; update olatkit")
    frames = document["frames"]
    if not isinstance(frames, list) or len(frames) != document["cycle"]:
        found = f"{counted(len(frames), 'frame')} listed" if isinstance(frames, list) else f"'frames' is {called(frames)}"
        raise ConfigError(f"{source}: {found}, expected the cycle length {document['cycle']}")
    slots = []
    for p, item in enumerate(frames):
        try:
            weights = tuple((int(light), float(w)) for light, w in dict(item.get("w", {})).items())
            slots.append(Slot(str(item["k"]), int(item.get("l", -1)), float(item.get("gain", 1.0)), weights))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ConfigError(f"{source}: frame {p} is {item!r}: {error}") from error
    try:
        return LightingSchedule(
            slots,
            int(document["n_lights"]),
            float(document["fps"]),
            int(document["stride"]),
            int(document.get("phase", 0)),
            str(document.get("name", source)),
        )
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{source}: {error}") from error
