"""The processor's name."""

import platform

from kvae.machine import processor


def test_the_name_is_the_kernel_s(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor : 0\nmodel name\t:  Abacus  9000 \nflags : a\nmodel name : b\n")
    assert processor.name(tmp_path) == f"{platform.machine()} Abacus 9000"


def test_without_proc_it_is_what_python_knows(tmp_path):
    found = processor.name(tmp_path)
    assert found.startswith(platform.machine()) and found.isprintable() and len(found) <= 100
