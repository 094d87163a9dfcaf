// Where the image lies on the canvas: turned by quarters, mirrored, zoomed and moved.

const OPPOSITE = {A: "P", P: "A", L: "R", R: "L", H: "F", F: "H"};

/** canvas = m (image - centre) scale + canvas / 2: x right, y down, in pixels of the image and of the device. */
export class Geometry {
  m = [1, 0, 0, 1];
  scale = 1;
  fitted = true;
  view = [1, 1];

  constructor({columns, rows}) {
    this.size = [columns, rows];
    this.centre = [columns / 2, rows / 2];
  }

  get mirrored() {
    const [a, b, c, d] = this.m;
    return a * d - b * c < 0;
  }

  get fitScale() {
    const [w, h] = this.m[0] ? this.size : [this.size[1], this.size[0]];
    return Math.min(this.view[0] / w, this.view[1] / h);
  }

  resize(view) {
    this.view = view;
    if (this.fitted) this.fit();
  }

  fit() {
    this.fitted = true;
    this.scale = this.fitScale;
    this.centre = this.size.map(side => side / 2);
  }

  /** [a, b, c, d, e, f]: x' = a x + c y + e and y' = b x + d y + f, as SVG and canvas write it. */
  toCanvas() {
    const [a, b, c, d] = this.m.map(part => part * this.scale);
    const [x, y] = this.centre;
    // Whole device pixels, so that at 1:1 each pixel of the image is one of the screen.
    return [a, c, b, d, Math.round(this.view[0] / 2 - a * x - b * y), Math.round(this.view[1] / 2 - c * x - d * y)];
  }

  toImage() {
    const [e, f] = this.toCanvas().slice(4);
    const [a, b, c, d] = this.m.map(part => part / this.scale);
    return [a, b, c, d, -(a * e + c * f), -(b * e + d * f)];
  }

  /** A step on the canvas as one in the image. */
  step(dx, dy) {
    const [a, b, c, d] = this.m;
    return [(a * dx + c * dy) / this.scale, (b * dx + d * dy) / this.scale];
  }

  pan(dx, dy) {
    const moved = this.step(dx, dy);
    this.centre = this.within(this.centre.map((at, axis) => at - moved[axis]));
    this.fitted = false;
  }

  /** The nearest point of the image. */
  within(point) {
    return point.map((at, axis) => Math.min(this.size[axis], Math.max(0, at)));
  }

  /** Zoom by `factor`; what lies at (x, y) of the canvas stays there. */
  zoom(factor, x = this.view[0] / 2, y = this.view[1] / 2) {
    const scale = Math.min(64, Math.max(this.fitScale / 8, this.scale * factor));
    const at = apply(this.toImage(), [x, y]);
    this.scale = scale;
    const away = this.step(x - this.view[0] / 2, y - this.view[1] / 2);
    this.centre = at.map((value, axis) => value - away[axis]);
    this.fitted = false;
  }

  turn(clockwise) {
    const [a, b, c, d] = this.m;
    this.m = clockwise ? [-c, -d, a, b] : [c, d, -a, -b];
    if (this.fitted) this.fit();
  }

  flip() {
    const [a, b, c, d] = this.m;
    this.m = [-a, -b, c, d];
  }

  /** What of the patient lies at the canvas's right, bottom, left and top; "" where `orientation` does not say. */
  sides(orientation) {
    const [right, down] = (orientation ?? "").toUpperCase().match(/[APLRHF]+/g) ?? [];
    return [[1, 0], [0, 1], [-1, 0], [0, -1]].map(([x, y]) => {
      const [dx, dy] = this.step(x, y);
      const [letters, sign] = dx ? [right, dx] : [down, dy];
      return sign > 0 ? letters ?? "" : (letters ?? "").replace(/./g, letter => OPPOSITE[letter]);
    });
  }
}

export const apply = ([a, b, c, d, e, f], [x, y]) => [a * x + c * y + e, b * x + d * y + f];
