/** The score of an image: docs/bundle-format.md, "The score of an image". */

import { logDensity, logPosterior, percentile, rates } from "./likelihood.mjs";
import { standardNormal } from "./noise.mjs";

const sumOf = (values) => values.reduce((total, value) => total + value, 0);

/** Encode an image, of this label if the model has labels, and say how well it is explained: `rate`, `distortion` and
 * `elbo` in nats, `percentile` (null where the bundle does not know); and its `loc`, `scale` and `reconstruction`. */
export async function score(model, image, label = null) {
  const { likelihood, scoring } = model.manifest;
  const { draws, seed } = scoring ?? { draws: 10, seed: 0 };
  const noise = standardNormal(seed, 0, draws, model.latentDim);
  const { loc, scale } = await model.encode(image, { label });
  const drawn = model.groups ? await model.encode(image, { label, noise }) : { loc, scale };
  const at = (values, i) => values[i % values.length]; // one row for all draws, or a row each
  const codes = noise.map((value, i) => at(drawn.loc, i) + at(drawn.scale, i) * value);
  const parameters = await model.decode(codes, { label, output: "likelihood_parameters", urgent: true });
  const length = parameters.length / draws;
  let sum = 0;
  for (let j = 0; j < draws; j++) {
    sum += logDensity(likelihood, parameters.subarray(j * length, (j + 1) * length), image, model.imageShape[2]);
  }
  const rate = model.hasOwnPrior
    ? (logPosterior(noise, drawn.scale) - sumOf(await model.logPrior(codes, label))) / draws
    : (sumOf(rates(drawn.loc, drawn.scale)) * model.latentDim) / drawn.loc.length;
  const distortion = -sum / draws;
  const elbo = -distortion - rate;
  const reconstruction = await model.decode(loc, { label, urgent: true });
  return { loc, scale, reconstruction, rate, distortion, elbo, percentile: scoring ? percentile(scoring, elbo) : null };
}
