// Measures and sites that a reader draws. Each end is a handle that pointer and arrow keys move.
import {apply} from "./geometry.js";
import {angleText, cobbText, lengthText, sizeText} from "./measure.js";
import {inImage} from "./pointer.js";
import {button, corners, item, on, path, set, svg} from "./svg.js";

/** Of each kind: its name, where its ends lie if the keyboard places it, its text, and whether it is a site. */
const KINDS = {
	length: ["Length", [[-1, 0], [1, 0]], lengthText],
	angle: ["Angle", [[-1, -1], [-1, 1], [1, 1]], angleText],
	cobb: ["Cobb angle", [[-1, -1], [1, -1], [-1, 1], [1, 1]], cobbText],
	box: ["Site", [[-1, -1], [1, 1]], (a, b, info) => sizeText(boxOf(a, b, info), info), true],
	object: ["Object", [[-1, 0], [1, 0]], lengthText],
	point: ["Site", [[0, 0]], (at, info) => `point at ${pixelOf(at, info).join(", ")}`, true],
};
const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

const whole = Math.round;

/** The pixel in which a point lies: one on the right or lower edge is in the last. */
const pixelOf = ([x, y], {columns, rows}) => [Math.min(Math.floor(x), columns - 1), Math.min(Math.floor(y), rows - 1)];

/** Whole pixels [x, y, width, height] around two points. */
function boxOf([ax, ay], [bx, by], info) {
	const [x, y] = pixelOf([Math.min(ax, bx), Math.min(ay, by)], info);
	return [x, y, Math.max(1, Math.ceil(Math.max(ax, bx)) - x), Math.max(1, Math.ceil(Math.max(ay, by)) - y)];
}

/** The circle whose diameter leads from (x, y) to the end. */
function circle(x, y, [ex, ey]) {
	const r = Math.hypot(ex - x, ey - y) / 2;
	return `A${r} ${r} 0 1 0 ${x} ${y}A${r} ${r} 0 1 0 ${ex} ${ey}`;
}

export class Marks {
	#marks = [];
	#open;

	constructor(viewer) {
		this.viewer = viewer;
	}

	get sites() {
		const {info} = this.viewer;
		return this.#marks.filter(mark => mark.isSite && mark.whole()).map(({kind, ends, site}) =>
			({...site, ...(kind === "box" ? {box: boxOf(...ends(), info)} : {point: pixelOf(ends()[0], info)})}));
	}

	/** Show these sites alone; what a site holds besides its place is kept, and the focus of a handle as well. */
	set sites(sites) {
		const handles = () => this.#marks.flatMap(mark => (mark.isSite ? mark.handles : []));
		const focused = handles().indexOf(document.activeElement);
		for (const mark of this.#marks.filter(({isSite}) => isSite)) this.#drop(mark);
		for (const site of sites) {
			const [x, y, w, h] = site.box ?? [];
			if (site.box) this.#add("box", [[x, y], [x + w, y + h]], site);
			else this.#add("point", [site.point.map(at => at + 0.5)], site);
		}
		handles()[focused]?.focus();
		this.#list();
	}

	/** The pointer is pressed: a mark begins, or the open one goes on. */
	press(kind, at) {
		this.#open ??= this.#add(kind, []);
		this.#extend(this.#open, at);
		this.pressed = true;
	}

	/** The pressed pointer moves: the next end, or else the last, follows it. */
	drag(at) {
		const mark = this.#open;
		if (!mark) return;
		if (this.pressed && !mark.whole()) this.#extend(mark, at);
		this.pressed = false;
		mark.points.splice(-1, 1, at);
	}

	release() {
		const mark = this.#open;
		if (!mark?.whole()) return;
		this.#open = null;
		this.#changed(mark);
	}

	cancel() {
		if (this.#open) this.#drop(this.#open);
		this.#open = null;
	}

	/** Put a whole mark into the middle of what is seen, for the keyboard. */
	place(kind) {
		this.cancel();
		const {geometry} = this.viewer;
		const reach = Math.min(...geometry.view) / 6;
		this.#open = this.#add(kind, KINDS[kind][1].map(end =>
			apply(geometry.toImage(), geometry.view.map((side, axis) => side / 2 + end[axis] * reach))));
		this.release();
		// A site was drawn anew meanwhile.
		this.#marks.at(-1).handles[0].focus();
	}

	/** Show a whole mark at these places. */
	show(kind, points) {
		this.#add(kind, points);
		this.#list();
	}

	/** Write all lengths anew. */
	rescale() {
		this.#list();
		this.viewer.queue();
	}

	draw() {
		const toScreen = this.viewer.toScreen();
		for (const {kind, points, lines, handles, label, text, name, isSite} of this.#marks) {
			const at = points.map(point => apply(toScreen, point));
			const [[x0, y0], end] = at;
			let shape = path(at);
			if (kind === "cobb" && at[3]) shape = path(at.slice(0, 2)) + path(at.slice(2));
			if (kind === "box" && end) shape = path(corners([x0, y0, end[0] - x0, end[1] - y0]), true);
			// A ball fits into the circle; of another object the line counts.
			if (kind === "object" && end) shape += circle(x0, y0, end);
			for (const line of lines) set(line, {d: shape});
			handles.forEach((handle, n) => {
				set(handle, {transform: `translate(${at[n]})`});
				handle.ariaLabel = `${name()}, end ${n + 1} at ${points[n].map(whole)}. Arrows move it, Delete removes it.`;
			});
			const [x, y] = [0, 1].map(axis => Math.max(...at.map(point => point[axis])));
			label.textContent = isSite ? name() : text();
			const {clientWidth, clientHeight} = this.viewer.surface;
			const right = clientWidth - label.getComputedTextLength() - 40;
			set(label, {x: Math.max(6, Math.min(x + 10, right)), y: Math.min(y + 20, clientHeight - 8)});
		}
	}

	#add(kind, points, site) {
		const [title, ends, text, isSite] = KINDS[kind];
		// One object gives the scale.
		if (kind === "object") this.#marks.filter(other => other.kind === kind).forEach(other => this.#drop(other));
		const mark = {kind, site, isSite, points: [], handles: [], label: svg("text", {class: "label"})};
		mark.lines = ["halo", "line"].map(line => svg("path", {class: line}));
		mark.group = svg("g", {class: `mark ${kind}`}, ...mark.lines, mark.label);
		mark.title = title;
		mark.name = () => `${title} ${this.#marks.filter(other => other.title === title).indexOf(mark) + 1}`;
		mark.whole = () => mark.points.length === ends.length;
		// To three decimals, as the report keeps them.
		mark.ends = () => mark.points.map(point => point.map(at => whole(at * 1000) / 1000));
		mark.text = () => (mark.whole() ? text(...mark.ends(), this.viewer.info) : "");
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
		on(handle, "keydown", event => {
			const {key, shiftKey} = event;
			const [x, y] = mark.points[n];
			if (["Delete", "Backspace"].includes(key)) this.#remove(mark);
			else if (STEPS[key]) {
				const [dx, dy] = viewer.geometry.step(...STEPS[key]).map(part => Math.sign(part) * (shiftKey ? 10 : 1));
				move([x + dx, y + dy]);
				this.#changed(mark);
			} else return;
			event.preventDefault();
		});
		on(handle, "pointerdown", event => {
			if (this.#open || event.button) return;
			event.stopPropagation();
			handle.setPointerCapture(event.pointerId);
		});
		on(handle, "pointermove", event => handle.hasPointerCapture(event.pointerId) && move(inImage(viewer, event)));
		on(handle, "lostpointercapture", () => this.#changed(mark));
		mark.handles.push(handle);
		mark.group.append(handle);
		this.draw();
	}

	#remove(mark) {
		this.#drop(mark);
		this.viewer.surface.focus();
		this.#changed(mark, "removed");
	}

	#drop(mark) {
		this.#marks = this.#marks.filter(other => other !== mark);
		mark.group.remove();
	}

	#changed(mark, said = mark.text()) {
		this.viewer.say(`${mark.title}: ${said}`);
		this.viewer.queue();
		this.#list();
		if (mark.kind === "object") this.viewer.scale.marked(mark.ends());
		if (!mark.isSite) return;
		this.viewer.root.dispatchEvent(new CustomEvent("site", {bubbles: true, detail: {sites: this.sites}}));
	}

	#list() {
		this.viewer.part("measures").replaceChildren(...this.#marks.map(mark => {
			const remove = button("Remove", () => this.#remove(mark));
			remove.ariaLabel = `Remove ${mark.name()}`;
			const {kind, isSite, title, ends} = mark;
			const text = mark.text();
			const {report, info: {calibration}} = this.viewer;
			const told = report && !isSite && kind !== "object" ? [button("To the report", () =>
				report(`${title}: ${text}`, {kind, points: ends(), calibration, value: parseFloat(text)}))] : [];
			return item(`${mark.name()}: ${text}`, ...told, remove);
		}));
	}
}
