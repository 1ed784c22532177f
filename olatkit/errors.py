"""The errors that olatkit raises on purpose.

Each is also the builtin that a caller would expect, so that ``except ValueError`` works. The message is one
line: what was wrong (its value), what was expected, where, and what to try.
"""


class OlatkitError(Exception):
    """Base of every error that the command line turns into one line and exit code 1."""


class FormatError(OlatkitError, ValueError):
    """A file is damaged, truncated, of another format or of a newer version."""


class CaptureError(OlatkitError, ValueError):
    """A stream, rig and schedule cannot be made into imagesets."""


class ConfigError(OlatkitError, ValueError):
    """A configuration value or key is wrong."""


class OutputExistsError(OlatkitError, FileExistsError):
    """The output is already there and the user did not ask to overwrite it."""


class TrainingError(OlatkitError, RuntimeError):
    """A training cannot go on: a loss is not finite, or the memory does not suffice."""
