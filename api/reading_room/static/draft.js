// The form of a report: sites of the picture as rows, the draft saved every 10 s, errors without leaving the page.
import {viewers} from "./viewer.js";

const EVERY = 10_000;
const form = document.getElementById("report-form");
const sites = document.getElementById("sites");
const saved = document.getElementById("saved");
const [viewer] = viewers.values();
const empty = sites.querySelector(".empty").cloneNode(true);
let stopped = !form.dataset.draft;

/** All that is typed, without what belongs to the page and its signature. */
function typed() {
  const data = new FormData(form);
  for (const name of ["csrf", "tag", "code"]) data.delete(name);
  return String(new URLSearchParams(data));
}
let stored = typed();

const numbers = text => text.split(/[\s,]+/).filter(Boolean).map(Number);

/** Show the rows' places in the picture. */
function draw() {
  viewer.sites = [...sites.children].flatMap((row, n) => {
    const place = numbers(row.querySelector("[name=place]").value);
    if (![2, 4].includes(place.length) || place.some(Number.isNaN)) return [];
    return [{[place.length === 4 ? "box" : "point"]: place, row: n}];
  });
}

/** Write the sites of the picture into rows; what was typed of a bone stays with its site. */
function write(marked) {
  const bones = [...sites.querySelectorAll("[name=bone]")].map(field => field.value);
  sites.replaceChildren(...[...marked, null].map(site => {
    const row = empty.cloneNode(true);
    if (!site) return row;
    row.classList.remove("empty");
    row.querySelector("[name=place]").value = (site.box ?? site.point).join(", ");
    row.querySelector("[name=bone]").value = bones[site.row] ?? "";
    return row;
  }));
  dress();
  draw();
}

/** Give each row with a place a button that removes it. */
function dress() {
  for (const row of sites.querySelectorAll("li:not(.empty)")) {
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "Remove";
    remove.addEventListener("click", () => {
      row.remove();
      draw();
    });
    row.append(remove);
  }
}

function tell(field, text) {
  for (const part of form.querySelectorAll("[data-fault]")) part.textContent = part.dataset.fault === field ? text : "";
  if (field && text) form.querySelector(`[data-fault="${field}"]`).scrollIntoView({block: "nearest"});
}

async function post(address, again = true) {
  const {csrf, tag} = form.elements;
  const headers = {Accept: "application/json", "X-CSRF-Token": csrf.value, "If-Match": `"${tag.value}"`};
  const answer = await fetch(address, {method: "POST", body: new URLSearchParams(new FormData(form)), headers});
  const body = await answer.json();
  if (again && [401, 403].includes(answer.status) && !body.field) {
    // Signed in anew in another window: this page takes the token of the new session.
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    const token = page.querySelector("#report-form [name=csrf]")?.value;
    if (token) {
      csrf.value = token;
      return post(address, false);
    }
  }
  tag.value = answer.headers.get("ETag")?.replaceAll('"', "") ?? body.tag ?? tag.value;
  return {ok: answer.ok, field: "form", ...body};
}

async function save() {
  const now = typed();
  if (stopped || now === stored) return;
  const answer = await post(form.dataset.draft).catch(() => ({detail: "No connection."}));
  if (answer.ok) {
    stored = now;
    saved.textContent = `Draft saved at ${new Date().toLocaleTimeString()}.`;
  } else if (answer.status === 412) {
    stopped = true; // Until the reader decides which of the two stays.
    tell("form", answer.detail);
  } else saved.textContent = `Not saved: ${answer.detail} Your text stays here.`;
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  const answer = await post(event.submitter?.formAction || form.action)
    .catch(() => ({field: "form", detail: "No connection: send it again."}));
  if (!answer.ok) return tell(answer.field, answer.detail);
  const page = new URL(answer.page, location);
  if (page.pathname + page.search !== location.pathname + location.search) return location.assign(page);
  location.hash = page.hash;
  location.reload();
});
form.elements.code?.addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("button.main"));
});
viewer.report = (text, measurement) => {
  const row = document.getElementById("measurement").content.cloneNode(true);
  row.querySelector("input").value = JSON.stringify(measurement);
  row.querySelector("span").textContent = text;
  document.getElementById("measurements").append(row);
  viewer.say(`In the report: ${text}`);
};
viewer.root.addEventListener("site", ({detail}) => write(detail.sites));
sites.addEventListener("change", draw);
dress();
draw();
setInterval(save, EVERY);
