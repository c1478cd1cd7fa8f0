/** What a decoder and an encoder say about an image, in nats and float64: docs/bundle-format.md, "The likelihood", "The
 * score of an image" and "Images for the encoder". A plain module, for browsers and for Node. */

import { words } from "./noise.mjs";

const LEVELS = 255;
const BINARIZATION_KEY = 3n;

/** The number of a likelihood's parameters, and log p of a pixel given them. */
const LOG_DENSITIES = {
  bernoulli: { count: 1, of: (x, logit) => x * logit - softplus(logit) },
  continuous_bernoulli: { count: 1, of: (x, logit) => x * logit - logNormalizer(logit) },
  discretized_logistic: { count: 2, of: discretizedLogistic },
  normal: { count: 2, of: normal },
};

/** log p(x|z) of ONE image, the pixels that the encoder got, in nats: by the manifest's `likelihood` and the decoder's
 * `likelihood_parameters`, all Float32Array. A RangeError where these do not fit. */
export function logDensity(likelihood, parameters, image, channels) {
  if (!Object.hasOwn(LOG_DENSITIES, likelihood)) {
    throw new RangeError(`likelihood is ${likelihood}; known are ${Object.keys(LOG_DENSITIES).join(", ")}`);
  }
  const { count, of } = LOG_DENSITIES[likelihood];
  if (image.length % channels !== 0 || parameters.length !== image.length * count) {
    const found = `${image.length} pixels in ${channels} channels have ${parameters.length} parameters`;
    throw new RangeError(`${found}; ${likelihood} expects ${count} for each pixel`);
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

/** KL(q(z|x) || p(z)) by latent dimension, in nats, from a posterior's means and deviations; their sum is the rate. */
export function rates(loc, scale) {
  return Array.from(loc, (mean, d) => (mean ** 2 + scale[d] ** 2 - 1) / 2 - Math.log(scale[d]));
}

/** log q(z|x) of draws loc + scale * noise of ONE image, summed over all their dimensions. `scale` may be shorter than
 * `noise`: it is the same for each draw then. */
export function logPosterior(noise, scale) {
  const root = Math.log(2 * Math.PI) / 2;
  return noise.reduce((sum, unit, i) => sum - unit ** 2 / 2 - Math.log(scale[i % scale.length]) - root, 0);
}

/** The percent of the training images that the model explains less well than one with this ELBO, by the manifest's
 * `scoring`; NaN for an ELBO that is no number. */
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

/** What ONE grey image, pixels in [0, 1] row after row, is for a model with `"binarize": "dynamic"`: Float32Array of 0
 * and 1, by a pattern that is the same for all images. */
export function binarize(pixels) {
  if (thresholds.length < pixels.length) {
    thresholds = Float64Array.from(words(BINARIZATION_KEY, 1n, pixels.length), (word) => Number(word >> 11n) / 2 ** 53);
  }
  return Float32Array.from(pixels, (pixel, j) => (thresholds[j] < pixel ? 1 : 0));
}

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

/** ln(1 - exp(-t)) for t above 0, in the form that keeps its digits. */
function log1mexp(t) {
  return t > Math.LN2 ? Math.log1p(-Math.exp(-t)) : Math.log(-Math.expm1(-t));
}

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
