/** What a code costs in bits, on a grid: what is written, what comes back, and what is paid. */

import { $, make, points } from "./page.mjs";
import { number, words } from "./words.mjs";

const GRID = 16; // bits: codes are multiples of 2^-16
const DIMENSIONS = 2;
const LATE = 0.6; // a label that begins beyond this share of the bar ends at its end

const bits = (nats) => nats / Math.LN2;

/** Bits of a code at a stop: `sent` under the prior, `back` from the choice of the code, `paid` in the end. */
export function codeBits({ rate, entropy }) {
  const [paid, back] = [bits(rate[0]), bits(entropy) + DIMENSIONS * GRID];
  return { paid, back, sent: paid + back };
}

/** Bytes of an image and its code. */
export function imageBytes(point) {
  const { paid, sent } = codeBits(point);
  return { withBits: (bits(point.distortion[0]) + paid) / 8, without: (bits(point.distortion[0]) + sent) / 8 };
}

export function showCost(point, pixels) {
  const say = words();
  const { paid, back, sent } = codeBits(point);
  const most = Math.max(...points.map((each) => codeBits(each).sent));
  const bar = $("cost");
  if (!bar.children.length) {
    bar.append(make("i", { className: "paid" }), make("i", { className: "back" }), make("span", {}), make("span", {}));
  }
  const [first, second, mine, returned] = bar.children;
  first.style.width = `${(paid / most) * 100}%`;
  second.style.left = first.style.width;
  second.style.width = `${(back / most) * 100}%`;
  mine.textContent = `${number(paid)} ${say.paid}`;
  returned.textContent = `${number(back)} ${say.back}`;
  const isLate = paid / most > LATE;
  returned.style.left = isLate ? "auto" : `max(${(paid / most) * 100}%, 9rem)`;
  returned.style.right = isLate ? "0" : "auto";
  bar.ariaLabel = say.cost(number(sent), number(back), number(paid));
  const { withBits, without } = imageBytes(point);
  $("bytes").innerHTML = say.bytes(number(withBits), number(without), say.pixels(pixels));
}
