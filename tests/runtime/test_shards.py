"""Shards: how a task is cut, what its folder may hold, and what a second call finds there."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from kvae.errors import KvaeError
from kvae.files import locks
from kvae.runtime import shards

PLAN = shards.Plan("score", "a" * 64, 25, 10, ".csv", {"resize": False}, ["one", "two", "three"])


def missing(out, plan=PLAN):
    with shards.opened(out, plan) as found:
        return found


def test_shards_follow_one_another():
    assert PLAN.stops == [10, 20, 25]
    assert [PLAN.start(shard) for shard in range(3)] == [0, 10, 20]
    assert [PLAN.part(shard) for shard in range(3)] == [f"part-0000{shard}-of-00003.csv" for shard in range(3)]


@pytest.mark.parametrize(
    ("image_shape", "step", "size"),
    [((28, 28, 1), 1024, 65_536), ((256, 256, 3), 85, 1360), ((256, 256, 3), 256, 1280), ((9000, 9000, 4), 1, 1)],
)
def test_a_shard_is_a_multiple_of_a_batch_and_at_most_a_gibibyte(image_shape, step, size):
    assert shards.size_for(image_shape, step) == size


def test_finished_parts_are_not_missing(tmp_path):
    assert missing(tmp_path / "new") == [0, 1, 2]
    (tmp_path / "new" / PLAN.part(1)).touch()
    assert missing(tmp_path / "new") == [0, 2]
    assert shards.Plan(**json.loads((tmp_path / "new" / "plan.json").read_text())) == PLAN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verb": "encode"}, "another command: score; now encode"),
        ({"model": "b" * 64}, "another model: aaa"),
        ({"count": 26}, "another number of images: 25; now 26"),
        ({"shard_size": 11}, "another size of a shard"),
        ({"settings": {"resize": True}}, "another options"),
        ({"inputs": ["one", "other", "three"]}, "other images, or they have changed"),
    ],
)
def test_another_plan_is_refused(tmp_path, change, said):
    missing(tmp_path)
    (tmp_path / PLAN.part(1)).touch()
    before = (tmp_path / "plan.json").read_bytes()
    with pytest.raises(KvaeError, match=said):
        missing(tmp_path, replace(PLAN, **change))
    assert (tmp_path / "plan.json").read_bytes() == before


def test_files_of_a_missing_shard_may_change(tmp_path):
    """So that the user can repair a picture that could not be read, and continue."""
    missing(tmp_path)
    (tmp_path / PLAN.part(0)).touch()
    repaired = replace(PLAN, inputs=["one", "repaired", "three"])
    assert missing(tmp_path, repaired) == [1, 2]
    (tmp_path / PLAN.part(1)).touch()
    with pytest.raises(KvaeError, match="have changed since"):
        missing(tmp_path, PLAN)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"verb": "score"}', "3", '"text"', "\0"])
def test_a_damaged_plan_is_refused(tmp_path, text):
    missing(tmp_path)
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(KvaeError, match=r"plan\.json is damaged"):
        missing(tmp_path)


def test_a_plan_with_wrong_types_is_refused(tmp_path):
    missing(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps(json.loads((tmp_path / "plan.json").read_text()) | {"inputs": 3}))
    with pytest.raises(KvaeError, match=r"plan\.json is damaged"):
        missing(tmp_path)


KILLED = """
import os, sys
from pathlib import Path
from kvae.files.arrays import write_npz
from kvae.files.atomic import atomic_file

def rows():
    yield {"x": [1.0]}
    os._exit(1)

with atomic_file(Path(sys.argv[1])) as path:
    write_npz(rows(), 2, {"x": ((), "<f4")}, path)
"""


def test_files_of_killed_processes_are_removed_and_a_user_s_are_not(tmp_path):
    missing(tmp_path)
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "part-00000-of-00003.npz")], check=False)
    assert len([path for path in tmp_path.iterdir() if path.name.endswith(".kvae-lock")]) == 3
    kept = {
        ".notes.2024.old", ".backup.20240101.tmp", ".part-1", ".plan.bak", ".part-time-job.txt", ".plan.7.tmp.json",
        f".thesis.{'a' * 32}.tmp", ".mine.kvae-lock",
    }  # fmt: skip
    for name in kept:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".kvae-backup").mkdir()
    (tmp_path / ".kvae-backup" / "thesis.txt").write_text("years of work")
    assert missing(tmp_path) == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"plan.json", locks.FILE, ".kvae-backup", *kept}
    assert (tmp_path / ".kvae-backup" / "thesis.txt").read_text() == "years of work"


def test_other_folders_and_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(KvaeError, match=r"holds other files, .* no plan\.json"):
        missing(tmp_path)
    for out in (tmp_path / "thesis.txt", tmp_path / "codes.npz"):
        with pytest.raises(KvaeError, match="written to a folder"):
            missing(out)
    with pytest.raises(KvaeError, match="cannot write"):
        missing(tmp_path / "thesis.txt" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_processes_at_a_time_are_refused(tmp_path):
    with shards.opened(tmp_path, PLAN), pytest.raises(KvaeError, match="is being written by process"):
        missing(tmp_path)
