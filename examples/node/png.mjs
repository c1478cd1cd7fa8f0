/** PNG files with Node's own zlib: all that an image of 8 bits needs. */

import { crc32, deflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
/** PNG's colour type, by the number of channels. */
const COLOURS = { 1: 0, 3: 2 };

/** Whether images of so many channels are pictures: 1 is grey, 3 is RGB. */
export function isPicture(channels) {
  return Object.hasOwn(COLOURS, channels);
}

/**
 * A PNG of one image.
 *
 * @param {Float32Array} image height * width * channels numbers in [0, 1]
 * @param {number[]} shape [height, width, channels]; see `isPicture`
 * @returns {Buffer}
 */
export function png(image, [height, width, channels]) {
  const stride = width * channels;
  const rows = Buffer.alloc(height * (1 + stride)); // before each row stands the number of its filter, 0 for none
  image.forEach((pixel, at) => {
    rows[at + Math.floor(at / stride) + 1] = Math.round(255 * Math.min(Math.max(pixel, 0), 1));
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, COLOURS[channels]], 8);
  const chunks = [chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([SIGNATURE, ...chunks]);
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const result = Buffer.alloc(body.length + 8);
  result.writeUInt32BE(data.length, 0);
  result.set(body, 4);
  result.writeUInt32BE(crc32(body), body.length + 4);
  return result;
}
