/** The state in the address, so that a link restores it. */

const DELAY = 300; // browsers refuse to rewrite the address many times a second
const MAX_SEED = 2n ** 64n - 1n;

/** Keep address and state alike. `complain(message)` is told of an address of no use, and "" once it is history. */
export function keepLink(state, model, complain) {
  let timer;
  let wrong = "";
  const say = (message) => message !== wrong && complain((wrong = message));
  const write = (method) => {
    clearTimeout(timer);
    history[method](null, "", hashOf(state));
  };
  const restore = () => {
    clearTimeout(timer);
    if (location.hash.length < 2) return;
    try {
      state.set(parse(location.hash, model, state.now));
      say("");
    } catch (error) {
      say(error.message);
    }
    clearTimeout(timer);
  };
  restore();
  addEventListener("popstate", restore); // the back button, and a link put into the address
  state.on(["seed", "temperature", "label", "mixed", "z", "a", "b", "across", "up"], () => {
    clearTimeout(timer);
    timer = setTimeout(write, DELAY, "replaceState");
    say("");
  });
  state.beforeStep = () => write("replaceState");
  state.afterStep = () => write("pushState");
}

export function hashOf(state) {
  const ofLabels = state.now.label === null ? [] : [`label=${state.now.label}`, `mixed=${Number(state.now.mixed)}`];
  const fields = ["seed", "temperature", "across", "up"].map((name) => `${name}=${state.now[name]}`).concat(ofLabels);
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

function parse(hash, { latentDim, groups, labels }, now) {
  const fields = new URLSearchParams(hash.slice(1));
  const found = {};
  const take = (names, read) => {
    for (const name of names) if (fields.has(name)) found[name] = read(fields.get(name));
  };
  take(["seed"], (text) => seedOf(text) ?? damaged(text, "whole number from 0 to 2^64 - 1"));
  take(["temperature"], (text) => (groups ? temperatures(text, groups.length) : numberIn(text, 0, 2)));
  take(["label"], (text) => wholeBelow(text, labels?.length ?? 0, "label"));
  take(["mixed"], (text) => (labels ? wholeBelow(text, 2, "mixture of labels") === 1 : now.mixed));
  take(["across", "up"], (text) => wholeBelow(text, latentDim, "dimension"));
  take(["z", "a", "b"], (text) => parseCode(text, latentDim));
  const { across, up } = { ...now, ...found };
  if (latentDim > 1 && across === up) refuse("damaged: its map shows one dimension both ways");
  return found;
}

export function seedOf(text) {
  return /^\d{1,20}$/.test(text) && BigInt(text) <= MAX_SEED ? BigInt(text) : null;
}

function parseCode(text, latentDim) {
  const parts = text.split(",");
  if (parts.length !== latentDim) refuse(`of another model: its code has ${parts.length} numbers, this model's ${latentDim}`);
  return Float32Array.from(parts, (part) => numberIn(part, -1e6, 1e6));
}

/** A temperature for each group; one number is for all. */
function temperatures(text, count) {
  const found = text.split(",").map((part) => numberIn(part, 0, 2));
  if (found.length === 1) return new Array(count).fill(found[0]);
  if (found.length === count) return found;
  refuse(`of another model: it has ${found.length} temperatures, this model ${count} groups`);
}

function numberIn(text, low, high) {
  const value = /^-?\d*\.?\d+(e-?\d+)?$/.test(text) ? Number(text) : NaN;
  return value >= low && value <= high ? value : damaged(text, `number from ${low} to ${high}`);
}

function wholeBelow(text, limit, what) {
  if (/^\d+$/.test(text) && Number(text) < limit) return Number(text);
  refuse(`of another model: it has no ${what} ${text.slice(0, 20)}`);
}

const damaged = (text, expected) => refuse(`damaged: "${text.slice(0, 20)}" is no ${expected}`);

function refuse(why) {
  throw new Error(`The link is ${why}.`);
}
