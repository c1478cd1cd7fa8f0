/** The model: its graphs in onnxruntime-web, one call at a time. */

import { make } from "./dom.mjs";

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

/** It can be asked at once, and answers once its decoder has started. */
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
  }

  /** Start a graph, the decoder first. */
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
  async decode(codes, { output = "mean", urgent = false } = {}) {
    const shape = [codes.length / this.latentDim, this.latentDim];
    return (await this.#run("decoder", "z", codes, shape, [output], urgent))[output];
  }

  /** `loc` and `scale` of the posterior of one image. */
  encode(image) {
    return this.#run("encoder", "images", image, [1, ...this.imageShape], ["loc", "scale"], true);
  }

  #run(role, input, values, shape, outputs, urgent) {
    return new Promise((resolve, reject) => {
      const call = async () => {
        const tensor = new this.#ort.Tensor("float32", values, shape);
        const found = await this.#sessions[role].run({ [input]: tensor }, outputs);
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
