"""Words of messages and reports that depend on values."""

from collections.abc import Mapping, Sequence


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: '1 shard', '2 shards'; ``plural`` where an added s is not enough."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def called(value: object) -> str:
    """What a value of a YAML or JSON document is called: 'plain text', 'a list'."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (str, "plain text"), (bool, "yes or no"), ((int, float), "a number"), (Mapping, "keys and values"),
        (Sequence, "a list"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "nothing" if value is None else "a date")


def reason(error: Exception) -> str:
    """Why an entry of a document could not be read, in words."""
    return f"key {error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
