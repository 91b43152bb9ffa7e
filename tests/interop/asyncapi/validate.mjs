// Reads a JSON array of AsyncAPI documents from stdin, and writes for each the errors that AsyncAPI's parser finds in it.
// Of an Avro schema the parser looks at the grammar; its parser of Avro, asked as well, looks at names and defaults.
import { Parser } from "@asyncapi/parser";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const parser = new Parser();
const avro = AvroSchemaParser();
parser.registerSchemaParser(avro);
const found = [];
for (const document of JSON.parse(Buffer.concat(chunks).toString("utf8"))) {
  const { diagnostics } = await parser.parse(JSON.stringify(document));
  const errors = diagnostics.filter((each) => each.severity === 0);
  for (const [name, message] of Object.entries(document.components.messages)) {
    errors.push(...(await avro.validate({ data: message.payload.schema, path: ["components", "messages", name] })));
  }
  found.push(errors.map((each) => `${each.path.join(".")}: ${each.message}`));
}
process.stdout.write(JSON.stringify(found));
