"use strict";
// The page anew every few seconds, without losing the place on it
async function refresh() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("live").replaceChildren(...page.getElementById("live").childNodes);
    document.title = page.title;
  } catch {
    document.title = `(no answer) ${document.title.replace("(no answer) ", "")}`;
  }
}
setInterval(refresh, 3000);
