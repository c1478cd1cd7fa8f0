/** A kvae bundle in Node: docs/bundle-format.md is the specification. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { fileOf, parse, roles } from "./manifest.mjs";
import { draws } from "./noise.mjs";

// onnxruntime reads this when it is loaded, which is why it is not among the imports above; else it reports to its maker.
process.env.ORT_DISABLE_TELEMETRY ||= "1";
const ort = await import("onnxruntime-node");

/** What is wrong with a bundle, in one line. */
export class BundleError extends Error {}

export class Bundle {
  /**
   * Open a bundle for sampling: its decoder, and the graph of its prior if it has one.
   *
   * @param {string} folder
   * @returns {Promise<Bundle>}
   * @throws {BundleError} no bundle there, a broken manifest, a later format, or a file that is not the one it names
   */
  static async open(folder) {
    const manifest = await readManifest(join(folder, "manifest.json"));
    const bundle = new Bundle(manifest);
    for (const role of roles(manifest)) bundle.graphs[role] = await readGraph(folder, fileOf(role, manifest), manifest);
    return bundle;
  }

  constructor(manifest, graphs = {}) {
    this.manifest = manifest;
    this.graphs = graphs;
  }

  /**
   * The images start, start + 1, ... of a seed.
   *
   * @param {bigint | number} seed 0 to 2^64 - 1
   * @param {bigint | number} start index of the first image, in the same range
   * @param {number} n how many images, at least 1
   * @param {number | number[]} temperature factor on the noise, which is rounded to float32; for a model with `groups` of
   *   latent dimensions it may be a list of one for each
   * @param {number | null} label for a model with `labels`, the index of the images' label; null draws each image's own
   * @returns {Promise<Float32Array>} n * height * width * channels numbers in [0, 1]
   */
  async sample(seed, start, n, temperature = 1, label = null) {
    const found = draws(this.manifest, seed, start, n, temperature, label);
    const z = this.graphs.prior ? await this.#run("prior", n, found, "z") : found.noise;
    return this.#run("decoder", n, { z, label: found.label }, "mean");
  }

  /** One output of a graph, for inputs of n rows each; those without values are left out. */
  async #run(role, n, inputs, output) {
    const feeds = {};
    for (const [name, values] of Object.entries(inputs)) {
      if (!values) continue;
      const isInteger = values instanceof BigInt64Array;
      feeds[name] = new ort.Tensor(isInteger ? "int64" : "float32", values, isInteger ? [n] : [n, values.length / n]);
    }
    return (await this.graphs[role].run(feeds, [output]))[output].data;
  }
}

async function readManifest(path) {
  const text = await read(path);
  try {
    return parse(text);
  } catch (error) {
    throw new BundleError(`${path} ${error.message}`);
  }
}

async function readGraph(folder, name, manifest) {
  const path = join(folder, name);
  const graph = await read(path);
  if (createHash("sha256").update(graph).digest("hex") !== manifest.files[name]) {
    throw new BundleError(`${path} is not the file that the manifest names: it was changed or cut short`);
  }
  try {
    return await ort.InferenceSession.create(graph);
  } catch (error) {
    throw new BundleError(`onnxruntime cannot load ${path}: ${error.message.split("\n")[0]}`);
  }
}

async function read(path) {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BundleError(error.code === "ENOENT" ? `${path} does not exist` : `cannot read ${path}: ${error.code}`);
  }
}
