// Measures in a radiograph. `millimetres` alone turns pixels into lengths, for rulers, angles and regions.

const PLANES = {detector: " at detector", patient: " in patient (calibrated)"};

/** The step from `a` to `b` in millimetres, or in pixels where the source gives no spacing.
 *
 * `info.spacing_mm` is millimetres between rows and between columns. The server reads it from the header, with
 * the plane in which it holds: the detector shows all larger than it is; "patient" is corrected for that. Its
 * DICOM SR and FHIR answers state the same spacing. A length is never given without its plane.
 */
export function millimetres(a, b, info) {
  const [rows, columns] = info.spacing_mm ?? [1, 1];
  return [(b[0] - a[0]) * columns, (b[1] - a[1]) * rows];
}

const unit = info =>
  info.spacing_mm ? ` mm${PLANES[info.spacing_plane] ?? " (plane not stated)"}` : " px (no scale)";
const digits = (value, info) => value.toFixed(info.spacing_mm ? 1 : 0);

export const lengthText = (a, b, info) => digits(Math.hypot(...millimetres(a, b, info)), info) + unit(info);

/** Width and height of [x, y, width, height]. */
export const sizeText = ([x, y, w, h], info) =>
  millimetres([x, y], [x + w, y + h], info).map(side => digits(side, info)).join(" × ") + unit(info);

function degrees([ax, ay], [bx, by]) {
  return Math.abs(Math.atan2(ax * by - ay * bx, ax * bx + ay * by)) * 180 / Math.PI;
}

/** The angle at `corner`. */
export const angleText = (a, corner, b, info) =>
  `${degrees(millimetres(corner, a, info), millimetres(corner, b, info)).toFixed(1)}°`;

/** Cobb's angle between the lines a-b and c-d, 0 to 90 degrees. */
export function cobbText(a, b, c, d, info) {
  const between = degrees(millimetres(a, b, info), millimetres(c, d, info));
  return `${Math.min(between, 180 - between).toFixed(1)}° Cobb`;
}
