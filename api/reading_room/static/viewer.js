// The viewer: one object for each [data-viewer] of the page, which templates/_viewer.html marks up.
//
// A form imports `viewers`, by element. `viewer.sites` is the marked sites, {box: [x, y, width, height]} or
// {point: [x, y]} in pixels of the image; setting it shows others. Each change by the reader is an event "site"
// of the element, with detail.sites. It may set `viewer.report`, which is called with the text of a measure that
// belongs into the report, and with the measurement as the report has it. `viewer.ai.load()` asks for the answer again, once a finding is committed.
import {AiLayer} from "./ai.js";
import {Geometry} from "./geometry.js";
import {actionOf, openKeys} from "./keys.js";
import {Marks} from "./marks.js";
import {cpuPainter, gpuPainter} from "./painter.js";
import {fetchPixels, firstWindow, pyramid, ramp} from "./pixels.js";
import {listen} from "./pointer.js";
import {Scale} from "./scale.js";
import {on} from "./svg.js";

export const viewers = new Map();
const MEASURES = ["length", "angle", "cobb", "window"];
const whole = Math.round;
let active, saying;

class Viewer {
	tool = "window";
	inverted = false;
	#frame = 0;

	constructor(root) {
		this.root = root;
		this.surface = this.part("surface");
		this.sliders = [this.part("centre"), this.part("width")];
		this.#use({columns: +root.dataset.columns, rows: +root.dataset.rows});
		this.marks = new Marks(this);
		this.ai = new AiLayer(this);
		this.scale = new Scale(this);
		listen(this);
		on(root, "pointerdown focusin", () => (active = this));
		on(root, "click", ({target}) => {
			const {tool, action} = target.closest("button")?.dataset ?? {};
			if (tool || action) this.act(tool ?? action);
		});
		this.sliders.forEach((slider, n) =>
			on(slider, "input", () => this.setWindow(this.window.with(n, +slider.value))));
		root.classList.add("on");
		new ResizeObserver(() => this.draw()).observe(this.surface);
		this.#load();
	}

	part(name) {
		return this.root.querySelector(`[data-part="${name}"]`);
	}

	write(texts) {
		for (const name in texts) this.part(name).textContent = texts[name];
	}

	press(action, pressed) {
		this.root.querySelector(`[data-action="${action}"]`).ariaPressed = pressed;
	}

	/** Tell assistive technology, once nothing has changed for a moment. */
	say(said) {
		clearTimeout(saying);
		saying = setTimeout(() => this.write({said}), 300);
	}

	#use(info) {
		this.info = info;
		this.geometry = new Geometry(info);
	}

	async #load() {
		try {
			const {info, data} = await fetchPixels(this.root.dataset.pixels);
			const {min, max} = info;
			this.#use(info);
			this.first = this.window = firstWindow(info);
			const [centre, width] = this.first;
			Object.assign(this.sliders[0], {min: Math.min(min, centre), max: Math.max(max, centre)});
			Object.assign(this.sliders[1], {min: 1, max: 2 * Math.max(max - min, width)});
			this.#startPainter(pyramid(data, info));
			this.scale.begin();
			this.write({state: info.voi === "LUT" ? "full, by a line near the source’s display curve" : "full"});
			this.root.classList.add("full");
		} catch (error) {
			this.write({state: `preview only: ${error.message}`});
		}
		await this.ai.load();
	}

	#startPainter(levels) {
		const onCpu = () => {
			// A canvas that has had WebGL gives no other context: another takes its place.
			const canvas = this.part("canvas").cloneNode();
			this.part("canvas").replaceWith(canvas);
			this.painter = cpuPainter(canvas, levels);
			this.draw();
		};
		try {
			this.painter = gpuPainter(this.part("canvas"), levels, onCpu);
			this.draw();
		} catch {
			onCpu();
		}
	}

	/** Draw before the next frame, once, however often this is called. */
	queue() {
		this.#frame ||= requestAnimationFrame(() => this.draw());
	}

	draw() {
		cancelAnimationFrame(this.#frame);
		this.#frame = 0;
		const {geometry, info, surface} = this;
		const canvas = this.part("canvas");
		const size = [surface.clientWidth, surface.clientHeight].map(side => whole(side * devicePixelRatio));
		if (`${size}` !== `${[canvas.width, canvas.height]}`) [canvas.width, canvas.height] = size;
		geometry.resize(size);
		if (this.painter) {
			const inverted = this.inverted !== (info.photometric === "MONOCHROME1");
			this.painter({toImage: geometry.toImage(), scale: geometry.scale, ...ramp(this.window), inverted});
			this.#write();
		}
		this.ai.draw();
		this.marks.draw();
	}

	#write() {
		const {geometry, info: {laterality, orientation, step = 1, offset = 0}} = this;
		// In numbers of the source, which the server may have stepped and moved to fit into 16 bits.
		const [centre, width] = [this.window[0] * step + offset, this.window[1] * step].map(whole);
		const [right, bottom, left, top] = geometry.sides(orientation);
		this.sliders.forEach((slider, n) => (slider.value = this.window[n]));
		this.write({
			right, bottom, left, top, window: `C ${centre} W ${width}`, "centre-value": centre, "width-value": width,
			zoom: `${whole(geometry.scale * 100)} %`, side: laterality ? `side ${laterality}` : "side unknown",
		});
		this.part("mirrored").hidden = !geometry.mirrored;
		this.press("invert", this.inverted);
		this.press("flip", geometry.mirrored);
	}

	/** The matrix from the image to CSS pixels of the surface. */
	toScreen() {
		return this.geometry.toCanvas().map(value => value / devicePixelRatio);
	}

	setWindow([centre, width]) {
		if (!this.painter) return;
		this.window = [centre, Math.max(1, width)];
		this.moved();
		this.#write();
		this.say(`Window ${this.part("window").textContent}`);
	}

	/** Bring [x, y, width, height] of the image into the middle, with its surroundings. */
	lookAt([x, y, w, h]) {
		const {geometry} = this;
		geometry.zoom(Math.min(...geometry.view) / (3 * Math.max(w, h) * geometry.scale));
		geometry.centre = [x + w / 2, y + h / 2];
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
		const share = this.first[1] / first[1];
		mine.fitted = theirs.fitted;
		mine.scale = mine.fitScale * theirs.scale / theirs.fitScale;
		mine.centre = mine.size.map((side, axis) => side * theirs.centre[axis] / theirs.size[axis]);
		this.window = [this.first[0] + (centre - first[0]) * share, width * share];
		this.queue();
	}

	choose(tool) {
		this.marks.cancel();
		this.tool = this.tool === tool ? "window" : tool;
		for (const button of this.root.querySelectorAll("[data-tool]")) {
			button.ariaPressed = button.dataset.tool === this.tool;
		}
		this.say(`Tool: ${this.tool}`);
	}

	/** Do what a key or a button stands for. */
	act(action) {
		const {geometry, window: [centre, width] = [], first = []} = this;
		const far = Math.min(...geometry.view) / 8;
		const pan = (x, y) => () => geometry.pan(x * far, y * far);
		const zoom = factor => () => geometry.zoom(factor);
		const shift = (c, w) => () => this.setWindow([centre + c * first[1] / 20, width + w * first[1] / 20]);
		const follow = link => () => document.querySelector(`a[rel~=${link}]`)?.click();
		const actions = {
			invert: () => (this.inverted = !this.inverted),
			turn: () => geometry.turn(true), turnBack: () => geometry.turn(), flip: () => geometry.flip(),
			fit: () => geometry.fit(), actual: zoom(1 / geometry.scale), zoomIn: zoom(1.25), zoomOut: zoom(0.8),
			left: pan(1, 0), right: pan(-1, 0), up: pan(0, 1), down: pan(0, -1),
			narrower: shift(0, -1), wider: shift(0, 1), centreDown: shift(-1, 0), centreUp: shift(1, 0),
			reset: () => this.setWindow(first),
			heat: () => this.ai.toggle(true), ai: () => this.ai.toggle(),
			measure: () => this.choose(MEASURES[(MEASURES.indexOf(this.tool) + 1) % 4]),
			keys: openKeys, next: follow("next"), previous: follow("prev"),
		};
		if (this.root.querySelector(`[data-tool="${action}"]`)) this.choose(action);
		else actions[action]?.();
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
on(document, "keydown", event => {
	const action = actionOf(event);
	if (!action) return;
	event.preventDefault();
	active.act(action);
});
