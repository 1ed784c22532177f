"""The torch renderer agrees with the compiled kernels."""

import os

import numpy as np
import pytest

from olatkit.geometry import fibonacci_directions
from olatkit.simulate.subject import Subject

LIGHTS = fibonacci_directions(5)


@pytest.fixture(scope="module", params=["torch:cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def other(request: pytest.FixtureRequest, subject: Subject) -> Subject:
    """The person of ``subject`` on another device; the mesh and its paint are the same and take seconds to make."""
    if request.param == "cuda":
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available() and not os.environ.get("OLATKIT_REQUIRE_GPU"):
            pytest.skip("no CUDA device")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Subject, "_build_model", lambda _self: subject.model)
        return Subject(3, (96, 80), speed_px=100.0, device=request.param)


def test_the_same_surface_is_seen(subject: Subject, other: Subject) -> None:
    a, b = subject.view(0.3), other.view(0.3)
    # Rounding decides about samples that lie on an edge between two triangles.
    assert (a.face == b.face).mean() > 0.999
    same = a.face == b.face
    np.testing.assert_allclose(a.depth[same], b.depth[same], atol=1e-6)


def test_the_same_picture_is_seen(subject: Subject, other: Subject) -> None:
    weights = np.random.default_rng(1).uniform(0, 1, (5, 3))
    a, b = (s.relight(s.view(0.3), LIGHTS, weights) for s in (subject, other))
    error = np.abs(a - b)
    # A sample on the edge of a triangle or a shadow may fall to the other side: few pixels, by a quarter at most.
    assert np.mean(error.max(-1) > 1e-4) < 0.01
    assert error.mean() < 2e-4 * a.mean()


def test_each_light_alone_sums_to_all(other: Subject) -> None:
    view = other.view(0.1)
    together = other.relight(view, LIGHTS, np.ones((5, 3)))
    np.testing.assert_allclose(other.olat(view, LIGHTS).sum(0), together, atol=1e-5 * together.max())


def test_a_device_repeats_itself(other: Subject) -> None:
    a, b = (other.relight(other.view(0.2), LIGHTS, np.ones((5, 3))) for _ in range(2))
    assert a.tobytes() == b.tobytes()


def test_a_missing_device_is_named() -> None:
    with pytest.raises(ValueError, match="device 'nothing' cannot be used"):
        Subject(3, (16, 16), device="nothing")
