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
 * @param {string} text a decimal number, such as 1, 0.7 or 2e1
 * @returns {number} a temperature, which is finite and not below 0
 */
export function temperature(text) {
  const value = /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!(value <= 1e6)) throw new ArgumentError(`temperature is "${text}"; expected a number from 0 to 1000000`);
  return value;
}

/** End the program with one line on stderr; 2 is for wrong arguments, 1 for everything else. */
export function fail(message, status = 1) {
  process.stderr.write(`error: ${message}\n`);
  process.exit(status);
}
