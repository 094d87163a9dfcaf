// The viewer: one object for each [data-viewer] of the page, which templates/_viewer.html marks up.
//
// A form imports `viewers`, by element. `viewer.sites` is the marked sites, {box: [x, y, width, height]} or
// {point: [x, y]} in pixels of the image; setting it shows others. Each change by the reader is an event "site"
// of the element, with detail.sites. `viewer.ai.load()` asks for the answer again, once a finding is committed.
import {AiLayer} from "./ai.js";
import {Geometry} from "./geometry.js";
import {actionOf, openKeys} from "./keys.js";
import {Marks} from "./marks.js";
import {cpuPainter, gpuPainter} from "./painter.js";
import {fetchPixels, firstWindow, pyramid, ramp} from "./pixels.js";
import {listen} from "./pointer.js";

export const viewers = new Map();
const MEASURES = ["length", "angle", "cobb"];
const whole = Math.round;
let active;

export class Viewer {
  tool = "window";
  inverted = false;
  window = [0, 1];
  #frame = 0;
  #said = 0;

  constructor(root) {
    this.root = root;
    this.surface = this.part("surface");
    const {columns, rows} = root.dataset;
    this.info = {columns: Number(columns), rows: Number(rows)};
    this.geometry = new Geometry(this.info);
    this.marks = new Marks(this);
    this.ai = new AiLayer(this);
    root.classList.add("on");
    listen(this);
    for (const event of ["pointerdown", "focusin"]) root.addEventListener(event, () => (active = this));
    root.addEventListener("click", ({target}) => {
      const {tool, action} = target.closest("button")?.dataset ?? {};
      if (tool) this.choose(tool);
      else if (action) this.act(action);
    });
    new ResizeObserver(() => this.draw()).observe(this.surface);
    this.ready = this.#load();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  write(name, text) {
    this.part(name).textContent = text;
  }

  press(action, pressed) {
    this.root.querySelector(`[data-action="${action}"]`).setAttribute("aria-pressed", pressed);
  }

  async #load() {
    try {
      const {info, data} = await fetchPixels(this.root.dataset.pixels);
      this.info = info;
      this.geometry = new Geometry(info);
      this.first = this.window = firstWindow(info);
      this.levels = pyramid(data, info);
      this.#startPainter();
      this.#prepareSliders();
      this.write("state", info.voi === "LUT" ? "full, without the source’s display table" : "full");
      this.root.classList.add("full");
      this.draw();
    } catch (error) {
      this.write("state", `preview only: ${error.message}`);
    }
    await this.ai.load();
  }

  #startPainter() {
    try {
      this.painter = gpuPainter(this.part("canvas"), this.levels, () => this.#paintOnCpu());
    } catch {
      this.#paintOnCpu();
    }
  }

  #paintOnCpu() {
    // A canvas that has had WebGL gives no other context: another takes its place.
    const canvas = this.part("canvas").cloneNode();
    this.part("canvas").replaceWith(canvas);
    this.painter = cpuPainter(canvas, this.levels);
    this.queue();
  }

  #prepareSliders() {
    const {min, max} = this.info;
    const [centre, width] = this.first;
    const limits = [[Math.min(min, centre), Math.max(max, centre)], [1, 2 * Math.max(max - min, width)]];
    ["centre", "width"].forEach((name, n) => {
      const slider = this.part(name);
      [slider.min, slider.max] = limits[n];
      slider.addEventListener("input", () => this.setWindow(this.window.with(n, Number(slider.value))));
    });
  }

  /** Draw before the next frame, once, however often this is called. */
  queue() {
    this.#frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const {geometry, info, inverted, surface} = this;
    const canvas = this.part("canvas");
    const size = [surface.clientWidth, surface.clientHeight].map(side => whole(side * devicePixelRatio));
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    geometry.resize(size);
    if (this.painter) {
      this.painter({
        toImage: geometry.toImage(), scale: geometry.scale, ...ramp(this.window),
        inverted: inverted !== (info.photometric === "MONOCHROME1"),
      });
      this.#write();
    }
    this.ai.draw();
    this.marks.draw();
  }

  #write() {
    const {geometry, info} = this;
    this.window.forEach((value, n) => {
      const name = ["centre", "width"][n];
      this.part(name).value = value;
      this.write(`${name}-value`, whole(value));
    });
    this.write("window", `C ${whole(this.window[0])} W ${whole(this.window[1])}`);
    this.write("zoom", `${whole(geometry.scale * 100)} %`);
    this.write("side", /^[LR]$/.test(info.laterality) ? `side ${info.laterality}` : "side unknown");
    this.part("mirrored").hidden = !geometry.mirrored;
    geometry.sides(info.orientation).forEach((side, n) => this.write(["right", "bottom", "left", "top"][n], side));
    this.press("invert", this.inverted);
    this.press("flip", geometry.mirrored);
  }

  /** The matrix from the image to CSS pixels of the surface. */
  toScreen() {
    return this.geometry.toCanvas().map(value => value / devicePixelRatio);
  }

  /** Tell assistive technology, once nothing has changed for a moment. */
  say(text) {
    clearTimeout(this.#said);
    this.#said = setTimeout(() => this.write("said", text), 300);
  }

  setWindow([centre, width]) {
    this.window = [centre, Math.max(1, width)];
    this.say(`Window centre ${whole(centre)}, width ${whole(width)}`);
    this.moved();
  }

  /** Bring [x, y, width, height] of the image into the middle, with its surroundings. */
  lookAt([x, y, w, h]) {
    const {geometry} = this;
    geometry.centre = [x + w / 2, y + h / 2];
    geometry.zoom(Math.min(...geometry.view) / (3 * Math.max(w, h) * geometry.scale));
    this.moved();
  }

  /** Draw; the viewers that are locked to this one follow in place, zoom and window. */
  moved() {
    this.queue();
    for (const other of this.part("lock")?.checked ? viewers.values() : []) {
      if (other !== this && other.painter && other.part("lock").checked) other.#follow(this);
    }
  }

  #follow({geometry: theirs, window: [centre, width], first}) {
    const mine = this.geometry;
    mine.fitted = theirs.fitted;
    mine.scale = mine.fitScale * theirs.scale / theirs.fitScale;
    mine.centre = mine.size.map((side, axis) => side * theirs.centre[axis] / theirs.size[axis]);
    const share = this.first[1] / first[1];
    this.window = [this.first[0] + (centre - first[0]) * share, width * share];
    this.queue();
  }

  /** Take this tool; the one that is in use is put away. */
  choose(tool) {
    this.marks.cancel();
    this.tool = this.tool === tool ? "window" : tool;
    for (const button of this.root.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", button.dataset.tool === this.tool);
      if (button.dataset.tool === this.tool) this.say(`Tool: ${button.textContent}`);
    }
  }

  /** Do what a key or a button stands for. */
  act(action) {
    const {geometry, window: [centre, width]} = this;
    const far = Math.min(...geometry.view) / 8;
    const step = this.first?.[1] / 20;
    const zoom = factor => {
      geometry.zoom(factor);
      this.say(`Zoom ${whole(geometry.scale * 100)} %`);
    };
    const seen = {
      invert: () => (this.inverted = !this.inverted),
      turn: () => geometry.turn(true),
      turnBack: () => geometry.turn(false),
      flip: () => geometry.flip(),
      fit: () => geometry.fit(),
      actual: () => zoom(1 / geometry.scale),
      zoomIn: () => zoom(1.25),
      zoomOut: () => zoom(0.8),
      left: () => geometry.pan(far, 0),
      right: () => geometry.pan(-far, 0),
      up: () => geometry.pan(0, far),
      down: () => geometry.pan(0, -far),
      narrower: () => this.setWindow([centre, width - step]),
      wider: () => this.setWindow([centre, width + step]),
      centreDown: () => this.setWindow([centre - step, width]),
      centreUp: () => this.setWindow([centre + step, width]),
      reset: () => this.setWindow(this.first),
      heat: () => this.ai.toggle(true),
      ai: () => this.ai.toggle(),
      measure: () => this.choose([...MEASURES, "window"][MEASURES.indexOf(this.tool) + 1]),
    };
    const always = {
      keys: openKeys,
      next: () => document.querySelector("a[rel~=next]")?.click(),
      previous: () => document.querySelector("a[rel~=prev]")?.click(),
    };
    if (this.root.querySelector(`[data-tool="${action}"]`)) this.choose(action);
    else (always[action] ?? (this.painter && seen[action]))?.();
    this.moved();
  }

  get sites() {
    return this.marks.sites;
  }

  set sites(sites) {
    this.marks.sites = sites;
  }
}

for (const root of document.querySelectorAll("[data-viewer]")) viewers.set(root, new Viewer(root));
[active] = viewers.values();
document.addEventListener("keydown", event => {
  const action = actionOf(event);
  if (action && active) {
    event.preventDefault();
    active.act(action);
  }
});
