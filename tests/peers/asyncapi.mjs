// Reads asyncapi.json by AsyncAPI's own parser, prints what it finds, and `valid` where no finding is an error.
import { readFileSync } from "node:fs";

import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync("asyncapi.json", "utf8"));
for (const { severity, code, message, path } of diagnostics) console.log(severity, code, message, path.join("/"));
console.log(document && !diagnostics.some(({ severity }) => severity === 0) ? "valid" : "not valid");
