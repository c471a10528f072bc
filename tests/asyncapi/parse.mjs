// Reads an AsyncAPI document by AsyncAPI's own parser, and prints its version and what the parser says, as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const said = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path, severity }));
console.log(JSON.stringify({ version: document?.version() ?? null, diagnostics: said }));
