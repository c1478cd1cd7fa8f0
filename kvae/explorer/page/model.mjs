/** The model: its graphs in onnxruntime-web, one call at a time. */

import { make } from "./dom.mjs";
import { draws } from "./noise.mjs";

const SPREAD_DRAWS = 256;

/** Load onnxruntime-web; its files are checked, wherever they come from. */
export async function loadRuntime({ base, integrity }) {
  const { href, host, origin } = new URL(base, document.baseURI);
  const [module, wasm] = Object.entries(integrity).map(([name, hash]) => [href + name, hash]);
  try {
    const [binary] = await Promise.all([bytesOf(...wasm), loadModule(...module)]);
    const ort = await import(module[0]); // the one that was loaded and checked just now
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = binary;
    return ort;
  } catch {
    throw new Error(
      origin === location.origin
        ? "onnxruntime-web is missing, or another: this page is incomplete. Make it again with kvae explore."
        : `onnxruntime-web, which runs the model, cannot be loaded from ${host}. ` +
          "kvae explore --ort-dir FOLDER makes a page that brings it along.",
    );
  }
}

/** Load a module by an element, as an import by itself cannot name a hash. */
function loadModule(url, integrity) {
  return new Promise((resolve, reject) => {
    const script = make("script", { type: "module", crossOrigin: "anonymous", integrity });
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    script.src = url;
    document.head.append(script);
  });
}

export async function fetched(url, settings) {
  const response = await fetch(url, settings);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response;
}

const bytesOf = async (url, integrity) => (await fetched(url, { integrity })).arrayBuffer();

export async function fetchGraph({ path, integrity }) {
  try {
    return new Uint8Array(await bytesOf(path, integrity));
  } catch {
    throw new Error(`${path} is missing, or not the file that this page was made with: run kvae explore again.`);
  }
}

/** It can be asked at once, and answers once its decoder has started. A `label` is the index of one, or a list of one for
 * each row, or null for a model without labels. */
export class Model {
  #ort;
  #sessions = {};
  #urgent = [];
  #patient = [];
  #busy = true;

  constructor(manifest) {
    this.manifest = manifest;
    this.latentDim = manifest.latent_dim;
    this.imageShape = manifest.image_shape;
    this.imageSize = manifest.image_shape.reduce((product, length) => product * length);
    this.labels = manifest.labels ?? null;
    this.groups = manifest.groups ?? null;
    this.hasOwnPrior = manifest.prior !== "standard_normal";
  }

  /** Start a graph: the prior, if there is one, then the decoder, then the others. */
  async start(ort, role, bytes) {
    this.#ort = ort;
    try {
      this.#sessions[role] = await ort.InferenceSession.create(bytes);
    } catch (error) {
      throw new Error(`onnxruntime-web cannot load the ${role}: ${String(error.message ?? error).slice(0, 200)}`);
    }
    if (role === "decoder") this.#work();
  }

  /** An output of the decoder, by default the expected images, for codes in a row. What is `urgent` goes first. */
  async decode(codes, { label = null, output = "mean", urgent = false } = {}) {
    const count = codes.length / this.latentDim;
    return (await this.#run("decoder", count, { z: codes, label }, [output], urgent))[output];
  }

  /** `loc` and `scale` of the posterior of one image; in a model with groups at the draws of this `noise`, a row each. */
  encode(image, { label = null, noise = new Float32Array(this.latentDim) } = {}) {
    const count = noise.length / this.latentDim;
    const images = new Float32Array(count * image.length);
    for (let row = 0; row < count; row++) images.set(image, row * image.length);
    return this.#run("encoder", count, { images, label, noise }, ["loc", "scale"], true);
  }

  /** The codes `z` of a seed's first images, and their labels: docs/bundle-format.md, "A sample". */
  async draw(seed, count, temperature, label) {
    const found = draws(this.manifest, seed, 0, count, temperature, label);
    const z = this.hasOwnPrior ? (await this.#run("prior", count, found, ["z"], true)).z : found.noise;
    return { z, label: found.label ?? null };
  }

  /** log p(z) of each code, in nats, by the prior's own graph. */
  async logPrior(codes, label) {
    const count = codes.length / this.latentDim;
    return (await this.#run("prior_density", count, { z: codes, label }, ["log_prob"], true)).log_prob;
  }

  /** Set `spread`: the prior's mean and standard deviation in each dimension, by its draws if it has a graph. */
  async measure() {
    const each = (value) => Array.from({ length: this.latentDim }, (_, d) => value(d));
    this.spread = { mean: each(() => 0), deviation: each(() => 1) };
    if (!this.hasOwnPrior) return;
    const { z } = await this.draw(0n, SPREAD_DRAWS, 1, null);
    const moment = (d, of) => {
      let sum = 0;
      for (let i = d; i < z.length; i += this.latentDim) sum += of(z[i]);
      return sum / SPREAD_DRAWS;
    };
    const mean = each((d) => moment(d, (value) => value));
    this.spread = { mean, deviation: each((d) => Math.sqrt(moment(d, (value) => (value - mean[d]) ** 2)) || 1) };
  }

  /** Outputs of a graph for `count` rows; of the inputs it gets those that its contract names. */
  #run(role, count, inputs, outputs, urgent) {
    const tensorOf = ({ name, dtype, shape }) => {
      const values = dtype === "int64" ? integers(inputs[name], count) : inputs[name];
      return [name, new this.#ort.Tensor(dtype, values, [count, ...shape.slice(1)])];
    };
    return new Promise((resolve, reject) => {
      const call = async () => {
        const feeds = Object.fromEntries(this.manifest.tensors[role].inputs.map(tensorOf));
        const found = await this.#sessions[role].run(feeds, outputs);
        return Object.fromEntries(outputs.map((name) => [name, found[name].data]));
      };
      (urgent ? this.#urgent : this.#patient).push({ call, resolve, reject });
      if (!this.#busy) this.#work();
    });
  }

  /** Make the calls that wait. WebAssembly holds the page: between two calls it gets a turn. */
  async #work() {
    this.#busy = true;
    for (let job; (job = this.#urgent.shift() ?? this.#patient.shift()); ) {
      await job.call().then(job.resolve, job.reject);
      if (!this.#urgent.length && this.#patient.length) await new Promise((resolve) => setTimeout(resolve));
    }
    this.#busy = false;
  }
}

/** A number for all rows, or the list that it is already. */
function integers(value, count) {
  return typeof value === "number" ? new BigInt64Array(count).fill(BigInt(value)) : value;
}
