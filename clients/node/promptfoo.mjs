// promptfoo: an evaluation over its providers for chats (with a schema, with a tool), responses and completions.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as f from "./features.mjs";

const folder = mkdtempSync(join(tmpdir(), "promptfoo-"));
const common = { apiBaseUrl: f.URL, apiKey: f.KEY };
const object = (properties) => ({
  type: "object", properties, required: Object.keys(properties), additionalProperties: false,
});
const fee = object({ service: { type: "string" }, usd: { type: "number" } });
const parameters = object({ account: { type: "string" } });

function evaluated(provider, config, question, assertion) {
  const [settings, out] = [join(folder, "config.json"), join(folder, "out.json")];
  writeFileSync(settings, JSON.stringify({
    prompts: ["{{question}}"], providers: [{ id: provider, config: { ...common, ...config } }],
    tests: [{ vars: { question }, assert: assertion ? [assertion] : [] }],
  }));
  const ended = spawnSync(process.execPath, ["node_modules/promptfoo/dist/src/entrypoint.js", "eval", "-c", settings, "-o", out,
    "--no-cache", "--no-table", "--no-progress-bar"], {
    encoding: "utf8", env: { ...process.env, PROMPTFOO_CONFIG_DIR: folder }, cwd: import.meta.dirname });
  let row;
  try { row = JSON.parse(readFileSync(out, "utf8")).results.results[0]; } catch { throw new Error(`${ended.stdout}${ended.stderr}`.slice(-400)); }
  if (row.error) throw new Error(row.error);
  return row.response.output;
}
const parsed = (output) => (typeof output === "string" ? JSON.parse(output) : output);

await f.run({
  default: () => {
    f.right(evaluated(`openai:chat:${f.MODEL}`, {}, f.ASK));
    f.right(evaluated(`openai:responses:${f.MODEL}`, {}, f.ASK));
    f.right(evaluated(`openai:completion:${f.MODEL}`, {}, f.ASK));
  },
  chat: () => f.right(evaluated(`openai:chat:${f.MODEL}`, { temperature: 0, max_tokens: 80 }, f.ASK)),
  structured: () => {
    const response_format = { type: "json_schema", json_schema: { name: "fee", schema: fee, strict: true } };
    f.fee(parsed(evaluated(`openai:chat:${f.MODEL}`, { response_format }, f.ASK)));
  },
  tools: () => {
    const tools = [{ type: "function", function: { name: "get_balance", description: "The balance of an account.", parameters } }];
    const [call] = parsed(evaluated(`openai:chat:${f.MODEL}`, { tools, tool_choice: "required" }, f.TOOL_ASK));
    f.called(call.function.name, call.function.arguments);
  },
});
