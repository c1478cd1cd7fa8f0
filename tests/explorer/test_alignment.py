"""Planes are turned to those of their neighbours, and are otherwise as they were."""

import numpy as np
import pytest

from kvae.explorer import alignment


def rotation(angle, mirrored=False):
    found = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return found * [1, -1] if mirrored else found


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, -3.0])
def test_a_turned_plane_is_turned_back(angle, mirrored):
    codes = np.random.default_rng(0).normal(size=(50, 2)) * [1, 2]
    turned = codes @ rotation(angle, mirrored)
    matrix = alignment.turn(turned, codes)
    assert matrix == pytest.approx(rotation(angle, mirrored).T)
    assert turned @ matrix == pytest.approx(codes)


def test_no_other_angle_is_nearer():
    """Against a search over all angles, in both hands."""
    rng = np.random.default_rng(1)
    codes, target = rng.normal(size=(2, 40, 2))
    distances = [
        np.sum((codes @ rotation(angle, mirrored) - target) ** 2)
        for angle in np.linspace(0, 2 * np.pi, 2000)
        for mirrored in (False, True)
    ]
    found = np.sum((codes @ alignment.turn(codes, target) - target) ** 2)
    assert found == pytest.approx(min(distances), rel=1e-4)
    assert found <= min(distances)


def test_a_chain_is_turned_from_its_start_outwards():
    """Each plane is a turn of the one before it and a little noise; all come to lie on the one that stays."""
    rng = np.random.default_rng(2)
    base = rng.normal(size=(60, 2)) * [1, 3]
    planes = [(base + 0.01 * rng.normal(size=base.shape)) @ rotation(2.1 * index, index % 2 == 1) for index in range(5)]
    matrices = alignment.turns(planes, 2)
    assert (matrices[2] == np.eye(2)).all()
    for plane, matrix in zip(planes, matrices, strict=True):
        assert matrix @ matrix.T == pytest.approx(np.eye(2), abs=1e-12)
        assert plane @ matrix == pytest.approx(planes[2], abs=0.1)
