/** A kvae bundle in a browser: docs/bundle-format.md is the specification. */

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { standardNormal } from "./noise.mjs";

const FORMAT_VERSION = 1;

// WebAssembly alone: it is exact on every machine, and fast enough for one image at a time. The path must be absolute.
ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;
ort.env.wasm.numThreads = 1;

/**
 * Open the decoder of a bundle.
 *
 * @param {string | URL} folder address of the bundle, ending in "/"
 * @returns {Promise<{manifest: object, sample: (seed: bigint) => Promise<Float32Array>}>} `sample` gives image 0 of a
 *   seed: height * width * channels numbers in [0, 1]
 */
export async function openBundle(folder) {
  const manifest = await (await get(new URL("manifest.json", folder))).json();
  if (!(manifest.format_version <= FORMAT_VERSION)) {
    throw new Error(`the bundle has format_version ${manifest.format_version}; this page knows ${FORMAT_VERSION}`);
  }
  const name = `decoder.${manifest.graph_format ?? "onnx"}`;
  const graph = await (await get(new URL(name, folder))).arrayBuffer();
  if ((await sha256(graph)) !== manifest.files[name]) {
    throw new Error(`${name} is not the file that the manifest names: it was changed or cut short`);
  }
  const decoder = await ort.InferenceSession.create(graph);
  const sample = async (seed) => {
    const z = standardNormal(seed, 0, 1, manifest.latent_dim);
    const { mean } = await decoder.run({ z: new ort.Tensor("float32", z, [1, manifest.latent_dim]) }, ["mean"]);
    return mean.data;
  };
  return { manifest, sample };
}

async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} cannot be fetched: HTTP ${response.status}`);
  return response;
}

async function sha256(bytes) {
  if (!crypto.subtle) throw new Error("browsers check files only over https and on localhost: open this page there");
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
