/** Pixels on canvases, and canvases as PNG files. */

import { columnsOf, make, rove } from "./dom.mjs";
import { toByte } from "./likelihood.mjs";

const GAP = 2; // this and the next as in the grids of kvae sample
const CELL = 112;

export function shape(canvas, [height, width]) {
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** Paint an image, pixels in [0, 1]. */
export function paint(canvas, image) {
  const { width, height } = canvas;
  const channels = image.length / (width * height);
  const data = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < 3; c++) data.data[4 * pixel + c] = toByte(image[channels * pixel + (c % channels)]);
    data.data[4 * pixel + 3] = 255;
  }
  contextOf(canvas).putImageData(data, 0, 0);
}

export function pixelsOf(canvas, channels) {
  const { data } = contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);
  return Float32Array.from(data.filter((_, i) => i % 4 < channels), (byte) => byte / 255);
}

export const contextOf = (canvas) => canvas.getContext("2d", { willReadFrequently: true, alpha: false });

export function gridOf(canvases, columns) {
  const { width, height } = canvases[0];
  const scale = Math.max(1, Math.round(CELL / Math.max(height, width)));
  const grid = make("canvas");
  grid.width = scale * (columns * (width + GAP) + GAP);
  grid.height = scale * (Math.ceil(canvases.length / columns) * (height + GAP) + GAP);
  const context = grid.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, grid.width, grid.height);
  context.imageSmoothingEnabled = false;
  canvases.forEach((canvas, index) => {
    const left = GAP + (index % columns) * (width + GAP);
    const top = GAP + Math.floor(index / columns) * (height + GAP);
    context.drawImage(canvas, scale * left, scale * top, scale * width, scale * height);
  });
  return grid;
}

export async function save(canvas, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const link = make("a", { href: URL.createObjectURL(blob), download: `${name}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Fill `container` with buttons that show pictures; a press calls `choose(index)`. */
export function pictureButtons(container, labels, imageShape, choose) {
  const buttons = labels.map((ariaLabel, index) => {
    const button = make("button", { className: "cell", ariaLabel });
    button.append(shape(make("canvas", { className: "picture" }), imageShape));
    button.addEventListener("click", () => choose(index));
    return button;
  });
  container.append(...buttons);
  rove(buttons, () => columnsOf(container));
  return buttons;
}
