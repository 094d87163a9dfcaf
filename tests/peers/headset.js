// A headset by Meta's emulated runtime, in a room of the tests' own: a table 0.7 m high, and a wall 1.5 m ahead.

window.headset = new IWER.XRDevice(IWER.metaQuest3, { stereoEnabled: false, ipd: 0 });
headset.installRuntime({ forceInstall: true });

const TABLE_Y = 0.7, TABLE_Z = -1, WALL_Z = -1.5;

headset.installSEM(class {
  environmentCanvas = document.createElement("canvas");
  trackedPlanes = new Set();
  trackedMeshes = new Set();

  // A dark room.
  render() {
    const canvas = this.environmentCanvas;
    Object.assign(canvas.style, { position: "absolute", inset: 0, width: "100%", height: "100%", background: "#000" });
  }

  // A ray begins at the origin of its matrix, and leads along -Z.
  computeHitTestResults(ray) {
    const [x, y, z] = ray.slice(12, 15), [dx, dy, dz] = ray.slice(8, 11).map(part => -part);
    const hits = [];
    const down = (TABLE_Y - y) / dy, ahead = (WALL_Z - z) / dz;
    if (dy < 0 && z + down * dz > TABLE_Z)
      hits.push([down, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x + down * dx, TABLE_Y, z + down * dz, 1]]);
    if (dz < 0) hits.push([ahead, [1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, x + ahead * dx, y + ahead * dy, WALL_Z, 1]]);
    return hits.sort(([one], [other]) => one - other).slice(0, 1).map(([, matrix]) => new Float32Array(matrix));
  }
});

const frames = async count => {
  for (let drawn = 0; drawn < count; drawn++) await new Promise(requestAnimationFrame);
};

// Puts the head at a place, looking down by an angle, and waits until that is drawn.
headset.look = async (x, y, z, down) => {
  headset.position.set(x, y, z);
  headset.quaternion.set(Math.sin(-down / 2), 0, 0, Math.cos(-down / 2));
  await frames(4);
};

// Presses the trigger of a controller, and lets it go.
headset.pick = async () => {
  for (const value of [1, 0]) {
    headset.controllers.right.updateButtonValue("trigger", value);
    await frames(4);
  }
};
