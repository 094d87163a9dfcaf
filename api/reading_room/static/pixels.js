// Fetches a radiograph's pixels, and computes how a window shows them.

/** {data: rows x columns of uint16, info: what Osteo-Pixels says}. Rejects with an Error for a person. */
export async function fetchPixels(url) {
	const response = await fetch(url);
	if (!response.ok) throw new Error(`the server answered ${response.status}`);
	const info = JSON.parse(response.headers.get("Osteo-Pixels"));
	const data = new Uint16Array(await response.arrayBuffer());
	if (data.length !== info.rows * info.columns) throw new Error("the picture came incomplete");
	return {info, data};
}

export function firstWindow({window, bits, min, max}) {
	const [low, high] = bits === 8 ? [0, 255] : [min, max];
	return window ?? [(low + high + 1) / 2, high - low + 1];
}

/** DICOM's linear window (PS3.3 C.11.2.1.2): gray is (value - low) * slope, clipped to 0..1. */
export const ramp = ([centre, width]) =>
	({low: centre - 0.5 - (width - 1) / 2, slope: 1 / Math.max(width - 1, 1e-6)});

/** The picture and its halves, each the mean of 2 x 2: [{data, columns, rows}]. */
export function pyramid(data, {columns, rows}) {
	const levels = [{data, columns, rows}];
	while (columns > 1 && rows > 1) {
		const {data: above, columns: stride} = levels.at(-1);
		[columns, rows] = [columns >> 1, rows >> 1];
		const half = new Uint16Array(columns * rows);
		for (let y = 0, to = 0; y < rows; y++) {
			for (let x = 0, at = 2 * y * stride; x < columns; x++, at += 2) {
				half[to++] = (above[at] + above[at + 1] + above[at + stride] + above[at + stride + 1] + 2) >> 2;
			}
		}
		levels.push({data: half, columns, rows});
	}
	return levels;
}
