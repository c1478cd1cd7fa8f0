/** Images into a folder: node batch.mjs BUNDLE OUT_FOLDER [--seed 7] [--start 0] [--n 100] [--temperature 1] [--label boot]
 *
 * A model with labels draws a label for each image unless --label names one, or gives its index. */

import { existsSync, mkdirSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";

import { ArgumentError, fail, integer, label, temperature } from "./arguments.mjs";
import { Bundle, BundleError } from "./kvae.mjs";
import { isPicture, png } from "./png.mjs";

const USAGE = "node batch.mjs BUNDLE OUT_FOLDER [--seed 7] [--start 0] [--n 100] [--temperature 1] [--label NAME]";
const MAX_WORD = 2n ** 64n - 1n;
/** Images that are held at once. */
const BATCH = 64;

try {
  await run(parse(process.argv.slice(2)));
} catch (error) {
  if (error instanceof ArgumentError) fail(error.message, 2);
  if (error instanceof BundleError || error.code !== undefined) fail(error.message);
  throw error;
}

function parse(args) {
  const text = (value) => ({ type: "string", default: value });
  const options = { seed: text("0"), start: text("0"), n: text("64"), temperature: text("1"), label: text() };
  // Not strict, for there the -7 of `--seed -7` counts as an option of its own, and not as a bad seed.
  const { positionals, values } = parseArgs({ args, options, allowPositionals: true, strict: false });
  for (const [name, value] of Object.entries(values)) {
    if (!Object.hasOwn(options, name)) throw new ArgumentError(`--${name} is unknown; usage: ${USAGE}`);
    if (value === true) throw new ArgumentError(`--${name} needs a value; usage: ${USAGE}`);
  }
  if (positionals.length !== 2) throw new ArgumentError(`usage: ${USAGE}`);
  const start = integer("--start", values.start, MAX_WORD);
  return {
    folder: positionals[0],
    out: positionals[1],
    seed: integer("--seed", values.seed, MAX_WORD),
    start,
    n: integer("--n", values.n, MAX_WORD + 1n - start),
    temperature: values.temperature,
    label: values.label,
  };
}

async function run({ folder, out, seed, start, n, ...ofModel }) {
  const bundle = await Bundle.open(folder);
  const temperatures = temperature(ofModel.temperature, bundle.manifest);
  const chosen = label(ofModel.label, bundle.manifest);
  const shape = bundle.manifest.image_shape;
  if (!isPicture(shape[2])) {
    throw new BundleError(`${folder} has images of ${shape[2]} channels, which are no pictures`);
  }
  const size = shape[0] * shape[1] * shape[2];
  makeFolder(out);
  for (let done = 0n; done < n; done += BigInt(BATCH)) {
    const count = n - done < BATCH ? Number(n - done) : BATCH;
    const images = await bundle.sample(seed, start + done, count, temperatures, chosen);
    for (let at = 0; at < count; at++) {
      const name = `${start + done + BigInt(at)}`.padStart(6, "0");
      await writeFile(join(out, `${name}.png`), png(images.subarray(at * size, (at + 1) * size), shape));
    }
  }
  console.log(`${n} images in ${out}`);
}

/** Makes a folder, and those above it. Node 20 can do so by itself, but never ends where /proc refuses a folder. */
function makeFolder(path) {
  const parent = dirname(path);
  if (parent !== path && !existsSync(parent)) makeFolder(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}
