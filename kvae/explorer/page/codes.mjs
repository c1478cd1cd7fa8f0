/** Where real images have their codes: the plane on which these differ most, with the current code on it. */

import { $, make, onDrag } from "./dom.mjs";

const COLOURS = ["#d6423b", "#2f6fd0", "#b98900", "#9a3fc0", "#d9730d", "#12936a", "#d1578f", "#6a961f", "#6b7280", "#1797a6"];
const MARGIN = 1.12;
const STEP = 0.02; // of the plane's width

const colourOf = (label) => COLOURS[(label ?? 1) % COLOURS.length];

export function codes(model, state, found, names) {
  $("codes").hidden = !found;
  if (!found) return () => {};
  const { axes, centre, points, labels } = found;
  const reach = MARGIN * Math.max(...points.flat().map(Math.abs));
  const placeOf = (z) => axes.map((axis) => axis.reduce((sum, weight, d) => sum + weight * (z[d] - centre[d]), 0));
  const clip = (value) => Math.min(Math.max(value, -reach), reach);
  const handle = $("code-handle");
  let passing = null;

  const show = () => {
    const [right, up] = placeOf(passing ?? state.now.z);
    handle.style.left = `${50 + (50 * clip(right)) / reach}%`;
    handle.style.top = `${50 - (50 * clip(up)) / reach}%`;
    handle.ariaValueNow = clip(right).toFixed(2);
    handle.ariaValueText = `${right.toFixed(1)} across, ${up.toFixed(1)} up`;
  };
  /** Move the code within the plane; what is across it stays. */
  const move = (target) => {
    const now = placeOf(state.now.z);
    const z = state.now.z.map((value, d) => value + axes.reduce((sum, axis, i) => sum + axis[d] * (clip(target[i]) - now[i]), 0));
    state.set({ z });
  };
  onDrag($("code-field"), handle, (right, up) => move([reach * right, reach * up]));
  handle.addEventListener("keydown", (event) => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
    if (!(event.key in ways)) return;
    event.preventDefault();
    const step = 2 * reach * STEP * (event.shiftKey ? 5 : 1);
    move(placeOf(state.now.z).map((value, axis) => value + step * ways[event.key][axis]));
  });
  new ResizeObserver(() => scatter(points, labels, reach)).observe($("scatter"));
  legend(labels, names);
  state.on(["z"], show);
  show();
  return (z) => {
    passing = z;
    show();
  };
}

function scatter(points, labels, reach) {
  const canvas = $("scatter");
  const size = canvas.clientWidth;
  const ratio = devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(size * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.globalAlpha = 0.9;
  points.forEach(([right, up], index) => {
    context.beginPath();
    context.arc(((right / reach + 1) * size) / 2, ((1 - up / reach) * size) / 2, 3.2, 0, 2 * Math.PI);
    context.fillStyle = colourOf(labels?.[index]);
    context.fill();
  });
}

function legend(labels, names) {
  if (!labels) return;
  names.forEach((textContent, label) => {
    const item = make("li", { textContent });
    item.style.setProperty("--colour", colourOf(label));
    $("legend").append(item);
  });
}
