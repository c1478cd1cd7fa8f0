/** A slider for each latent dimension, those that do most first; those of a model with groups from coarse to fine. */

import { $, figure, make, on } from "./dom.mjs";

const UNUSED = 0.01; // nats; below it the model does not use a dimension
const SHOWN = 16;
const LIMIT = 4; // standard deviations of the prior
const STEP = 0.05;

/** The dimensions as they are shown, and their rates in nats, null where these are unknown. */
export function ordered({ latent_dim, posterior }) {
  const rates = posterior?.rate ?? null;
  const order = Array.from({ length: latent_dim }, (_, d) => d);
  if (rates) order.sort((first, second) => rates[second] - rates[first] || first - second);
  return { order, rates };
}

/** The groups of latent dimensions, one of all where the model has none: the `name` of each, its dimensions as `ordered`,
 * and its `rate`, null where that is unknown or, as for a prior with graphs, not the sum of its dimensions'. */
export function grouped(manifest) {
  const { order, rates } = ordered(manifest);
  const sizes = manifest.groups ?? [manifest.latent_dim];
  let first = 0;
  return sizes.map((size, index) => {
    const [start, end] = [first, (first += size)];
    const dims = order.filter((d) => d >= start && d < end);
    const name = `Group ${index + 1}${placeOf(index, sizes.length)}`;
    const isSum = rates && manifest.prior === "standard_normal";
    return { name, dims, rate: isSum ? dims.reduce((sum, d) => sum + rates[d], 0) : null };
  });
}

function placeOf(index, count) {
  if (count === 1) return "";
  return index === 0 ? ", coarsest" : index === count - 1 ? ", finest" : "";
}

export function sliders(model, state) {
  const { order, rates } = ordered(model.manifest);
  const { mean, deviation } = model.spread;
  const rows = [];
  const itemOf = (d) => {
    const made = row(d, { rates, most: rates?.[order[0]], mean: mean[d], deviation: deviation[d] }, state);
    rows.push(made);
    made.show(state.now.z);
    return made.item;
  };
  if (!model.groups) $("sliders").append(...listsOf(order, rates, itemOf));
  else $("sliders").append(...grouped(model.manifest).map((group, index) => section(group, index === 0, rates, itemOf)));
  $("order").textContent = [
    model.groups && "A picture is drawn from coarse to fine: each group of dimensions adds to those before it.",
    rates
      ? "By their rate in nats: what each tells about an image, on average over training images."
      : "In the model's own order: this bundle does not say what each dimension does.",
    model.hasOwnPrior && "The numbers are z itself; a slider spans the prior's own draws.",
  ].filter(Boolean).join(" ");
  if (model.hasOwnPrior) $("zero").textContent = "All to the prior's mean";
  on("zero", "click", () => state.set({ z: Float32Array.from(mean) }, true));
  state.on(["z"], () => rows.forEach(({ show }) => show(state.now.z)));
}

/** The sliders of a group under a heading that folds them; they are made when it is opened. */
function section({ name, dims, rate }, isOpen, rates, itemOf) {
  const facts = [name, `${dims.length} dimension${dims.length === 1 ? "" : "s"}`];
  if (rate !== null) facts.push(`${figure(rate)} nats`);
  const found = fold(facts.join(" · "), "group", () => listsOf(dims, rates, itemOf, true));
  found.open = isOpen;
  return found;
}

/** The sliders of dimensions: the first of those that the model uses, and folded away the others. */
function listsOf(dims, rates, itemOf, isLazy = false) {
  const used = dims.filter((d) => !rates || rates[d] >= UNUSED);
  const list = (shown, className) => {
    const found = make("ul", { className: `sliders ${className}` });
    found.append(...shown.map(itemOf));
    return found;
  };
  const folded = (shown, what, className) => {
    const content = () => [list(shown, "")];
    return shown.length ? [fold(`${shown.length} ${what}`, className, content, isLazy)] : [];
  };
  return [
    list(used.slice(0, SHOWN), "used"),
    ...folded(used.slice(SHOWN), "more", "more"),
    ...folded(dims.slice(used.length), `unused (below ${UNUSED} nats)`, "unused"),
  ];
}

/** A `details` whose content is made now, or when it is first opened. */
function fold(summary, className, content, isLazy = true) {
  const found = make("details", { className });
  found.append(make("summary", { textContent: summary }));
  if (isLazy) found.addEventListener("toggle", () => found.append(...content()), { once: true });
  else found.append(...content());
  return found;
}

function row(d, { rates, most, mean, deviation }, state) {
  const step = STEP * 10 ** Math.round(Math.log10(deviation));
  const edge = (side) => Number((Math.round((mean + side * LIMIT * deviation) / step) * step).toPrecision(6));
  const item = make("li");
  item.innerHTML = `<label for="z${d}">z${d}</label>
    <input type="range" id="z${d}" min="${edge(-1)}" max="${edge(1)}" step="${step}">
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
