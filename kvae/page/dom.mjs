/** Small words for elements. */

export const $ = (id) => document.getElementById(id);

/** Listen to events of the element `id`. */
export const on = (id, type, listener) => $(id).addEventListener(type, listener);

/** A new element with these properties. */
export const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

/** Make a row of buttons one stop of the Tab key: arrow keys, Home and End go from one to the next. */
export function rove(buttons, columns) {
  const go = (index) => {
    buttons.forEach((button, i) => (button.tabIndex = i === index ? 0 : -1));
    return buttons[index];
  };
  go(0);
  buttons.forEach((button, index) => {
    button.addEventListener("focus", () => go(index));
    button.addEventListener("keydown", (event) => {
      const last = buttons.length - 1;
      const row = columns();
      const ways = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -index, End: last - index };
      const target = index + ways[event.key];
      if (!(target >= 0 && target <= last)) return;
      event.preventDefault();
      go(target).focus();
    });
  });
}

/** How many columns a grid has as it is laid out now. */
export function columnsOf(grid) {
  return getComputedStyle(grid).gridTemplateColumns.split(" ").length;
}

/** A number for people: a true minus, `places` decimals. */
export function figure(value, places = 2) {
  const text = value.toFixed(places);
  return Number(text) < 0 ? text.replace("-", "−") : text.replace("-", "");
}
