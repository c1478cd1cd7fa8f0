/** Files may be dropped anywhere on the page, lest the browser leaves it for one that missed. */

import { $ } from "./dom.mjs";

let take = null;

export const takeDrops = (listener) => (take = listener);

const mark = (over) => $("drop").classList.toggle("over", over);
const onFiles = (type, listener) =>
  addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = take ? "copy" : "none";
    if (take) listener(event.dataTransfer.files[0]);
  });
onFiles("dragover", () => mark(true));
onFiles("drop", (file) => {
  mark(false);
  take(file);
  $("inspection").scrollIntoView({ block: "nearest" });
});
addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false));
