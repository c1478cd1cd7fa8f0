"""Where a new run may begin."""

import pytest

from kvae.config import TrainConfig
from kvae.errors import KvaeError
from kvae.files import locks
from kvae.runs import beginning


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json"], "already holds a run: kvae train --resume .* continues it"),
        (["config.json", "metrics.json", "history.csv", "bundle/manifest.json"], "already holds a run: it is finished"),
        (["thesis.txt"], "is not an empty folder"),
    ],
)
def test_a_folder_that_holds_anything_is_refused_and_left_alone(tmp_path, names, message):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(KvaeError, match=message):
        beginning.check(tmp_path, TrainConfig())
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(names)


def test_a_new_an_empty_and_an_abandoned_folder_can_be_used(tmp_path):
    beginning.check(tmp_path / "new", TrainConfig())
    beginning.check(tmp_path, TrainConfig())
    (tmp_path / "environment.json").write_text("{}")  # of a process that was killed before it wrote the settings
    (tmp_path / locks.FILE).touch()
    beginning.check(tmp_path, TrainConfig())
    assert not (tmp_path / "new").exists()


def test_a_folder_in_use_or_among_the_images_is_refused(tmp_path):
    with locks.held(tmp_path), pytest.raises(KvaeError):
        beginning.check(tmp_path, TrainConfig())
    (tmp_path / "pngs").mkdir()
    with pytest.raises(KvaeError, match="pngs"):
        beginning.check(tmp_path / "pngs" / "run", TrainConfig(data=str(tmp_path / "pngs")))


def test_the_default_folder_names_data_set_and_architecture():
    folder = beginning.default_folder(TrainConfig(dataset="mnist"))
    assert folder.parent.name == "runs" and folder.name.startswith("mnist-conv-")
