/** The page as a whole: load the model, then wake the panels. */

import { current } from "./current.mjs";
import { $, figure, on, say } from "./dom.mjs";
import { inspection } from "./inspection.mjs";
import { interpolation } from "./interpolation.mjs";
import { hashOf, keepLink } from "./link.mjs";
import { map } from "./map.mjs";
import { Model, fetchGraph, fetched, loadRuntime } from "./model.mjs";
import { shape } from "./picture.mjs";
import { COUNT, codesOf, samples } from "./samples.mjs";
import { ordered, sliders } from "./sliders.mjs";
import { State } from "./state.mjs";

const SMOOTH = 128; // pixels; larger images are not drawn pixel by pixel

async function start() {
  const [config, manifest] = await Promise.all(["config.json", "model/manifest.json"].map(readJson));
  introduce(config, manifest);
  tell({ text: "Loading the model, and onnxruntime-web (14 MB) to run it…" });
  const model = new Model(manifest);
  const state = initial(manifest);
  keepLink(state, model.latentDim, (link) => tell({ link }));
  copyButton(state);
  current(model, state, config.name);
  sliders(model, state);
  const painted = [samples(model, state, config.name), interpolation(model, state), map(model, state)];

  const [ort, decoder] = await Promise.all([loadRuntime(config.ort), fetchGraph(config.graphs.decoder)]);
  performance.mark("fetched");
  await model.start(ort, "decoder", decoder);
  performance.measure("model", "fetched");
  tell({ text: "The model runs in this browser; nothing is sent anywhere." });
  $("panels").inert = false;
  await Promise.all(painted);
  if (config.graphs.encoder) {
    await model.start(ort, "encoder", await fetchGraph(config.graphs.encoder));
    inspection(model, state, config.about);
  }
  $("panels").ariaBusy = false;
}

async function readJson(path) {
  try {
    return await (await fetched(path)).json();
  } catch {
    throw new Error(`${path} cannot be loaded: run kvae explore again.`);
  }
}

/** Say what the model is, and give the picture its size, so that nothing jumps later on. */
function introduce({ name, graphs }, manifest) {
  const { dataset, latent_dim: latentDim, likelihood, image_shape: imageShape } = manifest;
  const { elbo } = manifest.metrics;
  $("name").textContent = document.title = name;
  $("facts").textContent = [
    `trained on ${dataset.num_images.toLocaleString("en")} images of ${dataset.name}`,
    `${imageShape[1]} × ${imageShape[0]} pixels`,
    `${latentDim} latent dimensions`,
    `likelihood ${likelihood.replaceAll("_", " ")}`,
    ...(elbo ? [`test ELBO ${figure(elbo.value)} ± ${figure(elbo.standard_error)} nats`] : []),
  ].join(" · ");
  shape($("picture"), imageShape);
  if (Math.max(...imageShape.slice(0, 2)) >= SMOOTH) document.body.classList.add("smooth");
  $("absent").hidden = "encoder" in graphs;
  $("drop").hidden = !("encoder" in graphs);
  document.body.dataset.introduced = "";
}

function initial(manifest) {
  const latentDim = manifest.latent_dim;
  const codes = codesOf(0n, 1, COUNT, latentDim);
  const [across, up = 0] = ordered(manifest).order;
  const [a, b] = [codes.slice(0, latentDim), codes.slice(-latentDim)]; // the first sample and the last
  return new State({ seed: 0n, temperature: 1, z: a, a, b, across, up });
}

function copyButton(state) {
  let timer;
  on("copy", "click", async () => {
    history.replaceState(null, "", hashOf(state));
    const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    $("copy").textContent = copied ? "Copied" : "See address"; // without https a page may not copy
    clearTimeout(timer);
    timer = setTimeout(() => ($("copy").textContent = "Copy link"), 2000);
  });
}

const status = { text: "", link: "", isError: false };

/** Change the status line; what is wrong with the `link` covers the rest while it lasts. */
function tell(changes) {
  Object.assign(status, changes);
  say("status", status.link || status.text, status.isError || status.link !== "");
}

function fail(error) {
  tell({ text: error.message, link: "", isError: true });
  document.body.dataset.failed = "";
}

addEventListener("unhandledrejection", (event) => fail(event.reason)); // the console has it too
start().catch(fail);
