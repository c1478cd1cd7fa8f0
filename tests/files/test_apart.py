"""What is written stays apart from what is read, whatever the names are."""

import os

import pytest

from kvae.errors import KvaeError
from kvae.files import apart


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of pictures, `p`, a link to it, and a link in it that leads out."""
    monkeypatch.chdir(tmp_path)
    for name in ("p/a.png", "p/sub/b.png", "q/c.png", "lone.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("p")
    (tmp_path / "p" / "out.png").symlink_to("../lone.png")
    (tmp_path / "p" / "more").symlink_to("../q")
    os.link("p/a.png", "hard.png")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "to").symlink_to("../q")
    (tmp_path / "linked" / "lone.png").symlink_to("../lone.png")
    return tmp_path


@pytest.mark.parametrize(
    ("out", "read"),
    [
        ("p/a.png", ["p/a.png"]),
        ("p/../p/a.png", ["p/a.png"]),
        ("link/a.png", ["p/a.png"]),
        ("hard.png", ["p/a.png"]),
        ("lone.png", ["p"]),  # p has a link to it
        ("hard.png", ["p"]),
        ("p/new.png", ["p"]),
        ("p/sub/new/new.png", ["p"]),
        ("p/.hidden/new.png", ["p"]),
        ("p/new.png", ["missing", "p/../p"]),
        ("link/new.png", ["p"]),
        ("p/new.png", ["link"]),
        ("q/new.png", ["p"]),  # p has a link to the folder
        ("p", ["p"]),
        ("link", ["p"]),
        ("p", ["p/a.png", "p/sub/b.png"]),
        (".", ["p"]),
        ("q", ["p"]),
        ("new.png", ["q", "."]),
        ("new.png", ["q/.."]),
        ("new/../p/a.png", ["p/a.png"]),  # the writer follows it, though there is no folder `new`
        ("new/../p", ["p"]),
        ("lone.png/../p/new.png", ["p"]),
    ],
)
def test_an_output_over_or_among_the_inputs_is_refused(here, out, read):
    before = sorted(here.rglob("*"))
    with pytest.raises(KvaeError, match=r"Choose another --out\."):
        apart.check(here / out, *[here / name for name in read])
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("out", "read"),
    [
        ("new.png", ["p"]), ("p.png", ["p"]), ("pp/a.png", ["p"]), ("q/new.png", ["p/a.png"]), ("q", ["p/a.png"]),
        ("p/new.png", ["p/a.png"]), ("new.png", ["missing"]), ("linked", ["lone.png", "q"]),
        ("missing/new.png", ["lone.png"]),
    ],
)  # fmt: skip
def test_other_outputs_are_not(here, out, read):
    apart.check(here / out, *[here / name for name in read], None)
    apart.check(None, here / "p")


def test_a_folder_that_links_to_itself_ends(here):
    (here / "p" / "again").symlink_to(here)
    with pytest.raises(KvaeError, match="is read"):
        apart.check(here / "new.png", here / "p")
    (here / "loop.png").symlink_to("loop.png")
    apart.check(here / "loop.png", here / "q")  # the writer says what is wrong with it
