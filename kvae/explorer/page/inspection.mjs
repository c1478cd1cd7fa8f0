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
  let latest = 0;
  const inspect = async (name, read) => {
    const turn = ++latest;
    $("inspection").ariaBusy = true;
    say("note", `Reading ${name}…`);
    try {
      const { pixels, notes } = await read();
      const image = manifest.binarize === "dynamic" ? binarize(pixels) : pixels;
      if (image.some((pixel, i) => pixel !== pixels[i])) notes.push("Binarised: the model knows black and white only.");
      const result = await score(model, image);
      if (turn !== latest) return; // another image came meanwhile
      paint($("original"), image);
      paint($("reconstruction"), result.reconstruction);
      code = result.loc;
      show(result, manifest);
      say("note", [`${name}: ${summary(result)}.`, ...notes].join(" "));
    } catch (error) {
      if (turn !== latest) return;
      $("result").hidden = true;
      say("note", error.message, true);
    } finally {
      if (turn === latest) $("inspection").ariaBusy = false;
    }
  };
  const take = (file) => file && inspect(file.name, () => readImage(file, imageShape));
  const readPicture = async () => ({ pixels: pixelsOf($("picture"), imageShape[2]), notes: [] });

  shape($("original"), imageShape);
  shape($("reconstruction"), imageShape);
  $("about").textContent = `In nats: ${about}.`;
  on("file", "change", ({ target }) => {
    take(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
  on("reconstruct", "click", () => inspect("The picture", readPicture));
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
