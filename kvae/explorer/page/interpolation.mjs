/** The straight line between two codes. */

import { $, on } from "./dom.mjs";
import { painter } from "./painter.mjs";
import { paint, pictureButtons } from "./picture.mjs";

const STEPS = 9;
const DURATION = 4000; // ms from A to B
const still = matchMedia("(prefers-reduced-motion: reduce)");

const between = (a, b, place) => a.map((value, d) => (1 - place) * value + place * b[d]);

export function interpolation(model, state) {
  const places = Array.from({ length: STEPS }, (_, index) => index / (STEPS - 1));
  const names = places.map((place) => `${Math.round(100 * place)} % from A to B`);
  const choose = (index) => (player.pause(), goTo(places[index]));
  const buttons = pictureButtons($("strip"), names, model.imageShape, choose);
  const paintAll = painter(model, $("strip"), (index, image) => paint(buttons[index].firstChild, image));
  const draw = () => {
    const codes = new Float32Array(STEPS * model.latentDim);
    places.forEach((place, index) => codes.set(between(state.now.a, state.now.b, place), index * model.latentDim));
    return paintAll(codes, { label: state.now.label });
  };
  let going = false;
  const goTo = (place) => {
    $("position").value = place;
    going = true;
    state.set({ z: between(state.now.a, state.now.b, place) });
    going = false;
  };
  const player = animation(goTo);
  state.on(["z"], () => going || player.pause()); // who moves something else takes over

  on("position", "input", ({ target }) => (player.pause(), goTo(Number(target.value))));
  on("play", "click", () => player.toggle());
  on("take-a", "click", () => state.set({ a: state.now.z }, true));
  on("take-b", "click", () => state.set({ b: state.now.z }, true));
  state.on(["a", "b", "label"], draw);
  return draw();
}

/** Goes from 0 to 1 and back: smoothly, or step by step for who wants less motion. */
function animation(goTo) {
  let frame = 0;
  let place = 0; // 0 to 2; from 1 on it is the way back
  let last, shown;
  const tick = (now) => {
    place = (place + Math.min(now - last, 100) / DURATION) % 2;
    last = now;
    const there = place < 1 ? place : 2 - place;
    const next = still.matches ? Math.round(there * (STEPS - 1)) / (STEPS - 1) : there;
    if (next !== shown) goTo((shown = next));
    frame = requestAnimationFrame(tick);
  };
  const run = (play) => {
    cancelAnimationFrame(frame);
    frame = 0;
    $("play").textContent = play ? "Pause" : "Play";
    if (!play) return;
    place = Number($("position").value);
    last = performance.now();
    shown = undefined;
    frame = requestAnimationFrame(tick);
  };
  return { pause: () => run(false), toggle: () => run(frame === 0) };
}
