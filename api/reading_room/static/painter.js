// Paints 16-bit pixels through a window: on the GPU by WebGL2, or else on the CPU, with the same result.
import {levelFor} from "./pixels.js";

const VERTICES = `#version 300 es
void main() { gl_Position = vec4(vec2[](vec2(-1, -1), vec2(3, -1), vec2(-1, 3))[gl_VertexID], 0, 1); }`;
const FRAGMENTS = `#version 300 es
precision highp float; precision highp int; precision highp usampler2D;
uniform usampler2D pixels;
uniform vec2 across, down, origin, size, ramp;
uniform float height;
uniform int level;
uniform bool inverted;
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
  float gray = clamp((value - ramp.x) * ramp.y, 0.0, 1.0);
  colour.rgb = vec3(inverted ? 1.0 - gray : gray);
}`;

/** Upload the picture to the GPU; a function that paints {toImage, scale, low, slope, inverted} on `canvas`.
 *
 * Throws where the GPU cannot; calls `lost` if the browser takes it away later.
 */
export function gpuPainter(canvas, levels, lost) {
  const gl = canvas.getContext("webgl2", {antialias: false, alpha: false});
  const [{columns, rows}] = levels;
  if (!gl || Math.max(columns, rows) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) throw new Error("no WebGL");
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTICES], [gl.FRAGMENT_SHADER, FRAGMENTS]]) {
    const shader = gl.createShader(kind);
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
  // Integers cannot be filtered: the shader takes its four taps itself.
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST_MIPMAP_NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  const at = name => gl.getUniformLocation(program, name);
  const [across, down, origin, ramp, height, level, inverted] =
    ["across", "down", "origin", "ramp", "height", "level", "inverted"].map(at);
  gl.uniform2f(at("size"), columns, rows);
  if (gl.getError()) throw new Error("WebGL failed");
  canvas.addEventListener("webglcontextlost", lost, {once: true});
  return ({toImage: [a, b, c, d, e, f], scale, low, slope, inverted: turned}) => {
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.uniform2f(across, a, b);
    gl.uniform2f(down, c, d);
    gl.uniform2f(origin, e, f);
    gl.uniform2f(ramp, low, slope);
    gl.uniform1f(height, canvas.height);
    gl.uniform1i(level, levelFor(scale, levels.length));
    gl.uniform1i(inverted, turned);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  };
}

/** The same without a GPU. */
export function cpuPainter(canvas, levels) {
  const context = canvas.getContext("2d", {alpha: false});
  const [full] = levels;
  return ({toImage: [a, b, c, d, e, f], scale, low, slope, inverted}) => {
    const number = levelFor(scale, levels.length);
    const {data, columns, rows} = levels[number];
    const image = context.createImageData(canvas.width, canvas.height);
    const shown = new Uint32Array(image.data.buffer).fill(0xff000000);
    for (let py = 0, to = 0; py < canvas.height; py++) {
      for (let px = 0; px < canvas.width; px++, to++) {
        const x = a * (px + 0.5) + c * (py + 0.5) + e;
        const y = b * (px + 0.5) + d * (py + 0.5) + f;
        if (x < 0 || y < 0 || x >= full.columns || y >= full.rows) continue;
        const placeX = x / (1 << number) - 0.5, placeY = y / (1 << number) - 0.5;
        const floorX = Math.floor(placeX), floorY = Math.floor(placeY);
        const partX = placeX - floorX, partY = placeY - floorY;
        const left = Math.min(Math.max(floorX, 0), columns - 1), right = Math.min(floorX + 1, columns - 1);
        const top = Math.min(Math.max(floorY, 0), rows - 1) * columns, under = Math.min(floorY + 1, rows - 1) * columns;
        const above = data[top + left] * (1 - partX) + data[top + right] * partX;
        const below = data[under + left] * (1 - partX) + data[under + right] * partX;
        let gray = Math.min(1, Math.max(0, (above * (1 - partY) + below * partY - low) * slope));
        if (inverted) gray = 1 - gray;
        shown[to] = 0xff000000 | (Math.round(gray * 255) * 0x010101);
      }
    }
    context.putImageData(image, 0, 0);
  };
}
