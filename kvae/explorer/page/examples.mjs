/** Real test images: a dozen to click, each with its code. */

import { $ } from "./dom.mjs";
import { paint, pictureButtons } from "./picture.mjs";

/** The file's content with its images as pixels and its codes as float32; null if the page has none. */
export function readExamples(found, { imageSize, labels }) {
  if (!found) return null;
  const bytes = Uint8Array.from(atob(found.images), (character) => character.charCodeAt(0));
  return found.codes.map((code, index) => ({
    z: Float32Array.from(code),
    image: Float32Array.from(bytes.subarray(index * imageSize, (index + 1) * imageSize), (byte) => byte / 255),
    label: labels ? found.labels[index] : null,
    name: found.labels ? found.names[found.labels[index]] : `Image ${index + 1}`,
  }));
}

/** The changes of the state that show an example. */
const changesTo = ({ z, label }) => (label === null ? { z: z.slice() } : { z: z.slice(), label });

export function examples(model, state, shown, { source, licence }) {
  $("examples").hidden = !shown;
  if (!shown) return;
  const choose = (index) => state.set(changesTo(shown[index]), true);
  const buttons = pictureButtons($("real"), shown.map(({ name }) => `Test image: ${name}`), model.imageShape, choose);
  buttons.forEach((button, index) => {
    button.title = shown[index].name;
    paint(button.firstChild, shown[index].image);
  });
  const mark = () => {
    const { z, label } = state.now;
    shown.forEach((example, index) => {
      buttons[index].ariaPressed = example.label === label && example.z.every((value, d) => value === z[d]);
    });
  };
  $("source").textContent = `Test images of ${source} (${licence.toUpperCase()} licence); a click shows the reconstruction.`;
  state.on(["z", "label"], mark);
  mark();
}
