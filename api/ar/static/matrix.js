// Matrices of 4 x 4, column by column, as WebGL and WebXR have them.

export function product(a, b) {
  const made = new Array(16).fill(0);
  for (let column = 0; column < 4; column++)
    for (let row = 0; row < 4; row++)
      for (let place = 0; place < 4; place++) made[4 * column + row] += a[4 * place + row] * b[4 * column + place];
  return made;
}

export function perspective(fieldOfView, aspect, near, far) {
  const f = 1 / Math.tan(fieldOfView / 2), depth = near - far;
  return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / depth, -1, 0, 0, (2 * far * near) / depth, 0];
}

export function moved([x, y, z]) {
  return [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, y, z, 1];
}

// The pose of a thing whose axes run along x, y and z, and whose origin is at `at`.
export function pose(x, y, z, at) {
  return [...x, 0, ...y, 0, ...z, 0, ...at, 1];
}

// What a camera sees that looks at `centre` from a distance, turned by angles around the vertical and across.
export function orbit(turn, tilt, distance, centre) {
  const [c, s, C, S] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  const around = [c, 0, -s, 0, 0, 1, 0, 0, s, 0, c, 0, 0, 0, 0, 1];
  const across = [1, 0, 0, 0, 0, C, S, 0, 0, -S, C, 0, 0, 0, 0, 1];
  const away = moved([0, 0, -distance]);
  return product(product(away, across), product(around, moved(centre.map(part => -part))));
}
