/** Images over HTTP: node server.mjs BUNDLE [PORT], then GET /?seed=7&index=0&temperature=1&label=boot */

import { createServer } from "node:http";

import { ArgumentError, fail, integer, label, temperature } from "./arguments.mjs";
import { Bundle } from "./kvae.mjs";
import { isPicture, png } from "./png.mjs";

const HOST = "127.0.0.1";
const MAX_WORD = 2n ** 64n - 1n;
const PARAMETERS = ["seed", "index", "temperature", "label"];

const [folder, port, ...rest] = process.argv.slice(2);
if (folder === undefined || rest.length > 0) fail("usage: node server.mjs BUNDLE [PORT]", 2);
const bundle = await start(folder);
const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    send(response, 500, "the image could not be made");
  });
});
server.on("error", (error) => {
  fail(error.code === "EADDRINUSE" ? `port ${error.port} is taken: name another` : error.message);
});
server.listen(Number(portOf(port ?? "8000")), HOST, () => {
  console.log(`http://${HOST}:${server.address().port}/?seed=7&index=0`);
});
// Requests that are being answered are answered; then nothing keeps the process alive.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => server.close());

async function start(folder) {
  const bundle = await Bundle.open(folder).catch((error) => fail(error.message));
  const channels = bundle.manifest.image_shape[2];
  if (!isPicture(channels)) fail(`${folder} has images of ${channels} channels, which are no pictures`);
  return bundle;
}

function portOf(text) {
  try {
    return integer("PORT", text, 65535n);
  } catch (error) {
    return fail(error.message, 2);
  }
}

async function answer(request, response) {
  const [, path, parameters] = /^([^?]*)\??(.*)$/s.exec(request.url);
  if (path !== "/") return send(response, 404, `there is nothing at ${path}`);
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("Allow", "GET, HEAD");
    return send(response, 405, `${request.method} is not allowed; use GET`);
  }
  let query;
  try {
    query = parse(new URLSearchParams(parameters));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    return send(response, 400, error.message);
  }
  const image = await bundle.sample(query.seed, query.index, 1, query.temperature, query.label);
  send(response, 200, png(image, bundle.manifest.image_shape), "image/png");
}

function parse(parameters) {
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name)) throw new ArgumentError(`"${name}" is unknown; known are ${PARAMETERS.join(", ")}`);
    if (parameters.getAll(name).length > 1) throw new ArgumentError(`"${name}" is given more than once`);
  }
  return {
    seed: integer("seed", parameters.get("seed") ?? "", MAX_WORD),
    index: integer("index", parameters.get("index") ?? "0", MAX_WORD),
    temperature: temperature(parameters.get("temperature") ?? "1", bundle.manifest),
    label: label(parameters.get("label") ?? undefined, bundle.manifest),
  };
}

function send(response, status, body, type = "text/plain; charset=utf-8") {
  response.writeHead(status, { "Content-Type": type, "X-Content-Type-Options": "nosniff" });
  response.end(typeof body === "string" ? `${body}\n` : body);
}
