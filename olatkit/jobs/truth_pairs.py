"""Which truth file belongs to which simulated take."""

from collections.abc import Callable, Sequence
from pathlib import Path

from olatkit.errors import ConfigError
from olatkit.wording import counted

_TRUTH = ".truth.h5"


def pair_truths(takes: Sequence[Path], truths: Sequence[Path]) -> list[Path]:
    """Truth files in the order of their takes: ``NAME.truth.h5`` of ``NAME.olat.h5``, or as they were given.

    Names count if every take has a truth file of its own name, first beside it, then anywhere. Otherwise the order
    counts. No truth files stay none.

    Raises
    ------
    ConfigError
        More or fewer truth files than takes, or one of them has the name of another take than its place says.
    """
    if not truths:
        return []
    if len(truths) != len(takes):
        raise ConfigError(f"{counted(len(truths), 'truth file')} for {counted(len(takes), 'take')}, expected one for "
                          "each, in their order")
    keys: tuple[Callable[[Path], object], ...] = (_place, _stem)
    for key in keys:
        found = {key(path): path for path in truths}
        wanted = [key(path) for path in takes]
        if len(found) == len(takes) and found.keys() == set(wanted):
            return [found[each] for each in wanted]
    owners = {_stem(path): path for path in takes}
    for take, truth in zip(takes, truths, strict=True):
        # Another person's labels would look as good as the right ones.
        if _stem(truth) != _stem(take) and _stem(truth) in owners and str(truth).endswith(_TRUTH):
            raise ConfigError(f"{truth}: is the truth of {owners[_stem(truth)]} by its name, but was given for {take}; "
                              f"give truth files in the order of the takes, or one named {_stem(take)}{_TRUTH}")
    return list(truths)


def _stem(path: Path) -> str:
    """The name that a take and its truth share."""
    return Path(path).name.removesuffix(_TRUTH).removesuffix(".h5").removesuffix(".olat")


def _place(path: Path) -> tuple[Path, str]:
    return Path(path).resolve().parent, _stem(path)
