/** Pictures of many codes, without holding up the picture of the current one. */

const BATCH = 4; // short enough that nobody feels a call of it

/**
 * A function that decodes codes, a few at a time after `delay` ms, and calls `paint(index, image)` for each.
 * What it still does when it is called again is given up; meanwhile `element` is marked as busy.
 */
export function painter(model, element, paint) {
  const { latentDim, imageSize } = model;
  let latest = 0;
  return async (codes, delay = 0) => {
    const turn = ++latest;
    element.ariaBusy = true;
    if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
    for (let index = 0; index < codes.length / latentDim; index += BATCH) {
      if (turn !== latest) return;
      const images = await model.decode(codes.slice(index * latentDim, (index + BATCH) * latentDim));
      if (turn !== latest) return;
      for (let i = 0; i < images.length / imageSize; i++) {
        paint(index + i, images.subarray(i * imageSize, (i + 1) * imageSize));
      }
    }
    element.ariaBusy = false;
  };
}
