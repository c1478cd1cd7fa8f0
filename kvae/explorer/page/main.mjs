/** The page as a whole: load the model, then wake the panels. */

import { codes } from "./codes.mjs";
import { current } from "./current.mjs";
import { $, figure, on, say } from "./dom.mjs";
import { examples, readExamples } from "./examples.mjs";
import { inspection } from "./inspection.mjs";
import { interpolation } from "./interpolation.mjs";
import { labels } from "./labels.mjs";
import { hashOf, keepLink } from "./link.mjs";
import { map } from "./map.mjs";
import { Model, fetchGraph, fetched, loadRuntime } from "./model.mjs";
import { shape } from "./picture.mjs";
import { COUNT, samples } from "./samples.mjs";
import { ordered, sliders } from "./sliders.mjs";
import { State } from "./state.mjs";
import { temperature } from "./temperature.mjs";
import { walk } from "./walk.mjs";

const SMOOTH = 128; // pixels; larger images are not drawn pixel by pixel

async function start() {
  const [config, manifest] = await Promise.all(["config.json", "model/manifest.json"].map(readJson));
  introduce(config, manifest);
  tell({ text: "Loading the model, and onnxruntime-web (14 MB) to run it…" });
  const model = new Model(manifest);
  const starting = wake(model, config);
  const real = config.examples ? await readJson(config.examples) : null;
  const shown = readExamples(real, model);
  const { state, stops } = await initial(model, shown);
  keepLink(state, model, (link) => tell({ link }));
  copyButton(state);
  current(model, state, config.name);
  labels(model, state);
  temperature(model, state);
  examples(model, state, shown, real ?? {});
  const passing = codes(model, state, real?.map, real?.names);
  sliders(model, state);
  const painted = [samples(model, state, config.name), interpolation(model, state), map(model, state)];

  const ort = await starting;
  tell({ text: "The model runs in this browser; nothing is sent anywhere." });
  $("panels").inert = false;
  walk(model, state, { stops, what: shown ? "the codes of real images" : "the codes of samples" }, passing);
  await Promise.all(painted);
  if (config.graphs.encoder) {
    for (const role of model.hasOwnPrior ? ["prior_density", "encoder"] : ["encoder"]) {
      await model.start(ort, role, await fetchGraph(config.graphs[role]));
    }
    inspection(model, state, config.about);
  }
  $("panels").ariaBusy = false;
}

/** Start the graphs that draw pictures; returns onnxruntime-web. */
async function wake(model, { graphs, ort: runtime }) {
  const roles = model.hasOwnPrior ? ["prior", "decoder"] : ["decoder"];
  const found = roles.map((role) => fetchGraph(graphs[role]));
  const [ort, ...contents] = await Promise.all([loadRuntime(runtime), ...found]);
  performance.mark("fetched");
  for (const [index, role] of roles.entries()) await model.start(ort, role, contents[index]);
  performance.measure("model", "fetched");
  return ort;
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
  const { dataset, latent_dim: latentDim, likelihood, image_shape: imageShape, prior, labels, groups } = manifest;
  const inGroups = groups ? ` in ${groups.length} group${groups.length === 1 ? "" : "s"}` : "";
  const { elbo } = manifest.metrics;
  $("name").textContent = document.title = name;
  $("facts").textContent = [
    `trained on ${dataset.num_images.toLocaleString("en")} images of ${dataset.name}`,
    `${imageShape[1]} × ${imageShape[0]} pixels`,
    `${latentDim} latent dimensions${inGroups}`,
    ...(prior === "standard_normal" ? [] : [`prior ${prior.replaceAll("_", " ")}`]),
    ...(labels ? [`${labels.length} labels`] : []),
    `likelihood ${likelihood.replaceAll("_", " ")}`,
    ...(elbo ? [`test ELBO ${figure(elbo.value)} ± ${figure(elbo.standard_error)} nats`] : []),
  ].join(" · ");
  shape($("picture"), imageShape);
  if (Math.max(...imageShape.slice(0, 2)) >= SMOOTH) document.body.classList.add("smooth");
  $("absent").hidden = "encoder" in graphs;
  $("drop").hidden = !("encoder" in graphs);
  document.body.dataset.introduced = "";
}

/** The state to begin with, and where a walk may go: real images if there are some, else samples. A prior with a graph of
 * its own must have started. */
async function initial(model, shown) {
  const { latentDim, groups, manifest } = model;
  await model.measure();
  const { z: drawn, label: labels } = await model.draw(0n, COUNT, 1, null);
  const stops = shown ?? Array.from({ length: COUNT }, (_, index) => ({
    z: drawn.slice(index * latentDim, (index + 1) * latentDim),
    label: labels ? Number(labels[index]) : null,
  }));
  const [across, up = 0] = ordered(manifest).order;
  const { z, label } = stops[0];
  const { z: b } = stops.findLast((stop) => stop.label === label); // A and B are drawn under one label
  const temperature = groups ? groups.map(() => 1) : 1;
  const mixed = labels !== null;
  return { state: new State({ seed: 0n, temperature, label, mixed, z, a: z, b, across, up }), stops };
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
