"""One small simulated person for all tests of this folder."""

import pytest

from olatkit.simulate.subject import Subject


@pytest.fixture(scope="session")
def subject() -> Subject:
    """Seed 3 at 96x80 pixels, moving at up to 100 px/s."""
    return Subject(3, (96, 80), speed_px=100.0)
