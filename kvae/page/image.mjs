/** Image files as what an encoder takes. */

import { make } from "./dom.mjs";
import { contextOf } from "./picture.mjs";

/** The `pixels` in [0, 1] of an image file, Float32Array, and `notes` of what was done to get them. */
export async function readImage(file, [height, width, channels]) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name || "This"} is no image that this browser can read.`);
  }
  const notes = [];
  // The largest middle part of the right shape.
  const scale = Math.min(bitmap.width / width, bitmap.height / height);
  const [cutWidth, cutHeight] = [width, height].map((length) => Math.round(scale * length));
  const [left, top] = [(bitmap.width - cutWidth) / 2, (bitmap.height - cutHeight) / 2];
  const same = bitmap.width === width && bitmap.height === height;
  if (!same) {
    const cut = cutWidth === bitmap.width && cutHeight === bitmap.height ? "" : ", its middle alone";
    notes.push(`Resized from ${bitmap.width} × ${bitmap.height} to ${width} × ${height}${cut}.`);
  }
  const canvas = make("canvas", { width, height });
  const context = contextOf(canvas);
  context.imageSmoothingEnabled = !same;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, cutWidth, cutHeight, 0, 0, width, height);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Float32Array(height * width * channels);
  let coloured = false;
  for (let i = 0; i < height * width; i++) {
    const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
    coloured ||= red !== green || green !== blue;
    // (299 R + 587 G + 114 B) / 1000, in the whole numbers of Pillow's mode "L"
    const bytes = channels === 1 ? [(19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16] : [red, green, blue];
    bytes.forEach((byte, c) => (pixels[channels * i + c] = byte / 255));
  }
  if (coloured && channels === 1) notes.push("Colours became grey.");
  return { pixels, notes };
}
