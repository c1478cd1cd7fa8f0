"""Networks: shapes, distributions and floors, for images of any height and width."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import make_vae, random_images

from kvae import networks

tfd = tfp.distributions


@pytest.mark.parametrize("architecture", ["conv", "mlp"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
@pytest.mark.parametrize("image_shape", [(28, 28, 1), (9, 14, 3), (4, 4, 1)])
def test_events_have_the_shapes_of_codes_and_images(architecture, likelihood, image_shape):
    vae = make_vae(image_shape, architecture=architecture, likelihood=likelihood)
    posterior = vae.encoder(random_images(2, image_shape))
    assert isinstance(posterior, tfd.MultivariateNormalDiag)
    assert (posterior.batch_shape, posterior.event_shape) == ((2,), (3,))
    distribution = vae.decoder(posterior.sample(seed=1))
    assert (distribution.batch_shape, distribution.event_shape) == ((2,), image_shape)


def test_the_posterior_s_scale_has_a_floor():
    vae = make_vae()
    vae.encoder.raw_scale.bias.assign(np.full(3, -1000.0))
    scale = vae.encoder(random_images(2)).stddev().numpy()
    np.testing.assert_allclose(scale, networks.MIN_POSTERIOR_SCALE)


def test_depth_to_space_interleaves_channels():
    inputs = tf.constant(np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4))
    np.testing.assert_array_equal(networks.DepthToSpace()(inputs)[0, ..., 0], [[0, 1], [2, 3]])
