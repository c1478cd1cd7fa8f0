/** The state in the address, so that a link restores it. */

const DELAY = 300; // browsers refuse to rewrite the address many times a second
const MAX_SEED = 2n ** 64n - 1n;

/** Keep address and state alike: changes go into the address, and an address that is opened or gone back to into the
 * state. `complain(message)` is told of one that is of no use. */
export function keepLink(state, latentDim, complain) {
  let timer;
  const write = (method) => {
    clearTimeout(timer);
    history[method](null, "", hashOf(state));
  };
  const restore = () => {
    clearTimeout(timer);
    if (location.hash.length < 2) return;
    try {
      state.set(parse(location.hash, latentDim));
    } catch (error) {
      complain(error.message);
    }
    clearTimeout(timer);
  };
  restore();
  addEventListener("popstate", restore); // the back button, and a link put into the address
  state.on(["seed", "temperature", "z", "a", "b", "across", "up"], () => {
    clearTimeout(timer);
    timer = setTimeout(write, DELAY, "replaceState");
  });
  state.beforeStep = () => write("replaceState");
  state.afterStep = () => write("pushState");
}

/** The state as the fragment of an address. */
export function hashOf(state) {
  const fields = ["seed", "temperature", "across", "up"].map((name) => `${name}=${state.now[name]}`);
  const codes = ["z", "a", "b"].map((name) => `${name}=${digits(state.now[name])}`);
  return "#" + [...fields, ...codes].join("&");
}

/** float32 numbers in the fewest digits that give the same numbers again. */
export function digits(code) {
  return Array.from(code, (value) => {
    let precision = 1;
    while (precision < 9 && Math.fround(value.toPrecision(precision)) !== value) precision++;
    return Number(value.toPrecision(precision));
  }).join(",");
}

function parse(hash, latentDim) {
  const fields = new URLSearchParams(hash.slice(1));
  const found = {};
  const take = (names, read) => {
    for (const name of names) if (fields.has(name)) found[name] = read(fields.get(name));
  };
  take(["seed"], parseSeed);
  take(["temperature"], (text) => numberIn(text, 0, 2));
  take(["across", "up"], (text) => wholeBelow(text, latentDim));
  take(["z", "a", "b"], (text) => parseCode(text, latentDim));
  return found;
}

/** A seed as a BigInt; an error where the text is none. */
export function parseSeed(text) {
  if (/^\d{1,20}$/.test(text) && BigInt(text) <= MAX_SEED) return BigInt(text);
  throw new Error("A seed is a whole number from 0 to 2^64 - 1.");
}

function parseCode(text, latentDim) {
  const parts = text.split(",");
  if (parts.length !== latentDim) throw foreign(`its code has ${parts.length} numbers, this model's ${latentDim}`);
  return Float32Array.from(parts, (part) => numberIn(part, -1e6, 1e6));
}

function numberIn(text, low, high) {
  const value = text.trim() === "" ? NaN : Number(text);
  if (value >= low && value <= high) return value;
  throw new Error(`The link is damaged: "${text.slice(0, 20)}" is no number from ${low} to ${high}.`);
}

function wholeBelow(text, limit) {
  if (/^\d+$/.test(text) && Number(text) < limit) return Number(text);
  throw foreign(`it has no dimension ${text.slice(0, 20)}`);
}

const foreign = (why) => new Error(`The link is of another model: ${why}.`);
