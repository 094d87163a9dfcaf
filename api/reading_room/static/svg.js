// Makes elements by attributes and properties alone: the content policy allows no inline style.

export function svg(name, attributes, ...children) {
	const made = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
	made.append(...children);
	return made;
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
	made.addEventListener("click", click);
	return made;
}

/** A path through points; `closed` leads back to the first. */
export const path = (points, closed) => `M${points.join("L")}${closed ? "Z" : ""}`;

export const corners = ([x, y, w, h]) => [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
