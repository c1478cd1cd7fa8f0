/**
 * What a decoder and an encoder say about an image, in nats: docs/bundle-format.md, "The likelihood", "The score of an
 * image" and "Images for the encoder".
 *
 * A plain module without dependencies, for browsers and for Node. All is computed in float64.
 */

import { words } from "./noise.mjs";

const LEVELS = 255;
const BINARIZATION_KEY = 3n;

/** The likelihoods: their number of parameters, and log p of a pixel given them in the order of the page. */
const LOG_DENSITIES = {
  bernoulli: { count: 1, of: (x, logit) => x * logit - softplus(logit) },
  continuous_bernoulli: { count: 1, of: (x, logit) => x * logit - logNormalizer(logit) },
  discretized_logistic: { count: 2, of: discretizedLogistic },
  normal: { count: 2, of: normal },
};

/**
 * log p(x|z) of ONE image, summed over its pixels and channels, in nats.
 *
 * @param {string} likelihood the manifest's `likelihood`
 * @param {Float32Array} parameters the decoder's `likelihood_parameters` for it, `height * width * channels * k`
 * @param {Float32Array} image the pixels that the encoder got, `height * width * channels`
 * @param {number} channels of the image
 * @returns {number} log p(x|z)
 * @throws {RangeError} for an unknown likelihood, or lengths that do not fit
 */
export function logDensity(likelihood, parameters, image, channels) {
  if (!Object.hasOwn(LOG_DENSITIES, likelihood)) {
    throw new RangeError(`likelihood is ${likelihood}; known are ${Object.keys(LOG_DENSITIES).join(", ")}`);
  }
  const { count, of } = LOG_DENSITIES[likelihood];
  if (image.length % channels !== 0 || parameters.length !== image.length * count) {
    throw new RangeError(
      `${image.length} pixels in ${channels} channels have ${parameters.length} parameters; ` +
        `${likelihood} expects ${count} for each pixel`,
    );
  }
  let sum = 0;
  for (let pixel = 0; pixel < image.length; pixel += channels) {
    for (let channel = 0; channel < channels; channel++) {
      const at = pixel * count + channel;
      sum += of(image[pixel + channel], parameters[at], parameters[at + channels]);
    }
  }
  return sum;
}

/**
 * KL(q(z|x) || p(z)) by latent dimension; their sum is the rate.
 *
 * @param {ArrayLike<number>} loc means of the posterior of one image
 * @param {ArrayLike<number>} scale its standard deviations
 * @returns {number[]} nats, one for each dimension
 */
export function rates(loc, scale) {
  return Array.from(loc, (mean, d) => (mean ** 2 + scale[d] ** 2 - 1) / 2 - Math.log(scale[d]));
}

/**
 * The percent of the training images that the model explains less well than one with this ELBO.
 *
 * @param {{percents: number[], elbo: number[]}} scoring the manifest's `scoring`
 * @param {number} elbo of the image, in nats
 * @returns {number} 0 to 100, and NaN for an ELBO that is no number
 */
export function percentile(scoring, elbo) {
  if (Number.isNaN(elbo)) return NaN;
  const below = scoring.elbo.findLastIndex((value) => value <= elbo);
  if (below < 0) return 0;
  if (below === scoring.elbo.length - 1) return 100;
  const [low, high] = scoring.elbo.slice(below, below + 2);
  const [percent, next] = scoring.percents.slice(below, below + 2);
  return percent + ((next - percent) * (elbo - low)) / (high - low);
}

let thresholds = new Float64Array(0);

/**
 * What a grey image is for a model with `"binarize": "dynamic"`: 0 and 1, by a pattern that is the same for all images.
 *
 * @param {ArrayLike<number>} pixels ONE image in [0, 1], row after row
 * @returns {Float32Array} 0 or 1 for each pixel
 */
export function binarize(pixels) {
  if (thresholds.length < pixels.length) {
    thresholds = Float64Array.from(words(BINARIZATION_KEY, 1n, pixels.length), (word) => Number(word >> 11n) / 2 ** 53);
  }
  return Float32Array.from(pixels, (pixel, j) => (thresholds[j] < pixel ? 1 : 0));
}

/**
 * The byte of a pixel in [0, 1], which is clipped where it is outside.
 *
 * @param {number} pixel
 * @returns {number} 0 to 255
 */
export function toByte(pixel) {
  return Math.round(LEVELS * Math.min(Math.max(pixel, 0), 1));
}

/** ln(1 + exp(l)). */
function softplus(l) {
  return Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l)));
}

/** ln((exp(l) - 1) / l), which is 0 at l = 0. */
function logNormalizer(l) {
  return l === 0 ? 0 : Math.max(l, 0) + Math.log(-Math.expm1(-Math.abs(l)) / Math.abs(l));
}

/** ln(1 - exp(-t)) for t above 0: the form that keeps its digits, whether exp(-t) is near 0 or near 1. */
function log1mexp(t) {
  return t > Math.LN2 ? Math.log1p(-Math.exp(-t)) : Math.log(-Math.expm1(-t));
}

/** The log density of a Gaussian. */
function normal(x, loc, scale) {
  return -(((x - loc) / scale) ** 2) / 2 - Math.log(scale) - Math.log(2 * Math.PI) / 2;
}

/** The logistic distribution's mass between the edges of a byte; the outermost bytes take the tails. */
function discretizedLogistic(x, loc, scale) {
  const level = Math.round(LEVELS * x);
  const below = ((level - 0.5) / LEVELS - loc) / scale;
  const above = ((level + 0.5) / LEVELS - loc) / scale;
  if (level === 0) return -softplus(-above);
  if (level === LEVELS) return -softplus(below);
  return -softplus(below) - softplus(-above) + log1mexp(1 / (LEVELS * scale));
}
