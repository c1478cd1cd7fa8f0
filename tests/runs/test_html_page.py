"""The page of a report: complete and self-contained."""

import base64
import io
import re

from matplotlib.figure import Figure
from PIL import Image

from kvae.runs import html_page


def test_a_page_escapes_text():
    page = html_page.page("a <b> & c", html_page.section("<i>", "<p>body</p>"))
    assert "<title>a &lt;b&gt; &amp; c</title>" in page and "<h1>a &lt;b&gt; &amp; c</h1>" in page
    assert "<h2>&lt;i&gt;</h2>\n<p>body</p>" in page
    assert "http" not in page and "<script" not in page and "url(" not in page


def test_pictures_are_embedded_in_the_page():
    image = Image.new("RGB", (3, 2), (10, 20, 30))
    data = re.fullmatch(r'<img alt="a &quot;b&quot;" src="data:image/png;base64,(\S+)">', html_page.png(image, 'a "b"'))
    with Image.open(io.BytesIO(base64.b64decode(data[1]))) as read:
        assert (read.size, read.getpixel((0, 0))) == ((3, 2), (10, 20, 30))
    figure = Figure()
    figure.subplots().plot([1, 2])
    drawn = html_page.svg(figure, "a <caption>")
    assert b"<svg " in base64.b64decode(re.search(r"data:image/svg\+xml;base64,([^\"]+)", drawn)[1])
    assert "<figcaption>a &lt;caption&gt;</figcaption>" in drawn
    assert html_page.captioned("<img>", "<x>") == "<figure><img><figcaption>&lt;x&gt;</figcaption></figure>"


def test_a_table_of_names_and_texts():
    table = html_page.rows_table([("a", "<1>", False), ("b", "2", True)])
    assert "<tr><td>a</td><td>&lt;1&gt;</td></tr>" in table
    assert '<tr class="mark"><td>b</td><td>2</td></tr>' in table
