// Sends radiographs that are chosen or dropped onto the page: each by itself, with its progress.

const form = document.getElementById("upload");
const list = document.getElementById("sent");
const waiting = [];
let running = 0;

function send(file) {
  const row = document.createElement("li");
  const bar = document.createElement("progress");
  const state = document.createElement("span");
  bar.max = 1;
  bar.ariaLabel = `Progress of ${file.name}`;
  state.role = "status";
  state.textContent = "waits";
  row.append(`${file.name} `, bar, state);
  list.append(row);
  // The fields as they are now: they may be typed anew for another patient before this file is sent.
  const body = new FormData(form);
  body.set("image", file);
  waiting.push([body, bar, state]);
  next();
}

function next() {
  if (running > 1 || !waiting.length) return;
  const [body, bar, state] = waiting.shift();
  const request = new XMLHttpRequest();
  running += 1;
  state.textContent = "is sent";
  request.upload.onprogress = ({loaded, total}) => (bar.value = loaded / total);
  request.onloadend = () => {
    running -= 1;
    const done = request.status === 201;
    bar.remove();
    state.className = done ? "" : "refusal";
    state.textContent = done ? "sent" : request.response?.detail ?? "Not sent: no connection. Send it again.";
    if (done) document.dispatchEvent(new Event("sent"));
    next();
  };
  request.open("POST", form.action);
  request.responseType = "json";
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("X-CSRF-Token", body.get("csrf"));
  request.send(body);
  next();
}

function all(files) {
  list.closest("details").open = true;
  for (const file of files) send(file);
}

form.addEventListener("submit", event => {
  event.preventDefault();
  all(form.elements.image.files);
  form.elements.image.value = "";
});
// The browser asks whether to leave the page where this is not null.
onbeforeunload = () => running || null;
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, event => {
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop") all(event.dataTransfer.files);
  });
}
