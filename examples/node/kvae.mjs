/** A kvae bundle in Node: docs/bundle-format.md is the specification. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { standardNormal } from "./noise.mjs";

// onnxruntime reads this when it is loaded, which is why it is not among the imports above; else it reports to its maker.
process.env.ORT_DISABLE_TELEMETRY ||= "1";
const ort = await import("onnxruntime-node");

const FORMAT_VERSION = 1;

/** What is wrong with a bundle, in one line. */
export class BundleError extends Error {}

export class Bundle {
  /**
   * Open the decoder of a bundle.
   *
   * @param {string} folder
   * @returns {Promise<Bundle>}
   * @throws {BundleError} no bundle there, a broken manifest, a later format, or a file that is not the one it names
   */
  static async open(folder) {
    const manifest = await readManifest(join(folder, "manifest.json"));
    const name = `decoder.${manifest.graph_format ?? "onnx"}`;
    const path = join(folder, name);
    const graph = await read(path);
    if (createHash("sha256").update(graph).digest("hex") !== manifest.files[name]) {
      throw new BundleError(`${path} is not the file that the manifest names: it was changed or cut short`);
    }
    try {
      return new Bundle(manifest, await ort.InferenceSession.create(graph));
    } catch (error) {
      throw new BundleError(`onnxruntime cannot load ${path}: ${error.message.split("\n")[0]}`);
    }
  }

  constructor(manifest, decoder) {
    this.manifest = manifest;
    this.decoder = decoder;
  }

  /**
   * The images start, start + 1, ... of a seed.
   *
   * @param {bigint | number} seed 0 to 2^64 - 1
   * @param {bigint | number} start index of the first image, in the same range
   * @param {number} n how many images, at least 1
   * @param {number} temperature factor on the noise, which is rounded to float32
   * @returns {Promise<Float32Array>} n * height * width * channels numbers in [0, 1], image after image
   */
  async sample(seed, start, n, temperature = 1) {
    const dim = this.manifest.latent_dim;
    const z = standardNormal(seed, start, n, dim).map((value) => value * Math.fround(temperature));
    const { mean } = await this.decoder.run({ z: new ort.Tensor("float32", z, [n, dim]) }, ["mean"]);
    return mean.data;
  }
}

async function readManifest(path) {
  const text = await read(path);
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch {
    throw new BundleError(`${path} is not JSON`);
  }
  const wrong = fault(manifest);
  if (wrong) throw new BundleError(`${path} ${wrong}`);
  return manifest;
}

/** What a manifest has that this program cannot use, in words; undefined where it is fine. */
function fault(manifest) {
  const version = manifest?.format_version;
  if (!isCount(version)) return "has no format_version: it is no bundle's manifest";
  if (version > FORMAT_VERSION) return `has format_version ${version}; this program knows ${FORMAT_VERSION}`;
  const { image_shape: shape, latent_dim: dim, files } = manifest;
  if (!(Array.isArray(shape) && shape.length === 3 && shape.every(isCount))) return "has no valid image_shape";
  if (!isCount(dim)) return "has no valid latent_dim";
  if (files?.constructor !== Object) return "has no valid files";
}

const isCount = (value) => Number.isInteger(value) && value > 0;

async function read(path) {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BundleError(error.code === "ENOENT" ? `${path} does not exist` : `cannot read ${path}: ${error.code}`);
  }
}
