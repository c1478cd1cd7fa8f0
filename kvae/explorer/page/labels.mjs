/** The list of labels of a conditional model: that of the picture, and of all that is made from it. */

import { $, on } from "./dom.mjs";

export function labels(model, state) {
  if (!model.labels) return;
  $("labels").hidden = $("mixing").hidden = false;
  $("label").append(...model.labels.map((name, index) => new Option(name, index)));
  const show = () => {
    $("label").value = state.now.label;
    $("mixed").checked = state.now.mixed;
  };
  on("label", "change", ({ target }) => state.set({ label: Number(target.value), mixed: false }, true));
  on("mixed", "change", ({ target }) => state.set({ mixed: target.checked }, true));
  state.on(["label", "mixed"], show);
  show();
}
