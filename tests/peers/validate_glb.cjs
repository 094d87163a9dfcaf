// Prints what the Khronos glTF validator finds in each of the files that are named, as a list in JSON.
const fs = require("node:fs");
const validator = require("gltf-validator");

async function main() {
  const found = [];
  for (const file of process.argv.slice(2)) {
    found.push((await validator.validateBytes(new Uint8Array(fs.readFileSync(file)))).issues);
  }
  console.log(JSON.stringify(found));
}

main();
