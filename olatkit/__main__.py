"""``python -m olatkit`` is ``olatkit``."""

from olatkit.cli.main import main

if __name__ == "__main__":
    main()
