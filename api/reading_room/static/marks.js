// Measures and sites that a reader draws. Each of their ends is a handle that pointer and arrow keys move.
import {apply} from "./geometry.js";
import {angleText, cobbText, lengthText, sizeText} from "./measure.js";
import {inImage} from "./pointer.js";
import {corners, html, path, svg} from "./svg.js";

/** `first` is where the ends of a mark lie that the keyboard places. */
const KINDS = {
  length: {name: "Length", first: [[-1, 0], [1, 0]], text: lengthText},
  angle: {name: "Angle", first: [[-1, -1], [-1, 1], [1, 1]], text: angleText},
  cobb: {name: "Cobb angle", first: [[-1, -1], [1, -1], [-1, 1], [1, 1]], text: cobbText},
  box: {name: "Site", first: [[-1, -1], [1, 1]], text: (a, b, info) => sizeText(boxOf(a, b), info)},
  point: {name: "Site", first: [[0, 0]], text: at => `point at ${at.map(Math.floor).join(", ")}`},
};
const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

/** Whole pixels [x, y, width, height] around two points. */
function boxOf([ax, ay], [bx, by]) {
  const [x, y] = [Math.floor(Math.min(ax, bx)), Math.floor(Math.min(ay, by))];
  return [x, y, Math.max(1, Math.ceil(Math.max(ax, bx)) - x), Math.max(1, Math.ceil(Math.max(ay, by)) - y)];
}

export class Marks {
  #marks = [];
  /** The mark whose ends are not all there yet. */
  #open = null;

  constructor(viewer) {
    this.viewer = viewer;
  }

  get sites() {
    return this.#sites().map(({kind, points, site}) =>
      ({...site, ...(kind === "box" ? {box: boxOf(...points)} : {point: points[0].map(Math.floor)})}));
  }

  /** Show these sites in place of those that are shown; what a site holds besides its place is kept. */
  set sites(sites) {
    for (const mark of this.#sites()) this.#drop(mark);
    for (const site of sites) {
      const [x, y, w, h] = site.box ?? [];
      if (site.box) this.#add("box", [[x, y], [x + w, y + h]], site);
      else this.#add("point", [site.point.map(at => at + 0.5)], site);
    }
    this.#list();
  }

  /** The pointer is pressed at `at`: a mark of this kind begins, or the open one goes on. */
  press(kind, at) {
    this.#open ??= this.#add(kind, []);
    this.#extend(this.#open, at);
    this.pressed = true;
  }

  /** The pressed pointer moves: the next end, or the last, follows it. */
  drag(at) {
    const mark = this.#open;
    if (!mark) return;
    if (this.pressed && mark.points.length < mark.first.length) this.#extend(mark, at);
    this.pressed = false;
    mark.points.splice(-1, 1, at);
  }

  release() {
    if (this.#open && this.#open.points.length === this.#open.first.length) this.#finish();
  }

  /** Drop the open mark. */
  cancel() {
    if (this.#open) this.#drop(this.#open);
    this.#open = null;
  }

  /** Put a mark into the middle of what is seen, for the keyboard. */
  place(kind) {
    this.cancel();
    const {geometry} = this.viewer;
    const reach = Math.min(...geometry.view) / 6;
    const ends = KINDS[kind].first.map(end => end.map((at, axis) => geometry.view[axis] / 2 + at * reach));
    const mark = this.#open = this.#add(kind, ends.map(end => apply(geometry.toImage(), end)));
    this.#finish();
    mark.handles[0].focus();
  }

  draw() {
    const toScreen = this.viewer.toScreen();
    for (const {kind, points, lines, handles, label, text, name} of this.#marks) {
      const at = points.map(point => apply(toScreen, point));
      let shape = path(at);
      if (kind === "cobb" && at[3]) shape = path(at.slice(0, 2)) + path(at.slice(2));
      if (kind === "box" && at[1]) shape = path(corners([...at[0], at[1][0] - at[0][0], at[1][1] - at[0][1]]), true);
      for (const line of lines) line.setAttribute("d", shape);
      handles.forEach((handle, n) => {
        handle.setAttribute("transform", `translate(${at[n]})`);
        handle.setAttribute("aria-label",
          `${name()}, end ${n + 1} at ${points[n].map(Math.round)}. Arrows move it, Delete removes it.`);
      });
      const [x, y] = [0, 1].map(axis => Math.max(...at.map(point => point[axis])));
      label.setAttribute("x", Math.min(x + 10, this.viewer.surface.clientWidth - 130));
      label.setAttribute("y", y + 20);
      label.textContent = KINDS[kind].name === "Site" ? name() : text();
    }
  }

  #sites() {
    return this.#marks.filter(({kind}) => KINDS[kind].name === "Site");
  }

  #add(kind, points, site) {
    const {name, first, text} = KINDS[kind];
    const mark = {kind, first, site, points: [], handles: [], label: svg("text", {class: "label"})};
    mark.lines = ["halo", "line"].map(line => svg("path", {class: line}));
    mark.group = svg("g", {class: `mark ${name}`}, ...mark.lines, mark.label);
    mark.name = () => `${name} ${this.#marks.filter(({kind: k}) => KINDS[k].name === name).indexOf(mark) + 1}`;
    mark.text = () => (mark.points.length < first.length ? "" : text(...mark.points, this.viewer.info));
    this.viewer.part("marks").append(mark.group);
    this.#marks.push(mark);
    for (const point of points) this.#extend(mark, point);
    return mark;
  }

  #extend(mark, point) {
    const {viewer} = this;
    const n = mark.points.push(point) - 1;
    const handle = svg("g", {class: "handle", tabindex: 0, role: "button"},
      svg("circle", {r: 12, class: "reach"}), svg("circle", {r: 4}));
    const move = to => {
      mark.points[n] = viewer.geometry.within(to);
      viewer.queue();
    };
    handle.addEventListener("keydown", event => {
      if (["Delete", "Backspace"].includes(event.key)) this.#remove(mark);
      else if (event.key in STEPS) {
        const step = viewer.geometry.step(...STEPS[event.key]).map(Math.sign);
        move(mark.points[n].map((at, axis) => at + step[axis] * (event.shiftKey ? 10 : 1)));
        this.#changed(mark);
      } else return;
      event.preventDefault();
    });
    handle.addEventListener("pointerdown", event => {
      if (this.#open || event.button) return;
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", event => {
      if (handle.hasPointerCapture(event.pointerId)) move(inImage(viewer, event));
    });
    handle.addEventListener("lostpointercapture", () => this.#changed(mark));
    mark.handles.push(handle);
    mark.group.append(handle);
    viewer.queue();
  }

  #finish() {
    const mark = this.#open;
    this.#open = null;
    this.draw();
    this.#changed(mark);
  }

  #changed(mark) {
    this.viewer.say(`${mark.name()}: ${mark.text()}`);
    this.#list();
    this.#tell(mark);
  }

  #remove(mark) {
    this.viewer.say(`${mark.name()} removed`);
    this.#drop(mark);
    this.viewer.surface.focus();
    this.#list();
    this.#tell(mark);
  }

  #drop(mark) {
    this.#marks.splice(this.#marks.indexOf(mark), 1);
    mark.group.remove();
    this.viewer.queue();
  }

  #tell({kind}) {
    if (KINDS[kind].name !== "Site") return;
    this.viewer.root.dispatchEvent(new CustomEvent("site", {bubbles: true, detail: {sites: this.sites}}));
  }

  #list() {
    this.viewer.part("measures").replaceChildren(...this.#marks.map(mark => {
      const remove = html("button", {type: "button", ariaLabel: `Remove ${mark.name()}`}, "Remove");
      remove.addEventListener("click", () => this.#remove(mark));
      return html("li", {}, html("span", {}, `${mark.name()}: ${mark.text()}`), remove);
    }));
  }
}
