// Paints 16-bit pixels through a window: on the GPU by WebGL2, or else on the CPU, with the same result.

const VERTICES = `#version 300 es
void main() { gl_Position = vec4(vec2[](vec2(-1, -1), vec2(3, -1), vec2(-1, 3))[gl_VertexID], 0, 1); }`;
// Integers cannot be filtered: the shader takes its four taps itself.
const FRAGMENTS = `#version 300 es
precision highp float; precision highp usampler2D;
uniform usampler2D pixels;
uniform vec2 across, down, origin, size, ramp;
uniform float height;
uniform int level, inverted;
out vec4 colour;
float at(ivec2 p) {
	return float(texelFetch(pixels, clamp(p, ivec2(0), textureSize(pixels, level) - 1), level).r);
}
void main() {
	vec2 image = across * gl_FragCoord.x + down * (height - gl_FragCoord.y) + origin;
	colour = vec4(0, 0, 0, 1);
	if (any(lessThan(image, vec2(0))) || any(greaterThanEqual(image, size))) return;
	vec2 place = image / float(1 << level) - 0.5, part = fract(place);
	ivec2 p = ivec2(floor(place));
	float value = mix(mix(at(p), at(p + ivec2(1, 0)), part.x),
										mix(at(p + ivec2(0, 1)), at(p + ivec2(1, 1)), part.x), part.y);
	colour.rgb = vec3(abs(float(inverted) - clamp((value - ramp.x) * ramp.y, 0.0, 1.0)));
}`;

/** The level of the pyramid for `scale`: what is painted is never shrunk by half or more. */
const levelFor = (scale, levels) => Math.min(levels.length - 1, Math.max(0, Math.floor(-Math.log2(scale))));

/** A function that paints {toImage, scale, low, slope, inverted} on `canvas`. Throws where the GPU cannot. */
export function gpuPainter(canvas, levels, lost) {
	const gl = canvas.getContext("webgl2", {antialias: false, alpha: false});
	const [{columns, rows}] = levels;
	if (!gl || Math.max(columns, rows) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) throw new Error("no WebGL");
	const program = gl.createProgram();
	for (const [kind, text] of [["VERTEX_SHADER", VERTICES], ["FRAGMENT_SHADER", FRAGMENTS]]) {
		const shader = gl.createShader(gl[kind]);
		gl.shaderSource(shader, text);
		gl.compileShader(shader);
		gl.attachShader(program, shader);
	}
	gl.linkProgram(program);
	gl.useProgram(program);
	gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
	gl.texStorage2D(gl.TEXTURE_2D, levels.length, gl.R16UI, columns, rows);
	gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
	levels.forEach((level, n) => gl.texSubImage2D(
		gl.TEXTURE_2D, n, 0, 0, level.columns, level.rows, gl.RED_INTEGER, gl.UNSIGNED_SHORT, level.data));
	gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST_MIPMAP_NEAREST);
	gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
	const set = (kind, name, ...values) => gl[`uniform${kind}`](gl.getUniformLocation(program, name), ...values);
	set("2f", "size", columns, rows);
	if (gl.getError()) throw new Error("WebGL failed");
	canvas.addEventListener("webglcontextlost", lost, {once: true});
	return ({toImage: [a, b, c, d, e, f], scale, low, slope, inverted}) => {
		gl.viewport(0, 0, canvas.width, canvas.height);
		set("2f", "across", a, b);
		set("2f", "down", c, d);
		set("2f", "origin", e, f);
		set("2f", "ramp", low, slope);
		set("1f", "height", canvas.height);
		set("1i", "level", levelFor(scale, levels));
		set("1i", "inverted", inverted);
		gl.drawArrays(gl.TRIANGLES, 0, 3);
	};
}

export function cpuPainter(canvas, levels) {
	const context = canvas.getContext("2d", {alpha: false});
	const [size] = levels;
	return ({toImage: [a, b, c, d, e, f], scale, low, slope, inverted}) => {
		const number = levelFor(scale, levels);
		const {data, columns, rows} = levels[number];
		const image = context.createImageData(canvas.width, canvas.height);
		const shown = new Uint32Array(image.data.buffer).fill(0xff000000);
		for (let py = 0.5, to = 0; py < canvas.height; py++) {
			for (let px = 0.5; px < canvas.width; px++, to++) {
				let x = a * px + c * py + e;
				let y = b * px + d * py + f;
				if (x < 0 || y < 0 || x >= size.columns || y >= size.rows) continue;
				x = x / (1 << number) - 0.5;
				y = y / (1 << number) - 0.5;
				const left = Math.floor(x), top = Math.floor(y);
				const x0 = Math.max(left, 0), x1 = Math.min(left + 1, columns - 1);
				const y0 = Math.max(top, 0) * columns, y1 = Math.min(top + 1, rows - 1) * columns;
				const above = data[y0 + x0] + (data[y0 + x1] - data[y0 + x0]) * (x - left);
				const below = data[y1 + x0] + (data[y1 + x1] - data[y1 + x0]) * (x - left);
				const gray = Math.min(1, Math.max(0, (above + (below - above) * (y - top) - low) * slope));
				shown[to] = 0xff000000 | (Math.round(Math.abs(inverted - gray) * 255) * 0x010101);
			}
		}
		context.putImageData(image, 0, 0);
	};
}
