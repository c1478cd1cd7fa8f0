/** The temperature of the samples: one, or one for each group of latent dimensions. */

import { $, figure, make, on } from "./dom.mjs";
import { grouped } from "./sliders.mjs";

export function temperature(model, state) {
  const rows = model.groups ? grouped(model.manifest).map(({ name }, group) => row(name, group, state)) : [];
  $("temperatures").hidden = rows.length < 2;
  $("temperatures").lastElementChild.append(...rows.map(({ item }) => item));
  on("temperature", "input", ({ target }) => {
    const value = Number(target.value);
    state.set({ temperature: model.groups ? model.groups.map(() => value) : value });
  });
  const show = () => {
    const [first, ...others] = [state.now.temperature].flat();
    const isOne = others.every((value) => value === first);
    $("temperature").value = first;
    $("temperature-value").value = isOne ? figure(first) : "mixed";
    rows.forEach(({ show }, group) => show(state.now.temperature[group]));
  };
  state.on(["temperature"], show);
  show();
}

function row(name, group, state) {
  const item = make("li");
  item.innerHTML = `<label for="t${group}"></label>
    <input type="range" id="t${group}" min="0" max="2" step="0.05">
    <output for="t${group}" class="number" aria-live="off"></output>`;
  const [label, input, output] = item.children;
  label.textContent = name;
  input.addEventListener("input", () => {
    const values = state.now.temperature.slice();
    values[group] = Number(input.value);
    state.set({ temperature: values });
  });
  const show = (value) => {
    input.value = value;
    output.value = figure(value);
  };
  return { item, show };
}
