"""What can be set on a model and its objective takes effect; what cannot is refused, with what to set instead."""

import pickle
import warnings
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
import tensorflow as tf
from tiny import make_vae, random_images

from kvae.errors import KvaeError
from kvae.model.objectives import ELBO, Objective
from kvae.model.vae import VAE


@dataclass(frozen=True, kw_only=True)
class Own(Objective):
    """A user's objective."""

    sharpness: float = 1.0

    def loss(self, terms, beta):
        return tf.reduce_mean(terms.distortion**self.sharpness + beta * terms.rate)


@pytest.mark.parametrize("objective", [ELBO(), Own()])
def test_a_setting_of_an_objective_cannot_be_set_and_the_message_says_where_to(objective):
    for change in (lambda: setattr(objective, "beta", 0.5), lambda: delattr(objective, "beta")):
        with pytest.raises(KvaeError, match="beta cannot be set.* Set vae.beta instead"):
            change()
    assert objective.beta == 1.0
    with pytest.raises(KvaeError, match="has beta, "):
        objective.bta = 0.5


def test_another_setting_needs_another_objective():
    vae = make_vae()
    with pytest.raises(KvaeError, match=r"vae.objective = dataclasses.replace\(vae.objective, free_bits=...\)"):
        vae.objective.free_bits = 0.5
    vae.objective = replace(vae.objective, free_bits=0.5)
    assert vae.objective.free_bits == 0.5


def test_an_objective_is_still_copied_pickled_and_compared():
    objective = ELBO(beta=0.5)
    for copy in (deepcopy(objective), pickle.loads(pickle.dumps(objective)), ELBO(beta=0.5)):
        assert copy == objective and hash(copy) == hash(objective)


@pytest.mark.parametrize("value", [None, "elbo", 3, ELBO])
def test_what_is_no_objective_is_refused_and_the_old_one_stays(value):
    vae = make_vae()
    before = vae.objective
    with pytest.raises(KvaeError, match="objective must be .*Objective.*; got"):
        vae.objective = value
    assert vae.objective is before
    if value is not None:  # the default
        with pytest.raises(KvaeError, match="objective must be"):
            VAE(vae.encoder, vae.decoder, vae.prior, value)


def test_fit_without_an_optimizer_is_refused():
    vae = make_vae()
    vae.compile(optimizer=None)
    with pytest.raises(KvaeError, match="fit needs an optimizer"):
        vae.fit(random_images(4), verbose=0)


@pytest.mark.parametrize(
    ("name", "meant"), [("learning_rat", "learning_rate"), ("bta", "beta"), ("objectiv", "objective")]
)
def test_a_slip_in_a_setting_s_name_is_warned_of(name, meant):
    vae = make_vae()
    vae.compile(optimizer="adam")
    with pytest.warns(UserWarning, match=f"no {name}, .*did you mean {meant}"):
        setattr(vae, name, 1.0)


def test_attributes_of_one_s_own_are_set_without_a_word():
    vae = make_vae()
    vae.compile(optimizer="adam")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("history", "labels", "images", "my_flag", "epochs", "_bta"):
            setattr(vae, name, 1.0)
