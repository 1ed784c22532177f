"""Who is filmed for a training set: many actors, each drawn from a seed of its own, some kept for tests."""

from dataclasses import dataclass

import numpy as np

from olatkit.errors import ConfigError
from olatkit.wording import counted

TRAIN, TEST = "train", "test"
# Actors move at this share of the nominal speed, drawn evenly: some hardly, some much.
_SPEEDS = (0.5, 1.5)


@dataclass(frozen=True)
class Actor:
    """One subject of a set.

    Attributes
    ----------
    name : str
        ``actor-01``, ...
    seed : int
        Identity, motion and speed.
    split : str
        'train' or 'test'; a subject is never in both.
    speed_px : float
        Peak image speed of the head [px/s].
    """

    name: str
    seed: int
    split: str
    speed_px: float


def usual_tests(count: int) -> int:
    """How many of ``count`` actors are for tests where nobody says: a tenth, but one from two actors up.

    A network whose subjects were all seen in training has nothing to be judged by; a single actor is to train on.
    """
    return max(count // 10, int(count > 1))


def draw_cast(count: int, test: int, *, first_seed: int = 1, speed_px: float = 60.0) -> tuple[Actor, ...]:
    """``count`` actors with the seeds ``first_seed``, ``first_seed`` + 1, ...; the last ``test`` are for tests.

    An actor of a seed is the same person in every set. Seeds are drawn from independently, so the last ones are no
    different from the others.

    Raises
    ------
    ConfigError
        No actor, or none left to train on.
    """
    if count < 1 or not 0 <= test < count:
        raise ConfigError(f"{counted(count, 'subject')} of which {test} for tests, expected at least one more than "
                          "for tests")
    digits = max(2, len(str(count)))
    actors = []
    for number in range(count):
        seed = first_seed + number
        share = np.random.default_rng([seed, 8]).uniform(*_SPEEDS)
        split = TEST if number >= count - test else TRAIN
        actors.append(Actor(f"actor-{number + 1:0{digits}d}", seed, split, float(share * speed_px)))
    return tuple(actors)
