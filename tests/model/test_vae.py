"""The mathematics: KL, ELBO and gradients against closed forms, numpy, Monte-Carlo and finite differences."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import IMAGE_SHAPE, make_vae, random_images

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.model.networks import Decoder, Encoder
from kvae.model.objectives import ELBO
from kvae.model.posteriors import draw
from kvae.model.priors import StandardNormal
from kvae.model.terms import Terms
from kvae.model.vae import VAE
from kvae.steps.draws import Draws

tfd = tfp.distributions
SEED = tf.constant([1, 2], tf.int32)


def numpy_elbo(vae: VAE, images: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distortion and rate of a one-hidden-layer Bernoulli VAE in float64, from its weights alone."""
    w = [variable.numpy().astype(np.float64) for variable in vae.trainable_variables]
    x = images.reshape(len(images), -1).astype(np.float64)
    hidden = np.maximum(x @ w[0] + w[1], 0)
    loc = hidden @ w[2] + w[3]
    scale = 1e-4 + np.log1p(np.exp(hidden @ w[4] + w[5]))
    z = loc + scale * noise
    logits = np.maximum(z @ w[6] + w[7], 0) @ w[8] + w[9]
    distortion = np.sum(np.logaddexp(0, logits) - x * logits, axis=1)
    rate = np.sum(0.5 * (loc**2 + scale**2 - 1) - np.log(scale), axis=1)
    return distortion, rate


def test_rate_is_the_closed_form_for_each_image(vae):
    """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1)/2 - ln s, summed over dimensions, one number per image."""
    images = random_images(5)
    posterior = vae.encoder(images)
    loc, scale = posterior.mean().numpy().astype(np.float64), posterior.stddev().numpy().astype(np.float64)
    expected = np.sum((loc**2 + scale**2 - 1) / 2 - np.log(scale), axis=-1)
    rate = vae.terms(images).rate
    assert rate.shape == (5,)
    np.testing.assert_allclose(rate, expected, rtol=1e-5)


def test_rate_agrees_with_monte_carlo(vae):
    """The mean of log q(z|x) - log p(z) over draws from q is the rate, within 4 standard errors."""
    images = random_images(3)
    posterior = vae.encoder(images)
    z = posterior.sample(20_000, seed=SEED)
    draws = (posterior.log_prob(z) - vae.prior().log_prob(z)).numpy()
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - vae.terms(images).rate.numpy()) < 4 * error)


def test_elbo_matches_numpy(vae):
    """ELBO = log p(x|z) - KL at the same draw, from the weights alone, within 1e-4 nats."""
    images = random_images(6)
    noise = tf.random.stateless_normal([6, vae.latent_dim], SEED, alg="philox").numpy()
    distortion, rate = numpy_elbo(vae, images, noise.astype(np.float64))
    terms = vae.terms(images, SEED)
    np.testing.assert_allclose(terms.distortion, distortion, atol=1e-4)
    np.testing.assert_allclose(terms.rate, rate, atol=1e-4)
    np.testing.assert_allclose(vae.elbo(images, SEED), -distortion - rate, atol=1e-4)


def test_gradients_match_finite_differences(vae):
    """The reparameterised gradient of the loss, including encoder weights, with fixed noise."""
    images = random_images(4)
    with tf.GradientTape() as tape:
        loss = vae.weighted_loss(vae.terms(images, SEED))
    gradients = tape.gradient(loss, vae.trainable_variables)
    noise = tf.random.stateless_normal([4, vae.latent_dim], SEED, alg="philox").numpy()

    def numpy_loss() -> float:
        distortion, rate = numpy_elbo(vae, images, noise.astype(np.float64))
        return float(np.mean(distortion + rate))

    rng = np.random.default_rng(0)
    for variable, gradient in zip(vae.trainable_variables, gradients, strict=True):
        direction = rng.standard_normal(variable.shape).astype(np.float32)
        start, step = variable.numpy(), 1e-3
        variable.assign(start + step * direction)
        above = numpy_loss()
        variable.assign(start - step * direction)
        below = numpy_loss()
        variable.assign(start)
        expected = float(np.sum(gradient.numpy() * direction))
        assert (above - below) / (2 * step) == pytest.approx(expected, rel=2e-2, abs=2e-2), variable.path


def test_numpy_images_are_not_cast_to_integers(vae):
    """TFP casts numpy values to a Bernoulli's own dtype, by default int32: grey pixels would count as black."""
    images = random_images(2)
    np.testing.assert_array_equal(vae.elbo(images, SEED), vae.elbo(tf.constant(images), SEED))
    likelihood = vae.decoder(tf.zeros((2, 3)))
    np.testing.assert_allclose(likelihood.log_prob(images), likelihood.log_prob(tf.constant(images)), rtol=1e-6)


def test_loss_weights_the_rate_by_beta():
    nothing = tf.zeros((1, 2))
    terms = Terms(tf.constant([[-1.0, -3.0]]), nothing, nothing, rate=tf.constant([10.0, 20.0]), entropy=nothing[0])
    assert float(make_vae().weighted_loss(terms)) == pytest.approx(2 + 15)
    assert float(make_vae(beta=0.5).weighted_loss(terms)) == pytest.approx(2 + 7.5)
    np.testing.assert_allclose(terms.elbo, [-11.0, -23.0])


def test_the_entropy_weight_affects_only_the_loss():
    """loss = distortion + beta (H(q, p) - lambda H(q)); the ELBO is the same whatever lambda is."""
    images = random_images(5)
    plain, weighted = make_vae(beta=0.7), make_vae(beta=0.7, entropy_weight=0.3)
    posterior = plain.encoder(images)
    expected = posterior.cross_entropy(plain.prior()) - 0.3 * posterior.entropy()
    terms = weighted.terms(images, SEED)
    np.testing.assert_allclose(weighted.objective.regularizer(terms), expected, rtol=1e-5)
    np.testing.assert_array_equal(terms.elbo, plain.elbo(images, SEED))
    assert float(weighted.weighted_loss(terms)) == pytest.approx(np.mean(terms.distortion + 0.7 * expected), rel=1e-5)


def test_at_entropy_weight_1_the_regulariser_is_the_kl_itself(vae):
    terms = vae.terms(random_images(5), SEED)
    np.testing.assert_array_equal(vae.objective.regularizer(terms), terms.rate)


def test_beta_warms_up_only_in_training():
    """With learning rate 0 the loss of each step reveals the weight of the rate: 0, 1/2, then 1."""
    vae = make_vae(warmup_steps=2)
    vae.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    weights = []
    for _ in range(3):
        vae.reset_metrics()
        logs = vae.train_on_batch(random_images(4), return_dict=True)
        weights.append((logs["loss"] - logs["distortion"]) / logs["rate"])
    np.testing.assert_allclose(weights, [0.0, 0.5, 1.0], atol=1e-4)
    logs = make_vae_with_warmup().evaluate(random_images(4), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["distortion"] + logs["rate"], rel=1e-5)


def make_vae_with_warmup() -> VAE:
    vae = make_vae(warmup_steps=100)
    vae.compile(optimizer="sgd", jit_compile=False)
    return vae


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_raises_the_elbo(jit_compile):
    vae = make_vae()
    images = np.round(random_images(64)) * 0.9
    vae.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
    history = vae.fit(images, epochs=5, batch_size=16, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0] + 1.0
    np.testing.assert_allclose(history["loss"], -np.array(history["elbo"]), rtol=1e-5)


def test_predict_returns_mean_reconstructions(vae):
    images = random_images(5)
    expected = vae.decoder(vae.encoder(images).mean()).mean().numpy()
    np.testing.assert_allclose(vae.predict(images, verbose=0), expected, atol=1e-6)


def test_custom_networks_fit_save_and_load(own_networks, tmp_path):
    """The networks have no `build` and are not called before `fit`; the file has weights, optimiser and prior."""
    vae = VAE(
        *own_networks,
        tfd.MultivariateNormalDiag(tf.zeros(3), 2.0 * tf.ones(3)),
        ELBO(beta=0.7, entropy_weight=0.5),
        seed=3,
    )
    vae.compile(optimizer="adam")
    images = random_images(32)
    vae.fit(images, epochs=1, verbose=0)
    vae.save(tmp_path / "own.keras")
    loaded = keras.models.load_model(tmp_path / "own.keras")
    np.testing.assert_allclose(loaded.elbo(images, SEED), vae.elbo(images, SEED), rtol=1e-6)
    assert loaded.objective == ELBO(beta=0.7, entropy_weight=0.5)
    assert int(loaded.optimizer.iterations) == int(vae.optimizer.iterations) == 1


@pytest.mark.parametrize(
    "settings", [{}, {"architecture": "conv"}, {"architecture": "gated_mlp"}, {"likelihood": "normal"}]
)
def test_saving_round_trips_exactly(settings, tmp_path):
    vae = make_vae(**settings)
    vae.compile(optimizer="adam", jit_compile=False)
    images = random_images(8)
    vae.fit(images, verbose=0)
    vae.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.elbo(images, SEED), vae.elbo(images, SEED))
    np.testing.assert_array_equal(loaded.elbo(images), vae.elbo(images))  # the generator continues where it was


def test_the_same_seed_gives_the_same_draws_and_another_seed_different_ones():
    images = random_images(4)
    draws = [make_vae(seed=0).elbo(images).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    vae = make_vae(seed=0)
    assert not np.array_equal(vae.elbo(images), vae.elbo(images))


def test_sample_weight_is_refused(vae):
    vae.compile(optimizer="sgd")
    with pytest.raises(KvaeError, match="sample_weight"):
        vae.fit(random_images(4), sample_weight=np.ones(4), verbose=0)


def test_loss_and_metrics_of_compile_are_refused(vae):
    for setting in ({"loss": "mse"}, {"metrics": ["mae"]}, {"loss_weights": [2.0]}):
        with pytest.raises(KvaeError, match="own loss and metrics.*only an optimizer"):
            vae.compile(optimizer="sgd", **setting)


def test_layers_know_when_they_train_and_their_regularisers_count():
    """Dropout acts only in `fit`, batch statistics change, and an L2 penalty is in the loss but not in the ELBO."""
    penalty = keras.regularizers.L2(10.0)
    norm = keras.layers.BatchNormalization()
    body = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4, kernel_regularizer=penalty), norm])
    usual = make_vae()
    vae = VAE(Encoder(body, 3), usual.decoder, usual.prior)
    vae.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    logs = vae.fit(random_images(8), verbose=0).history
    assert np.abs(norm.moving_mean.numpy()).max() > 0
    penalised = float(10.0 * tf.reduce_sum(body.layers[1].kernel ** 2))
    assert logs["loss"][0] + logs["elbo"][0] == pytest.approx(penalised, rel=1e-3)


def test_a_distribution_that_leaves_pixels_in_its_batch_is_refused():
    """Its terms would broadcast, and the loss would be a mean over pixels."""

    class NotIndependent(Decoder):
        def call(self, z):
            return tfd.Bernoulli(logits=self.body(z))

    usual = make_vae()
    vae = VAE(usual.encoder, NotIndependent(usual.decoder.body), usual.prior)
    with pytest.raises(KvaeError, match=r"the decoder must return .* event \(8, 8, 1\).*tfd.Independent"):
        vae.elbo(random_images(2))


def test_a_prior_whose_event_is_not_a_code_is_refused(vae):
    with pytest.raises(KvaeError, match=r"the prior must have event \(latent_dim,\)"):
        VAE(vae.encoder, vae.decoder, tfd.Normal(tf.zeros(3), 1.0))


def test_images_that_are_not_floats_or_have_no_channels_are_refused(vae):
    with pytest.raises(KvaeError, match="got uint8 from 9 to 9.*255"):
        vae.elbo(np.full((2, 8, 8, 1), 9, np.uint8))
    with pytest.raises(KvaeError, match=r"must have shape \(batch, 8, 8, 1\); got \(2, 8, 8\)"):
        vae.elbo(np.zeros((2, 8, 8), np.float32))
    images = random_images(2)
    np.testing.assert_array_equal(vae.elbo(tf.constant(images, tf.float64), SEED), vae.elbo(images, SEED))


def test_a_model_loads_in_a_process_that_imports_only_the_vae(vae, tmp_path):
    vae.save(tmp_path / "model.keras")
    code = "import kvae.model.vae, keras; print(type(keras.models.load_model('model.keras')).__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "VAE\n", done.stderr


def test_a_mixture_prior_trains(vae):
    components = tfd.MultivariateNormalDiag(tf.constant([[1.0] * 3, [-1.0] * 3]), tf.ones((2, 3)))
    prior = tfd.MixtureSameFamily(tfd.Categorical(logits=[0.0, 0.0]), components)
    mixed = VAE(vae.encoder, vae.decoder, prior)
    mixed.compile(optimizer="adam", jit_compile=False)
    assert np.isfinite(mixed.fit(random_images(8), verbose=0).history["elbo"][0])


def test_all_randomness_comes_from_the_seed_whatever_the_prior(vae):
    """Including the rate to a mixture, which has no closed form: log q - log p at the step's own draw, unbiased."""
    components = tfd.MultivariateNormalDiag(tf.zeros((2, 3)), tf.ones((2, 3)))  # two equal components: N(0, I) again
    mixed = VAE(vae.encoder, vae.decoder, tfd.MixtureSameFamily(tfd.Categorical(logits=[0.3, -0.2]), components))
    images = np.repeat(random_images(1), 4000, axis=0)
    one, same = (mixed.terms(images, SEED) for _ in range(2))
    for first, second in zip(one, same, strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(one.rate, one.log_posterior[0] - one.log_prior[0], rtol=1e-6)
    exact = float(vae.terms(images[:1]).rate[0])
    assert np.mean(one.rate) == pytest.approx(exact, abs=5 * np.std(one.rate) / np.sqrt(4000))


def test_log_weights_of_many_draws_bound_the_likelihood(vae):
    """Draw 0 equals a single draw; the mean weight of more draws gives a tighter bound on average over images."""

    images = random_images(30)
    many = VAE(vae.encoder, vae.decoder, vae.prior, ELBO(num_draws=20)).terms(images, SEED)
    one = vae.terms(images, SEED)
    assert many.log_weights.shape == (20, 30)
    np.testing.assert_allclose(many.log_likelihood[0], one.log_likelihood[0], rtol=1e-5)
    np.testing.assert_allclose(many.distortion, -np.mean(many.log_likelihood, axis=0), rtol=1e-5)
    bound = tf.reduce_logsumexp(many.log_weights, axis=0) - np.log(20)
    assert np.mean(bound) > np.mean(many.elbo)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_setting_the_weight_takes_effect_at_once(jit_compile):
    """Between two fits and in a callback; with learning rate 0 the loss shows it."""
    vae = make_vae()
    vae.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=jit_compile)
    images = random_images(8)

    def weight(logs):
        return (logs["loss"] - logs["distortion"]) / logs["rate"]

    class Halve(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.beta = 0.5**epoch

    history = vae.fit(images, epochs=3, verbose=0, callbacks=[Halve()]).history
    found = [weight({name: values[epoch] for name, values in history.items()}) for epoch in range(3)]
    np.testing.assert_allclose(found, [1.0, 0.5, 0.25], rtol=1e-4)
    assert weight(vae.evaluate(images, verbose=0, return_dict=True)) == pytest.approx(0.25, rel=1e-4)
    vae.objective = ELBO(beta=3.0)
    assert weight(vae.evaluate(images, verbose=0, return_dict=True)) == pytest.approx(3.0, rel=1e-4)
    logs = {name: values[0] for name, values in vae.fit(images, verbose=0).history.items()}
    assert weight(logs) == pytest.approx(3.0, rel=1e-4)


@pytest.mark.parametrize("name", ["encoder", "decoder", "prior", "seed", "entropy_weight", "warmup_steps"])
def test_setting_an_attribute_that_would_have_no_effect_is_refused(vae, name):
    with pytest.raises(KvaeError, match=name):
        setattr(vae, name, getattr(vae, name, 0.5))
    for part, setting in ((vae.encoder, "latent_dim"), (vae.decoder, "likelihood"), (vae.prior, "latent_dim")):
        with pytest.raises(KvaeError, match=setting):
            setattr(part, setting, 7)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_draws_of_a_compiled_step_are_those_of_the_posterior(jit_compile):
    """XLA has its own generator. Over 4,000 draws for one image, the distortion of `evaluate` is its expectation under
    draws made by numpy, within 5 standard errors of the two; the rate, which has no noise, is the same."""
    vae, draws = make_vae(), 4000
    vae.compile("adam", jit_compile=jit_compile)
    images = np.repeat(random_images(1), draws, axis=0)
    posterior = vae.encoder(images[:1])
    noise = np.random.default_rng(0).standard_normal((draws, 3)).astype(np.float32)
    likelihood = vae.decoder(posterior.mean() + posterior.stddev() * noise)
    expected = -likelihood.log_prob(images).numpy().astype(np.float64)
    logs = vae.evaluate(images, batch_size=draws, verbose=0, return_dict=True)
    tolerance = 5 * np.sqrt(2) * expected.std() / np.sqrt(draws)
    assert logs["distortion"] == pytest.approx(expected.mean(), abs=tolerance)
    assert logs["rate"] == pytest.approx(float(vae.terms(images[:1]).rate[0]), rel=1e-5)
    assert logs["distortion"] != vae.evaluate(images, batch_size=draws, verbose=0, return_dict=True)["distortion"]


def test_compiling_a_step_does_not_change_eager_use():
    vae = make_vae()
    vae.compile("adam", jit_compile=True)
    vae.fit(random_images(8), batch_size=4, verbose=0)
    assert np.isfinite(vae.elbo(random_images(2)).numpy()).all()


def test_compiled_draws_differ_between_images_that_share_a_mean():
    """4,000 draws from N(1, s^2), with each image's s and one mean: all different, and correctly distributed."""
    scale = np.linspace(0.5, 2.0, 4000, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)

    @tf.function(jit_compile=True)
    def drawn():
        draws = Draws.of(SEED, 4000)._replace(algorithm="threefry")
        return draw(tfd.MultivariateNormalDiag(tf.ones(3), scale), draws, 1, 4000).codes

    noise = (drawn().numpy() - 1.0) / scale
    assert len(np.unique(noise)) > 0.99 * noise.size
    assert noise.mean() == pytest.approx(0, abs=5 / np.sqrt(noise.size))
    assert (noise**2).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / noise.size))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "x", None])
def test_a_weight_that_is_no_weight_is_refused_and_the_old_one_stays(value):
    vae = make_vae(beta=0.5)
    with pytest.raises(KvaeError, match="beta must be a finite number of at least 0"):
        vae.beta = value
    with pytest.raises(KvaeError, match="beta must be a finite number of at least 0"):
        ELBO(beta=value)
    assert vae.beta == 0.5
    vae.beta = np.float32(2.0)
    assert vae.beta == 2.0


def test_the_short_ways_are_the_networks_themselves(vae):
    """`encode` is the posterior, `reconstruct` what `predict` gives."""
    images = random_images(3)
    posterior = vae.encode(images)
    np.testing.assert_array_equal(posterior.mean(), vae.encoder(images).mean())
    assert posterior.event_shape == [3]
    np.testing.assert_allclose(vae.reconstruct(images), vae.predict(images, verbose=0), atol=1e-6)


def test_samples_are_the_decoded_noise_of_the_specification(vae):
    found = vae.sample(5, seed=7)
    z = noise.standard_normal(7, 0, 5, 3)
    np.testing.assert_array_equal(found, vae.decoder(tf.constant(z)).mean())
    np.testing.assert_allclose(vae.sample(2, seed=7), found[:2], atol=1e-6)
    np.testing.assert_allclose(vae.sample(300, seed=7)[:5], found, atol=1e-6)  # in several batches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be"), ({"n": 1.5}, "n must be"), ({"n": True}, "n must be"), ({"n": 1, "seed": -1}, "seed"),
        ({"n": 1, "label": 0}, "no labels"),
    ],
)  # fmt: skip
def test_samples_that_cannot_be_drawn(vae, arguments, message):
    with pytest.raises(KvaeError, match=message):
        vae.sample(**arguments)


def test_a_conditional_model_needs_its_labels():
    model = make_vae(num_labels=2, conditional=True)
    images = random_images(2)
    assert model.sample(3, label=1).shape == (3, *IMAGE_SHAPE)
    np.testing.assert_allclose(model.sample(2, label=[0, 1])[1:], model.sample(2, label=1)[1:], atol=1e-6)
    assert model.reconstruct((images, [0, 1])).shape == images.shape
    for label in (None, 2, [0, 1]):
        with pytest.raises(KvaeError, match="label"):
            model.sample(3, label=label)


def test_a_model_that_has_seen_no_images_cannot_sample(own_networks):
    with pytest.raises(KvaeError, match="how large"):
        VAE(*own_networks, StandardNormal(3)).sample(2)


def test_a_prior_without_known_draws_cannot_sample():
    model = make_vae()
    other = VAE(model.encoder, model.decoder, tfd.Independent(tfd.StudentT(3.0, [0.0] * 3, 1.0), 1))
    other.build((None, *IMAGE_SHAPE))
    with pytest.raises(KvaeError, match="from_noise"):
        other.sample(2)


def test_a_prior_whose_components_depend_on_the_label_cannot_sample_and_says_so():
    class Depends(StandardNormal):
        def component_probs(self):
            raise NotImplementedError("they are not the same for all labels")

    model = make_vae()
    other = VAE(model.encoder, model.decoder, Depends(3))
    other.build((None, *IMAGE_SHAPE))
    with pytest.raises(KvaeError, match="not the same for all labels"):
        other.sample(2)
