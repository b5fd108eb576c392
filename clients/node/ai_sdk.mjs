// The AI SDK: its OpenAI provider over the Responses API (the default) and chats, and the one for compatible servers.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import * as f from "./features.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const openai = createOpenAI({ baseURL: f.URL, apiKey: f.KEY });
const compatible = createOpenAICompatible({
  name: "inhouse", baseURL: f.URL, apiKey: f.KEY, supportsStructuredOutputs: true,
});
const models = { responses: openai(f.MODEL), chat: openai.chat(f.MODEL), compatible: compatible(f.MODEL) };
const schema = z.object({ service: z.string(), usd: z.number() });
const each = async (work) => { for (const model of Object.values(models)) await work(model); };

await f.run({
  default: async () => {
    f.right((await generateText({ model: models.responses, prompt: f.ASK })).text);
    const first = await generateText({ model: models.responses, messages: [{ role: "user", content: f.ASK }] });
    const messages = [{ role: "user", content: f.ASK }, ...first.response.messages, { role: "user", content: f.ASK }];
    f.right((await generateText({ model: models.responses, messages })).text); // sends references to items
  },
  chat: async () => {
    f.right((await generateText({ model: models.chat, system: "Be brief.", prompt: f.ASK })).text);
    f.right((await generateText({ model: models.compatible, prompt: f.ASK })).text);
  },
  stream: () => each(async (model) => {
    let text = "";
    for await (const piece of streamText({ model, prompt: f.ASK }).textStream) text += piece;
    f.right(text);
  }),
  structured: () => each(async (model) => {
    const { output } = await generateText({ model, prompt: f.ASK, output: Output.object({ schema }) });
    f.fee(output);
  }),
  tools: () => each(async (model) => {
    const used = [];
    const get_balance = tool({
      description: "The balance of an account.", inputSchema: z.object({ account: z.string() }),
      execute: async (input) => { used.push(input); return "812.40 USD"; },
    });
    await generateText({ model, prompt: f.TOOL_ASK, tools: { get_balance }, toolChoice: "required", stopWhen: stepCountIs(1) });
    f.called("get_balance", used[0]);
  }),
  embeddings: async () => {
    for (const model of [openai.embedding("embedder"), compatible.embeddingModel("embedder")]) {
      f.vectors(...(await embedMany({ model, values: ["a wire", "a loan"] })).embeddings);
    }
  },
});
