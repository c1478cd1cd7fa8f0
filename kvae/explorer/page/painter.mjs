/** Pictures of many codes, without holding up the current one. */

const BATCH = 4;

/** A function that decodes codes under one `label` or a list of them, a few at a time after `delay` ms, and calls
 * `paint(index, image)` for each. Called again it gives up the rest. `element` is marked as busy meanwhile. */
export function painter(model, element, paint) {
  const { latentDim, imageSize } = model;
  let latest = 0;
  return async (codes, { label = null, delay = 0 } = {}) => {
    const turn = ++latest;
    element.ariaBusy = true;
    if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
    for (let index = 0; index < codes.length / latentDim; index += BATCH) {
      if (turn !== latest) return;
      const part = { label: label?.slice?.(index, index + BATCH) ?? label };
      const images = await model.decode(codes.slice(index * latentDim, (index + BATCH) * latentDim), part);
      if (turn !== latest) return;
      for (let i = 0; i < images.length / imageSize; i++) {
        paint(index + i, images.subarray(i * imageSize, (i + 1) * imageSize));
      }
    }
    element.ariaBusy = false;
  };
}
