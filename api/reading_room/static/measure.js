// Measures in a radiograph. `millimetres` alone makes lengths of pixels: for rulers, angles and regions.
// jobs/reading/measurement.py computes the same for the report, its DICOM SR and FHIR; a test compares both.

/** Where a length holds. A reader's own calibration says on what it was made. */
const plane = ({spacing_plane, calibration}) => ({
	detector: "at detector",
	patient: calibration ? `in patient (calibrated on ${calibration.mm} mm)` : "in patient (calibrated)",
})[spacing_plane] ?? "(plane not stated)";

/** The step from `a` to `b` in millimetres, or in pixels where the source gives no spacing.
 *
 * `spacing_mm` is millimetres between rows and between columns. The server reads it from the header, with the
 * plane in which it holds: the detector shows all larger than it is, and "patient" is corrected for that. No
 * length is given without its plane.
 */
export function millimetres(a, b, {spacing_mm}) {
	const [rows, columns] = spacing_mm ?? [1, 1];
	return [(b[0] - a[0]) * columns, (b[1] - a[1]) * rows];
}

const written = (lengths, info) => lengths.map(length => length.toFixed(info.spacing_mm ? 1 : 0)).join(" × ")
	+ (info.spacing_mm ? ` mm ${plane(info)}` : " px (no scale)");

export function lengthText(a, b, info) {
	const [x, y] = millimetres(a, b, info);
	// Of the same bits as on the server, where Math.hypot would be of others.
	return written([Math.sqrt(x * x + y * y)], info);
}

export const sizeText = ([x, y, w, h], info) => written(millimetres([x, y], [x + w, y + h], info), info);

const degrees = ([ax, ay], [bx, by]) =>
	Math.abs(Math.atan2(ax * by - ay * bx, ax * bx + ay * by)) * 180 / Math.PI;

export const angleText = (a, corner, b, info) =>
	`${degrees(millimetres(corner, a, info), millimetres(corner, b, info)).toFixed(1)}°`;

/** Cobb's angle between the lines a-b and c-d, 0 to 90 degrees. */
export function cobbText(a, b, c, d, info) {
	const between = degrees(millimetres(a, b, info), millimetres(c, d, info));
	return `${Math.min(between, 180 - between).toFixed(1)}° Cobb`;
}
