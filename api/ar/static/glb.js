// Reads a GLB of this service: groups by name, of parts of one look each, without transforms. The unit is the metre.

const HEADER = 12, CHUNK = 8;

export async function readGlb(file) {
  const header = new DataView(file), length = header.getUint32(HEADER, true), begin = HEADER + CHUNK;
  const document = JSON.parse(new TextDecoder().decode(new Uint8Array(file, begin, length)));
  const binary = begin + length + CHUNK;
  const bytes = view => {
    const { byteOffset, byteLength } = document.bufferViews[view];
    return file.slice(binary + byteOffset, binary + byteOffset + byteLength);
  };
  const numbers = accessor => bytes(document.accessors[accessor].bufferView);
  const part = async ({ name, mesh }) => {
    const { attributes, indices, material } = document.meshes[mesh].primitives[0];
    const look = document.materials[material].pbrMetallicRoughness;
    const image = look.baseColorTexture && document.images[document.textures[look.baseColorTexture.index].source];
    return {
      name,
      positions: new Float32Array(numbers(attributes.POSITION)),
      corners: image && new Float32Array(numbers(attributes.TEXCOORD_0)),
      indices: new Uint16Array(numbers(indices)),
      // The file's colours are linear, and the canvas's are not.
      colour: (look.baseColorFactor ?? [1, 1, 1]).slice(0, 3).map(one => one ** (1 / 2.2)),
      picture: image && (await createImageBitmap(new Blob([bytes(image.bufferView)], { type: image.mimeType }))),
    };
  };
  const groups = document.scenes[0].nodes.map(async root => {
    const { name, children } = document.nodes[root];
    return [name, await Promise.all(children.map(child => part(document.nodes[child])))];
  });
  return Object.fromEntries(await Promise.all(groups));
}
