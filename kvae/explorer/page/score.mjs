/** The score of an image: docs/bundle-format.md, "The score of an image". */

import { logDensity, percentile, rates } from "./likelihood.mjs";
import { standardNormal } from "./noise.mjs";

/** Encode an image and say how well it is explained: `rate`, `distortion` and `elbo` in nats, `percentile` (null where
 * the bundle does not know); and its `loc`, `scale` and `reconstruction`. */
export async function score(model, image) {
  const { likelihood, scoring } = model.manifest;
  const { draws, seed } = scoring ?? { draws: 10, seed: 0 };
  const { loc, scale } = await model.encode(image);
  const noise = standardNormal(seed, 0, draws, loc.length);
  const codes = noise.map((value, i) => loc[i % loc.length] + scale[i % loc.length] * value);
  const parameters = await model.decode(codes, { output: "likelihood_parameters", urgent: true });
  const length = parameters.length / draws;
  let sum = 0;
  for (let j = 0; j < draws; j++) {
    sum += logDensity(likelihood, parameters.subarray(j * length, (j + 1) * length), image, model.imageShape[2]);
  }
  const rate = rates(loc, scale).reduce((total, nats) => total + nats, 0);
  const distortion = -sum / draws;
  const elbo = -distortion - rate;
  const reconstruction = await model.decode(loc, { urgent: true });
  return { loc, scale, reconstruction, rate, distortion, elbo, percentile: scoring ? percentile(scoring, elbo) : null };
}
