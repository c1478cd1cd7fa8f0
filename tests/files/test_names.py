"""Names that Windows takes for something else."""

from pathlib import Path

import pytest

from kvae.files import names


@pytest.mark.parametrize(
    "name",
    [
        "con.png", "CON", "nul.tar.gz", "out/aux", "LPT1.npy", "com¹", "conin$", "samples.", "samples ", "ab:c.png",
        "dir\\con.png", "out./a.png", "a?.png", 'quo"te', "pipe|", "star*", "c:/out/prn.png", "new\nline", "nul .txt",
    ],
)  # fmt: skip
def test_names_that_windows_cannot_have(name):
    with pytest.raises(OSError, match=r"Windows"):
        names.check(Path(name), windows=True)
    names.check(Path(name), windows=False)


@pytest.mark.parametrize(
    "name",
    [
        "samples.png",
        "../out",
        "./a",
        "c:/out/a.png",
        "c:a.png",
        "console.png",
        "com10",
        ".hidden",
        "\\\\host\\share\\a.png",
    ],
)
def test_names_that_it_can(name):
    names.check(Path(name), windows=True)


def test_a_null_byte_is_refused_everywhere():
    for windows in (True, False):
        with pytest.raises(OSError, match="null"):
            names.check(Path("a\0b"), windows=windows)
