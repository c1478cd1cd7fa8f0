"""The report as a page: what it shows, and that it needs no other files."""

from kvae.comparison import report


def test_the_report_is_self_contained(sweep, tmp_path):
    """It has the numbers, figures and pictures of every setting, and fetches nothing."""
    _, results = sweep
    path = tmp_path / "report.html"
    report.write(results, path, "A <title>", "kvae compare --vary entropy_weight=0.5,1")
    text = path.read_text()
    assert "A &lt;title&gt;" in text
    assert "http" not in text.split("<body>")[1]
    assert "<script" not in text
    assert text.count("data:image/svg+xml;base64,") == 5
    assert text.count("data:image/png;base64,") == 3 * 3
    for result in results:
        assert f"{result.evaluation.metrics['nll'].value:,.2f}" in text
        assert text.count(result.setting.name) >= 4
    assert "entropy_weight=0.5: the loss weights the posterior&#x27;s entropy by 0.5, not 1: it is not a bound" in text
