// Where the image lies on the canvas: turned by quarters, mirrored, zoomed and moved.

const OPPOSITE = {A: "P", P: "A", L: "R", R: "L", H: "F", F: "H"};

/** The image of a point under an affine matrix, written as SVG and canvas do. */
export const apply = ([a, b, c, d, e, f], [x, y]) => [a * x + c * y + e, b * x + d * y + f];

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
		return a * d < b * c;
	}

	get fitScale() {
		const [w, h] = this.m[0] ? this.size : this.size.toReversed();
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

	toCanvas() {
		const [a, b, c, d] = this.m.map(part => part * this.scale);
		const [x, y] = this.centre;
		// Whole device pixels, so that at 1:1 each pixel of the image is one of the screen.
		return [a, c, b, d, Math.round(this.view[0] / 2 - a * x - b * y), Math.round(this.view[1] / 2 - c * x - d * y)];
	}

	toImage() {
		const [e, f] = this.step(...this.toCanvas().slice(4));
		return [...this.m.map(part => part / this.scale), -e, -f];
	}

	/** A step on the canvas as one in the image. */
	step(dx, dy) {
		const [a, b, c, d] = this.m;
		return [(a * dx + c * dy) / this.scale, (b * dx + d * dy) / this.scale];
	}

	within(point) {
		return point.map((at, axis) => Math.min(this.size[axis], Math.max(0, at)));
	}

	pan(dx, dy) {
		const [x, y] = this.step(dx, dy);
		this.centre = this.within([this.centre[0] - x, this.centre[1] - y]);
		this.fitted = false;
	}

	/** Zoom by `factor`; what lies at (x, y) of the canvas stays there. */
	zoom(factor, x = this.view[0] / 2, y = this.view[1] / 2) {
		const scale = Math.min(64, Math.max(this.fitScale / 8, this.scale * factor));
		const away = this.step(x - this.view[0] / 2, y - this.view[1] / 2).map(at => at * (1 - this.scale / scale));
		this.centre = this.centre.map((at, axis) => at + away[axis]);
		this.scale = scale;
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

	/** What of the patient lies right, below, left and above on the canvas; "" where `orientation` is unknown. */
	sides(orientation) {
		const [across = "", down = ""] = orientation?.match(/[APLRHF]+/g) ?? [];
		return [[1, 0], [0, 1], [-1, 0], [0, -1]].map(step => {
			const [x, y] = this.step(...step);
			const letters = x ? across : down;
			return x + y > 0 ? letters : letters.replace(/./g, letter => OPPOSITE[letter]);
		});
	}
}
