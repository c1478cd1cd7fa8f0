/** The picture of the current code. */

import { $, figure, on } from "./dom.mjs";
import { digits } from "./link.mjs";
import { paint, save } from "./picture.mjs";

const PAUSE = 500; // ms between two figures

export function current(model, state, name) {
  let changed = performance.now();
  let told;
  const update = coalesced(async () => {
    const { z, label } = state.now;
    const start = changed;
    const image = await model.decode(z, { label, urgent: true });
    paint($("picture"), image);
    $("code").textContent = `[${digits(z).replaceAll(",", ", ")}]`;
    const { duration, startTime } = performance.measure("update", { start });
    performance.clearMeasures("update"); // observers have it
    if (startTime - told < PAUSE) return;
    if (told !== undefined) $("timing").textContent = `${figure(duration, duration < 10 ? 1 : 0)} ms per change`;
    told = startTime; // the first update waited for the model
  });
  state.on(["z", "label"], () => {
    changed = performance.now();
    update();
  });
  on("save", "click", () => save($("picture"), name));
  update();
}

/** A function that calls `work` at the next frame, once for many calls before it, and never twice at a time. */
function coalesced(work) {
  let [wanted, running] = [false, false];
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
