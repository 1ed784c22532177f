"""People of the ICT face model: different by seed, moving as flow says, and one line for a file that is none."""

from pathlib import Path

import numpy as np
import pytest

from olatkit.errors import FormatError
from olatkit.io.ict_face import VERTICES, read_ict_face
from olatkit.simulate.ict_subject import IctSubject
from olatkit.simulate.texture import LABELS


@pytest.fixture(scope="module")
def model(test_data: Path) -> Path:
    return test_data / "heads" / "ict_facekit_compact.npz"


@pytest.mark.real_data
def test_the_face_model_is_read(model: Path) -> None:
    face = read_ict_face(model)
    assert (len(face.identity), len(face.expression)) == (100, 57)
    # Triangles of the model's quads are small and lie on its surface.
    corners = face.neutral[face.corners[..., 0]]
    assert np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1).max() < 4.0


@pytest.mark.real_data
def test_people_have_faces(model: Path) -> None:
    one, other = IctSubject(model, 1, (96, 96)), IctSubject(model, 5, (96, 96))
    labels = one.labels(0.0)
    rows, columns = {}, {}
    for name in ("eye_left", "eye_right", "ear_left", "ear_right", "lip_upper", "lip_lower", "hair", "skin", "neck"):
        y, x = np.nonzero(labels == LABELS.index(name))
        assert len(y), name
        rows[name], columns[name] = y.mean(), x.mean()
    assert rows["hair"] < rows["eye_left"] < rows["lip_upper"] <= rows["lip_lower"] < rows["neck"]
    across = ("ear_left", "eye_left", "lip_upper", "eye_right", "ear_right")
    assert sorted(across, key=columns.__getitem__) == list(across)
    # Ears are bare and end where hair and cheek begin, the neck begins below the chin.
    assert abs(rows["ear_left"] - rows["eye_left"]) < 15
    assert np.nonzero(labels == LABELS.index("hair"))[0].max() < np.nonzero(labels == LABELS.index("neck"))[0].min()
    assert np.nonzero(labels == LABELS.index("skin"))[0].max() < np.nonzero(labels == LABELS.index("neck"))[0].mean()
    assert (other.labels(0.0) != labels).mean() > 0.02
    np.testing.assert_array_equal(IctSubject(model, 1, (96, 96)).labels(0.0), labels)


@pytest.mark.real_data
def test_flow_is_where_the_surface_goes(model: Path) -> None:
    subject = IctSubject(model, 2, (96, 96), speed_px=80.0)
    flow, hidden = subject.flow(0.1, 0.14)
    before, after = subject.labels(0.1), subject.labels(0.14)
    y, x = np.nonzero((before > 0) & ~hidden)
    there = np.round(np.stack([y, x], 1) + flow[y, x][:, ::-1]).astype(int).clip(0, 95)
    assert np.abs(flow).max() > 0.5
    # A label may change at its edge, where half a pixel decides.
    assert (before[y, x] == after[there[:, 0], there[:, 1]]).mean() > 0.93


@pytest.mark.real_data
def test_expression_moves_the_face_and_nothing_else_does_at_rest(model: Path) -> None:
    still = IctSubject(model, 3, (64, 64), speed_px=0.0, expression=0.0)
    lively = IctSubject(model, 3, (64, 64), speed_px=0.0)
    assert np.abs(still.flow(0.0, 0.3)[0]).max() < 1e-4
    assert np.abs(lively.flow(0.0, 0.3)[0]).max() > 0.2


def test_another_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file; expected the ICT face model"):
        read_ict_face(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(FormatError, match="no ICT face model"):
        read_ict_face(tmp_path / "text.npz")
    some = {"neutral": np.zeros((5, 3)), "delta": np.zeros((1, 5, 3)), "names": np.array(["identity000"]),
            "faces": np.zeros((1, 4), int), "uv": np.zeros((4, 2)), "faces_uv": np.zeros((1, 4), int)}
    np.savez(tmp_path / "small.npz", **some)
    with pytest.raises(FormatError, match=f"5 vertices .* expected {VERTICES} vertices"):
        read_ict_face(tmp_path / "small.npz")
