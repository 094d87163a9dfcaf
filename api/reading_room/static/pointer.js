// Mouse and touch: left for the tool, right or Shift-left moves, the wheel zooms, two fingers pinch.
import {apply} from "./geometry.js";
import {on} from "./svg.js";

const isMark = tool => !["window", "pan"].includes(tool);

function onCanvas({surface}, {clientX, clientY}) {
	const {left, top} = surface.getBoundingClientRect();
	return [(clientX - left) * devicePixelRatio, (clientY - top) * devicePixelRatio];
}

export const inImage = (viewer, event) =>
	viewer.geometry.within(apply(viewer.geometry.toImage(), onCanvas(viewer, event)));

export function listen(viewer) {
	const {surface, marks} = viewer;
	const fingers = new Map();
	let doing;

	on(surface, "pointerdown", event => {
		if (!viewer.painter) return;
		surface.setPointerCapture(event.pointerId);
		surface.focus({preventScroll: true});
		fingers.set(event.pointerId, onCanvas(viewer, event));
		doing = event.button || event.shiftKey ? "pan" : viewer.tool;
		if (fingers.size > 1) {
			doing = "pinch";
			marks.cancel();
		} else if (isMark(doing)) marks.press(doing, inImage(viewer, event));
	});
	on(surface, "pointermove", event => {
		const {geometry, window, first} = viewer;
		const [x, y] = onCanvas(viewer, event);
		const before = fingers.get(event.pointerId);
		const [dx, dy] = [x - before?.[0], y - before?.[1]];
		if (!dx && !dy) return;
		fingers.set(event.pointerId, [x, y]);
		if (doing === "pinch") {
			const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1] ?? [x, y];
			const apart = at => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
			geometry.pan(dx / 2, dy / 2);
			geometry.zoom(apart([x, y]) / apart(before), (x + other[0]) / 2, (y + other[1]) / 2);
		} else if (doing === "pan") geometry.pan(dx, dy);
		else if (isMark(doing)) marks.drag(inImage(viewer, event));
		else {
			const step = first[1] / 400 / devicePixelRatio;
			viewer.setWindow([window[0] + dy * step, window[1] + dx * step]);
		}
		viewer.moved();
	});
	on(surface, "pointerup pointercancel", event => {
		if (fingers.delete(event.pointerId) && !fingers.size) marks.release();
	});
	on(surface, "wheel", event => {
		event.preventDefault();
		viewer.geometry.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0015)), ...onCanvas(viewer, event));
		viewer.moved();
	});
	on(surface, "dblclick", () => viewer.act("fit"));
	on(surface, "contextmenu", event => event.preventDefault());
	on(surface, "keydown", ({key}) => {
		if (key === "Enter" && viewer.painter && isMark(viewer.tool)) marks.place(viewer.tool);
		if (key === "Escape") viewer.choose("window");
	});
}
