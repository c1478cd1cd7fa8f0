/** The page's data, and small words for elements. */

export const $ = (id) => document.getElementById(id);

export const data = JSON.parse($("data").textContent);

export const points = data.points;

export const KL = points.findIndex((point) => point.lambda === 1);

export const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

/** An element of an SVG. */
export function drawn(tag, attributes, text = "") {
  const found = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  found.textContent = text;
  return found;
}

export const between = (from, to, share) => from + (to - from) * share;

/** The stops on both sides of a position among the stops, and how far it is from the first to the second. */
export function around(position) {
  const first = Math.min(Math.floor(position), points.length - 1);
  return [points[first], points[Math.min(first + 1, points.length - 1)], position - first];
}
