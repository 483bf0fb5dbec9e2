// Print the syntax errors of a source, one a line. Usage: node parse.mjs LANGUAGE FILE, in the folder of node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [language, file] = process.argv.slice(2);
const require = createRequire(`${process.cwd()}/`);
const { Parser, Language } = require("web-tree-sitter");
await Parser.init();
const parser = new Parser();
parser.setLanguage(await Language.load(require.resolve(`tree-sitter-wasms/out/tree-sitter-${language}.wasm`)));

const visit = (node) => {
  if (node.isError || node.isMissing) {
    console.log(`line ${node.startPosition.row + 1}: ${node.text}`);
  }
  node.children.forEach(visit);
};
visit(parser.parse(readFileSync(file, "utf-8")).rootNode);
