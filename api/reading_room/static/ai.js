// The model's answer: over the picture as outlines and heat, and beside it as text.
import {apply} from "./geometry.js";
import {sizeText} from "./measure.js";
import {corners, html, path, svg} from "./svg.js";

const FINDINGS = {fracture: "Fracture", no_fracture: "No fracture", indeterminate: "Indeterminate"};
const HIDDEN = "The answer is hidden until you commit a finding.";

function share(value) {
  if (value < 0.01) return "< 0.01";
  return value > 0.99 ? "> 0.99" : value.toFixed(2);
}

export class AiLayer {
  on = true;
  answer = null;
  #regions = [];

  constructor(viewer) {
    this.viewer = viewer;
    this.slider = viewer.part("heat");
    this.slider.addEventListener("input", () => this.#show());
  }

  /** Ask for the answer, and show it; status 403 hides it until a finding is committed. */
  async load() {
    const {viewer} = this;
    const response = await fetch(viewer.root.dataset.answer).catch(() => null);
    this.answer = response?.ok ? await response.json() : null;
    viewer.write("note", response?.status === 403 ? HIDDEN : "There is no answer of the model to show.");
    if (this.answer) this.#write();
    this.#show();
    viewer.queue();
  }

  toggle(heat) {
    if (!this.answer) return;
    this.on = heat || !this.on;
    if (heat) this.slider.value = Number(this.slider.value) ? 0 : 50;
    this.viewer.say(heat ? `Heat map ${this.slider.value} %` : `AI ${this.on ? "shown" : "off"}`);
    this.#show();
  }

  draw() {
    const toScreen = this.viewer.toScreen();
    this.viewer.part("image").setAttribute("transform", `matrix(${toScreen})`);
    for (const {label, box} of this.#regions) {
      const at = corners(box).map(corner => apply(toScreen, corner));
      const [x, y] = [0, 1].map(axis => at.map(point => point[axis]));
      label.setAttribute("x", Math.max(4, Math.min(...x)));
      // Beside the outline, never within it.
      label.setAttribute("y", Math.min(...y) > 60 ? Math.min(...y) - 6 : Math.max(...y) + 18);
    }
  }

  #show() {
    const {viewer, slider} = this;
    const shown = Boolean(this.answer) && this.on;
    viewer.root.classList.toggle("answered", Boolean(this.answer));
    viewer.root.classList.toggle("ai-off", !shown);
    viewer.part("badge").hidden = viewer.part("ai").hidden = !shown;
    viewer.part("note").hidden = shown;
    if (this.answer && !shown) viewer.write("note", "All AI is off.");
    viewer.write("heat-value", `${slider.value} %`);
    this.image?.setAttribute("opacity", slider.value / 100);
    viewer.press("ai", !shown);
    viewer.press("heat", shown && slider.value > 0);
  }

  #write() {
    const {viewer, answer} = this;
    const {columns, rows} = viewer.info;
    const [low, high] = ["low", "high"].map(name => answer.operating_points.find(point => point.name === name));
    const probability = share(answer.probability);
    viewer.write("finding", `${FINDINGS[answer.finding]}, probability ${probability}`);
    viewer.write("low-name", `Lower operating point ${share(low.threshold)}`);
    viewer.write("high-name", `Upper operating point ${share(high.threshold)}`);
    viewer.write("low-meaning", low.meaning);
    viewer.write("high-meaning", high.meaning);
    viewer.write("model", `Model ${answer.model.name} ${answer.model.version}. AI, not reviewed.`);
    viewer.part("scale").setAttribute("aria-label", `Probability of a fracture ${probability}, of 0 to 1; lower `
      + `operating point ${share(low.threshold)}, upper ${share(high.threshold)}`);
    for (const [name, {threshold}] of [["low", low], ["between", low], ["high", high], ["above", high],
      ["here", {threshold: answer.probability}]]) {
      viewer.part(name).setAttribute("transform", `translate(${300 * threshold})`);
    }
    const warnings = answer.warnings ?? [];
    viewer.part("warned").hidden = !warnings.length;
    viewer.part("warnings").replaceChildren(...warnings.map(({detail}) => html("li", {}, detail)));

    const outlined = answer.regions.filter(({score}) => score >= low.threshold);
    const below = answer.regions.length - outlined.length;
    viewer.write("unlisted", (outlined.length ? "" : "No region is outlined. ")
      + (below ? `Below the lower operating point, and so not outlined: ${below}.` : ""));
    this.#regions = outlined.map((region, n) => this.#region(region, n + 1, region.score >= high.threshold));
    this.image = svg("image", {href: viewer.root.dataset.heat, width: columns, height: rows, preserveAspectRatio: "none"});
    viewer.part("image").replaceChildren(this.image, ...this.#regions.map(({outline}) => outline));
    viewer.part("outlines").replaceChildren(...this.#regions.map(({label}) => label));
    viewer.part("regions").replaceChildren(...this.#regions.map(({button}) => html("li", {}, button)));
  }

  #region({box, score}, number, certain) {
    const {viewer} = this;
    const d = path(corners(box), true);
    const outline = svg("g", {class: certain ? "region" : "region doubtful"},
      svg("path", {d, class: "halo"}), svg("path", {d, class: "line"}));
    const label = svg("text", {class: "label"}, `${number}: ${share(score)}`);
    const button = html("button", {type: "button"}, `Region ${number}: ${share(score)}, ${sizeText(box, viewer.info)}, `
      + `${certain ? "solid" : "dashed: doubtful"}`);
    for (const [event, lit] of [["focus", true], ["mouseenter", true], ["blur", false], ["mouseleave", false]]) {
      button.addEventListener(event, () => [outline, label].forEach(part => part.classList.toggle("lit", lit)));
    }
    button.addEventListener("click", () => viewer.lookAt(box));
    return {outline, label, button, box};
  }
}
