/** A grid of samples, by seed, temperature and label. */

import { $, columnsOf, on } from "./dom.mjs";
import { seedOf } from "./link.mjs";
import { painter } from "./painter.mjs";
import { gridOf, paint, pictureButtons, save } from "./picture.mjs";

export const COUNT = 24; // whole rows of 12, 8, 6 and 4

export function samples(model, state, name) {
  const { latentDim, imageShape } = model;
  const nameOf = (index) => `Sample ${index}`;
  const names = Array.from({ length: COUNT }, (_, index) => nameOf(index));
  const buttons = pictureButtons($("grid"), names, imageShape, (index) => {
    const label = labelOf(index);
    const changes = label === state.now.label ? { z: codeOf(index) } : { z: codeOf(index), label };
    if (buttons[index].ariaPressed !== "true") state.set(changes, true);
  });
  const paintAll = painter(model, $("grid"), (index, image) => paint(buttons[index].firstChild, image));
  let shown; // the codes and the labels that are in the grid
  let drawn; // what they were drawn by
  const codeOf = (index) => shown.z.slice(index * latentDim, (index + 1) * latentDim);
  const labelOf = (index) => (shown.label ? Number(shown.label[index]) : null);

  const draw = async () => {
    const { seed, temperature, label, mixed } = state.now;
    const given = [seed, COUNT, temperature, mixed ? null : label];
    $("seed").value = seed;
    $("seed").setCustomValidity("");
    if (given.join() === drawn) return;
    drawn = given.join();
    $("grid").ariaBusy = true;
    const found = await model.draw(...given);
    if (given.join() !== drawn) return; // something else is drawn meanwhile
    shown = found;
    mark();
    await paintAll(shown.z, { label: shown.label });
  };
  const mark = () => {
    if (!shown) return;
    const { z, label } = state.now;
    buttons.forEach((button, index) => {
      const isSame = labelOf(index) === label && codeOf(index).every((value, d) => value === z[d]);
      button.ariaPressed = isSame;
      if (model.labels) button.title = button.ariaLabel = `${nameOf(index)}: ${model.labels[labelOf(index)]}`;
    });
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
  on("save-grid", "click", () => {
    save(gridOf(buttons.map((button) => button.firstChild), columnsOf($("grid"))), `${name}-seed-${state.now.seed}`);
  });
  state.on(["seed", "temperature", "label", "mixed"], draw);
  state.on(["z", "label"], mark);
  return draw();
}
