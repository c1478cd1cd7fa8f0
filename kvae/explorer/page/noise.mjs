/**
 * What is random about an image, by its seed and index alone: its noise, its prior's component and its label.
 * docs/bundle-format.md specifies all three.
 *
 * A plain module without dependencies, for browsers and for Node. BigInt holds the 64-bit words, which is fast enough:
 * a thousand images of 16 dimensions take about 20 ms.
 */

const MASK = (1n << 64n) - 1n;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const WEYL = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];
/** The second word of the key: 0 for the noise, these for choices. */
export const COMPONENTS = 1n;
export const LABELS = 2n;

/**
 * One block of Philox4x64-10 under the key (key, stream).
 *
 * @param {bigint} key 0 to 2^64 - 1
 * @param {bigint} counter 0 to 2^256 - 1; its lowest 64 bits are the first word
 * @param {bigint} stream 0 to 2^64 - 1
 * @returns {bigint[]} four words of 64 bits
 */
export function philox(key, counter, stream = 0n) {
  let [k0, k1] = [key, stream];
  let c0 = counter & MASK;
  let c1 = (counter >> 64n) & MASK;
  let c2 = (counter >> 128n) & MASK;
  let c3 = (counter >> 192n) & MASK;
  for (let round = 0; round < 10; round++) {
    const first = MULTIPLIERS[0] * c0;
    const second = MULTIPLIERS[1] * c2;
    c0 = (second >> 64n) ^ c1 ^ k0;
    c1 = second & MASK;
    c2 = (first >> 64n) ^ c3 ^ k1;
    c3 = first & MASK;
    k0 = (k0 + WEYL[0]) & MASK;
    k1 = (k1 + WEYL[1]) & MASK;
  }
  return [c0, c1, c2, c3];
}

/**
 * The words of the blocks with the counters first, first + 1, ..., lined up.
 *
 * @param {bigint} key 0 to 2^64 - 1
 * @param {bigint} first the first counter
 * @param {number} count how many words; the last block is cut where it is no multiple of 4
 * @returns {BigUint64Array} `count` words
 */
export function words(key, first, count) {
  const result = new BigUint64Array(count);
  for (let at = 0; at < count; at += 4) {
    const block = philox(key, first + BigInt(at / 4));
    for (let word = 0; word < 4 && at + word < count; word++) result[at + word] = block[word];
  }
  return result;
}

/**
 * Standard normal noise of the images start, start + 1, ... under a seed. Each image has the noise it always has.
 *
 * @param {bigint | number} seed 0 to 2^64 - 1; as a number, up to 2^53 - 1
 * @param {bigint | number} start index of the first image, in the same range
 * @param {number} count how many images
 * @param {number} dim latent_dim, the length of an image's noise
 * @returns {Float32Array} count * dim numbers, image after image
 * @throws {RangeError} where an argument is out of its range
 */
export function standardNormal(seed, start, count, dim) {
  const [key, first] = range(seed, start, count);
  if (!Number.isSafeInteger(dim) || dim < 1) throw new RangeError(`dim is ${dim}; expected an integer from 1`);
  const blocks = BigInt(Math.ceil(dim / 4));
  const noise = new Float32Array(count * dim);
  for (let image = 0; image < count; image++) {
    const counter = (first + BigInt(image)) * blocks + 1n;
    boxMuller(words(key, counter, dim + (dim % 2)), noise.subarray(image * dim, (image + 1) * dim));
  }
  return noise;
}

/**
 * Which of K things was chosen for the images start, start + 1, ... under a seed.
 *
 * @param {bigint | number} seed as for `standardNormal`
 * @param {bigint | number} start as there
 * @param {number} count how many images
 * @param {number[]} cumulative K cumulative weights, integers that rise to 2^53
 * @param {bigint} stream COMPONENTS or LABELS
 * @returns {BigInt64Array} for each image a number from 0 to K - 1, as graphs take it
 * @throws {RangeError} where an argument is out of its range
 */
export function choices(seed, start, count, cumulative, stream) {
  const [key, first] = range(seed, start, count);
  const chosen = new BigInt64Array(count);
  for (let image = 0; image < count; image++) {
    const place = Number(philox(key, first + BigInt(image) + 1n, stream)[0] >> 11n); // exact: 53 bits
    chosen[image] = BigInt(numberUpTo(cumulative, place));
  }
  return chosen;
}

/**
 * The inputs of a model's graphs for its images start, start + 1, ... under a seed.
 *
 * @param {object} manifest the bundle's
 * @param {bigint | number} seed as for `standardNormal`
 * @param {bigint | number} start as there
 * @param {number} count how many images
 * @param {number | number[]} temperature factor on the noise, rounded to float32; one for each of the manifest's
 *   `groups`, or one for all
 * @param {number | null} label index of all images' label; null draws each as often as in training
 * @returns {{noise: Float32Array, component?: BigInt64Array, label?: BigInt64Array}} `noise` is z where the model has no
 *   graph "prior"; the others are there where the model has components and labels
 * @throws {RangeError} where an argument is out of its range
 */
export function draws(manifest, seed, start, count, temperature = 1, label = null) {
  const { latent_dim: dim, components, labels, label_weights: weights, groups } = manifest;
  const factors = factorsOf(temperature, groups ?? [dim]);
  const noise = standardNormal(seed, start, count, dim);
  const found = { noise: noise.map((value, i) => value * factors[i % dim]) };
  if (components) found.component = choices(seed, start, count, components, COMPONENTS);
  if (!labels) return found;
  if (label !== null && labels[label] === undefined) {
    throw new RangeError(`label is ${label}; expected an integer from 0 to ${labels.length - 1}`);
  }
  const drawn = label === null;
  found.label = drawn ? choices(seed, start, count, weights, LABELS) : new BigInt64Array(count).fill(BigInt(label));
  return found;
}

/** The factor of each latent dimension, float32. */
function factorsOf(temperature, groups) {
  const each = typeof temperature === "number" ? groups.map(() => temperature) : temperature;
  if (each.length !== groups.length) {
    throw new RangeError(`temperature has ${each.length} numbers; this model has ${groups.length} groups`);
  }
  return Float32Array.from(groups.flatMap((size, group) => new Array(size).fill(each[group])));
}

/** How many of numbers that rise are at most `value`. */
function numberUpTo(rising, value) {
  let [low, high] = [0, rising.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The seed and the first index of `count` images as BigInts, or a RangeError. */
function range(seed, start, count) {
  const [key, first] = [word(seed, "seed"), word(start, "start")];
  if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`count is ${count}; expected an integer from 0`);
  if (first + BigInt(count) > MASK + 1n) throw new RangeError(`start + count is above 2^64: there are no such images`);
  return [key, first];
}

/** Fills `noise` from pairs of words. Where its length is odd, the last sine is left out. */
function boxMuller(pairs, noise) {
  for (let at = 0; at < noise.length; at += 2) {
    const u = (Number(pairs[at] >> 11n) + 1) / 2 ** 53;
    const v = Number(pairs[at + 1] >> 11n) / 2 ** 53;
    const r = Math.sqrt(-2 * Math.log(u));
    noise[at] = r * Math.cos(2 * Math.PI * v);
    if (at + 1 < noise.length) noise[at + 1] = r * Math.sin(2 * Math.PI * v);
  }
}

/** `value` as a BigInt of 64 bits, or a RangeError that names it. */
function word(value, name) {
  if (typeof value === "number" && value > Number.MAX_SAFE_INTEGER) {
    throw new RangeError(`${name} is ${value}, where a number is no longer exact; expected a BigInt`);
  }
  const whole = typeof value === "bigint" || Number.isSafeInteger(value);
  if (!whole || value < 0 || value > MASK) {
    throw new RangeError(`${name} is ${value} (${typeof value}); expected an integer from 0 to 2^64 - 1`);
  }
  return BigInt(value);
}
