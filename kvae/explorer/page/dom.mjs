/** Small words for elements. */

export const $ = (id) => document.getElementById(id);

export const on = (id, type, listener) => $(id).addEventListener(type, listener);

export const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

export function say(id, text, isError = false) {
  $(id).textContent = text;
  $(id).classList.toggle("error", isError);
}

/** Make buttons one stop of the Tab key; arrow keys, Home and End go about. */
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

/** Call `drag(right, up)` while a field is dragged on, with the place in it from -1 to 1; its `handle` gets the focus. */
export function onDrag(field, handle, drag) {
  const tell = ({ clientX, clientY }) => {
    const { left, top, width, height } = field.getBoundingClientRect();
    drag((2 * (clientX - left)) / width - 1, 1 - (2 * (clientY - top)) / height);
  };
  field.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    field.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    tell(event);
  });
  field.addEventListener("pointermove", (event) => field.hasPointerCapture(event.pointerId) && tell(event));
}

export function columnsOf(grid) {
  return getComputedStyle(grid).gridTemplateColumns.split(" ").length;
}

/** A number for people: a true minus, `places` decimals. */
export function figure(value, places = 2) {
  const text = value.toFixed(places);
  return Number(text) < 0 ? text.replace("-", "−") : text.replace("-", "");
}
