/** The page: a seed, a label if the model has any, and the image on the canvas. */

import { openBundle } from "./kvae.mjs";

const seed = document.querySelector("#seed");
const label = document.querySelector("#label");
const canvas = document.querySelector("canvas");
const message = document.querySelector("#message");
let last = Promise.resolve();

try {
  const bundle = await openBundle(new URL("./bundle/", location.href));
  const [height, width, channels] = bundle.manifest.image_shape;
  if (channels !== 1 && channels !== 3) throw new Error(`images of ${channels} channels are no pictures`);
  Object.assign(canvas, { width, height });
  // One image after the other: onnxruntime decodes one at a time.
  const next = () => (last = last.then(() => show(bundle)).catch(say));
  seed.addEventListener("input", next);
  label.addEventListener("input", next);
  const { labels } = bundle.manifest;
  if (labels) label.append(new Option("drawn by the seed", ""), ...labels.map((name, index) => new Option(name, index)));
  label.parentElement.hidden = !labels;
  await next();
} catch (error) {
  say(error);
}

function say(error) {
  message.textContent = error.message;
}

async function show(bundle) {
  if (!/^\d{1,20}$/.test(seed.value) || BigInt(seed.value) >= 2n ** 64n) {
    message.textContent = "A seed is an integer from 0 to 2^64 - 1.";
    return;
  }
  const [text, chosen] = [seed.value, label.value];
  const image = await bundle.sample(BigInt(text), chosen === "" ? null : Number(chosen));
  draw(image, bundle.manifest.image_shape[2]);
  message.textContent = `Image 0 of seed ${text}${chosen === "" ? "" : `, ${bundle.manifest.labels[chosen]}`}.`;
}

/** Puts an image of 1 channel (grey) or 3 (RGB) on the canvas. */
function draw(image, channels) {
  const pixels = new ImageData(canvas.width, canvas.height);
  for (let at = 0; at < canvas.width * canvas.height; at++) {
    for (let colour = 0; colour < 3; colour++) {
      const pixel = image[at * channels + (channels === 3 ? colour : 0)];
      pixels.data[at * 4 + colour] = Math.round(255 * Math.min(Math.max(pixel, 0), 1));
    }
    pixels.data[at * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
