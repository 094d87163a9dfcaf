// The scene on the page: it is turned by pointer, fingers, keys and buttons, and moves by nothing else.

import { orbit, perspective, product } from "./matrix.js";

const FIELD_OF_VIEW = 0.5, MARGIN = 1.08, STEP = Math.PI / 12, STEEPEST = 1.4, CLOSER = 1.25;
const FARTHEST_ZOOM = 0.5, NEAREST_ZOOM = 8;
const GROUND = [0.063, 0.071, 0.078, 1];
const KEYS = {
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
  "+": "nearer", "=": "nearer", "-": "farther", Home: "front",
};

const within = (value, least, most) => Math.min(most, Math.max(least, value));

export class OrbitView {
  // `why` returns what covers the radiograph.
  constructor(canvas, scene, why) {
    Object.assign(this, { canvas, scene, why, turn: 0, tilt: 0, zoom: 1, stopped: false });
    this.fingers = new Map();
    canvas.addEventListener("keydown", event => this.key(event));
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", event => this.drag(event));
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, event => this.fingers.delete(event.pointerId));
    canvas.addEventListener("wheel", event => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  act(name) {
    const { turn, tilt } = this;
    if (name === "left") this.turn = turn - STEP;
    if (name === "right") this.turn = turn + STEP;
    if (name === "up") this.tilt = tilt - STEP;
    if (name === "down") this.tilt = tilt + STEP;
    if (name === "nearer") this.zoom *= CLOSER;
    if (name === "farther") this.zoom /= CLOSER;
    if (name === "front") this.turn = this.tilt = 0, this.zoom = 1;
    this.draw();
  }

  key(event) {
    if (!(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.act(KEYS[event.key]);
  }

  drag(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const [other] = [...this.fingers.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
    const { clientWidth, clientHeight } = this.canvas;
    if (other) {
      const apart = ({ clientX, clientY }) => Math.hypot(clientX - other.clientX, clientY - other.clientY) || 1;
      this.zoom *= apart(event) / apart(before);
    } else {
      this.turn += (Math.PI * (event.clientX - before.clientX)) / clientWidth;
      this.tilt += (Math.PI * (event.clientY - before.clientY)) / clientHeight;
    }
    this.fingers.set(event.pointerId, event);
    this.draw();
  }

  wheel(event) {
    // Elsewhere the wheel scrolls the page.
    if (document.activeElement !== this.canvas) return;
    event.preventDefault();
    this.zoom *= CLOSER ** -Math.sign(event.deltaY);
    this.draw();
  }

  draw() {
    const { canvas, scene } = this, { renderer } = scene;
    if (this.stopped) return;
    this.tilt = within(this.tilt, -STEEPEST, STEEPEST);
    this.zoom = within(this.zoom, FARTHEST_ZOOM, NEAREST_ZOOM);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map(
      side => Math.max(1, Math.round(side * devicePixelRatio)),
    );
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const [left, bottom, right, top] = scene.bounds, aspect = width / height;
    // From the front, the scene with its margin fills the height or the width.
    const tall = MARGIN * Math.max(top - bottom, (right - left) / aspect);
    const distance = tall / 2 / Math.tan(FIELD_OF_VIEW / 2);
    const centre = [(left + right) / 2, (bottom + top) / 2, 0];
    const seen = orbit(this.turn, this.tilt, distance / this.zoom, centre);
    const lens = perspective(FIELD_OF_VIEW, aspect, distance / 100, distance * 10);
    renderer.begin(null, GROUND);
    renderer.gl.viewport(0, 0, width, height);
    renderer.draw(scene.parts(this.why()), product(lens, seen));
  }
}
