/** What the page opens with: a slow walk from code to code, until the first touch. It leaves the state alone till then. */

import { $ } from "./dom.mjs";
import { paint } from "./picture.mjs";

const LEG = 3200; // ms from one code to the next
const REST = 700; // ms at each
const TOUCHES = ["pointerdown", "keydown", "wheel", "dragenter"];
const still = matchMedia("(prefers-reduced-motion: reduce)");

const smooth = (share) => share * share * (3 - 2 * share);

/** Walk through `stops`, each with a code `z` and a `label`; `what` they are in words. Between two labels both pictures
 * are blended. `passing` is called with each code on the way, and with null at the end. */
export function walk(model, state, { stops, what }, passing) {
  if (still.matches || stops.length < 2 || location.hash.length > 1) return;
  const blends = model.labels ? "; between two classes, both pictures are blended" : "";
  $("walking").textContent = `A slow walk through ${what}, as the decoder draws them${blends}. Touch anything to stop.`;
  let [walking, setting] = [true, false];
  let [z, label] = [stops[0].z, stops[0].label];
  const begun = performance.now();
  const frame = async (time) => {
    if (!walking) return;
    const passed = Math.max(0, time - begun) / (LEG + REST);
    const [from, to] = [0, 1].map((next) => stops[(Math.floor(passed) + next) % stops.length]);
    const share = smooth(Math.min(1, Math.max(0, (passed % 1) * (LEG + REST) - REST) / LEG));
    const code = from.z.map((value, d) => value + (to.z[d] - value) * share);
    const image = await blended(model, code, from.label, to.label, share);
    if (!walking) return;
    [z, label] = [code, share < 0.5 ? from.label : to.label];
    paint($("picture"), image);
    passing(z);
    if (model.labels) $("label").value = label;
    requestAnimationFrame(frame);
  };
  const stop = (stays) => {
    if (!walking) return;
    walking = false;
    for (const kind of TOUCHES) removeEventListener(kind, touched);
    delete document.body.dataset.walking;
    passing(null);
    setting = true;
    if (stays) state.set(label === null ? { z } : { z, label });
    setting = false;
  };
  const touched = () => stop(true);
  for (const kind of TOUCHES) addEventListener(kind, touched, { passive: true });
  state.on(["z", "label"], () => setting || stop(false));
  document.body.dataset.walking = "";
  requestAnimationFrame(frame);
}

async function blended(model, code, from, to, share) {
  if (from === to) return model.decode(code, { label: from });
  const [first, second] = await Promise.all([from, to].map((label) => model.decode(code, { label })));
  return first.map((value, pixel) => value + (second[pixel] - value) * share);
}
