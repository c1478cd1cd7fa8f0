/** What the page shows, and the panels that listen to it. */

export class State {
  #listeners = [];

  /** `seed`, `temperature` (a list of one for each group, if the model has groups), codes `z`, `a`, `b`, dimensions
   * `across`, `up`; in a model with labels the `label` of the picture, else null, and whether samples are `mixed`, each
   * with a label of its own; only to be read. */
  constructor(now) {
    this.now = now;
  }

  /** Call `listener()` after a change of one of `names`. */
  on(names, listener) {
    this.#listeners.push({ names, listener });
  }

  /** Change some values, and tell their listeners. A `step` is a change that the back button undoes. */
  set(changes, step = false) {
    if (step) this.beforeStep?.();
    Object.assign(this.now, changes);
    for (const { names, listener } of this.#listeners) {
      if (names.some((name) => name in changes)) listener();
    }
    if (step) this.afterStep?.();
  }
}
