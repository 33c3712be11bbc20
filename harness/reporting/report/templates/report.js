"use strict";
// Sorting and copying of tables; the page says all that it says without this.
const copies = JSON.parse(document.getElementById("copies").textContent);
const status = document.getElementById("status");

function say(words) {
  status.textContent = words;
  setTimeout(() => { status.textContent = ""; }, 2500);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea"); // a page from disk may not be let at the clipboard
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`${what} copied`);
}

function groupsOf(body) {
  const groups = [];
  for (const row of body.rows) {
    if (row.classList.contains("below") && groups.length) groups.at(-1).push(row);
    else groups.push([row]);
  }
  return groups;
}

function valueOf(group, column) {
  const text = group[0].cells[column].textContent.trim();
  const number = parseFloat(text.replace(/^< /, "").replace(/,/g, ""));
  return /^[-+<\d]/.test(text) && !Number.isNaN(number) ? number : text;
}

function compare(one, other, direction) {
  const numbers = (typeof one === "number") - (typeof other === "number");
  if (numbers) return -numbers; // numbers before words and before nothing, whatever the direction
  return direction * (typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true }));
}

function sort(table, column, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const body = table.tBodies[0];
  const keyed = groupsOf(body).map((group) => ({ group, value: valueOf(group, column) }));
  keyed.sort((a, b) => compare(a.value, b.value, descending ? -1 : 1));
  for (const { group } of keyed) body.append(...group);
  let before = null;
  for (const { group } of keyed) {
    const first = group[0].cells[0];
    first.classList.toggle("again", table.dataset.grouped === "yes" && first.textContent === before);
    before = first.textContent;
  }
}

for (const table of document.querySelectorAll("figure.table table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent.trim() || "row";
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(table, column, head));
  });
}

for (const line of document.querySelectorAll(".copy")) line.hidden = false;
document.addEventListener("click", (event) => {
  const { copy: anchor, format, text } = event.target.dataset ?? {};
  if (anchor) copy(copies[anchor][format], event.target.textContent);
  if (text) copy(document.getElementById(text).textContent.trim(), "Statement");
});
// Notes, config and checklists must not be missing on paper; long tables come along where the reader has opened them
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details.printed")) one.open = true; });
