// The scene in augmented reality, by WebXR: it stands on a table or hangs on a wall, where the person points and selects.

import { moved, pose, product } from "./matrix.js";

const CLEAR = [0, 0, 0, 0], NEAREST = 0.05;
const UPRIGHT = 0.9, LEVEL = 0.35, OFF_WALL = 0.003;
const HINTS = {
  table: ["Look at a table, and select to place the radiograph.", "Select to take it up again."],
  wall: ["Look at a wall, and select to place the radiograph.", "Select to take it up again."],
};

// Returns whether this browser has augmented reality.
export async function hasAr() {
  return Boolean(await navigator.xr?.isSessionSupported("immersive-ar").catch(() => false));
}

// Begins a session, and resolves at its end. `told` gets each hint; `why` returns what covers the radiograph.
export async function runSession(surface, { scene, why, overlay, told, begun }) {
  const session = await navigator.xr.requestSession("immersive-ar", {
    requiredFeatures: ["hit-test"],
    optionalFeatures: ["dom-overlay"],
    domOverlay: { root: overlay },
  });
  const ended = new Promise(resolve => session.addEventListener("end", resolve));
  begun(session);
  try {
    await show(session, surface, scene, why, told);
  } catch (error) {
    await session.end();
    throw error;
  }
  await ended;
}

async function show(session, surface, scene, why, told) {
  const { renderer } = scene, { gl } = renderer;
  await gl.makeXRCompatible();
  session.updateRenderState({ baseLayer: new XRWebGLLayer(session, gl), depthNear: NEAREST });
  const [space, viewer] = await Promise.all(["local", "viewer"].map(kind => session.requestReferenceSpace(kind)));
  const source = await session.requestHitTestSource({ space: viewer });
  let aimed = null, placed = null;
  told(HINTS[surface][0]);
  session.addEventListener("select", () => {
    placed = placed ? null : aimed;
    told(HINTS[surface][placed ? 1 : 0]);
  });
  const frame = (_, now) => {
    session.requestAnimationFrame(frame);
    const seen = now.getViewerPose(space), layer = session.renderState.baseLayer;
    renderer.begin(layer.framebuffer, CLEAR);
    if (!seen) return;
    const [hit] = now.getHitTestResults(source).map(result => result.getPose(space)?.transform);
    aimed = hit ? standing(surface, hit, seen.transform.position, scene.bounds) : null;
    const at = placed ?? aimed;
    if (!at) return;
    for (const view of seen.views) {
      const { x, y, width, height } = layer.getViewport(view);
      gl.viewport(x, y, width, height);
      const camera = product(view.projectionMatrix, view.transform.inverse.matrix);
      if (!placed) renderer.draw([scene.ring], product(camera, at.mark));
      renderer.draw(scene.parts(why()), product(camera, at.scene));
    }
  };
  session.requestAnimationFrame(frame);
}

// Returns where the scene and the mark of the aim are; null on a surface of another kind.
function standing(surface, { matrix, position }, eye, [, bottom]) {
  // A hit's y axis leads away from the surface.
  const normal = [matrix[4], matrix[5], matrix[6]], up = [0, 1, 0], at = [position.x, position.y, position.z];
  const table = surface === "table";
  if (table ? normal[1] < UPRIGHT : Math.abs(normal[1]) > LEVEL) return null;
  // On a table it faces the person, on a wall what is before it.
  const towards = table ? [eye.x - at[0], 0, eye.z - at[2]] : [normal[0], 0, normal[2]];
  const length = Math.hypot(...towards);
  if (!length) return null;
  const ahead = towards.map(part => part / length), right = [ahead[2], 0, -ahead[0]];
  const offset = table ? [0, -bottom, 0] : [0, 0, OFF_WALL];
  const mark = table ? pose(right, ahead.map(part => -part), up, at) : pose(right, up, ahead, at);
  return { mark, scene: product(pose(right, up, ahead, at), moved(offset)) };
}
