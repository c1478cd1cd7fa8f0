/** The plane: what the decoder draws at each place, the prior's circles, and the ellipses of the posteriors. */

import { $, around, between, data, make, points } from "./page.mjs";
import { className, number, words } from "./words.mjs";

const COLOURS = ["#ff6b6b", "#4dabf7", "#ffd43b", "#da77f2", "#ff922b", "#38d9a9", "#f7a8c8", "#a9e34b", "#f1f3f5", "#22b8cf"];
const DEVIATIONS = 2; // an ellipse's radius, in standard deviations
const DOT = 2.2; // the smallest radius, in pixels of the page
const NEAR = 22; // pixels within which an ellipse is pointed at

export const colourOf = (index) => COLOURS[(data.labels[index] ?? 0) % COLOURS.length];

const pictureOf = (source) => Object.assign(new Image(), { src: source });

/** The plane's canvas: `show(position)` draws it at a position among the stops. */
export async function plane() {
  const planes = points.map((point) => pictureOf(point.plane));
  const thumbnails = pictureOf(data.thumbnails);
  await Promise.all([...planes, thumbnails].map((picture) => picture.decode()));
  const canvas = $("plane");
  const now = { position: 0, chosen: null, shown: new Set() };
  const isShown = (index) => now.shown.size === 0 || now.shown.has(data.labels[index]);

  const draw = () => {
    const size = canvas.clientWidth;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(size * ratio)) canvas.width = canvas.height = Math.round(size * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    background(context, size);
    circles(context, size);
    for (const [index] of data.points[0].codes.entries()) {
      if (index !== now.chosen) ellipse(context, size, index, isShown(index) ? 1 : 0.12);
    }
    if (now.chosen !== null) ellipse(context, size, now.chosen, 1, true);
    card(size);
  };

  const background = (context, size) => {
    const [first, , share] = around(now.position);
    const at = points.indexOf(first);
    context.fillStyle = "#000";
    context.fillRect(0, 0, size, size);
    for (const [index, alpha] of [[at, 1], [at + 1, share]]) {
      if (!alpha || !planes[index]) continue;
      context.globalAlpha = alpha;
      context.drawImage(planes[index], 0, 0, size, size);
    }
    context.globalAlpha = 0.52;
    context.fillRect(0, 0, size, size);
    context.globalAlpha = 1;
  };

  const circles = (context, size) => {
    context.strokeStyle = "#fff";
    context.globalAlpha = 0.6;
    context.lineWidth = 1;
    context.setLineDash([5, 5]);
    for (const radius of [1, 2, 3]) {
      context.beginPath();
      context.arc(size / 2, size / 2, (radius / data.extent) * (size / 2) - (radius === data.extent), 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  };

  /** Centre, radii and angle of a posterior in pixels; radii go from stop to stop in proportion. */
  const shapeOf = (size, index) => {
    const [first, second, share] = around(now.position);
    const [one, two] = [first.codes[index], second.codes[index]];
    const unit = size / 2 / data.extent;
    return {
      x: size / 2 + between(one[0], two[0], share) * unit,
      y: size / 2 - between(one[1], two[1], share) * unit,
      radii: [2, 3].map((part) => Math.max(DOT, DEVIATIONS * unit * Math.exp(between(Math.log(one[part]), Math.log(two[part]), share)))),
      angle: -between(first.angle, second.angle, share),
    };
  };

  const ellipse = (context, size, index, alpha, isChosen = false) => {
    const { x, y, radii, angle } = shapeOf(size, index);
    context.beginPath();
    context.ellipse(x, y, radii[0], radii[1], angle, 0, 2 * Math.PI);
    context.fillStyle = context.strokeStyle = colourOf(index);
    context.globalAlpha = alpha * 0.35;
    context.fill();
    context.globalAlpha = alpha;
    context.lineWidth = isChosen ? 4 : 1.8;
    if (isChosen) context.strokeStyle = "#fff";
    context.stroke();
    context.globalAlpha = 1;
  };

  const card = (size) => {
    $("card").hidden = now.chosen === null;
    if (now.chosen === null) return;
    const { x, y } = shapeOf(size, now.chosen);
    const [stop] = around(Math.round(now.position));
    const name = className(data.classes[data.labels[now.chosen]] ?? `${now.chosen + 1}`);
    $("which").textContent = words().which(name, stop.codes[now.chosen].slice(2).map((scale) => number(scale, null)));
    canvas.setAttribute("aria-valuenow", now.chosen + 1);
    canvas.setAttribute("aria-valuetext", $("which").textContent);
    thumbnail(now.chosen);
    const { offsetWidth: width, offsetHeight: height } = $("card");
    const beside = x + 18 + width < size ? x + 18 : x - 18 - width;
    $("card").style.left = `${Math.max(4, Math.min(size - width - 4, beside))}px`;
    $("card").style.top = `${Math.max(4, Math.min(size - height - 4, y - height / 2))}px`;
  };

  const thumbnail = (index) => {
    const [width, height] = [thumbnails.width / 10, thumbnails.height / Math.ceil(points[0].codes.length / 10)];
    Object.assign($("thumbnail"), { width, height });
    const from = [(index % 10) * width, Math.floor(index / 10) * height];
    $("thumbnail").getContext("2d").drawImage(thumbnails, ...from, width, height, 0, 0, width, height);
  };

  const nearest = ({ offsetX, offsetY }) => {
    const distance = (index) => {
      const { x, y, radii } = shapeOf(canvas.clientWidth, index);
      return Math.hypot(x - offsetX, y - offsetY) - Math.min(...radii);
    };
    const indices = [...points[0].codes.keys()].filter(isShown);
    const best = indices.reduce((one, other) => (distance(other) < distance(one) ? other : one));
    return distance(best) < NEAR ? best : null;
  };

  const choose = (index) => {
    if (index === now.chosen) return;
    now.chosen = index;
    draw();
  };
  canvas.addEventListener("pointermove", (event) => choose(nearest(event)));
  canvas.addEventListener("pointerdown", (event) => choose(nearest(event)));
  canvas.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && choose(null));
  canvas.addEventListener("blur", () => choose(null));
  canvas.addEventListener("keydown", (event) => {
    const ways = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
    if (event.key === "Escape") choose(null);
    if (!(event.key in ways)) return;
    event.preventDefault();
    const count = points[0].codes.length;
    let index = now.chosen ?? (ways[event.key] > 0 ? -1 : count);
    do index = (index + ways[event.key] + count) % count;
    while (!isShown(index));
    choose(index);
  });
  canvas.setAttribute("aria-valuemax", points[0].codes.length);
  canvas.setAttribute("aria-valuenow", 1);
  new ResizeObserver(draw).observe(canvas);
  classes(now, draw);
  return (position) => {
    now.position = position;
    draw();
  };
}

/** A button for each class: those that are pressed are shown alone. */
function classes(now, draw) {
  data.classes.forEach((name, label) => {
    const button = make("button", { type: "button" });
    button.dataset.name = name;
    button.ariaPressed = false;
    button.append(make("i", {}), make("span", {}));
    button.firstChild.style.background = COLOURS[label % COLOURS.length];
    button.addEventListener("click", () => {
      if (!now.shown.delete(label)) now.shown.add(label);
      button.ariaPressed = now.shown.has(label);
      draw();
    });
    $("classes").append(button);
  });
}
