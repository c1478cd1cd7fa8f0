/** What the page says about its numbers, in both languages. */

import { KL, data, points } from "./page.mjs";

export const language = () => document.documentElement.lang;

/** A number for people; `places` decimals, or as many digits as a small one needs. */
export function number(value, places = 1) {
  const small = places === null;
  const options = small ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: places, maximumFractionDigits: places };
  return new Intl.NumberFormat(language(), options).format(value).replace("-", "−");
}

const CLOTHES = {
  "T-shirt/top": "футболка", Trouser: "брюки", Pullover: "свитер", Dress: "платье", Coat: "пальто", Sandal: "сандалия",
  Shirt: "рубашка", Sneaker: "кроссовка", Bag: "сумка", "Ankle boot": "ботинок",
};

export const className = (name) => (language() === "ru" && CLOTHES[name]) || name;

const ENGLISH = {
  title: "Why the KL",
  play: "Play",
  pause: "Pause",
  plane: "Posteriors of test images on the decoded plane; the arrow keys go from image to image",
  classes: "Classes: choose some to see them alone",
  languages: "Language",
  chart: "Loss, −ELBO and NLL over λ, in nats per test image",
  unit: "nats per image",
  ends: { 0: "cross-entropy", 1: "KL" },
  paid: "is paid: KL",
  back: "comes back: H(q)",
  which: (name, [first, second]) => `${name}\nσ = ${first}, ${second}`,
  cost: (sent, back, paid) =>
    `H(q, p), ${sent} bits, is written; H(q), ${back} bits, comes back; the KL, ${paid} bits, is paid`,
  bytes: (withBits, without, pixels) =>
    `With its distortion, an image of ${pixels} costs <b>${withBits}</b> bytes with bits back, <b>${without}</b> without.`,
  pixels: (count) => (data.bits ? `${count} pixels, black or white (${number(count / 8, 0)} bytes),` : `${count} pixels`),
  point: "The cross-entropy: nothing rewards the width of a posterior, and every ellipse has shrunk to a point.",
  zero: "The cross-entropy: nothing rewards the width of a posterior.",
  kl: (gap) =>
    `The KL: the loss is the −ELBO, which bounds the NLL. It lies ${gap} nats above it, and cannot fall below. Each ` +
    `ellipse is as wide as the decoder lets it be.`,
  less: (ratio) => `The entropy counts for less than it is worth: the ellipses are ${ratio} times as wide as with the KL.`,
  more: (ratio, distortion) =>
    `The entropy counts for more than it is worth: the ellipses are ${ratio} times as wide as with the KL and blur ` +
    `into each other; the distortion is ${distortion} nats higher.`,
  below: (under, over) =>
    `The loss is ${under} nats below the NLL: it bounds nothing. The bound is ${over} nats above the NLL.`,
  atMost: (under, over) =>
    `The loss is ${under} nats below the NLL as far as that is known (the value shown is an upper bound), and bounds ` +
    `nothing. The bound is ${over} nats above it.`,
  above: (over) => `The loss is not a bound, although it lies above the NLL. The bound is ${over} nats above the NLL.`,
  worse: (difference) => `The model is worse too, by ${difference} nats.`,
  better: (difference) => `The NLL is ${difference} nats lower than with the KL.`,
  same: (difference) => `The NLL is that of the KL, as far as can be seen (${difference}).`,
  measured: ({ models, layers, set, training, epochs, continued, seed, images, about, draws }) =>
    `${models} models of ${set} (${layers}, two latent dimensions), which differ in λ alone: ` +
    (continued ? `each began with the same weights and was trained for ${epochs} epochs` : `each was trained for ${epochs} epochs`) +
    ` of ${training} images, with seed ${seed}. All numbers are means over the ${images} test images: ${about}; ± is the ` +
    `standard error. The NLL is estimated by importance sampling with ${draws} draws per image.`,
  rows: {
    loss: "loss", elbo: "−ELBO", distortion: "distortion", rate: "rate, KL(q‖p)", nll: "NLL", cross: "H(q, p)",
    entropy: "H(q)", scale: "σ, geometric mean",
  },
};

const RUSSIAN = {
  title: "Почему KL",
  play: "Запустить",
  pause: "Остановить",
  plane: "Апостериорные распределения тестовых изображений на декодированной плоскости; стрелки переходят от изображения к изображению",
  classes: "Классы: выберите те, которые хотите видеть отдельно",
  languages: "Язык",
  chart: "Потери, −ELBO и NLL в зависимости от λ, в натах на тестовое изображение",
  unit: "натов на изображение",
  ends: { 0: "перекр. энтропия", 1: "KL" },
  paid: "цена кода: KL",
  back: "возвращается: H(q)",
  which: ENGLISH.which,
  cost: (sent, back, paid) => `Записано H(q, p), бит: ${sent}; возвращается H(q), бит: ${back}; остаётся заплатить KL, бит: ${paid}`,
  bytes: (withBits, without, pixels) =>
    `Вместе с искажением изображение (${pixels}) занимает <b>${withBits}</b> байта с возвратом битов и <b>${without}</b> без него.`,
  pixels: (count) =>
    data.bits ? `${count} чёрных и белых пикселей, ${number(count / 8, 0)} байт` : `число пикселей — ${count}`,
  point: "Перекрёстная энтропия: ширину распределения ничто не поощряет, и каждый эллипс стянулся в точку.",
  zero: "Перекрёстная энтропия: ширину распределения ничто не поощряет.",
  kl: (gap) =>
    `KL: потери — это −ELBO, верхняя граница для NLL. Они больше NLL на ${gap} ната и меньше быть не могут. Ширина каждого ` +
    `эллипса — та, какую допускает декодер.`,
  less: (ratio) => `Энтропия весит меньше, чем должна: относительная ширина эллипсов — ${ratio} от ширины при KL.`,
  more: (ratio, distortion) =>
    `Энтропия весит больше, чем должна: эллипсы шире, чем при KL, в ${ratio} раза и накладываются друг на друга; ` +
    `искажение больше на ${distortion} ната.`,
  below: (under, over) =>
    `Потери меньше NLL на ${under} ната: они ничего не ограничивают. Настоящая граница больше NLL на ${over} ната.`,
  atMost: (under, over) =>
    `Потери меньше NLL на ${under} ната, насколько оно известно (показана его верхняя граница), и ничего не ограничивают. ` +
    `Настоящая граница больше NLL на ${over} ната.`,
  above: (over) => `Потери больше NLL, но границей всё равно не являются. Настоящая граница больше NLL на ${over} ната.`,
  worse: (difference) => `Хуже стала и сама модель: NLL выше на ${difference} ната.`,
  better: (difference) => `NLL ниже, чем при KL, на ${difference} ната.`,
  same: (difference) => `NLL неотличимо от значения при KL (${difference}).`,
  measured: ({ models, layers, set, training, epochs, continued, seed, images, about, draws }) =>
    `Число моделей — ${models}; данные — ${set}; ${layers}, две скрытые координаты. Модели различаются только значением λ: ` +
    (continued ? "обучение каждой начато с одних и тех же весов; " : "") +
    `эпох: ${epochs}, обучающих изображений: ${training}, начальное значение генератора случайных чисел: ${seed}. ` +
    `Все числа — средние по тестовым изображениям (${images}), ${about}; ± — стандартная ошибка. NLL оценено выборкой по ` +
    `значимости, точек на изображение: ${draws}.`,
  rows: {
    loss: "потери", elbo: "−ELBO", distortion: "искажение", rate: "скорость кода, KL(q‖p)", nll: "NLL", cross: "H(q, p)",
    entropy: "H(q)", scale: "σ, среднее геометрическое",
  },
};

export const words = () => (language() === "ru" ? RUSSIAN : ENGLISH);

/** What is to be seen at one λ, in sentences that follow from its numbers. */
export function sentences(point) {
  const [say, kl] = [words(), points[KL]];
  const [loss, nll, bound] = [point.loss[0], point.nll[0], -point.elbo[0]];
  if (point === kl) return say.kl(number(bound - nll));
  const below = point.believable ? say.below : say.atMost;
  return [ofWidth(say, point, kl), ofLoss(below, say, loss, nll, bound), ofModel(say, point)].filter(Boolean).join(" ");
}

function ofWidth(say, point, kl) {
  if (point.lambda === 0) return point.scale < 0.01 * kl.scale ? say.point : say.zero;
  const ratio = number(point.scale / kl.scale, 2);
  return point.lambda < 1 ? say.less(ratio) : say.more(ratio, number(point.distortion[0] - kl.distortion[0]));
}

const ofLoss = (below, say, loss, nll, bound) =>
  loss < nll ? below(number(nll - loss), number(bound - nll)) : say.above(number(bound - nll));

/** The NLL beside that of the KL: the paired difference, if it may be taken. */
function ofModel(say, { difference }) {
  if (!difference) return "";
  const [value, error] = difference;
  const text = `${number(Math.abs(value), 2)} ± ${number(error, 2)}`;
  if (Math.abs(value) <= 2 * error) return say.same(`${number(value, 2)} ± ${number(error, 2)}`);
  return value > 0 ? say.worse(text) : say.better(text);
}

const ABOUT = { "log-probabilities of binarised images": "логарифмы вероятностей бинаризованных изображений" };

const LAYERS = { mlp: ["dense networks", "полносвязные сети"], conv: ["convolutional networks", "свёрточные сети"] };

/** How the models were trained and measured. */
export function measured() {
  const isRussian = language() === "ru";
  return words().measured({
    models: points.length,
    layers: LAYERS[data.architecture]?.[isRussian ? 1 : 0] ?? data.architecture,
    set: data.dataset.name,
    training: number(data.dataset.training, 0),
    epochs: data.epochs,
    continued: data.continued,
    seed: data.seed,
    images: number(data.dataset.images, 0),
    about: (isRussian && ABOUT[data.about]) || data.about,
    draws: data.draws,
  });
}
