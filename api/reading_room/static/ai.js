// The model's answer: over the picture as outlines and heat, and beside it as text.
import {apply} from "./geometry.js";
import {sizeText} from "./measure.js";
import {button, corners, item, on, path, set, svg} from "./svg.js";

const share = value => (value < 0.01 ? "< 0.01" : value > 0.99 ? "> 0.99" : value.toFixed(2));

export class AiLayer {
	on = true;
	#regions = [];

	constructor(viewer) {
		this.viewer = viewer;
		this.heat = viewer.part("heat");
		on(this.heat, "input", () => this.#show());
	}

	/** Ask for the answer, and show it, or why there is none. */
	async load() {
		const {viewer} = this;
		const said = await fetch(viewer.root.dataset.answer).then(response => response.json())
			.catch(() => ({detail: "The answer did not come: load the page again."}));
		this.answer = said.finding && said;
		this.note = said.detail;
		if (this.answer) this.#write(this.answer);
		this.#show();
	}

	toggle(heat) {
		if (!this.answer) return;
		this.on = heat || !this.on;
		if (heat) this.heat.value = this.heat.value > 0 ? 0 : 50;
		this.viewer.say(heat ? `Heat map ${this.heat.value} %` : `AI ${this.on ? "on" : "off"}`);
		this.#show();
	}

	draw() {
		const toScreen = this.viewer.toScreen();
		set(this.viewer.part("image"), {transform: `matrix(${toScreen})`});
		for (const {label, box} of this.#regions) {
			const at = corners(box).map(corner => apply(toScreen, corner));
			const [x, y] = [0, 1].map(axis => at.map(point => point[axis]));
			// Beside the outline, never within it.
			const above = Math.min(...y) - 6;
			set(label, {x: Math.max(4, Math.min(...x)), y: above > 54 ? above : Math.max(...y) + 18});
		}
	}

	#show() {
		const {viewer, heat} = this;
		const known = Boolean(this.answer);
		const shown = known && this.on;
		viewer.root.classList.toggle("answered", known);
		viewer.root.classList.toggle("ai-off", !shown);
		viewer.write({note: shown ? "" : known ? "All AI is off." : this.note, "heat-value": `${heat.value} %`});
		if (known) set(this.image, {opacity: heat.value / 100});
		viewer.press("ai", !shown);
		viewer.press("heat", shown && heat.value > 0);
		viewer.queue();
	}

	#write({finding, probability, regions, warnings = [], model, operating_points}) {
		const {viewer} = this;
		const [low, high] = ["low", "high"].map(name => operating_points.find(point => point.name === name));
		const outlined = regions.filter(({score}) => score >= low.threshold);
		viewer.write({
			finding: finding.replace("_", " "), probability: share(probability),
			"low-at": share(low.threshold), "low-meaning": low.meaning,
			"high-at": share(high.threshold), "high-meaning": high.meaning,
			model: `${model.name} ${model.version}`, outlined: outlined.length, below: regions.length - outlined.length,
		});
		for (const [name, at] of Object.entries({
			low: low.threshold, between: low.threshold, high: high.threshold, above: high.threshold, here: probability,
		})) set(viewer.part(name), {transform: `translate(${300 * at})`});
		viewer.part("warnings").replaceChildren(...warnings.map(({detail}) => item(detail)));

		this.#regions = outlined.map(({box, score}, n) => {
			const certain = score >= high.threshold;
			const d = path(corners(box), true);
			const outline = svg("g", {class: certain ? "region" : "region doubtful"},
				svg("path", {d, class: "halo"}), svg("path", {d, class: "line"}));
			const label = svg("text", {class: "label"}, `${n + 1}: ${share(score)}`);
			const listed = button(`Region ${n + 1}: ${share(score)}, ${sizeText(box, viewer.info)}, `
				+ (certain ? "solid" : "dashed: doubtful"), () => viewer.lookAt(box));
			on(listed, "focus mouseenter blur mouseleave", ({type}) =>
				[outline, label].forEach(part => part.classList.toggle("lit", /focus|enter/.test(type))));
			return {box, outline, label, listed};
		});
		const {columns: width, rows: height} = viewer.info;
		this.image = svg("image", {href: viewer.root.dataset.heat, width, height, preserveAspectRatio: "none"});
		viewer.part("image").replaceChildren(this.image, ...this.#regions.map(({outline}) => outline));
		viewer.part("outlines").replaceChildren(...this.#regions.map(({label}) => label));
		viewer.part("regions").replaceChildren(...this.#regions.map(({listed}) => item(listed)));
	}
}
