"""What may be shown on the page "Why the KL", and what is said of a folder that may not."""

import json
import shutil
from dataclasses import replace

import pytest
from comparison_folder import CONFIG, WEIGHTS, result, write_run

from kvae.errors import KvaeError
from kvae.explorer import points
from kvae.runs import files as run_files
from kvae.runs import layout


def test_models_come_by_rising_weight_with_the_numbers_of_the_comparison(why_kl_folder):
    found = points.read(why_kl_folder)
    assert [point.config.entropy_weight for point in found] == sorted(WEIGHTS)
    zero, kl, two = found
    assert [point.figures["loss"]["value"] for point in found] == [100.0, 101.0, 102.0]
    assert two.figures["nll"] == {"value": 117.0, "standard_error": 0.25}
    assert [point.nll_is_believable for point in found] == [False, True, True]
    assert (kl.difference, zero.difference) == (None, {"value": 1.5, "standard_error": 0.25})
    assert {point.importance_samples for point in found} == {7}
    assert all(point.bundle.manifest.latent_dim == 2 for point in found)


def test_a_folder_without_a_comparison_is_named_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(KvaeError, match=r"no results\.json\. kvae compare --vary entropy_weight"):
        points.read(tmp_path)


@pytest.mark.parametrize("content", ["[]", '{"results": 3}', '{"results": [1]}', '{"results": [{"run": "a"}]}', "{"])
def test_results_of_anything_else_are_refused(tmp_path, content):
    (tmp_path / layout.COMPARISON).write_text(content)
    with pytest.raises(KvaeError, match=r"results\.json"):
        points.read(tmp_path)


def rewritten(folder, target, change):
    """A copy of the comparison with changed results."""
    shutil.copytree(folder, target)
    found = json.loads((target / layout.COMPARISON).read_text())
    found["results"] = change(found["results"])
    run_files.write_json(target / layout.COMPARISON, found)
    return target


def test_both_ends_must_be_there(why_kl_folder, tmp_path):
    folder = rewritten(why_kl_folder, tmp_path / "c", lambda results: results[:1])
    with pytest.raises(KvaeError, match=r"entropy weights 0 and 1, but .* has 1\."):
        points.read(folder)


def test_a_weight_that_occurs_twice_is_refused(why_kl_folder, tmp_path):
    folder = rewritten(why_kl_folder, tmp_path / "c", lambda results: [*results, results[0]])
    with pytest.raises(KvaeError, match="twice"):
        points.read(folder)


def test_a_run_that_was_removed_is_named(why_kl_folder, tmp_path):
    folder = rewritten(why_kl_folder, tmp_path / "c", lambda results: results)
    shutil.rmtree(folder / "run2")
    with pytest.raises(KvaeError, match="run2"):
        points.read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": 2.0}, "--beta 1"),
        ({"epochs": 4}, "more than the entropy weight: epochs"),
        ({"seed": 1}, "more than the entropy weight: seed"),
    ],
)
def test_models_that_differ_in_anything_else_are_refused(why_kl_folder, tmp_path, changes, message):
    folder = rewritten(why_kl_folder, tmp_path / "c", lambda results: results)
    config = replace(CONFIG, entropy_weight=2.0, **changes)
    run_files.write_json(folder / "run2" / layout.CONFIG, config.to_dict())
    with pytest.raises(KvaeError, match=message):
        points.read(folder)


def test_codes_of_three_dimensions_have_no_plane(why_kl_folder, tmp_path):
    folder = rewritten(why_kl_folder, tmp_path / "c", lambda results: [*results, result(tmp_path / "c" / "three", 0.5)])
    write_run(folder / "three", 0.5, latent_dim=3)
    with pytest.raises(KvaeError, match="have 3 latent dimensions, not 2"):
        points.read(folder)
