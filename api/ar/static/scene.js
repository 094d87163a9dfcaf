// The scene: what the file has, the warning above it, and a cover in the place of what must not be seen.

import { cover, ring, warning } from "./labels.js";

const GAP = 0.004, NARROWEST_WARNING = 0.05, RING = 0.05;

export class Scene {
  constructor(renderer, groups) {
    this.renderer = renderer;
    this.opacity = 1;
    const added = parts => (parts ?? []).map(part => renderer.add(part));
    const picture = groups.radiograph.find(({ name }) => name === "picture");
    this.plane = bounds([picture]);
    const [left, , right, top] = this.plane, half = Math.max(right - left, NARROWEST_WARNING) / 2;
    const strip = [-half, top + GAP, half, top + GAP + half / 4];
    this.radiograph = added(groups.radiograph);
    this.around = [...added(groups.ruler), renderer.add(warning(strip))];
    this.regions = added(groups.regions);
    this.ring = renderer.add(ring(RING));
    const [l, bottom, r] = bounds([...groups.radiograph, ...groups.ruler]);
    this.bounds = [Math.min(l, -half), bottom, Math.max(r, half), strip[3]];
  }

  // Returns what is drawn now. `why` covers the radiograph: its title and details, or null.
  parts(why) {
    if (why) return [this.cover(why), ...this.around];
    return [...this.radiograph.map(part => ({ ...part, opacity: this.opacity })), ...this.regions, ...this.around];
  }

  // A cover is drawn anew where its words have changed; the one before is given up.
  cover(why) {
    const words = [why.title, ...why.details].join(" ");
    if (words !== this.words) {
      if (this.covered) this.renderer.remove(this.covered);
      this.covered = this.renderer.add(cover(this.plane, why));
      this.words = words;
    }
    return this.covered;
  }
}

// The least and greatest x and y: left, bottom, right, top.
function bounds(parts) {
  const of = axis => parts.flatMap(({ positions }) => [...positions].filter((_, place) => place % 3 === axis));
  const [x, y] = [of(0), of(1)];
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
}
