// Makes elements of SVG and HTML. Attributes only: the content policy allows no inline style.

/** Make an SVG element with these attributes and children. */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Make an HTML element with these properties and children. */
export function html(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A path through points; `closed` leads back to the first. */
export const path = (points, closed) => `M${points.map(p => p.join()).join("L")}${closed ? "Z" : ""}`;

export const corners = ([x, y, w, h]) => [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
