"""The folder of a comparison, which several modules here read."""

import pytest
from comparison_folder import write


@pytest.fixture(scope="session")
def why_kl_folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("comparison"))
