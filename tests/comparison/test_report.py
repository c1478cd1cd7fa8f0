"""The report as a page: what it shows, and that it needs no other files."""

from dataclasses import replace

from kvae.comparison import report
from kvae.evaluation.estimates import Estimate


def test_the_report_is_self_contained(sweep, tmp_path):
    """It has the numbers, figures and pictures of every setting, and fetches nothing."""
    _, results = sweep
    path = tmp_path / "report.html"
    report.write(results, path, "A <title>", "kvae compare --vary entropy_weight=0.5,1")
    text = path.read_text()
    assert "A &lt;title&gt;" in text
    assert "http" not in text.split("<body>")[1]
    assert "<script" not in text
    assert text.count("data:image/svg+xml;base64,") == 7  # two of them for each of two scales
    assert text.count("data:image/png;base64,") == 3 * 3
    for result in results:
        assert f"{result.evaluation.metrics['nll'].value:,.2f}" in text
        assert text.count(result.setting.name) >= 4
    assert text.count("191.03<br><small>") == 2  # the entropy of the pixels, of the two models of bits
    assert "entropy_weight=0.5: the loss weights the posterior&#x27;s entropy by 0.5, not 1: it is not a bound" in text


def test_differences_that_mean_nothing_are_not_shown(sweep):
    """Twenty draws of a model of two epochs give upper bounds: they stand side by side, with a sentence, and no "≤"
    stands before a difference. A surrogate gets figures of its own.
    """
    _, results = sweep
    text = report.render(results, "title", "command")
    assert "≤ -" not in text and "≤ –" not in text
    assert all("nll" not in result.against_reference for result in results)
    assert "NLL − reference" not in text
    assert "NLL not subtracted from that of entropy_weight=1, entropy_weight=0.5: both are only upper bounds" in text
    assert "not compared with entropy_weight=1, binarize=none: one has" in text
    assert "Too early to compare: entropy_weight=0.5" in text
    assert report.about_numbers(results).startswith("not on one scale")
    assert "surrogate" not in report.about_numbers(results[:2])
    assert "The loss, the bound and the likelihood: binarize=none" in text


def test_a_difference_of_estimates_is_shown_with_its_error(sweep):
    half, kl, _ = sweep[1]
    found = replace(half, against_reference={"nll": Estimate(1.791, 0.041)}, not_compared=None)
    text = report.render([found, kl], "title", "command")
    assert "NLL − reference" in text and "1.79<br><small>± 0.04</small>" in text
