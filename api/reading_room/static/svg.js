// Makes elements by attributes and properties alone: the content policy allows no inline style.

export function set(element, attributes) {
	for (const name in attributes) element.setAttribute(name, attributes[name]);
	return element;
}

export function svg(name, attributes, ...children) {
	const made = set(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
	made.append(...children);
	return made;
}

/** Listen to events, which are separated by spaces. */
export function on(target, events, listener) {
	for (const event of events.split(" ")) target.addEventListener(event, listener, {passive: false});
}

export function item(...children) {
	const made = document.createElement("li");
	made.append(...children);
	return made;
}

export function button(text, click) {
	const made = document.createElement("button");
	made.type = "button";
	made.textContent = text;
	on(made, "click", click);
	return made;
}

/** A path through points; `closed` leads back to the first. */
export const path = (points, closed) => `M${points.join("L")}${closed ? "Z" : ""}`;

export const corners = ([x, y, w, h]) => [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
