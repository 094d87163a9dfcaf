// The keys of the viewer. The reader may choose others: localStorage keeps them as {action: key}.
import {on} from "./svg.js";

const STORED = "osteo-keys";
const dialog = document.getElementById("viewer-keys");
const [text, fault] = ["textarea", "[role=alert]"].map(part => dialog.querySelector(part));
const fields = [...dialog.querySelectorAll("input")];
const first = Object.fromEntries(fields.map(field => [field.name, field.defaultValue]));
let keys = first;

/** These choices over the first keys. Throws an Error that says what is wrong with them. */
function checked(chosen) {
	const all = {...first, ...chosen};
	const used = Object.values(all).filter(key => key);
	for (const [action, key] of Object.entries(all)) {
		if (!(action in first) || typeof key !== "string") throw new Error(`“${action}” is no action with a key.`);
		if (key && used.indexOf(key) !== used.lastIndexOf(key)) throw new Error(`“${key}” is used twice.`);
	}
	return all;
}

const nameOf = ({key, shiftKey}) => (/^[a-z]$/i.test(key) ? (shiftKey ? "Shift+" : "") + key.toLowerCase() : key);

/** The action of a key, or undefined: none while a person types, nor of a named key outside the picture. */
export function actionOf(event) {
	const {target, key} = event;
	if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return undefined;
	if (target.closest("input:not([type=range],[type=checkbox],[type=radio]),textarea,select,dialog")) return undefined;
	if (key.length > 1 && target.getAttribute("role") !== "application") return undefined;
	return Object.keys(keys).find(action => keys[action] === nameOf(event));
}

export const openKeys = () => dialog.showModal();

function show() {
	for (const field of fields) field.value = keys[field.name];
	text.value = JSON.stringify(keys);
	for (const button of document.querySelectorAll("button[data-action]")) {
		const key = keys[button.dataset.action];
		button.ariaKeyShortcuts = key?.replace("+r", "+R").replace(/^\+$/, "Plus") ?? null;
		button.title = key ? `Key ${key}` : "";
	}
}

function change(choose) {
	fault.textContent = "";
	try {
		keys = checked(choose());
		localStorage.setItem(STORED, JSON.stringify(keys));
	} catch (error) {
		fault.textContent = error.message;
	}
	show();
}

on(dialog, "keydown", event => {
	const {target, key} = event;
	if (target.tagName !== "INPUT" || ["Tab", "Escape", "Enter", "Shift"].includes(key)) return;
	event.preventDefault();
	change(() => ({...keys, [target.name]: ["Backspace", "Delete"].includes(key) ? "" : nameOf(event)}));
});
on(dialog, "click", ({target}) => {
	({
		import: () => change(() => JSON.parse(text.value)),
		first: () => change(() => first),
		close: () => dialog.close(),
	})[target.dataset.do]?.();
});
change(() => JSON.parse(localStorage.getItem(STORED) ?? "{}"));
