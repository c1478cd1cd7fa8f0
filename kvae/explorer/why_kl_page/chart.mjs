/** Loss, bound and NLL over λ, above each other's stops and under the slider's. */

import { $, drawn, points } from "./page.mjs";
import { number, words } from "./words.mjs";

const INSET = 36; // pixels; as in page.css
const EDGE = 12;
const SERIES = { loss: (point) => point.loss[0], elbo: (point) => -point.elbo[0], nll: (point) => point.nll[0] };
const MARKS = {
  loss: (x, y) => drawn("circle", { cx: x, cy: y, r: 4, fill: "var(--paper)" }),
  elbo: (x, y) => drawn("rect", { x: x - 3.5, y: y - 3.5, width: 7, height: 7, fill: "var(--elbo)" }),
  nll: (x, y) => drawn("path", { d: `M${x},${y - 5}l5,5l-5,5l-5,-5z`, fill: "var(--nll)" }),
};

/** The chart: `move(position)` moves its cursor, `draw()` draws all of it in the page's language. */
export function chart() {
  const now = { position: 0, cursor: null, place: () => 0 };
  const draw = () => {
    const { clientWidth: width, clientHeight: height } = $("chart");
    const values = points.flatMap((point) => Object.values(SERIES).map((of) => of(point)));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    now.place = (position) => INSET + (position / (points.length - 1)) * (width - 2 * INSET);
    const level = (value) => height - EDGE - ((value - low) / (high - low || 1)) * (height - 2 * EDGE);
    now.cursor = drawn("line", { y1: 0, y2: height, stroke: "var(--edge)", "stroke-width": 1.5, "stroke-dasharray": "2 3" });
    $("chart").replaceChildren(...grid(low, high, level, width), now.cursor);
    for (const [name, of] of Object.entries(SERIES)) {
      const places = points.map((point, index) => [now.place(index), level(of(point))]);
      const line = { points: places.join(" "), fill: "none", stroke: `var(--${name})`, "stroke-width": 2 };
      const marks = places.map(([x, y]) => MARKS[name](x, y));
      marks.forEach((mark) => mark.setAttribute("stroke", `var(--${name})`));
      marks.forEach((mark) => mark.setAttribute("stroke-width", 1.5));
      $("chart").append(drawn("polyline", line), ...marks);
    }
    move();
  };
  const move = () => {
    now.cursor?.setAttribute("x1", now.place(now.position));
    now.cursor?.setAttribute("x2", now.place(now.position));
  };
  new ResizeObserver(draw).observe($("chart"));
  return {
    draw,
    move: (position) => {
      now.position = position;
      move();
    },
  };
}

function grid(low, high, level, width) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((size) => (high - low) / size <= 7) ?? 1000;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
    const y = level(value);
    found.push(drawn("line", { x1: INSET, x2: width - INSET + 10, y1: y, y2: y, stroke: "var(--line)" }));
    found.push(drawn("text", { x: 0, y: y + 4 }, number(value, 0)));
  }
  return [...found, drawn("text", { x: width - INSET + 10, y: EDGE - 2, "text-anchor": "end" }, words().unit)];
}
