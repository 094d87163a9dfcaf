// Draws parts by WebGL: rectangles of one side each, with a colour or a picture, and no light.

const VERTEX = `#version 300 es
uniform mat4 place; in vec3 position; in vec2 corner; out vec2 at;
void main() { at = corner; gl_Position = place * vec4(position, 1.0); }`;
const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D picture; uniform vec3 colour; uniform float opacity; in vec2 at; out vec4 shown;
void main() { vec4 seen = texture(picture, at); float a = seen.a * opacity; shown = vec4(seen.rgb * colour * a, a); }`;

export class Renderer {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: true });
    if (!gl) throw new Error("no WebGL");
    this.gl = gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "position");
    gl.bindAttribLocation(program, 1, "corner");
    gl.linkProgram(program);
    gl.useProgram(program);
    const names = ["place", "colour", "opacity"];
    [this.place, this.colour, this.opacity] = names.map(name => gl.getUniformLocation(program, name));
    this.blank = this.texture(new ImageData(new Uint8ClampedArray([255, 255, 255, 255]), 1, 1));
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.CULL_FACE);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // Makes what `draw` takes, of a part as readGlb returns it.
  add({ positions, corners, indices, colour = [1, 1, 1], picture }) {
    const { gl } = this, vertices = gl.createVertexArray();
    const buffer = (target, data) => {
      gl.bindBuffer(target, gl.createBuffer());
      gl.bufferData(target, data, gl.STATIC_DRAW);
    };
    gl.bindVertexArray(vertices);
    buffer(gl.ARRAY_BUFFER, positions);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    if (corners) {
      buffer(gl.ARRAY_BUFFER, corners);
      gl.enableVertexAttribArray(1);
      gl.vertexAttribPointer(1, 2, gl.FLOAT, false, 0, 0);
    }
    buffer(gl.ELEMENT_ARRAY_BUFFER, indices);
    gl.bindVertexArray(null);
    return { vertices, count: indices.length, colour, texture: picture ? this.texture(picture) : this.blank };
  }

  remove({ vertices, texture }) {
    this.gl.deleteVertexArray(vertices);
    this.gl.deleteTexture(texture);
  }

  texture(picture) {
    const { gl } = this, made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    const sharper = gl.getExtension("EXT_texture_filter_anisotropic");
    if (sharper) gl.texParameterf(gl.TEXTURE_2D, sharper.TEXTURE_MAX_ANISOTROPY_EXT, 8);
    return made;
  }

  // Clears a frame buffer, null for that of the canvas, to a colour with its opacity.
  begin(buffer, ground) {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    gl.clearColor(...ground);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  }

  draw(parts, place) {
    const { gl } = this;
    gl.uniformMatrix4fv(this.place, false, place);
    for (const { vertices, count, colour, texture, opacity = 1 } of parts) {
      gl.uniform3fv(this.colour, colour);
      gl.uniform1f(this.opacity, opacity);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.bindVertexArray(vertices);
      gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_SHORT, 0);
    }
  }
}
