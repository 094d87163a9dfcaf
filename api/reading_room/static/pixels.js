// Fetches a radiograph's pixels, and computes how a window shows them.

/** Fetch `/pixels`: {data: Uint16Array of rows x columns, info: what Osteo-Pixels says}. Rejects with an Error. */
export async function fetchPixels(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const info = JSON.parse(response.headers.get("Osteo-Pixels"));
  const body = await response.arrayBuffer();
  if (body.byteLength !== 2 * info.rows * info.columns) throw new Error("the picture came incomplete");
  return {info, data: new Uint16Array(body)};
}

/** The [centre, width] to begin with: the source's, or the whole range. */
export function firstWindow(info) {
  if (info.window) return [...info.window];
  const [low, high] = info.bits === 8 ? [0, 255] : [info.min, info.max];
  return [(low + high + 1) / 2, high - low + 1];
}

/** DICOM's linear window (PS3.3 C.11.2.1.2): gray is (value - low) * slope, clipped to 0..1. */
export function ramp([centre, width]) {
  return {low: centre - 0.5 - (width - 1) / 2, slope: 1 / Math.max(width - 1, 1e-6)};
}

/** The picture and its halves, each the mean of 2 x 2, down to one pixel: [{data, columns, rows}]. */
export function pyramid(data, {columns, rows}) {
  const levels = [{data, columns, rows}];
  while (columns > 1 || rows > 1) {
    const above = levels.at(-1);
    const [stepX, stepY] = [columns > 1 ? 1 : 0, rows > 1 ? above.columns : 0];
    [columns, rows] = [Math.max(1, columns >> 1), Math.max(1, rows >> 1)];
    const half = new Uint16Array(columns * rows);
    for (let y = 0, to = 0; y < rows; y++) {
      for (let x = 0, from = 2 * y * above.columns; x < columns; x++, from += 2) {
        const [p, q] = [from + stepX, from + stepY];
        half[to++] = (above.data[from] + above.data[p] + above.data[q] + above.data[q + stepX] + 2) >> 2;
      }
    }
    levels.push({data: half, columns, rows});
  }
  return levels;
}

/** The level to show at `scale`, device pixels for each of the image: never one that must be shrunk by half. */
export const levelFor = (scale, count) => Math.min(count - 1, Math.max(0, Math.floor(-Math.log2(scale))));
