"""Files of strangers, mutated: the readers give a result, or one line that says what is wrong.

`tests/fuzz/run.py` does the same for as many inputs as one has time for.
"""

import functools
import random

import pytest
from fuzz import mutations, readers, run

pytestmark = pytest.mark.slow

FRESH = 150
"""Inputs per reader that are made anew."""
FRESH_OF_SLOW = {"verify": 20, "run": 40, "cache": 60, "checkpoint": 8}
"""The same for readers of which an input takes longer."""

REFUSED = {
    "data": {"cmyk.jpg", "palette.gif", "palette.png", "plain.ppm"},
    "images": {"cmyk.jpg", "palette.gif", "palette.png"},
}
"""Whole pictures whose colours the readers refuse to guess: transparent palettes, CMYK, and colour for a grey model."""


@functools.cache
def findings(reader):
    """What came of a reader's seeds, of what is kept, by name, and of some new inputs, by number: in one process."""
    seeds, kept = readers.seeds(reader), readers.corpus(reader)
    count = FRESH_OF_SLOW.get(reader, FRESH)
    contents = [*seeds, *kept.values(), *run.inputs(reader, count, seed=2026)]
    found = [finding for _, finding in run.campaign(reader, contents)]
    assert len(found) == len(seeds) + len(kept) + count
    of_seeds, rest = found[: len(seeds)], found[len(seeds) :]
    return of_seeds, dict(zip(kept, rest, strict=False)), dict(enumerate(rest[len(kept) :]))


@pytest.mark.parametrize("reader", [name for name in readers.READERS if name not in REFUSED])
def test_seeds_are_accepted(reader):
    outcomes = [finding.outcome for finding in findings(reader)[0]]
    assert outcomes == ["accepted"] * len(outcomes)


@pytest.mark.parametrize("reader", REFUSED)
def test_seeds_that_can_be_read_are_accepted(reader):
    folders = readers.SEEDS_OF.get(reader, (reader,))
    names = [path.name for folder in folders for path in sorted((readers.SEEDS / folder).iterdir())]
    outcomes = [finding.outcome for finding in findings(reader)[0]]
    refused = {name for name, outcome in zip(names, outcomes, strict=True) if outcome == "refused"}
    assert refused == REFUSED[reader]
    assert set(outcomes) == {"accepted", "refused"}


@pytest.mark.parametrize("reader", readers.READERS)
def test_nothing_breaks_a_reader(reader):
    """What once did, what is refused for each of many reasons, and some new inputs."""
    _, kept, fresh = findings(reader)
    assert {name: finding for name, finding in (kept | fresh).items() if finding.failed} == {}


@pytest.mark.parametrize("reader", [name for name in readers.READERS if name not in ("lock", "checkpoint", "cache")])
def test_what_is_kept_is_refused_for_many_reasons(reader):
    """The corpus reaches deep: it would be of little use if all of it failed at the first byte."""
    _, kept, _ = findings(reader)
    messages = {run.gist(finding.message) for finding in kept.values()}
    assert len(messages) >= min(8, len(kept))


def test_an_input_depends_on_its_number_alone():
    assert list(run.inputs("idx", 5, 3)) == list(run.inputs("idx", 9, 3))[:5]
    assert list(run.inputs("idx", 9, 3)) != list(run.inputs("idx", 9, 4))
    rng = random.Random(0)
    seed = readers.seeds("images")[0]
    assert sum(mutations.mutate(rng, [seed]) != seed for _ in range(50)) > 40


FAILING = {
    "crash": "import os; os.kill(os.getpid(), 11)",
    "hang": "import time; time.sleep(60)",
    "memory": "b'x' * 12 * 10**8",
    "error": "1 / 0",
    "message": "from kvae.errors import KvaeError; raise KvaeError('two\\nlines')",
}


@pytest.mark.parametrize("outcome", FAILING)
def test_failures_are_seen(monkeypatch, outcome):
    """The fuzzer itself: each kind of failure is told from the others, and the next input is read after it."""
    monkeypatch.setattr(run, "SECONDS", 10)
    contents = [FAILING[outcome].encode(), b"pass"]
    assert [finding.outcome for _, finding in run.campaign("python", contents)] == [outcome, "accepted"]


def test_a_png_s_checksums_are_made_right_again():
    content = readers.seeds("images")[
        [name for name in sorted(p.name for p in (readers.SEEDS / "images").iterdir())].index("grey.png")
    ]
    assert mutations.with_checksums(content) == content
    broken = bytearray(content)
    broken[30] ^= 1  # of the first chunk's checksum
    assert mutations.with_checksums(bytes(broken)) == content
