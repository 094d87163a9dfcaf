// Rectangles with words on them, on both sides: the warning above the radiograph, and what covers it.

const PIXELS = 1024;

// Draws lines, the first one larger where there are several sizes, and returns the picture.
function written(lines, proportion, { ink, ground, edge = 0 }) {
  const canvas = document.createElement("canvas");
  canvas.width = PIXELS;
  canvas.height = Math.max(16, Math.round(PIXELS / proportion));
  const pen = canvas.getContext("2d"), { width, height } = canvas;
  pen.fillStyle = ground;
  pen.fillRect(0, 0, width, height);
  pen.lineWidth = edge;
  pen.strokeStyle = ink;
  if (edge) pen.strokeRect(edge, edge, width - 2 * edge, height - 2 * edge);
  pen.fillStyle = ink;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const sizes = lines.map(({ text, size }) => {
    pen.font = "600 100px system-ui, sans-serif";
    return Math.min((size * height) / lines.length, (width * 0.9 * 100) / pen.measureText(text).width);
  });
  const whole = sizes.reduce((sum, size) => sum + 1.3 * size, 0);
  let y = (height - whole) / 2;
  lines.forEach(({ text }, place) => {
    pen.font = `600 ${sizes[place]}px system-ui, sans-serif`;
    pen.fillText(text, width / 2, y + 0.65 * sizes[place]);
    y += 1.3 * sizes[place];
  });
  return canvas;
}

// The corners of a rectangle and of its other side: left, bottom, right and top in metres, at a depth.
function sides([left, bottom, right, top], z) {
  const front = [left, bottom, z, right, bottom, z, right, top, z, left, top, z];
  const behind = [right, bottom, -z, left, bottom, -z, left, top, -z, right, top, -z];
  return {
    positions: new Float32Array([...front, ...behind]),
    corners: new Float32Array([0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]),
    indices: new Uint16Array([0, 1, 2, 0, 2, 3, 4, 5, 6, 4, 6, 7]),
  };
}

const proportion = ([left, bottom, right, top]) => (right - left) / (top - bottom);

export function warning(box) {
  const lines = ["Not for diagnosis.", "Not for guiding a hand or a machine."];
  const look = { ink: "#ffd166", ground: "#1d2125" };
  return { ...sides(box, 0), picture: written(lines.map(text => ({ text, size: 0.6 })), proportion(box), look) };
}

export function cover(box, { title, details }) {
  const lines = [{ text: title, size: 0.6 }, ...details.map(text => ({ text, size: 0.25 }))];
  const look = { ink: "#ffd166", ground: "#101214", edge: 8 };
  return { ...sides(box, 0.0015), picture: written(lines, proportion(box), look) };
}

export function ring(radius) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 256;
  const pen = canvas.getContext("2d");
  pen.strokeStyle = "#6fd3ff";
  pen.lineWidth = 20;
  pen.arc(128, 128, 110, 0, 2 * Math.PI);
  pen.stroke();
  return { ...sides([-radius, -radius, radius, radius], 0.001), picture: canvas };
}
