/** The manifest of a bundle, checked: docs/bundle-format.md, "The manifest". */

const FORMAT_VERSION = 2;
const WHOLE = 2 ** 53;
const STANDARD_NORMAL = "standard_normal";
/** What format 1 means, whatever fields of these names its manifests have. */
const IN_FORMAT_1 = { prior: STANDARD_NORMAL, components: null, labels: null, label_weights: null, groups: null };

/**
 * Read a manifest.
 *
 * @param {string} text JSON
 * @returns {object} the manifest, with the fields of format 2 in any case
 * @throws {Error} whose message goes on after the file's name: "is not JSON"
 */
export function parse(text) {
  let manifest;
  try {
    manifest = JSON.parse(text);
  } catch {
    throw new Error("is not JSON");
  }
  const wrong = fault(manifest);
  if (wrong) throw new Error(wrong);
  return manifest.format_version === 1 ? { ...manifest, ...IN_FORMAT_1 } : manifest;
}

/** The graphs that samples need: the prior's, where it is another than N(0, I), and the decoder. */
export function roles({ prior }) {
  return prior === STANDARD_NORMAL ? ["decoder"] : ["prior", "decoder"];
}

/** The file of a graph. */
export function fileOf(role, { graph_format: format = "onnx" }) {
  return `${role}.${format}`;
}

/** What a manifest has that this program cannot use, in words; undefined where it is fine. */
function fault(manifest) {
  const version = manifest?.format_version;
  if (!isCount(version)) return "has no format_version: it is no bundle's manifest";
  if (version > FORMAT_VERSION) return `has format_version ${version}; this program knows versions up to ${FORMAT_VERSION}`;
  const { image_shape: shape, latent_dim: dim, files } = manifest;
  if (!(Array.isArray(shape) && shape.length === 3 && shape.every(isCount))) return "has no valid image_shape";
  if (!isCount(dim)) return "has no valid latent_dim";
  if (files?.constructor !== Object) return "has no valid files";
  return version > 1 ? faultOfFamily(manifest, dim) : undefined;
}

/** The same of the fields that came with format 2. */
function faultOfFamily({ prior, components, labels, label_weights: weights, groups }, dim) {
  if (typeof prior !== "string") return "has no valid prior";
  if (!isNull(components) && !isCumulative(components)) return "has no valid components";
  if (isNull(labels) !== isNull(weights)) return "has no valid label_weights";
  const named = (label) => typeof label === "string" && label !== "";
  if (!isNull(labels) && !(Array.isArray(labels) && labels.every(named))) return "has no valid labels";
  if (!isNull(labels) && !(isCumulative(weights) && weights.length === labels.length)) return "has no valid label_weights";
  const isSplit = () => Array.isArray(groups) && groups.every(isCount) && groups.reduce((a, b) => a + b, 0) === dim;
  if (!isNull(groups) && !isSplit()) return "has no valid groups";
}

const isNull = (value) => value === null || value === undefined;
const isCount = (value) => Number.isInteger(value) && value > 0;
const isCumulative = (values) =>
  Array.isArray(values) &&
  values.every((value, at) => Number.isInteger(value) && value >= (at ? values[at - 1] : 0)) &&
  values.at(-1) === WHOLE;
