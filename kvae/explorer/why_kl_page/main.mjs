/** The page as a whole: the slider, the motion from stop to stop, the language and the address. */

import { chart } from "./chart.mjs";
import { showCost } from "./cost.mjs";
import { $, KL, data, make, points } from "./page.mjs";
import { plane } from "./plane.mjs";
import { className, measured, number, sentences, words } from "./words.mjs";

const STEP = 420; // ms from a stop to the next one
const PLAYED = 1500; // ms likewise, while it plays
const still = matchMedia("(prefers-reduced-motion: reduce)");

const now = { position: KL, stop: null, showPlane: () => {}, chart: null, tour: [], frame: 0 };

/** Move towards a stop; `now.tour` holds those that follow. */
function go(target, pace = STEP) {
  cancelAnimationFrame(now.frame);
  const start = now.position;
  const begun = performance.now();
  const length = still.matches ? 0 : Math.min(3, Math.abs(target - start) || 0.01) * pace;
  const step = (time) => {
    const share = length ? Math.min(1, Math.max(0, time - begun) / length) : 1;
    const eased = pace === PLAYED ? share : share * share * (3 - 2 * share);
    place(start + (target - start) * eased);
    if (share < 1) now.frame = requestAnimationFrame(step);
    else if (now.tour.length) go(now.tour.shift(), PLAYED);
    else playing(false);
  };
  if (length) now.frame = requestAnimationFrame(step);
  else step(begun);
}

function place(position) {
  now.position = position;
  now.showPlane(position);
  now.chart.move(position);
  if (Math.round(position) !== now.stop) tell((now.stop = Math.round(position)));
}

/** The numbers of a stop. */
function tell(stop) {
  const point = points[stop];
  const lambda = number(point.lambda, null);
  $("lambda").value = stop;
  $("lambda").setAttribute("aria-valuetext", `λ = ${lambda}`);
  $("value").textContent = `= ${lambda}`;
  for (const each of document.querySelectorAll("b.lambda")) each.textContent = lambda;
  const withError = ([value, error], sign = 1) => `${number(sign * value)} <small>± ${number(error)}</small>`;
  $("loss").innerHTML = withError(point.loss);
  $("elbo").innerHTML = withError(point.elbo, -1);
  $("nll").innerHTML = `${point.believable ? "" : "≤ "}${withError(point.nll)}`;
  $("scale").textContent = number(point.scale, null);
  $("sentence").textContent = sentences(point);
  showCost(point, data.pixels);
  [...$("ticks").children].forEach((tick, index) => tick.classList.toggle("now", index === stop));
}

function playing(is) {
  if (!is) now.tour = [];
  $("play").ariaPressed = is;
  $("play").textContent = is ? words().pause : words().play;
}

/** Once to both ends and back: through the cross-entropy, and through twice the entropy. */
function play() {
  const last = points.length - 1;
  now.tour = [...stops(Math.round(now.position), 0), ...stops(0, last), ...stops(last, KL)];
  playing(true);
  go(now.tour.shift(), PLAYED);
}

const stops = (from, to) => Array.from({ length: Math.abs(to - from) }, (_, i) => from + (i + 1) * Math.sign(to - from));

function halt() {
  cancelAnimationFrame(now.frame);
  playing(false);
  go(now.stop);
}

/** All text that is made here, in the page's language. */
function speak(language) {
  document.documentElement.lang = language;
  for (const button of document.querySelectorAll("[data-language]")) {
    button.ariaPressed = button.dataset.language === language;
  }
  const say = words();
  document.title = say.title;
  for (const [id, text] of Object.entries({ plane: say.plane, classes: say.classes, chart: say.chart, languages: say.languages })) {
    $(id).setAttribute("aria-label", text);
  }
  for (const button of $("classes").children) button.lastChild.textContent = className(button.dataset.name);
  $("ticks").replaceChildren(...points.map(tick));
  $("measured").textContent = measured();
  table();
  playing($("play").ariaPressed === "true");
  now.chart.draw();
  now.stop = null;
  place(now.position);
}

function tick(point, index) {
  const found = make("span", { textContent: number(point.lambda, null) });
  found.style.left = `${(index / (points.length - 1)) * 100}%`;
  return found;
}

function table() {
  const say = words().rows;
  const values = {
    loss: (point) => number(point.loss[0], 2),
    elbo: (point) => number(-point.elbo[0], 2),
    distortion: (point) => number(point.distortion[0], 2),
    rate: (point) => number(point.rate[0], 2),
    nll: (point) => `${point.believable ? "" : "≤ "}${number(point.nll[0], 2)}`,
    cross: (point) => number(point.rate[0] + point.entropy, 2),
    entropy: (point) => number(point.entropy, 2),
    scale: (point) => number(point.scale, null),
  };
  const row = (name, cells, kind) => {
    const found = make("tr", {});
    found.append(make("th", { scope: "row", textContent: name }), ...cells.map((textContent) => make(kind, { textContent })));
    return found;
  };
  const rows = Object.entries(values).map(([name, of]) => row(say[name], points.map(of), "td"));
  $("table").replaceChildren(row("λ", points.map(({ lambda }) => number(lambda, null)), "th"), ...rows);
}

function keepLink() {
  history.replaceState(null, "", `#lang=${document.documentElement.lang}&lambda=${points[now.stop].lambda}`);
}

/** What the address asks for: a language, and the stop of a λ, if there is one. */
function asked() {
  const link = new URLSearchParams(location.hash.slice(1));
  const language = link.get("lang") ?? navigator.language.slice(0, 2);
  const stop = link.has("lambda") ? points.findIndex(({ lambda }) => lambda === Number(link.get("lambda"))) : -1;
  return { language: language === "ru" ? "ru" : "en", stop: stop < 0 ? null : stop };
}

async function start() {
  const { language, stop } = asked();
  Object.assign($("lambda"), { max: points.length - 1, value: stop ?? KL });
  now.position = stop ?? KL;
  now.showPlane = await plane();
  now.chart = chart();
  speak(language);
  $("lambda").addEventListener("input", ({ target }) => {
    playing(false);
    go(Number(target.value));
  });
  $("lambda").addEventListener("change", keepLink);
  $("play").addEventListener("click", () => ($("play").ariaPressed === "true" ? halt() : play()));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      speak(button.dataset.language);
      keepLink();
    });
  }
  for (const kind of ["pointerdown", "keydown", "wheel"]) {
    addEventListener(kind, ({ target }) => $("play").ariaPressed === "true" && target !== $("play") && halt(), { passive: true });
  }
  addEventListener("hashchange", () => {
    const found = asked();
    speak(found.language);
    if (found.stop !== null) go(found.stop);
  });
  document.body.dataset.ready = "";
  if (stop === null && !still.matches) play();
}

start();
