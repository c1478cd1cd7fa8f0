/** A kvae bundle in a browser: docs/bundle-format.md is the specification. */

import { standardNormal } from "./noise.mjs";

const FORMAT_VERSION = 1;
const RUNTIME = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url);

/**
 * Open the decoder of a bundle.
 *
 * @param {string | URL} folder address of the bundle, ending in "/"
 * @returns {Promise<{manifest: object, sample: (seed: bigint) => Promise<Float32Array>}>} `sample` gives image 0 of a
 *   seed: height * width * channels numbers in [0, 1]
 * @throws {Error} in one line: a file that cannot be fetched, a broken manifest, a later format, a changed decoder
 */
export async function openBundle(folder) {
  const ort = await runtime();
  const manifest = await readManifest(new URL("manifest.json", folder));
  const name = `decoder.${manifest.graph_format ?? "onnx"}`;
  const url = new URL(name, folder);
  const graph = await read(url);
  if ((await sha256(graph)) !== manifest.files[name]) {
    throw new Error(`${url} is not the file that the manifest names: it was changed or cut short`);
  }
  const decoder = await ort.InferenceSession.create(graph).catch((error) => {
    throw new Error(`onnxruntime cannot load ${url}: ${error.message.split("\n")[0]}`);
  });
  const sample = async (seed) => {
    const z = standardNormal(seed, 0, 1, manifest.latent_dim);
    const { mean } = await decoder.run({ z: new ort.Tensor("float32", z, [1, manifest.latent_dim]) }, ["mean"]);
    return mean.data;
  };
  return { manifest, sample };
}

/** onnxruntime-web. It is loaded here, so that a page without it can say so. */
async function runtime() {
  const url = new URL("ort.wasm.min.mjs", RUNTIME);
  const ort = await import(url).catch(() => {
    throw new Error(`${url} cannot be loaded: run npm ci, or publish it`);
  });
  // WebAssembly alone: it is exact on every machine, and fast enough for one image at a time. The path must be absolute.
  ort.env.wasm.wasmPaths = RUNTIME.href;
  ort.env.wasm.numThreads = 1;
  return ort;
}

async function readManifest(url) {
  const text = new TextDecoder().decode(await read(url));
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch {
    throw new Error(`${url} is not JSON`);
  }
  const wrong = fault(manifest);
  if (wrong) throw new Error(`${url} ${wrong}`);
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

async function read(url) {
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return await response.arrayBuffer();
  } catch (error) {
    throw new Error(`${url} cannot be fetched: ${error.message}`);
  }
}

async function sha256(bytes) {
  if (!crypto.subtle) throw new Error("browsers check files only over https and on localhost: open this page there");
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
