// Puts the page together: loads the scene, asks for its state, and starts augmented reality.

import { readGlb } from "./glb.js";
import { Renderer } from "./renderer.js";
import { Scene } from "./scene.js";
import { OrbitView } from "./orbit_view.js";
import { TargetsPoll } from "./targets_poll.js";
import { hasAr, runSession } from "./xr.js";

const LOOKED_AT_MS = 1000;
const { job } = document.body.dataset, link = location.search;
const one = id => document.getElementById(id);
const canvas = one("scene"), cover = one("cover"), standing = one("standing"), trouble = one("trouble");

// Changes a text only where it differs: a screen reader reads what has changed.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

async function begin() {
  const poll = new TargetsPoll(`${job}/targets${link}`);
  let orbitView = null, covered;
  const look = () => {
    const why = poll.cover();
    say(cover, why && poll.asked ? [`${why.title}.`, ...why.details].join(" ") : "");
    if (poll.asked) say(standing, why ? "" : poll.state);
    if (why !== covered) orbitView?.draw();
    covered = why;
  };
  poll.begin(look);
  setInterval(look, LOOKED_AT_MS);
  document.addEventListener("visibilitychange", look);

  const answer = await fetch(`${job}/scene.glb${link}`);
  if (!answer.ok) throw new Error(`the scene is not there: ${answer.status}`);
  const groups = await readGlb(await answer.arrayBuffer());
  const scene = new Scene(new Renderer(canvas), groups), why = () => poll.cover();
  orbitView = new OrbitView(canvas, scene, why);
  orbitView.draw();
  one("stage").classList.add("full");
  for (const button of document.querySelectorAll("[data-turn]"))
    button.addEventListener("click", () => orbitView.act(button.dataset.turn));
  one("opacity").addEventListener("input", ({ target }) => {
    scene.opacity = target.value / 100;
    orbitView.draw();
  });
  await offerAr(scene, why, orbitView);
}

async function offerAr(scene, why, orbitView) {
  const quickLook = one("quick-look"), overlay = one("controls");
  quickLook.hidden = !quickLook.relList.supports?.("ar");
  const found = await hasAr();
  one("no-ar").hidden = found || !quickLook.hidden;
  overlay.addEventListener("beforexrselect", event => {
    // A finger on a control is for the control, and places nothing.
    if (event.target.closest("button, input")) event.preventDefault();
  });
  const begun = session => {
    orbitView.stopped = true;
    document.body.classList.add("xr");
    one("end").onclick = () => session.end();
  };
  const buttons = [...document.querySelectorAll("[data-place]")];
  for (const button of buttons) {
    button.hidden = !found;
    button.addEventListener("click", async () => {
      const told = text => say(one("hint"), text);
      say(trouble, "");
      for (const each of buttons) each.disabled = true;
      try {
        await runSession(button.dataset.place, { scene, why, overlay, told, begun });
      } catch {
        say(trouble, "Augmented reality did not start. Allow it for this page, and try again.");
      }
      for (const each of buttons) each.disabled = false;
      document.body.classList.remove("xr");
      orbitView.stopped = false;
      orbitView.draw();
    });
  }
}

begin().catch(() => say(trouble, "The scene could not be shown: it did not arrive, or this browser has no WebGL."));
