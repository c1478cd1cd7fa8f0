/** A grid of samples, by seed and temperature. */

import { $, columnsOf, figure, on } from "./dom.mjs";
import { seedOf } from "./link.mjs";
import { standardNormal } from "./noise.mjs";
import { painter } from "./painter.mjs";
import { gridOf, paint, pictureButtons, save } from "./picture.mjs";

export const COUNT = 24; // whole rows of 12, 8, 6 and 4

/** The codes of a seed's first samples in a row: docs/bundle-format.md, "A sample". */
export function codesOf(seed, temperature, count, latentDim) {
  return standardNormal(seed, 0, count, latentDim).map((value) => value * Math.fround(temperature));
}

export function samples(model, state, name) {
  const { latentDim, imageShape } = model;
  const labels = Array.from({ length: COUNT }, (_, index) => `Sample ${index}`);
  const buttons = pictureButtons($("grid"), labels, imageShape, (index) => {
    if (buttons[index].ariaPressed !== "true") state.set({ z: codeOf(index) }, true);
  });
  const paintAll = painter(model, $("grid"), (index, image) => paint(buttons[index].firstChild, image));
  let codes;
  const codeOf = (index) => codes.slice(index * latentDim, (index + 1) * latentDim);

  const draw = () => {
    codes = codesOf(state.now.seed, state.now.temperature, COUNT, latentDim);
    $("seed").value = state.now.seed;
    $("seed").setCustomValidity("");
    $("temperature").value = state.now.temperature;
    $("temperature-value").value = figure(state.now.temperature);
    mark();
    return paintAll(codes);
  };
  const mark = () => {
    const z = state.now.z;
    buttons.forEach((button, index) => (button.ariaPressed = codeOf(index).every((value, d) => value === z[d])));
  };
  const stepTo = (seed) => state.set({ seed: BigInt.asUintN(64, seed) }, true); // 0 and 2^64 - 1 are neighbours

  on("seed", "input", ({ target }) => {
    const seed = seedOf(target.value);
    if (seed === null) target.setCustomValidity("A seed is a whole number from 0 to 2^64 - 1.");
    else state.set({ seed });
  });
  on("seed", "change", ({ target }) => target.reportValidity());
  on("previous", "click", () => stepTo(state.now.seed - 1n));
  on("next", "click", () => stepTo(state.now.seed + 1n));
  on("random", "click", () => stepTo(BigInt(crypto.getRandomValues(new Uint32Array(1))[0])));
  on("temperature", "input", ({ target }) => state.set({ temperature: Number(target.value) }));
  on("save-grid", "click", () => {
    save(gridOf(buttons.map((button) => button.firstChild), columnsOf($("grid"))), `${name}-seed-${state.now.seed}`);
  });
  state.on(["seed", "temperature"], draw);
  state.on(["z"], mark);
  return draw();
}
