/** A map of two latent dimensions. */

import { $, figure, make, on, onDrag } from "./dom.mjs";
import { painter } from "./painter.mjs";
import { paint, shape } from "./picture.mjs";
import { grouped, ordered } from "./sliders.mjs";

const LIMIT = 3; // standard deviations of the prior, to each side of its mean
const CELLS = 9;
const STEP = 0.1;
const PAUSE = 200; // ms without a change before the background is made anew
const MAX_CELL = 64; // pixels

const centre = (index) => LIMIT * ((2 * index + 1) / CELLS - 1);
const clip = (value) => Math.min(Math.max(value, -LIMIT), LIMIT);

export function map(model, state) {
  const { manifest, latentDim } = model;
  if (latentDim < 2) {
    $("map").hidden = true;
    return;
  }
  choices(manifest, state);
  const reach = model.hasOwnPrior ? "3 standard deviations of the prior to each side" : "−3 to 3 both ways";
  $("reach").textContent = `Drag, or use the arrow keys; ${reach}. The other dimensions stand still.`;
  const handle = $("handle");
  const { mean, deviation } = model.spread;
  const both = () => [state.now.across, state.now.up];
  const values = () => both().map((d) => (state.now.z[d] - mean[d]) / deviation[d]);
  const move = (...places) => {
    const z = state.now.z.slice();
    both().forEach((d, axis) => (z[d] = mean[d] + deviation[d] * clip(places[axis])));
    state.set({ z });
  };
  const show = () => {
    const [right, up] = values();
    handle.style.left = `${(50 * (clip(right) + LIMIT)) / LIMIT}%`;
    handle.style.top = `${(50 * (LIMIT - clip(up))) / LIMIT}%`;
    handle.ariaValueNow = clip(right);
    handle.ariaValueText = both().map((d) => `z${d} ${figure(state.now.z[d])}`).join(", ");
  };

  onDrag($("field"), handle, (right, up) => move(LIMIT * right, LIMIT * up));
  handle.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 5 * STEP : STEP;
    const across = { ArrowLeft: -step, ArrowRight: step, Home: -2 * LIMIT, End: 2 * LIMIT }[event.key];
    const upwards = { ArrowDown: -step, ArrowUp: step, PageDown: -1, PageUp: 1 }[event.key];
    if (!across && !upwards) return;
    event.preventDefault();
    const [right, up] = values().map(clip);
    move(right + (across ?? 0), up + (upwards ?? 0));
  });

  const paintLater = background(model, state);
  const change = () => (show(), paintLater());
  state.on(["z", "across", "up", "label"], change);
  change();
}

function choices(manifest, state) {
  const { order, rates } = ordered(manifest);
  const text = (d) => `z${d}` + (rates ? ` (${figure(rates[d])} nats)` : "");
  const options = (dims) => dims.map((d) => new Option(text(d), d));
  const menu = () => {
    if (!manifest.groups) return options(order);
    return grouped(manifest).map(({ name, dims }) => {
      const group = make("optgroup", { label: name });
      group.append(...options(dims));
      return group;
    });
  };
  for (const id of ["across", "up"]) {
    const other = id === "across" ? "up" : "across";
    $(id).append(...menu());
    const show = () => ($(id).value = state.now[id]);
    on(id, "change", () => {
      const chosen = Number($(id).value);
      state.set({ [other]: chosen === state.now[other] ? state.now[id] : state.now[other], [id]: chosen }, true);
    });
    state.on([id], show);
    show();
  }
}

/** Pictures of the plane, made anew when it is another and nothing has changed for a moment. */
function background(model, state) {
  const { latentDim, spread } = model;
  const valueAt = (d, place) => spread.mean[d] + spread.deviation[d] * place;
  const [height, width] = model.imageShape;
  const scale = Math.min(1, MAX_CELL / Math.max(height, width));
  const [cellHeight, cellWidth] = [height, width].map((length) => Math.max(1, Math.round(scale * length)));
  const canvas = shape($("background"), [CELLS * cellHeight, CELLS * cellWidth]);
  const cell = shape(make("canvas"), model.imageShape);
  let plane; // the one that is painted, or will be
  const paintAll = painter(model, $("field"), (index, image) => {
    paint(cell, image);
    const [left, top] = [index % CELLS, Math.floor(index / CELLS)];
    canvas.getContext("2d").drawImage(cell, left * cellWidth, top * cellHeight, cellWidth, cellHeight);
  });
  return () => {
    const { z, across, up, label } = state.now;
    const codes = new Float32Array(CELLS * CELLS * latentDim);
    for (let i = 0; i < CELLS * CELLS; i++) {
      codes.set(z, i * latentDim);
      codes[i * latentDim + across] = valueAt(across, centre(i % CELLS));
      codes[i * latentDim + up] = valueAt(up, -centre(Math.floor(i / CELLS)));
    }
    const found = [across, up, label, ...codes.subarray(0, latentDim)].join();
    if (found !== plane) paintAll(codes, { label, delay: PAUSE });
    plane = found;
  };
}
