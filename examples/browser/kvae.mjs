/** A kvae bundle in a browser: docs/bundle-format.md is the specification. */

import { fileOf, parse, roles } from "./manifest.mjs";
import { draws } from "./noise.mjs";

const RUNTIME = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url);

/**
 * Open a bundle for sampling: its decoder, and the graph of its prior if it has one.
 *
 * @param {string | URL} folder address of the bundle, ending in "/"
 * @returns {Promise<{manifest: object, sample: (seed: bigint, label?: number | null) => Promise<Float32Array>}>} `sample`
 *   gives image 0 of a seed: height * width * channels numbers in [0, 1]. For a model with `labels`, `label` is the index
 *   of the image's label; null draws it
 * @throws {Error} in one line: a file that cannot be fetched, a broken manifest, a later format, a changed graph
 */
export async function openBundle(folder) {
  const ort = await runtime();
  const manifest = await readManifest(new URL("manifest.json", folder));
  const graphs = {};
  for (const role of roles(manifest)) graphs[role] = await readGraph(ort, folder, fileOf(role, manifest), manifest);

  /** One output of a graph for one image; inputs without values are left out. */
  const run = async (role, inputs, output) => {
    const feeds = {};
    for (const [name, values] of Object.entries(inputs)) {
      if (!values) continue;
      const isInteger = values instanceof BigInt64Array;
      feeds[name] = new ort.Tensor(isInteger ? "int64" : "float32", values, isInteger ? [1] : [1, values.length]);
    }
    return (await graphs[role].run(feeds, [output]))[output].data;
  };
  const sample = async (seed, label = null) => {
    const found = draws(manifest, seed, 0, 1, 1, label);
    const z = graphs.prior ? await run("prior", found, "z") : found.noise;
    return run("decoder", { z, label: found.label }, "mean");
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
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`${url} ${error.message}`);
  }
}

async function readGraph(ort, folder, name, manifest) {
  const url = new URL(name, folder);
  const graph = await read(url);
  if ((await sha256(graph)) !== manifest.files[name]) {
    throw new Error(`${url} is not the file that the manifest names: it was changed or cut short`);
  }
  return ort.InferenceSession.create(graph).catch((error) => {
    throw new Error(`onnxruntime cannot load ${url}: ${error.message.split("\n")[0]}`);
  });
}

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
