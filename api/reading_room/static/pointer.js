// Mouse and touch: left for the tool, right or Shift-left moves, the wheel zooms, two fingers pinch.
import {apply} from "./geometry.js";

/** Let the pointer work on the viewer's picture. */
export function listen(viewer) {
  const {surface, marks} = viewer;
  const fingers = new Map();
  let doing;

  surface.addEventListener("pointerdown", event => {
    if (!viewer.painter) return;
    surface.setPointerCapture(event.pointerId);
    surface.focus({preventScroll: true});
    fingers.set(event.pointerId, onCanvas(viewer, event));
    doing = viewer.tool;
    if (event.button || event.shiftKey) doing = "pan";
    if (fingers.size > 1) {
      doing = "pinch";
      marks.cancel();
    } else if (isMark(doing)) marks.press(doing, inImage(viewer, event));
  });
  surface.addEventListener("pointermove", event => {
    const {geometry} = viewer;
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = onCanvas(viewer, event);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    if (!dx && !dy) return;
    fingers.set(event.pointerId, now);
    if (doing === "pinch") {
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (!other) return;
      const apart = at => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      geometry.pan(dx / 2, dy / 2);
      geometry.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (doing === "pan") geometry.pan(dx, dy);
    else if (isMark(doing)) marks.drag(inImage(viewer, event));
    else {
      const step = viewer.first[1] / 400 / devicePixelRatio;
      viewer.setWindow([viewer.window[0] + dy * step, viewer.window[1] + dx * step]);
    }
    viewer.moved();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    surface.addEventListener(end, event => {
      if (fingers.delete(event.pointerId) && !fingers.size) marks.release();
    });
  }
  surface.addEventListener("wheel", event => {
    event.preventDefault();
    viewer.geometry.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0015)), ...onCanvas(viewer, event));
    viewer.moved();
  }, {passive: false});
  surface.addEventListener("dblclick", () => viewer.act("fit"));
  surface.addEventListener("contextmenu", event => event.preventDefault());
  surface.addEventListener("keydown", ({target, key}) => {
    if (target !== surface) return;
    if (key === "Enter" && viewer.painter && isMark(viewer.tool)) marks.place(viewer.tool);
    if (key === "Escape") viewer.choose("window");
  });
}

const isMark = tool => !["window", "pan"].includes(tool);

function onCanvas({surface}, event) {
  const frame = surface.getBoundingClientRect();
  return [(event.clientX - frame.left) * devicePixelRatio, (event.clientY - frame.top) * devicePixelRatio];
}

/** Where in the image an event of the pointer is. */
export const inImage = (viewer, event) =>
  viewer.geometry.within(apply(viewer.geometry.toImage(), onCanvas(viewer, event)));
