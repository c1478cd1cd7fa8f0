/** The picture of the current code. */

import { $, figure, on } from "./dom.mjs";
import { digits } from "./link.mjs";
import { paint, save } from "./picture.mjs";

const RECENT = 15; // updates of which the middle one is shown
const PAUSE = 500; // ms between two changes of that figure

export function current(model, state, name) {
  const times = [];
  let painted = false;
  let changed = performance.now();
  let told = -PAUSE;
  const update = coalesced(async () => {
    const { z } = state.now;
    const start = changed;
    const image = await model.decode(z, { urgent: true });
    paint($("picture"), image);
    $("code").textContent = `[${digits(z).replaceAll(",", ", ")}]`;
    const { duration, startTime } = performance.measure("update", { start });
    performance.clearMeasures("update"); // observers have it; the browser's own list would grow for ever
    if (painted) times.push(duration); // the first one waited for the model
    painted = true;
    if (times.length > RECENT) times.shift();
    if (!times.length || startTime - told < PAUSE) return;
    told = startTime;
    const middle = times.toSorted((first, second) => first - second)[Math.floor(times.length / 2)];
    $("timing").textContent = `${figure(middle, middle < 10 ? 1 : 0)} ms per change`;
  });
  state.on(["z"], () => {
    changed = performance.now();
    update();
  });
  on("save", "click", () => save($("picture"), name));
  update();
}

/** A function that calls `work` at the next frame: many calls before it are one, and none begins while one runs. */
function coalesced(work) {
  let wanted = false;
  let running = false;
  const frame = async () => {
    wanted = false;
    try {
      await work();
    } finally {
      running = wanted;
      if (wanted) requestAnimationFrame(frame);
    }
  };
  return () => {
    wanted = true;
    if (!running) requestAnimationFrame(frame);
    running = true;
  };
}
