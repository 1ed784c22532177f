"""Labels from face points and colours: geometry of the face's frame, regions, and real networks on real pictures."""

import logging
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from olatkit.vision.face_points import CHIN, FOREHEAD, JAW_LEFT, JAW_RIGHT, OVAL, fill
from olatkit.vision.face_regions import REGIONS, face_frame, region_likelihoods, region_priors
from olatkit.vision.labels import LabelConfig, make_labeller
from olatkit.vision.parsing import CLASS

SHAPE = (120, 100)


def oval_points(centre=(50, 60), half=(20, 28), turn=0.0):
    """Points of a face of which only the oval is real."""
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    points = np.zeros((468, 2))
    # The list of the oval starts at the forehead and goes round over the picture's right side.
    points[list(OVAL)] = np.stack([half[0] * np.sin(angles), -half[1] * np.cos(angles)], -1)
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]]) + centre


@given(st.floats(40, 60), st.floats(50, 70), st.floats(0.6, 1.4), st.floats(-0.6, 0.6))
@settings(max_examples=40, deadline=None)
def test_the_frame_follows_the_face(x, y, size, turn):
    points = oval_points((x, y), (20 * size, 28 * size), turn)
    frame = face_frame(points, SHAPE)
    for index, up in ((CHIN, 0), (FOREHEAD, 1)):
        column, row = np.round(points[index]).astype(int)
        if 0 <= column < SHAPE[1] and 0 <= row < SHAPE[0]:
            assert frame.up[row, column] == pytest.approx(up, abs=0.03 / size)
    for index, across in ((JAW_LEFT, -1), (JAW_RIGHT, 1)):
        column, row = np.round(points[index]).astype(int)
        assert frame.across[row, column] == pytest.approx(across, abs=0.06 / size)


def test_priors_are_shares_and_put_things_where_they_are():
    frame = face_frame(oval_points(), SHAPE)
    priors = region_priors(frame)
    np.testing.assert_allclose(priors.sum(axis=0), 1, rtol=1e-5)
    best = np.argmax(priors, axis=0)
    places = {"skin": (65, 50), "hair": (10, 50), "neck": (93, 50), "cloth": (118, 10)}
    assert {name: REGIONS[best[at]] for name, at in places.items()} == {name: name for name in places}


@given(st.floats(2, 20), st.floats(2, 20), st.floats(-5, 105), st.floats(-5, 125))
@example(2.0, 2.0, 1.25, 1.234375)
@settings(max_examples=40)
def test_filling_counts_area(width, height, x, y):
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    columns, rows = np.arange(SHAPE[1]), np.arange(SHAPE[0])
    # Share of every pixel, which reaches half a pixel to each side of its centre.
    share_x = np.clip(np.minimum(columns + 0.5, x + width) - np.maximum(columns - 0.5, x), 0, 1)
    share_y = np.clip(np.minimum(rows + 0.5, y + height) - np.maximum(rows - 0.5, y), 0, 1)
    share = share_y[:, None] * share_x
    filled = fill(corners, SHAPE)
    assert filled[share > 0.85].all()
    assert not filled[share < 0.2].any()


def painted_person():
    """A flat drawing: skin, a fringe into the face, a neck, a shirt."""
    points = oval_points()
    frame = face_frame(points, SHAPE)
    truth = np.full(SHAPE, -1)
    truth[(frame.up < -0.02) & (np.abs(frame.across) < 0.7) & (frame.up > -0.4)] = REGIONS.index("neck")
    truth[frame.up < -0.35] = REGIONS.index("cloth")
    truth[(frame.across**2 + (2 * frame.up - 1.3) ** 2 < 2.4) & (frame.up > 0.3)] = REGIONS.index("hair")
    truth[frame.oval & (frame.up < 0.88)] = REGIONS.index("skin")
    colours = np.array([(200, 150, 130), (185, 135, 115), (60, 90, 160), (70, 50, 35), (0, 0, 0)])
    image = colours[truth] + np.random.default_rng(0).normal(0, 4, (*SHAPE, 3))
    return np.clip(image, 0, 255).astype(np.uint8), truth, frame


def test_colours_move_the_borders_to_where_they_are():
    image, truth, frame = painted_person()
    person = truth >= 0
    likelihoods = region_likelihoods(image, person, frame)
    np.testing.assert_allclose(likelihoods.sum(axis=0), 1, rtol=1e-4)
    by_place = np.argmax(region_priors(frame), axis=0)
    by_colour = np.argmax(likelihoods, axis=0)
    wrong = (by_colour != truth)[person].mean()
    assert wrong < 0.06
    assert wrong < 0.5 * (by_place != truth)[person].mean()


def test_mattes_settle_what_is_uncertain():
    from olatkit.vision.region_matting import matte_regions

    truth = np.arange(60)[None, :] * np.ones((40, 1)) > 33.5
    image = np.where(truth[..., None], (180, 60, 40), (40, 60, 180)).astype(np.uint8)
    guess = np.where(truth, 0.97, 0.03)
    guess[:, 20:45] = 0.5  # nothing is known around the border
    likelihoods = np.stack([guess, 1 - guess])
    person = np.ones(truth.shape, bool)
    mattes = matte_regions(image, likelihoods, person)
    np.testing.assert_allclose(mattes.sum(axis=0), 1, atol=0.02)
    assert ((mattes[0] > 0.5) == truth).all()
    sure = np.stack([truth, ~truth]).astype(np.float32)
    assert (matte_regions(image, sure, person) == sure).all()


@pytest.fixture(scope="module")
def labeller(test_data):
    """The real networks."""
    pytest.importorskip("ai_edge_litert")
    return make_labeller(LabelConfig(parsing="landmarks", models=str(test_data / "models")))


@pytest.fixture(scope="module")
def portrait(test_data):
    import cv2

    return np.ascontiguousarray(cv2.imread(str(test_data / "portraits" / "astronaut.png"))[..., ::-1])


def centre(labels, name):
    y, x = np.nonzero(labels == CLASS[name])
    return x.mean(), y.mean()


@pytest.mark.real_data
def test_a_portrait(labeller, portrait):
    labels = labeller.parse(portrait, None)
    assert labeller.name == "landmarks"
    # Places read off the picture by eye.
    for name, (x, y) in {"hair": (225, 30), "skin": (205, 120), "nose": (226, 125), "mouth": (224, 145),
                         "neck": (212, 182), "cloth": (180, 400), "background": (450, 100)}.items():
        assert labels[y, x] == CLASS[name], name
    for name, (x, y) in {"eye_left": (203, 101), "eye_right": (246, 102), "brow_left": (200, 90)}.items():
        found = centre(labels, name)
        assert abs(found[0] - x) < 5, (name, found)
        assert abs(found[1] - y) < 5, (name, found)


@pytest.mark.real_data
def test_a_mirrored_portrait_has_mirrored_labels(labeller, portrait):
    labels = labeller.parse(portrait, None)
    mirrored = labeller.parse(np.ascontiguousarray(portrait[:, ::-1]), None)[:, ::-1]
    swap = np.arange(19)
    for a, b in ((2, 3), (4, 5), (7, 8)):
        swap[[a, b]] = b, a
    assert (swap[mirrored] == labels).mean() > 0.98
    for name in ("eye_left", "eye_right", "nose", "hair", "skin"):
        a, b = labels == CLASS[name], swap[mirrored] == CLASS[name]
        assert (a & b).sum() / (a | b).sum() > 0.7, name


@pytest.mark.real_data
def test_threads_give_the_same_labels(labeller, portrait):
    alone = labeller.parse(portrait, None)
    found = []
    threads = [threading.Thread(target=lambda: found.append(labeller.parse(portrait, None))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all((labels == alone).all() for labels in found)


@pytest.mark.real_data
def test_no_face_is_said(labeller, caplog):
    picture = np.random.default_rng(0).integers(0, 40, (128, 128, 3)).astype(np.uint8)
    foreground = np.zeros((128, 128), np.float32)
    foreground[30:90, 40:80] = 1
    with caplog.at_level(logging.WARNING):
        labels = labeller.parse(picture, foreground, 80)
    assert (labels == foreground).all()
    assert "no face was found in the picture at tick 80" in caplog.text


@pytest.mark.real_data
@pytest.mark.slow
def test_a_simulated_head_against_its_truth(labeller):
    from olatkit.color import to_srgb8
    from olatkit.rig import default_rig
    from olatkit.simulate.subject import Subject

    subject, rig = Subject(3, (256, 256)), default_rig(40)
    lit = subject.relight(subject.view(0.0), rig.directions, np.full((len(rig), 3), 4 * np.pi / len(rig)))
    alpha = subject.alpha(0.0)
    labels = labeller.parse(to_srgb8(lit * (0.25 / np.median(lit[alpha > 0.5]))), alpha)
    true = subject.labels(0.0)
    least = {"background": 0.97, "skin": 0.8, "hair": 0.75, "neck": 0.75, "cloth": 0.9, "nose": 0.5, "eye_left": 0.5,
             "eye_right": 0.5, "ear_left": 0.5, "ear_right": 0.5, "brow_left": 0.35, "brow_right": 0.35}
    for name, bar in least.items():
        a, b = labels == CLASS[name], true == CLASS[name]
        assert (a & b).sum() / (a | b).sum() > bar, name
