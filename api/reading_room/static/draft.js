// The form of a report: sites of the picture as rows, the draft saved every 10 s, errors without leaving the page.
import {button, on} from "./svg.js";
import {viewers} from "./viewer.js";

const EVERY = 10_000;
const byId = id => document.getElementById(id);
const form = byId("report-form");
const sites = byId("sites");
const saved = byId("saved");
const [viewer] = viewers.values();
const empty = sites.querySelector(".empty").cloneNode(true);
let stopped = !form.dataset.draft;
let left = false;

/** All that is typed, without what belongs to the page and its signature. */
function typed() {
  const data = new FormData(form);
  for (const name of ["csrf", "tag", "code"]) data.delete(name);
  return String(new URLSearchParams(data));
}
let stored = typed();
const unsaved = () => !stopped && typed() !== stored;

const field = (row, name) => row.querySelector(`[name=${name}]`);

/** The numbers of a row's place; undefined while they make no box and no point. */
function placeOf(row) {
  const place = field(row, "place").value.split(/[\s,]+/).filter(Boolean).map(Number);
  return [2, 4].includes(place.length) && !place.some(Number.isNaN) ? place : undefined;
}

/** Show the rows' places in the picture. */
function draw() {
  viewer.sites = [...sites.children].flatMap((row, n) => {
    const place = placeOf(row);
    return place ? [{[place.length === 4 ? "box" : "point"]: place, row: n}] : [];
  });
}

/** Write the sites of the picture into rows; what was typed of a bone stays with its site. */
function write(marked) {
  const rows = [...sites.children];
  let last = rows.pop(); // A bone may be typed there before its site is marked.
  const begun = rows.filter(row => !placeOf(row) && field(row, "place").value.trim());
  const made = marked.map(site => {
    const before = rows[site.row] ?? last;
    if (before === last) last = undefined;
    const row = empty.cloneNode(true);
    row.classList.remove("empty");
    field(row, "place").value = (site.box ?? site.point).join(", ");
    field(row, "bone").value = field(before ?? empty, "bone").value;
    return row;
  });
  sites.replaceChildren(...made, ...begun, last ?? empty.cloneNode(true));
  dress();
  draw();
}

/** Give each row with a place a button that removes it. */
function dress() {
  for (const row of sites.querySelectorAll("li:not(.empty):not(:has(button))")) {
    row.append(button("Remove", () => {
      row.remove();
      field(sites, "place").focus();
      draw();
    }));
  }
}

function tell(field, text) {
  for (const part of form.querySelectorAll("[data-fault]")) {
    const here = part.dataset.fault === field;
    part.textContent = here ? text : "";
    if (here) part.scrollIntoView({block: "nearest"});
  }
}

async function post(address, again = true) {
  const {csrf, tag} = form.elements;
  const headers = {Accept: "application/json", "X-CSRF-Token": csrf.value, "If-Match": `"${tag.value}"`};
  const body = new URLSearchParams(new FormData(form));
  // A browser finishes a small request of a page that is closed, and refuses a large one at once.
  const answer = await fetch(address, {method: "POST", body, headers, keepalive: document.hidden});
  const said = await answer.json();
  if (again && [401, 403].includes(answer.status) && !said.field) {
    // Signed in anew in another window: this page takes the token of the new session.
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    const token = page.querySelector("#report-form [name=csrf]")?.value;
    if (token) {
      csrf.value = token;
      return post(address, false);
    }
  }
  tag.value = answer.headers.get("ETag")?.replaceAll('"', "") ?? said.tag ?? tag.value;
  return {ok: answer.ok, field: "form", ...said};
}

let busy = Promise.resolve();

/** Do the work once what was sent before is answered: each answer has the tag that the next request needs. */
const inTurn = work => (busy = busy.then(work, work));

const save = () => inTurn(async () => {
  const now = typed();
  if (!unsaved()) return;
  const answer = await post(form.dataset.draft).catch(() => ({detail: "No connection."}));
  if (answer.ok) {
    stored = now;
    saved.textContent = `Draft saved at ${new Date().toLocaleTimeString()}.`;
  } else if (answer.status === 412) {
    stopped = true; // Until the reader decides which of the two stays.
    tell("form", answer.detail);
  } else saved.textContent = `Not saved: ${answer.detail} Your text stays here.`;
});

const send = address => inTurn(async () => {
  const answer = await post(address).catch(() => ({field: "form", detail: "No connection: send it again."}));
  if (!answer.ok) return tell(answer.field, answer.detail);
  left = true;
  const page = new URL(answer.page, location);
  if (page.pathname + page.search !== location.pathname + location.search) return location.assign(page);
  location.hash = page.hash;
  location.reload();
});

on(form, "submit", event => {
  event.preventDefault();
  send(event.submitter?.formAction || form.action);
});
on(document, "click", async event => {
  const link = event.target.closest?.("a[href]:not([target])");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || link.hash || !unsaved()) return;
  event.preventDefault();
  await save();
  location.assign(link.href);
});
on(document, "visibilitychange", () => document.hidden && save());
// The browser asks whether to leave the page where this is not null.
onbeforeunload = () => (!left && typed() !== stored) || null;
form.elements.code?.addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("button.main"));
});
viewer.report = (text, measurement) => {
  const row = byId("measurement").content.cloneNode(true);
  row.querySelector("input").value = JSON.stringify(measurement);
  row.querySelector("span").textContent = text;
  byId("measurements").append(row);
  viewer.say(`In the report: ${text}`);
};
on(viewer.root, "site", ({detail}) => write(detail.sites));
on(sites, "change", draw);
dress();
draw();
setInterval(save, EVERY);
