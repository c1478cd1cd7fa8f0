"""The ladder's networks: their sizes, their formulas, saving, training, and the graphs they become."""

import keras
import numpy as np
import onnxruntime as ort
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import DATASET, make_vae, random_images

from kvae.bundle import operators
from kvae.config import LIKELIHOODS, from_settings
from kvae.errors import KvaeError
from kvae.export import tensors
from kvae.export.bundles import export
from kvae.model import VAE, StandardNormal, networks
from kvae.model.ladder import HierarchicalPosterior, LadderDecoder, LadderEncoder, Level, Plan
from kvae.model.objectives import ELBO
from kvae.steps.draws import Draws
from kvae.steps.example import Example
from kvae.training import building

tfd = tfp.distributions
SEED = (1, 2)
PLAN = Plan(
    image_shape=(7, 9, 1),
    dense_dim=3,
    hidden_units=6,
    levels=(Level(4, 5, 3, 1, (1,)), Level(2, 3, 4, 2, (2, 1))),
)
"""Two levels of an odd size, with two groups on the coarser one."""
GROUPS = [3, 12, 6, 20]


def stirred(vae: VAE, amount: float = 0.15) -> VAE:
    """The model with noise on its weights, many of which are 0 at first."""
    for number, variable in enumerate(vae.trainable_variables):
        variable.assign_add(amount * tf.random.stateless_normal(variable.shape, [5, number]))
    return vae


def ladder(plan: Plan = PLAN, likelihood: str = "bernoulli", num_labels: int | None = None, **settings) -> VAE:
    keras.utils.set_random_seed(0)
    encoder, decoder = LadderEncoder(plan, num_labels), LadderDecoder(plan, likelihood, num_labels)
    vae = VAE(encoder, decoder, StandardNormal(plan.latent_dim), ELBO(**settings), seed=0)
    vae.build((None, *plan.image_shape))
    return stirred(vae)


def example(count: int, plan: Plan = PLAN, num_labels: int | None = None) -> Example:
    label = None if num_labels is None else tf.range(count, dtype=tf.int64) % num_labels
    return Example(tf.constant(random_images(count, plan.image_shape)), label)


# Sizes


def test_the_groups_of_28_x_28():
    """32 without pixels, 4 on 7 x 7, and 2 on 14 x 14, in networks of 1.57 million weights."""
    vae = make_vae((28, 28, 1), architecture="ladder", latent_dim=32, hidden_units=None)
    assert vae.encoder.groups == [32, 4 * 49, 2 * 196] and vae.latent_dim == 620
    assert 1.5e6 < vae.count_params() < 1.6e6


def test_every_size_has_a_plan():
    for height in (1, 4, 8, 9, 31, 100, 256):
        for width in (4, 8, 13, 64, 256):
            plan = Plan.of((height, width, 3), 16, 256)
            sizes = [(height, width), *(level.shape[:2] for level in plan.levels)]
            for (rows, columns), (fewer, narrower) in zip(sizes, sizes[1:], strict=False):
                assert (fewer, narrower) == ((rows + 1) // 2, (columns + 1) // 2)
            assert sizes[-1][0] * sizes[-1][1] <= 64 and plan.levels[-1].groups
            assert plan.latent_dim == sum(plan.groups) <= 4000
            assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize(
    ("likelihood", "image_shape"),
    [("bernoulli", (8, 8, 1)), ("normal", (9, 14, 3)), ("discretized_logistic", (4, 4, 1)), ("normal", (1, 11, 1))],
)
def test_images_of_any_shape(likelihood, image_shape):
    """Also a table of 11 columns. At first the posterior is the prior, so the rate is 0."""
    vae = make_vae(image_shape, architecture="ladder", likelihood=likelihood)
    images = random_images(2, image_shape)
    posterior = vae.encoder(images)
    assert (posterior.batch_shape, posterior.event_shape) == ((2,), (vae.latent_dim,))
    distribution = vae.decoder(posterior.sample(seed=1))
    assert (distribution.batch_shape, distribution.event_shape) == ((2,), image_shape)
    np.testing.assert_array_equal(vae.terms(images, SEED).rate, [0.0, 0.0])
    assert likelihood in LIKELIHOODS and vae.predict(images, verbose=0).shape == (2, *image_shape)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (31, 256), (256, 256)])
def test_larger_images(size):
    vae = make_vae((*size, 3), architecture="ladder", latent_dim=16, hidden_units=None)
    assert vae.count_params() < 5e6
    images = random_images(1, (*size, 3))
    assert vae.predict(images, verbose=0).shape == images.shape and np.isfinite(vae.terms(images, SEED).elbo)


# Formulas


def test_codes_are_the_noise_of_each_group():
    """log p(z_l|z_<l) - log q(z_l|z_<l, x) in z equals log N(code) - log q(code) in the codes, for each draw.

    The prior's mu_p and sigma_p are read off the decoder's layers, one by one, and the rest is numpy.
    """
    vae, (images, _) = ladder(), example(3)
    noise = tf.random.stateless_normal([1, 3, vae.latent_dim], SEED)
    codes, at_them = vae.encoder(images).at(noise)
    body, parts = vae.decoder.body, tf.split(codes, GROUPS, axis=-1)
    locs, scales = (
        np.split(part.numpy()[0], np.cumsum(GROUPS)[:-1], axis=-1) for part in (at_them.loc, at_them.scale.diag)
    )

    gaps = [log_normal(parts[0], 0.0, 1.0) - log_normal(parts[0], locs[0], scales[0])]
    state = tf.reshape(body.pixels(tf.nn.silu(body.hidden(parts[0]))), [-1, 2, 3, 4])
    number = 1
    for rung in body.rungs:
        if rung.enter is not None:
            state = tf.nn.depth_to_space(rung.enter(state), 2)[:, :4, :5]
        state = rung.blocks[0](state)
        for group, block in zip(rung.groups, rung.blocks[1:], strict=True):
            mu_p, raw = (part.numpy() for part in tf.split(group.prior(tf.nn.silu(state)), 2, axis=-1))
            sigma_p = np.exp(5 * np.tanh(raw / 5))
            code, loc, scale = (np.reshape(part[number], mu_p.shape) for part in (parts, locs, scales))
            z = mu_p + sigma_p * code
            mu_q, sigma_q = mu_p + sigma_p * loc, sigma_p * scale
            gaps.append(log_normal(z, mu_p, sigma_p) - log_normal(z, mu_q, sigma_q))
            state = block(state + group.latent(z))
            number += 1
    logits = tf.nn.depth_to_space(body.last(tf.nn.silu(state)), 2)[:, :7, :9]

    log_weights = log_normal(codes, 0.0, 1.0) - at_them.log_prob(codes[None])[0]
    np.testing.assert_allclose(sum(gaps), log_weights, atol=2e-4)
    np.testing.assert_allclose(logits, vae.decoder(codes).distribution.logits, atol=1e-5)


def log_normal(z, loc, scale) -> np.ndarray:
    """The log-density of each row of z, summed over the rest, in float64."""
    z, loc, scale = (np.asarray(part, np.float64) for part in (z, loc, scale))
    terms = -0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    return terms.reshape(len(z), -1).sum(axis=1)


@pytest.mark.parametrize("num_labels", [None, 3])
def test_draws_are_decoded_with_and_without_the_memory_alike(num_labels):
    """The very tensor that was drawn is decoded from the state that was kept; an equal one from the beginning."""
    vae, (images, label) = ladder(num_labels=num_labels), example(4, num_labels=num_labels)
    given = () if label is None else (label,)
    body, passes = vae.decoder.body, []
    descend = body.descend

    @tf.function
    def decoded():
        codes, _ = vae.encoder(images, *given).at(tf.random.stateless_normal([1, 4, vae.latent_dim], SEED))
        body.descend = lambda *arguments: passes.append(1) or descend(*arguments)
        found = [vae.decoder(codes, *given).mean()]
        assert not passes
        found.append(vae.decoder(tf.identity(codes), *given).mean())
        assert len(passes) == 1
        if label is not None:  # other labels: what was kept is of no use
            found.append(vae.decoder(codes, tf.zeros_like(label)).mean())
            assert len(passes) == 2
        return found

    remembered, equal, *others = decoded()
    np.testing.assert_array_equal(remembered, equal)
    assert not others or not np.allclose(others[0][1:3], remembered[1:3])


@pytest.mark.parametrize(("num_labels", "num_draws"), [(None, 1), (None, 3), (3, 1), (3, 3)])
def test_a_step_makes_one_top_down_pass(num_labels, num_draws):
    """Each convolution is in its graph once."""
    vae, batch = ladder(num_labels=num_labels, num_draws=num_draws), example(2, num_labels=num_labels)
    graph = tf.function(lambda: vae.terms(batch, SEED).elbo).get_concrete_function().graph
    layers = [layer for layer in vae._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
    assert sum(op.type == "Conv2D" for op in graph.get_operations()) == len(layers)


def test_codes_that_outlive_their_step_are_decoded_with_the_weights_as_they_are_now():
    vae, (images, _) = ladder(), example(2)
    codes, _ = vae.encoder(images).at(tf.zeros([1, 2, vae.latent_dim]))
    before = vae.decoder(codes).mean()
    for weight in vae.decoder.body.pixels.weights:
        weight.assign_add(tf.ones_like(weight))
    after = vae.decoder(codes).mean()
    np.testing.assert_array_equal(after, vae.decoder(tf.identity(codes)).mean())
    assert not np.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("num_labels", [None, 3])
def test_several_draws_are_as_one_by_one(num_labels):
    """Each draw's log weights are those of `at` with its noise alone, decoded anew."""
    vae, batch = ladder(num_labels=num_labels, num_draws=3), example(2, num_labels=num_labels)
    given = () if batch.label is None else (batch.label,)
    terms = vae.terms(batch, SEED)
    noise = Draws.of(SEED, 2).normal(3, 2, vae.latent_dim)
    for draw in range(3):
        codes, at_them = vae.encoder(batch.images, *given).at(noise[draw : draw + 1])
        log_likelihood = vae.decoder(tf.identity(codes), *given).log_prob(batch.images)
        np.testing.assert_allclose(terms.log_likelihood[draw], log_likelihood, rtol=1e-5)
        np.testing.assert_allclose(terms.log_posterior[draw], at_them.log_prob(codes[None])[0], rtol=1e-5)


def test_the_groups_rates_sum_to_the_rate():
    vae = ladder()
    terms = vae.terms(example(5), SEED)
    assert terms.dimension_rates.shape == (sum(GROUPS), 5)
    by_group = np.stack([part.sum(axis=0) for part in np.split(terms.dimension_rates, np.cumsum(GROUPS)[:-1])])
    assert by_group.min() > 0
    np.testing.assert_allclose(by_group.sum(axis=0), terms.rate, rtol=1e-5)


def test_the_rate_is_the_mean_of_log_q_minus_log_p_over_draws():
    """Within 4 standard errors of the difference, over 2,000 seeds."""
    vae, batch = ladder(), example(1)
    images = tf.tile(batch.images, [2000, 1, 1, 1])
    terms = vae.terms(Example(images), SEED)
    gaps = (terms.log_posterior - terms.log_prior)[0].numpy() - terms.rate.numpy()
    assert abs(gaps.mean()) < 4 * gaps.std() / np.sqrt(2000)


def test_the_posterior_s_density_is_that_at_its_own_draws():
    vae = ladder(num_labels=2)
    images, label = example(3, num_labels=2)
    posterior = vae.encoder(images, label)
    codes, at_them = posterior.at(tf.random.stateless_normal([4, 3, vae.latent_dim], SEED))
    z = tf.reshape(codes, [4, 3, -1])
    np.testing.assert_allclose(posterior.log_prob(z), at_them.log_prob(z), rtol=1e-5)
    assert isinstance(posterior, HierarchicalPosterior) and posterior.mean().shape == (3, sum(GROUPS))


def test_gradients_reach_all_weights_and_match_finite_differences():
    vae, batch = ladder(num_labels=2), example(4, num_labels=2)
    variables = vae.trainable_variables

    @tf.function
    def loss_and_gradients():
        with tf.GradientTape() as tape:
            loss = vae.weighted_loss(vae.terms(batch, SEED))
        return loss, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, variables)]

    gradients = [gradient.numpy().astype(np.float64) for gradient in loss_and_gradients()[1]]
    for variable, gradient in zip(variables, gradients, strict=True):
        assert np.isfinite(gradient).all() and np.any(gradient != 0), variable.path
    rng, start = np.random.default_rng(0), [variable.numpy() for variable in variables]
    for _ in range(3):
        signs = [np.sign(gradient) * rng.integers(0, 2, gradient.shape) for gradient in gradients]
        losses = []
        for step in (2e-4, -2e-4):
            for variable, value, sign in zip(variables, start, signs, strict=True):
                variable.assign(value + step * sign)
            losses.append(float(loss_and_gradients()[0]))
        expected = sum(np.sum(gradient * sign) for gradient, sign in zip(gradients, signs, strict=True))
        assert (losses[0] - losses[1]) / 4e-4 == pytest.approx(expected, rel=0.02)


# Life


@pytest.mark.parametrize("num_labels", [None, 3])
def test_a_saved_model_gives_the_same_numbers(num_labels, tmp_path):
    """Each weight is in the file once."""
    vae, batch = ladder(num_labels=num_labels), example(3, num_labels=num_labels)
    vae.save(tmp_path / "ladder.keras")
    loaded = keras.models.load_model(tmp_path / "ladder.keras")
    assert loaded.encoder.plan == PLAN and loaded.num_labels == num_labels and loaded.encoder.groups == GROUPS
    for name, value in vae.terms(batch, SEED)._asdict().items():
        np.testing.assert_array_equal(getattr(loaded.terms(batch, SEED), name), value, err_msg=name)
    assert len({weight.path for weight in vae.weights}) == len(vae.weights) == len(loaded.weights)
    assert vae.count_params() == vae.encoder.count_params() + vae.decoder.count_params()


def test_training_lowers_the_loss():
    config = from_settings(
        {"architecture": "ladder", "latent_dim": 4, "hidden_units": 16, "batch_size": 20, "epochs": 10}
    )
    vae = building.build(config, (8, 8, 1), 100)
    images = np.zeros((100, 8, 8, 1), np.float32)
    images[::2, :4], images[1::2, :, 4:] = 1.0, 1.0
    history = vae.fit(images, batch_size=20, epochs=10, verbose=0).history
    assert history["loss"][0] > 40 and history["loss"][-1] < 15


def test_mixed_precision_keeps_the_distributions_in_float32():
    config = from_settings(
        {"architecture": "ladder", "latent_dim": 4, "hidden_units": 8, "precision": "mixed_bfloat16", "batch_size": 2}
    )
    vae = stirred(building.build(config, (8, 8, 1), 10))
    images = random_images(3)
    assert vae.encoder.body.stages[0].enter.compute_dtype == "bfloat16"
    codes, at_them = vae.encoder(images).at(tf.random.stateless_normal([1, 3, vae.latent_dim], SEED))
    assert codes.dtype == at_them.loc.dtype == at_them.scale.diag.dtype == tf.float32
    decoded = vae.decoder(codes).distribution.logits
    assert decoded.dtype == tf.float32
    np.testing.assert_allclose(decoded, vae.decoder(tf.identity(codes)).distribution.logits, atol=1e-5)


def test_networks_that_do_not_fit_are_named():
    encoder = LadderEncoder(PLAN)
    encoder.build((None, *PLAN.image_shape))
    posterior = encoder(random_images(2, PLAN.image_shape))
    with pytest.raises(KvaeError, match=r"encoder\.bind\(decoder\)"):
        posterior.mean()
    with pytest.raises(KvaeError, match="LadderDecoder; got a Decoder"):
        VAE(encoder, make_vae().decoder, StandardNormal(sum(GROUPS)))
    with pytest.raises(KvaeError, match="same num_labels"):
        VAE(LadderEncoder(PLAN), LadderDecoder(PLAN, num_labels=2), StandardNormal(sum(GROUPS)))
    with pytest.raises(KvaeError, match="needs labels"):
        LadderDecoder(PLAN, num_labels=2)(tf.zeros([1, sum(GROUPS)]))


# Graphs


@pytest.mark.slow
@pytest.mark.parametrize(("likelihood", "num_labels"), [("bernoulli", None), ("discretized_logistic", 3)])
def test_both_graphs_agree_with_keras(likelihood, num_labels, tmp_path):
    """Encoder: images, labels and noise -> loc and scale; decoder: codes and labels -> the likelihood's parameters."""
    vae, names = ladder(likelihood=likelihood, num_labels=num_labels), [*"abcdefg"][: num_labels or 0]
    labelled = {"labels": names, "label_counts": [1] * len(names)} if names else {}
    exported = export(vae, tmp_path / "b", dataset=DATASET, **labelled)
    assert max(exported.parity.values()) <= 1e-5
    assert exported.manifest.groups == GROUPS and exported.manifest.latent_dim == sum(GROUPS)
    for name in ("encoder", "decoder"):
        found = operators.check_file(exported.path / f"{name}.onnx", exported.manifest.opset)
        assert "Conv" in found and not found & {"Loop", "If", "Scan", "ConvTranspose"}

    (images, label), noise = example(5, num_labels=num_labels), tf.random.stateless_normal([5, sum(GROUPS)], SEED)
    given = () if label is None else (label,)
    codes, at_them = vae.encoder(images, *given).at(noise[None])
    feeds = {"images": images, "label": label, "noise": noise, "z": codes}
    expected = {
        "encoder": {"loc": at_them.loc[0], "scale": at_them.parameters["scale_diag"][0]},
        "decoder": {"mean": tensors.of_likelihood(vae.decoder(tf.identity(codes), *given)).mean},
    }
    for name, outputs in expected.items():
        session = ort.InferenceSession(exported.path / f"{name}.onnx", providers=["CPUExecutionProvider"])
        feed = {end.name: feeds[end.name].numpy() for end in session.get_inputs()}
        for output, value in outputs.items():
            np.testing.assert_allclose(session.run([output], feed)[0], value, rtol=1e-5, atol=1e-5)


def test_the_config_s_latent_dim_is_that_of_the_first_group():
    config = from_settings({"architecture": "ladder", "latent_dim": 5, "batch_size": 2})
    assert networks.latent_dim(config.model, (8, 8, 1)) == 5 + 4 * 16
    assert building.build(config, (8, 8, 1), 10).encoder.groups == [5, 64]
