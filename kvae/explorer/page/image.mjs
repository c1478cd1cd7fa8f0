/** Image files as the pixels that `kvae score --resize` gets of them. */

import { make } from "./dom.mjs";
import { fit } from "./resample.mjs";

const MOST = 89_478_485; // pixels, as in Pillow
const STRIP = 256; // rows that are held as RGBA at a time

/** The `pixels` in [0, 1] of an image file, Float32Array, and `notes` of what was done to get them.
 * `whole`: borders instead of a cut; `isWhite`: they and what is transparent; `inverted`: at the end. */
export async function readImage(file, shape, { whole = false, isWhite = false, inverted = false } = {}) {
  const [height, width, channels] = shape;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name} is no image that this browser can read.`);
  }
  const size = [bitmap.height, bitmap.width];
  const isAlike = size[0] * width === size[1] * height;
  const full = whole && !isAlike ? bordered(size, shape) : size;
  if (full[0] * full[1] > MOST) {
    throw new Error(`${file.name} has more than ${MOST.toLocaleString("en")} pixels; make it smaller first.`);
  }
  const { bytes, coloured, transparent } = readBytes(bitmap, channels, isWhite);
  bitmap.close();
  const colour = isWhite ? "white" : "black";
  const notes = [];
  if (size[0] !== height || size[1] !== width) {
    const cut = isAlike ? "" : whole ? `, on ${colour}` : ", its middle alone";
    notes.push(`Resized from ${size[1]} × ${size[0]} to ${width} × ${height}${cut}.`);
  }
  if (transparent) notes.push(`Transparent parts became ${colour}.`);
  if (coloured && channels === 1) notes.push("Colours became grey.");
  if ((await frames(file).catch(() => 1)) > 1) notes.push("Animated: its first frame alone.");
  if (inverted) notes.push("Inverted.");
  const fitted = fit(full === size ? bytes : onBorders(bytes, size, full, channels, isWhite), full, shape);
  return { pixels: Float32Array.from(fitted, (byte) => (inverted ? 255 - byte : byte) / 255), notes };
}

/** The smallest size of the aspect ratio of `shape` that holds a picture of `size`, to a pixel. */
function bordered([height, width], [down, across]) {
  return width * down > height * across ? [Math.round((width * down) / across), width] : [height, Math.round((height * across) / down)];
}

/** A picture of `size` in the middle of one of the size `full`. */
function onBorders(bytes, [height, width], [down, across], channels, isWhite) {
  const found = new Uint8ClampedArray(down * across * channels).fill(isWhite ? 255 : 0);
  const [top, left] = [Math.floor((down - height) / 2), Math.floor((across - width) / 2)];
  for (let row = 0; row < height; row++) {
    found.set(bytes.subarray(row * width * channels, (row + 1) * width * channels), ((top + row) * across + left) * channels);
  }
  return found;
}

/** The bytes of a picture on black or white, as grey or RGB, and whether there were colours and transparent parts. */
function readBytes(bitmap, channels, isWhite) {
  const { width, height } = bitmap;
  const context = make("canvas", { width, height: STRIP }).getContext("2d", { willReadFrequently: true });
  context.globalCompositeOperation = "copy";
  const bytes = new Uint8ClampedArray(height * width * channels);
  let [at, coloured, transparent] = [0, false, false];
  for (let top = 0; top < height; top += STRIP) {
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, Math.min(STRIP, height - top));
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] < 255) {
        transparent = true;
        const ground = isWhite ? 255 - data[i + 3] : 0;
        for (let c = i; c < i + 3; c++) data[c] = (data[c] * data[i + 3]) / 255 + ground;
      }
      coloured ||= data[i] !== data[i + 1] || data[i] !== data[i + 2];
      // (299 R + 587 G + 114 B) / 1000, in the whole numbers of Pillow's mode "L"
      if (channels === 1) bytes[at++] = (19595 * data[i] + 38470 * data[i + 1] + 7471 * data[i + 2] + 0x8000) >> 16;
      else for (let c = i; c < i + 3; c++) bytes[at++] = data[c];
    }
  }
  return { bytes, coloured, transparent };
}

/** How many frames a file has; an error where the browser cannot say. */
async function frames(file) {
  const decoder = new ImageDecoder({ data: file.stream(), type: file.type });
  await decoder.completed;
  return decoder.tracks.selectedTrack.frameCount;
}
