/** Pictures of another size as Pillow's `ImageOps.fit(picture, size, LANCZOS)` makes them. */

const LOBES = 3;
const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos = (x) => (Math.abs(x) < LOBES ? sinc(x) * sinc(x / LOBES) : 0);

/** The largest middle part of a picture, bytes of `size` [height, width], as one of the `shape` of an image. */
export function fit(bytes, size, shape) {
  const channels = shape[2];
  const [down, across] = taps(size, shape);
  const vertically = (from, width) => resample(from, size[0], width * channels, down);
  const horizontally = (from) => resample(from, size[1], channels, across);
  // The order of Pillow 13; each pass rounds and clips.
  return size[0] - shape[0] > 2 * Math.max(0, size[1] - shape[1])
    ? horizontally(vertically(bytes, size[1]))
    : vertically(horizontally(bytes), shape[1]);
}

/** Of what each line of pixels is made, down and across: the `first` of the picture, and `weights` from there on. */
function taps(size, target) {
  const scale = Math.min(...size.map((length, axis) => length / target[axis]));
  const reach = LOBES * Math.max(scale, 1); // enlarging blurs nothing
  return size.map((length, axis) =>
    Array.from({ length: target[axis] }, (_, index) => {
      const centre = length / 2 + (index + 0.5 - target[axis] / 2) * scale;
      const first = Math.max(0, Math.floor(centre - reach + 0.5));
      const count = Math.min(length, Math.floor(centre + reach + 0.5)) - first;
      const found = Float64Array.from({ length: count }, (_, i) => lanczos((LOBES * (first + i + 0.5 - centre)) / reach));
      const sum = found.reduce((total, weight) => total + weight);
      return { first, weights: found.map((weight) => weight / sum) };
    }),
  );
}

/** Resample the middle axis of bytes of the shape (any, `length`, `inner`). */
function resample(bytes, length, inner, taps) {
  const result = new Uint8ClampedArray((bytes.length / length) * taps.length);
  let at = 0;
  for (let start = 0; start < bytes.length; start += length * inner) {
    for (const { first, weights } of taps) {
      for (let i = start + first * inner; i < start + (first + 1) * inner; i++) {
        let sum = 0;
        for (let tap = 0; tap < weights.length; tap++) sum += weights[tap] * bytes[i + tap * inner];
        result[at++] = sum;
      }
    }
  }
  return result;
}
