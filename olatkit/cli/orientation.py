"""Options that say how the files of environment maps lie, shared by the commands that read many kinds of them."""

from collections.abc import Callable
from typing import Any

import click

AXES = ("-z", "+z", "+x", "-x", "+y", "-y")


def orientation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --center, --up, --flip and --any-aspect."""
    options = (
        click.option("--center", type=click.Choice(AXES), default="-z", show_default=True,
                     help="Direction that the centre of the file shows; -z is behind the subject."),
        click.option("--up", type=click.Choice(AXES), default="+y", show_default=True,
                     help="Direction that its top row shows; -y for a file that stands on its head."),
        click.option("--flip", is_flag=True, help="Mirror left and right first, for maps drawn as seen from outside."),
        click.option("--any-aspect", is_flag=True,
                     help="Accept a large file that is not twice as wide as high, if it does cover the sphere."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def is_turned(orientation: dict[str, Any]) -> bool:
    """Whether the options say that a file lies otherwise than the maps of this package."""
    return bool((orientation["center"], orientation["up"]) != ("-z", "+y") or orientation["flip"])


def read_map(path: Any, orientation: dict[str, Any]) -> Any:
    """Read a map as its options say; axes that do not go together are wrong usage."""
    from olatkit.io.environments import file_rotation, read_environment

    try:
        file_rotation(orientation["center"], orientation["up"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return read_environment(path, **orientation)
