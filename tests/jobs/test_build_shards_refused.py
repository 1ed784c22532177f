"""What a build of shards does not do, and how it says so."""

import json
import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from shard_builds import build, contents
from small_shards import SIZE, small_config, write_small_bank, write_sphere_take

from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.io.hdf5_files import hdf5
from olatkit.io.shard_index import read_index
from olatkit.io.shards import ShardReader
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.held_warnings import held_warnings
from olatkit.jobs.shard_plan import assign_splits, plan_shards, settings_of, take_names, write_plan
from olatkit.jobs.truth_pairs import pair_truths
from olatkit.jobs.verify_shards import verify_shards


def test_another_set_in_the_folder_is_not_replaced(built, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(built / "shards", out)
    with pytest.raises(OutputExistsError, match="other takes or settings"):
        build(built, out, config=small_config(bake=1))
    assert contents(out) == contents(built / "shards")
    build(built, out, config=small_config(bake=0, shard_imagesets=100), overwrite=True)
    assert read_index(out).baked == 0
    assert sorted(path.name for path in out.glob("shard-*.h5")) == ["shard-00000.h5", "shard-00001.h5"]
    assert verify_shards(out, scheduler="sync") == []


def test_a_build_that_made_no_shard_is_in_nobodys_way(built, tmp_path):
    """A wrong network is noticed at the first picture; other settings may then be tried, until there are shards."""
    out, wrong = tmp_path / "s", small_config(bake=2, labels={"flow": "nvidia"})
    with pytest.raises(ConfigError, match="flow 'nvidia'"):
        build(built, out, config=wrong)
    build(built, out)
    assert contents(out) == contents(built / "shards")
    (out / "index.json").unlink()
    write_plan(out, plan_shards([built / "take0.olat.h5"], wrong, bank_sha256="x"))
    with pytest.raises(OutputExistsError, match="an unfinished build of other takes or settings"):
        build(built, out)


def test_two_builds_in_one_folder_are_refused(built, tmp_path):
    out, refused = tmp_path / "s", []

    def build_again(done, _total):
        if done and not refused:
            with pytest.raises(OutputExistsError, match="another run is writing there") as caught:
                build(built, out)
            refused.append(caught.value)

    build(built, out, progress=build_again)
    assert refused
    assert contents(out) == contents(built / "shards")


def test_networks_of_the_user_count_by_content_not_by_place(tmp_path):
    """The flow network is only opened when it is used, so any bytes will do here."""
    write_sphere_take(tmp_path / "t.olat.h5", 2)
    digests = []
    for folder, content in (("a", b"x"), ("b", b"x"), ("a", b"y")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "net.onnx").write_bytes(content)
        config = small_config(labels={"flow": "onnx", "flow_onnx": str(tmp_path / folder / "net.onnx")})
        plan = plan_shards([tmp_path / "t.olat.h5"], config)
        digests.append(plan.digest)
        assert str(tmp_path) not in json.dumps(settings_of(plan.config))
    assert digests[0] == digests[1] != digests[2]
    for name in ("onnx", "flow_onnx"):
        missing = small_config(labels={name: str(tmp_path / "none.onnx")})
        with pytest.raises(ConfigError, match=rf"labels.{name}: .*none\.onnx is no file"):
            plan_shards([tmp_path / "t.olat.h5"], missing)


def test_the_backend_is_decided_once(tmp_path):
    """With truth, and without any models: what 'auto' means stands in the plan, and truth of other content counts."""
    write_sphere_take(tmp_path / "t.olat.h5", 2)
    automatic = small_config(labels={"parsing": "auto", "models": str(tmp_path / "none")})
    plan = plan_shards([tmp_path / "t.olat.h5"], automatic)
    assert plan.config.labels.parsing == "foreground"
    digests = {plan.digest}
    for value in (1, 2):
        write_truth_file(tmp_path / "truth.h5", value)
        plan = plan_shards([tmp_path / "t.olat.h5"], automatic, truths=[tmp_path / "truth.h5"])
        assert plan.config.labels.parsing == "truth"
        digests.add(plan.digest)
    assert len(digests) == 3
    build_shards([tmp_path / "t.olat.h5"], tmp_path / "s", automatic, truths=[tmp_path / "truth.h5"], scheduler="sync")
    reader = ShardReader(tmp_path / "s" / "shard-00000.h5")
    assert (reader.read("parse", 1) == 2).all()
    assert read_index(tmp_path / "s").takes[0].labels == "truth"


def test_a_refusal_comes_without_warnings(tmp_path, caplog):
    """That labels will be poor matters to a build that is made; one that is not says why in one line."""
    write_sphere_take(tmp_path / "t.olat.h5", 2)
    out, takes, labels = tmp_path / "s", [tmp_path / "t.olat.h5"], {"parsing": "auto", "models": str(tmp_path / "none")}
    with pytest.raises(ConfigError, match="smaller than the shards' 64"):
        build_shards(takes, out, small_config(size=64, labels=labels), scheduler="sync")
    assert caplog.messages == []
    build_shards(takes, out, small_config(labels=labels), scheduler="sync")
    assert [text.split(":")[0] for text in caplog.messages] == ["labels know the foreground only"]
    caplog.clear()
    with pytest.raises(OutputExistsError):
        build_shards(takes, out, small_config(tile=16, labels=labels), scheduler="sync")
    (out / "index.json").unlink()
    with pytest.raises(OutputExistsError):
        build_shards(takes, out, small_config(tile=16, labels=labels), scheduler="sync")
    assert caplog.messages == []


def test_only_warnings_are_held_back(caplog):
    log = logging.getLogger("olatkit.jobs")
    with caplog.at_level(logging.INFO), held_warnings():
        log.warning("kept")
        log.info("at once")
        assert caplog.messages == ["at once"]
    assert caplog.messages == ["at once", "kept"]


def test_warnings_are_heard_after_blocks_of_two_threads(caplog):
    """One waits for the other: who enters second and leaves last must not keep the logger cut off."""
    entered, leave = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def hold(number):
        with held_warnings():
            entered[number].set()
            leave[number].wait(10)

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(2)]
    threads[0].start()
    assert entered[0].wait(10)
    threads[1].start()
    assert not entered[1].wait(0.1)
    for thread, event in zip(threads, leave, strict=True):
        event.set()
        thread.join(10)
    logging.getLogger("olatkit.jobs").warning("heard")
    assert caplog.messages == ["heard"]


def write_truth_file(path, value):
    """Labels of a simulated take at the ticks of :func:`write_sphere_take`."""
    with hdf5().File(path, "w") as file:
        file["r_tick"], file["label"] = 40 * np.arange(2), np.full((2, SIZE, SIZE), value, np.uint8)


def test_truth_goes_to_the_take_of_its_name(tmp_path):
    """In whatever order; labels of another person would look as good as the right ones."""
    takes = [tmp_path / "a.olat.h5", tmp_path / "b.olat.h5"]
    for value, take in enumerate(takes, 1):
        write_sphere_take(take, 2)
        write_truth_file(tmp_path / f"{take.name[0]}.truth.h5", value)
    config = small_config(labels={"parsing": "truth"})
    build_shards(takes, tmp_path / "s", config, truths=[tmp_path / "b.truth.h5", tmp_path / "a.truth.h5"], scheduler="sync")
    entries = read_index(tmp_path / "s").shards
    found = {entry.take: set(np.unique(ShardReader(tmp_path / "s" / entry.file).read("parse", 0))) for entry in entries}
    assert found == {"a": {1}, "b": {2}}


def test_pairs_of_takes_and_truths():
    a, b, one, two = (Path(name) for name in ("x/t.olat.h5", "y/t.olat.h5", "x/t.truth.h5", "y/t.truth.h5"))
    assert pair_truths([a, b], [two, one]) == [one, two]  # beside their takes
    c, d = Path("c.olat.h5"), Path("d.olat.h5")
    assert pair_truths([c, d], [Path("z/d.truth.h5"), Path("z/c.truth.h5")]) == [Path("z/c.truth.h5"), Path("z/d.truth.h5")]
    free = [Path("x/truth.h5"), Path("e.truth.h5")]
    assert pair_truths([c, d], free) == free
    assert pair_truths([c, d], free[::-1]) == free[::-1]
    assert pair_truths([c, d], []) == []
    for given in ([Path("d.truth.h5"), Path("x/truth.h5")], [Path("d.truth.h5"), Path("d.truth.h5")]):
        with pytest.raises(ConfigError, match=r"^d\.truth\.h5: is the truth of d\.olat\.h5 by .* given for c\.olat\.h5"):
            pair_truths([c, d], given)


def test_new_splits_make_no_new_shards(built, tmp_path):
    build(built, tmp_path / "s", config=small_config(), bank=None)
    done = build(built, tmp_path / "s", config=small_config(splits={"test": ["take1"]}), bank=None, overwrite=True)
    assert done.kept == done.shards
    assert read_index(tmp_path / "s").splits == ("test", "train")


def test_wrong_requests_are_one_line(built, tmp_path):
    take = built / "take0.olat.h5"
    for given, said in (
        ({"config": small_config(size=64)}, "32x32, smaller than the shards' 64; pass a --size of at most 32"),
        ({"bank": None}, "give --bank"),
        ({"bank": built / "none.h5"}, "no such file"),
        ({"bank": take}, "bank"),
        ({"takes": [take, take]}, r"take0\.olat\.h5: the take was given twice; give it once"),
        ({"takes": [built / "none.olat.h5"]}, "no such take"),
        ({"takes": []}, "no takes"),
        ({"subjects": {"x": "anna"}}, "take 'x' is not given"),
        ({"config": small_config(splits={"test": ["x"]})}, "subject 'x' is unknown, expected take0, take1"),
        ({"truths": [take]}, "1 truth file for 2 takes"),
        ({"truths": [take, take]}, "truth"),
    ):
        with pytest.raises((ConfigError, FormatError), match=said) as caught:
            build(built, tmp_path / "s", **given)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("s/shard*"))


def test_a_take_that_changes_under_the_build_is_noticed(tmp_path):
    write_sphere_take(tmp_path / "t.olat.h5", 4)
    plan = plan_shards([tmp_path / "t.olat.h5"], small_config())
    (tmp_path / "t.olat.h5").unlink()
    write_sphere_take(tmp_path / "t.olat.h5", 4, comment="another take")
    assert plan_shards([tmp_path / "t.olat.h5"], small_config()).digest != plan.digest


@pytest.mark.parametrize("field, value, said", [
    ("size", 20, "size 20 is not a multiple of the tile, 8"), ("splits", {"train": 0.5}, "holds what the others leave"),
    ("splits", {"a": 1.0}, "less than 1 together"), ("sise", 8, "sise"),
])
def test_settings_are_checked(field, value, said):
    with pytest.raises(ValueError, match=said):
        small_config(**{field: value})


def test_splits_are_by_subject():
    people = [f"p{i:02d}" for i in range(36)]
    splits = assign_splits(people, {"test": 0.1}, 0)
    assert sorted(splits) == people
    held_out = {name for name, split in splits.items() if split == "test"}
    assert len(held_out) == 4
    assert assign_splits(people, {"test": 0.1}, 1) != splits
    more = assign_splits([*people, "p99"], {"test": 0.1}, 0)
    assert len({name for name, split in more.items() if split == "test"} ^ held_out) <= 2
    named = assign_splits(people, {"val": ["p01"], "test": 0.1}, 0)
    assert named["p01"] == "val"
    assert list(named.values()).count("test") == 4
    with pytest.raises(ConfigError, match="in the splits val and test"):
        assign_splits(people, {"val": ["p01"], "test": ["p01"]}, 0)


def test_takes_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / "anna" / "take.olat.h5", tmp_path / "ben" / "take.olat.h5", tmp_path / "c.olat.h5"]
    assert take_names(paths) == ["anna-take", "ben-take", "c"]
    with pytest.raises(ConfigError, match="several takes are named 'anna-take'; rename their files"):
        take_names([tmp_path / "x" / "anna" / "take.olat.h5", tmp_path / "y" / "anna" / "take.olat.h5"])


def test_a_take_given_twice_is_called_that(tmp_path, monkeypatch):
    (tmp_path / "link.olat.h5").symlink_to("c.olat.h5")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^c\.olat\.h5: the take was given twice; give it once$"):
        take_names([Path("c.olat.h5"), Path("d.olat.h5"), Path("./c.olat.h5")])
    with pytest.raises(ConfigError, match=r"^link\.olat\.h5: the take was given twice, the other time as c\.olat\.h5;"):
        take_names([Path("c.olat.h5"), Path("link.olat.h5")])


def test_a_bank_without_maps_for_the_split_is_named_before_any_work(built, tmp_path):
    bank = write_small_bank(tmp_path / "one.h5", maps=1)
    with pytest.raises(FormatError, match=r"one\.h5: no map of the bank is for 'train'"):
        build(built, tmp_path / "s", bank=bank)
