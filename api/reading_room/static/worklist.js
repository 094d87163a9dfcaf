// Keeps the worklist up to date, and lets keys move in it: j, k and the arrows, Enter opens, / filters.

const rows = () => [...document.querySelectorAll("#lists a[data-row]")];
const live = document.getElementById("live");
let asked = 0;
let due = 0;
let stream;

/** Read the lists anew; the focus stays on the same radiograph. */
async function refresh() {
  const mine = ++asked;
  due = 0;
  const answer = await fetch(location.href, {headers: {Accept: "text/html"}}).catch(() => null);
  if (!answer?.ok) return;
  if (answer.redirected) location.reload(); // The session has ended.
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("lists");
  if (mine !== asked || !fresh) return;
  const focused = document.activeElement?.getAttribute("href");
  document.getElementById("lists").replaceWith(fresh);
  if (focused) rows().find(row => row.getAttribute("href") === focused)?.focus();
}

function listen() {
  stream?.close();
  stream = new EventSource(document.getElementById("lists").dataset.events);
  stream.addEventListener("open", () => (live.textContent = "Live."));
  stream.addEventListener("changed", () => (due ||= setTimeout(refresh, 1000))); // A burst is one refresh.
  stream.addEventListener("error", () => {
    live.textContent = "No connection: the list may be old.";
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
}

const STEPS = {j: 1, ArrowDown: 1, k: -1, ArrowUp: -1};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input,select,textarea,summary")) return;
  const all = rows();
  if (event.key === "/") document.querySelector("#filter select").focus();
  else if (STEPS[event.key] && all.length) {
    const at = all.indexOf(document.activeElement);
    all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + STEPS[event.key]))].focus();
  } else return;
  event.preventDefault();
});

document.querySelector(".scripted").hidden = false;
document.addEventListener("sent", listen); // A new stream watches the new radiograph, too.
setInterval(refresh, 60_000); // What is due comes nearer without an event.
listen();
