/** What both programs need of their arguments: numbers that are checked, and ends of one line. */

/** A wrong argument: its message says which, and what was expected. */
export class ArgumentError extends Error {}

/**
 * @param {string} name for the message
 * @param {string} text decimal digits
 * @param {bigint} max
 * @returns {bigint}
 */
export function integer(name, text, max) {
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
  if (value < 0n || value > max) throw new ArgumentError(`${name} is "${text}"; expected an integer from 0 to ${max}`);
  return value;
}

/**
 * @param {string} text a decimal number, such as 1, 0.7 or 2e1, or one for each group of latent dimensions: 0.7,1
 * @param {object} manifest of the bundle
 * @returns {number | number[]} temperatures, each finite and not below 0
 */
export function temperature(text, { groups }) {
  const values = text.split(",").map(oneTemperature);
  if (values.length === 1) return values[0];
  if (values.length === groups?.length) return values;
  const has = groups ? `${groups.length} groups of latent dimensions` : "no groups of latent dimensions";
  throw new ArgumentError(`temperature has ${values.length} numbers; this model has ${has}`);
}

function oneTemperature(text) {
  const value = /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!(value <= 1e6)) throw new ArgumentError(`temperature is "${text}"; expected a number from 0 to 1000000`);
  return value;
}

/**
 * @param {string | undefined} text a label's name or index, or undefined where none was given
 * @param {object} manifest of the bundle
 * @returns {number | null} its index (a name in other capitals will do); null stands for a label of each image's own
 */
export function label(text, { labels }) {
  if (text === undefined) return null;
  if (!labels) throw new ArgumentError(`label is ${JSON.stringify(text)}, but this model has no labels`);
  if (labels.includes(text)) return labels.indexOf(text);
  const alike = [...labels.keys()].filter((index) => labels[index].toLowerCase() === text.toLowerCase());
  if (alike.length === 1) return alike[0];
  const isNumber = (name) => /^\d+$/.test(name); // if names are numbers, an index would be mistaken for one of them
  const areNumbers = labels.some(isNumber);
  if (/^\d{1,9}$/.test(text) && Number(text) < labels.length && !areNumbers) return Number(text);
  const expected = areNumbers ? "expected a name" : `expected a name or an index from 0 to ${labels.length - 1}`;
  const near = nearest(text, labels).map((name) => JSON.stringify(name));
  throw new ArgumentError(`label is ${JSON.stringify(text)}; ${expected}. The nearest names are ${near.join(", ")}`);
}

/** The three names that have most in common with a text. */
function nearest(text, names) {
  const likeness = (name) => common(text.toLowerCase(), name.toLowerCase()) / (text.length + name.length);
  return [...names].sort((a, b) => likeness(b) - likeness(a)).slice(0, 3);
}

/** The length of the longest common subsequence. */
function common(a, b) {
  let row = new Array(b.length + 1).fill(0);
  for (const letter of a) {
    const next = [0];
    for (let at = 0; at < b.length; at++) next.push(b[at] === letter ? row[at] + 1 : Math.max(next[at], row[at + 1]));
    row = next;
  }
  return row[b.length];
}

/** End the program with one line on stderr; 2 is for wrong arguments, 1 for everything else. */
export function fail(message, status = 1) {
  process.stderr.write(`error: ${message}\n`);
  process.exit(status);
}
