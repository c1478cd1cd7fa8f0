"""stderr can be redirected and restored."""

import os
import subprocess
import sys
import tempfile

import pytest

from kvae.files.stderr import redirected, silenced


def test_compiled_code_and_python_are_silenced_only_in_the_block():
    code = (
        "import os, sys; from kvae.files.stderr import silenced\n"
        "with silenced(): os.write(2, b'from C'); print('from Python', file=sys.stderr)\n"
        "os.write(2, b'after')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "after"


def test_stderr_goes_to_a_file_and_is_restored_after_an_error():
    before = os.fstat(2).st_ino
    with tempfile.TemporaryFile() as file:
        with pytest.raises(ValueError, match="reason"), redirected(file):
            os.write(2, b"said")
            raise ValueError("reason")
        file.seek(0)
        assert file.read() == b"said"
    assert os.fstat(2).st_ino == before
    with silenced():
        assert os.fstat(2).st_ino != before
