"""Words of messages and reports that depend on numbers."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: '1 shard', '2 shards'; ``plural`` where an added s is not enough."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
