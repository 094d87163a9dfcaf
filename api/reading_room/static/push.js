// Has a browser tell a reader that a reading waits. It runs in the worklist, and as the service worker,
// which shows one text, whatever a message says, and stores nothing.

const box = self.document?.getElementById("push");
const room = box?.dataset.room ?? registration.scope;
const state = async () => (await fetch(`${room}/push`)).json();

async function send(path, fields) {
  const {ok} = await fetch(room + path, {method: "POST", body: new URLSearchParams(fields)});
  if (!ok) throw path;
}

async function subscribe({pushManager}, {public_key, csrf}) {
  const made = await pushManager.subscribe({userVisibleOnly: true, applicationServerKey: public_key});
  const {endpoint, keys} = made.toJSON();
  await send("/push", {csrf, endpoint, ...keys});
  return made;
}

/** Show the button, if the service and the browser can push. */
async function offer() {
  const [button, said] = box.children;
  const workers = navigator.serviceWorker;
  const known = await state();
  if (!known.public_key || !self.PushManager) return;
  let made = await (await workers.getRegistration(room))?.pushManager.getSubscription();
  // It is of another reader, or of a session that was signed out of.
  if (!known.subscribed) made = void await made?.unsubscribe();
  const show = outcome => {
    button.textContent = box.dataset[made ? "end" : "begin"];
    said.textContent = box.dataset[outcome];
  };
  const turn = async () => {
    if (made) {
      await send("/push/end", known);
      made = void await made.unsubscribe();
      return "ended";
    }
    if (await Notification.requestPermission() !== "granted") return "denied";
    await workers.register(`${room}/static/push.js`, {scope: room});
    made = await subscribe(await workers.ready, known);
    return "begun";
  };
  button.onclick = () => turn().catch(() => "failed").then(show);
  show();
  box.hidden = false;
}

/** Go to the window of the worklist, or open one. */
async function open() {
  const windows = await clients.matchAll({type: "window", includeUncontrolled: true});
  return windows.find(({url}) => url.split(/[?#]/)[0] === room)?.focus() ?? clients.openWindow(room);
}

/** Subscribe again for the reader who did so here, while the session lasts. */
async function renew() {
  const known = await state();
  return known.subscribed && subscribe(registration, known);
}

// Without it the worklist stays as it is.
if (box) offer().catch(() => {});
else {
  const on = (name, act) => addEventListener(name, event => event.waitUntil(act(event)));
  on("push", () => registration.showNotification("A reading waits.", {tag: room, renotify: true}));
  on("pushsubscriptionchange", renew);
  on("notificationclick", ({notification}) => (notification.close(), open()));
}
