"""Many files, many workers, resumable."""
