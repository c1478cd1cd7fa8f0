/** Image files as the pixels that `kvae score --resize` gets of them. */

import { make } from "./dom.mjs";
import { fit } from "./resample.mjs";

const MOST = 89_478_485; // pixels, as in Pillow
const STRIP = 256; // rows that are held as RGBA at a time

/** The `pixels` in [0, 1] of an image file, Float32Array, and `notes` of what was done to get them. */
export async function readImage(file, [height, width, channels]) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name} is no image that this browser can read.`);
  }
  const size = [bitmap.height, bitmap.width];
  if (size[0] * size[1] > MOST) {
    throw new Error(`${file.name} has more than ${MOST.toLocaleString("en")} pixels; make it smaller first.`);
  }
  const { bytes, coloured, transparent } = readBytes(bitmap, channels);
  bitmap.close();
  const notes = [];
  if (size[0] !== height || size[1] !== width) {
    const cut = size[0] * width === size[1] * height ? "" : ", its middle alone";
    notes.push(`Resized from ${size[1]} × ${size[0]} to ${width} × ${height}${cut}.`);
  }
  if (transparent) notes.push("Transparent parts became black.");
  if (coloured && channels === 1) notes.push("Colours became grey.");
  if ((await frames(file).catch(() => 1)) > 1) notes.push("Animated: its first frame alone.");
  return { pixels: Float32Array.from(fit(bytes, size, [height, width, channels]), (byte) => byte / 255), notes };
}

/** The bytes of a picture on black, as grey or RGB, and whether there were colours and transparent parts. */
function readBytes(bitmap, channels) {
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
        for (let c = i; c < i + 3; c++) data[c] *= data[i + 3] / 255;
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
