"""A training set of simulated actors: takes that are exact, resumed without a trace, and read by build-shards."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from olatkit.cli.simulate import command
from olatkit.errors import ConfigError, OutputExistsError
from olatkit.io.codes import MAX_RADIANCE, SCALE
from olatkit.io.documents import write_rig, write_schedule
from olatkit.io.shard_set import ShardSet
from olatkit.io.takes import open_take
from olatkit.io.truth_labels import read_truth_labels
from olatkit.jobs import exact_takes
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.jobs.simulate_set import SetPlan, simulate_set
from olatkit.rig import default_rig
from olatkit.schedule import grouped_schedule
from olatkit.simulate.cast import draw_cast
from olatkit.simulate.stage import Stage
from olatkit.simulate.subject import Subject

SIZE = 32


def _plan(subjects: int = 2, imagesets: int = 2) -> SetPlan:
    schedule = grouped_schedule(np.arange(6), group=3, tracking_gain=0.2, stride=4)
    return SetPlan(draw_cast(subjects, subjects // 2, first_seed=5), default_rig(6), schedule, imagesets, (SIZE, SIZE))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    simulate_set(_plan(), folder, scheduler="sync")
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of a single actor, made in half the time."""
    folder = tmp_path_factory.mktemp("one")
    simulate_set(_plan(1), folder, scheduler="sync")
    return folder


@pytest.mark.slow
def test_takes_are_exact(made: Path) -> None:
    plan = _plan()
    actor = plan.actors[1]
    stage = Stage(Subject(actor.seed, plan.size, speed_px=actor.speed_px), plan.rig, plan.schedule)
    take = open_take(made / "actor-02.olat.h5")
    assert (len(take), take.shape) == (2, (SIZE, SIZE))
    assert (take.notes["subject"], take.notes["split"], take.notes["actor"]["subject_seed"]) == ("actor-02", "test", 6)
    for index, tick in enumerate((0, 4)):
        exact = stage.olat(tick)
        # Half a step of the codes, which grows with the root of the radiance.
        slack = 1.01 * np.sqrt(np.minimum(exact, MAX_RADIANCE) + 0.02) / SCALE + 1e-5
        assert (np.abs(take[index].radiance - exact) <= slack).all()
        np.testing.assert_allclose(take[index].full, exact.sum(0), atol=1e-4)
        labels = read_truth_labels(made / "actor-02.truth.h5")
        np.testing.assert_array_equal(labels[tick], stage.subject.labels(tick / 1000))


def test_actors_differ_and_keep_their_names_when_the_cast_grows() -> None:
    small, large = draw_cast(4, 1), draw_cast(9, 1)
    assert [(a.name, a.seed, a.speed_px) for a in small] == [(a.name, a.seed, a.speed_px) for a in large[:4]]
    assert [a.split for a in small] == ["train", "train", "train", "test"]
    assert len({a.speed_px for a in large}) == 9
    with pytest.raises(ConfigError, match="3 subjects of which 3 for tests"):
        draw_cast(3, 3)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_and_leaves_no_trace(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    render = exact_takes.exact_imageset

    def fail_later(stage: Stage, tick: int) -> tuple:
        if len(rendered) == 3:
            raise KeyboardInterrupt
        rendered.append(tick)
        return render(stage, tick)

    monkeypatch.setattr(exact_takes, "exact_imageset", fail_later)
    with pytest.raises(KeyboardInterrupt):
        simulate_set(_plan(), tmp_path, scheduler="sync")
    monkeypatch.setattr(exact_takes, "exact_imageset", lambda stage, tick: rendered.append(tick) or render(stage, tick))
    said: list[str] = []
    done = simulate_set(_plan(), tmp_path, scheduler="sync", say=said.append)
    assert said == ["kept from an earlier run: 1 of 2 takes"]
    assert (len(rendered), done.kept) == (4, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in made.iterdir())
    for path in made.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_takes_made_otherwise_are_not_replaced(one: Path) -> None:
    before = (one / "actor-01.olat.h5").read_bytes()
    with pytest.raises(OutputExistsError, match=r"actor-01\.olat\.h5: was made with other settings"):
        simulate_set(_plan(1, 3), one, scheduler="sync")
    assert (one / "actor-01.olat.h5").read_bytes() == before


def test_build_shards_reads_a_take_and_its_truth(one: Path, tmp_path: Path) -> None:
    config = ShardConfig.model_validate({**yaml.safe_load((one / "shards.yaml").read_text()), "matte": False})
    truths = [one / "actor-01.truth.h5"]
    build_shards([one / "actor-01.olat.h5"], tmp_path / "set", config, truths=truths, scheduler="sync")
    shards = ShardSet(tmp_path / "set", "train")
    assert [take.subject for take in shards.takes] == ["actor-01"]
    assert shards.index.size == SIZE
    reader, row = shards.locate("actor-01", 0)
    assert {0, 1} <= set(np.unique(reader.read("parse", row)).tolist())


@pytest.mark.slow
def test_build_shards_reads_the_set(made: Path, tmp_path: Path) -> None:
    takes = sorted(made.glob("*.olat.h5"))
    config = ShardConfig.model_validate({**yaml.safe_load((made / "shards.yaml").read_text()), "matte": False})
    truths = [path.with_name(path.name.replace(".olat.", ".truth.")) for path in takes]
    build_shards(takes, tmp_path / "set", config, truths=truths, scheduler="sync")
    shards = ShardSet(tmp_path / "set", "test")
    assert [take.subject for take in shards.takes] == ["actor-02"]
    assert shards.index.size == SIZE
    reader, row = shards.locate("actor-02", 0)
    assert {0, 1} <= set(np.unique(reader.read("parse", row)).tolist())


@pytest.mark.slow
def test_the_command_makes_takes_or_recordings(tmp_path: Path) -> None:
    write_rig(tmp_path / "rig.json", default_rig(6))
    write_schedule(tmp_path / "cycle.json", _plan().schedule)
    lights = ["--rig", str(tmp_path / "rig.json"), "--schedule", str(tmp_path / "cycle.json"), "--size", "32"]

    def run(*words: str) -> str:
        done = CliRunner().invoke(command, [*words, *lights], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    made = ["--subjects", "2", "--imagesets", "1", "--scheduler", "sync"]
    assert "2 imagesets of 2 subjects, 1 for tests" in run(str(tmp_path / "a"), *made)
    assert "2 imagesets of 2 subjects, 0 for tests" in run(str(tmp_path / "none"), *made, "--test-subjects", "0")
    stream = [str(tmp_path / "b"), "--subjects", "1", "--as", "streams", "--seconds", "0.02", "--truth", "1"]
    run(*stream)
    assert {p.name for p in (tmp_path / "b" / "actor-01").iterdir()} == {
        "take.cine", "rig.json", "schedule.json", "truth.h5"
    }
    assert "actor-01 is kept" in run(*stream)


def test_a_set_has_an_actor_for_tests_unless_it_has_one_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def note(_context: object, _out: Path, counts: tuple[int, int, int], *_: object) -> None:
        drawn.append(counts[:2])

    monkeypatch.setattr("olatkit.cli.simulate_set.make_set", note)
    for words in (["1"], ["2"], ["9"], ["20"], ["36"], ["9", "--test-subjects", "0"], ["9", "--test-subjects", "3"]):
        done = CliRunner().invoke(command, [str(tmp_path / "out"), "--subjects", *words])
        assert done.exit_code == 0, done.output
    assert drawn == [(1, 0), (2, 1), (9, 1), (20, 2), (36, 3), (9, 0), (9, 3)]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--subjects", "2", "--crosstalk", "0.1"], "--crosstalk is for recordings"),
        (["--subjects", "2", "--mesh", "head.obj"], "--mesh films one mesh"),
        (["--imagesets", "3"], "--imagesets is for a set of actors"),
    ],
)
def test_options_without_effect_are_refused(words: list[str], why: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, [str(tmp_path / "out"), *words])
    assert done.exit_code == 2
    assert why in done.output
    assert not (tmp_path / "out").exists()
