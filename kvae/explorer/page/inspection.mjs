/** An image of the visitor's: reconstructed, and scored. */

import { $, figure, make, on, say } from "./dom.mjs";
import { takeDrops } from "./drop.mjs";
import { readImage } from "./image.mjs";
import { binarize } from "./likelihood.mjs";
import { paint, pixelsOf, shape } from "./picture.mjs";
import { score } from "./score.mjs";
import { ordered } from "./sliders.mjs";

export function inspection(model, state, about) {
  const { manifest, imageShape } = model;
  let code;
  let shown = null; // the image, its name, the notes on it, and the label that it is scored under
  let latest = 0;
  /** Do some work, and show what it says of an image, unless something else has begun meanwhile. */
  const attempt = async (what, work) => {
    const turn = ++latest;
    $("inspection").ariaBusy = true;
    say("note", what);
    try {
      const { result, ...known } = await work();
      if (turn !== latest) return;
      shown = known;
      paint($("original"), shown.image);
      paint($("reconstruction"), result.reconstruction);
      code = result.loc;
      show(result, manifest);
      say("note", [`${shown.name}: ${summary(result)}.`, ...shown.notes].join(" "));
    } catch (error) {
      if (turn !== latest) return;
      shown = null;
      $("result").hidden = true;
      say("note", error.message, true);
    } finally {
      if (turn === latest) $("inspection").ariaBusy = false;
    }
    rescore(); // the list may have gone on to another label
  };
  const scored = async (known, label) => ({ ...known, label, result: await score(model, known.image, label) });
  const inspect = (name, read) =>
    attempt(`Reading ${name}…`, async () => {
      const { pixels, notes } = await read();
      const image = manifest.binarize === "dynamic" ? binarize(pixels) : pixels;
      if (image.some((pixel, i) => pixel !== pixels[i])) notes.push("Binarised: the model knows black and white only.");
      return scored({ name, image, notes }, state.now.label);
    });
  const rescore = () => {
    if ($("inspection").ariaBusy === "true" || !shown || shown.label === state.now.label) return;
    attempt(`Scoring ${shown.name}…`, () => scored(shown, state.now.label));
  };
  /** The label under which the image has the highest ELBO becomes that of the picture. */
  const findLabel = () =>
    attempt(`Trying ${model.labels.length} labels…`, async () => {
      const known = shown;
      let best;
      for (const label of model.labels.keys()) {
        const found = await scored(known, label);
        if (!best || found.result.elbo > best.result.elbo) best = found;
      }
      if (known === shown) state.set({ label: best.label }, true);
      return best;
    });
  let given = null; // the file that was chosen last
  const take = (file) => {
    if (!file) return;
    given = file;
    const how = { whole: $("fit").value === "pad", isWhite: $("ground").value === "white", inverted: $("invert").checked };
    inspect(file.name, () => readImage(file, imageShape, how));
  };
  const readPicture = async () => ({ pixels: pixelsOf($("picture"), imageShape[2]), notes: [] });

  shape($("original"), imageShape);
  shape($("reconstruction"), imageShape);
  $("about").textContent = `In nats: ${about}.${model.labels ? " All of it is given the label in the list." : ""}`;
  $("best").hidden = !model.labels;
  on("file", "change", ({ target }) => {
    take(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
  for (const option of ["fit", "ground", "invert"]) on(option, "change", () => take(given));
  on("reconstruct", "click", () => inspect("The picture", readPicture));
  on("best", "click", findLabel);
  state.on(["label"], rescore);
  on("explore", "click", () => state.set({ z: code.slice() }, true));
  takeDrops(take);
  $("drop").inert = false;
}

const summary = ({ elbo, percentile }) =>
  `ELBO ${figure(elbo)} nats` + (percentile === null ? "" : `, percentile ${figure(percentile, 1)}`);

function show(result, manifest) {
  const tell = (name, text) => Object.assign($(name), { value: result[name] ?? "", textContent: text });
  for (const name of ["rate", "distortion", "elbo"]) tell(name, `${figure(result[name])} nats`);
  if (manifest.scoring) {
    const count = manifest.scoring.num_images.toLocaleString("en");
    tell("percentile", `${figure(result.percentile, 1)} (among ${count} training images)`);
  } else {
    tell("percentile", "unknown: this bundle does not say how training images score");
  }
  const { order } = ordered(manifest);
  const texts = order.map((d) => `z${d} ${figure(result.loc[d])} ± ${figure(result.scale[d])}`);
  $("posterior").replaceChildren(...texts.map((textContent) => make("li", { textContent })));
  $("result").hidden = false;
}
