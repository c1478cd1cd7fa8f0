/** A slider for each latent dimension, those that do most first. */

import { $, figure, make, on } from "./dom.mjs";

const UNUSED = 0.01; // nats; below it the model does not use a dimension
const SHOWN = 16;
const LIMIT = 4;

/** The dimensions as they are shown, and their rates in nats, null where these are unknown. */
export function ordered({ latent_dim, posterior }) {
  const rates = posterior?.rate ?? null;
  const order = Array.from({ length: latent_dim }, (_, d) => d);
  if (rates) order.sort((first, second) => rates[second] - rates[first] || first - second);
  return { order, rates };
}

export function sliders(model, state) {
  const { order, rates } = ordered(model.manifest);
  const used = order.filter((d) => !rates || rates[d] >= UNUSED);
  const rows = order.map((d) => row(d, rates, rates?.[order[0]], state));
  const items = rows.map(({ item }) => item);
  const fold = (id, folded, what) => {
    $(id).hidden = folded.length === 0;
    $(id).firstElementChild.textContent = `${folded.length} ${what}`;
    $(id).lastElementChild.append(...folded);
  };
  $("order").textContent = rates
    ? "By their rate in nats: what each tells about an image, on average over training images."
    : "In the model's own order: this bundle does not say what each dimension does.";
  $("used").append(...items.slice(0, Math.min(SHOWN, used.length)));
  fold("more", items.slice(SHOWN, Math.max(SHOWN, used.length)), "more");
  fold("unused", items.slice(used.length), `unused (below ${UNUSED} nats)`);
  on("zero", "click", () => state.set({ z: new Float32Array(model.latentDim) }, true));
  const show = () => rows.forEach(({ show }) => show(state.now.z));
  state.on(["z"], show);
  show();
}

function row(d, rates, most, state) {
  const item = make("li");
  item.innerHTML = `<label for="z${d}">z${d}</label>
    <input type="range" id="z${d}" min="${-LIMIT}" max="${LIMIT}" step="0.05">
    <output for="z${d}" class="number" aria-live="off"></output>`;
  const [, input, output] = item.children;
  if (rates) {
    const rate = make("span", { className: "rate number", textContent: figure(rates[d]) });
    rate.style.setProperty("--share", Math.max(0, rates[d] / most) || 0);
    rate.title = `rate ${figure(rates[d])} nats`;
    input.setAttribute("aria-description", rate.title);
    item.append(rate);
  }
  input.addEventListener("input", () => {
    const z = state.now.z.slice();
    z[d] = Number(input.value);
    state.set({ z });
  });
  const show = (z) => {
    if (Number(input.value) !== z[d]) input.value = z[d];
    output.value = figure(z[d]);
  };
  return { item, show };
}
