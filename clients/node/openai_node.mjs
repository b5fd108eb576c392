// The official client for JavaScript: chat completions, responses, completions, embeddings, and its helpers.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import * as f from "./features.mjs";

const client = new OpenAI({ baseURL: f.URL, apiKey: f.KEY });
const chat = { model: f.MODEL, messages: [{ role: "user", content: f.ASK }] };
const Fee = z.object({ service: z.string(), usd: z.number() });
const parameters = { type: "object", properties: { account: { type: "string" } }, required: ["account"],
  additionalProperties: false };
const tool = { name: "get_balance", description: "The balance of an account.", parameters, strict: true };

await f.run({
  default: async () => {
    f.right((await client.responses.create({ model: f.MODEL, input: f.ASK })).output_text);
    f.right((await client.completions.create({ model: f.MODEL, prompt: f.ASK, max_tokens: 80 })).choices[0].text);
  },
  chat: async () => f.right((await client.chat.completions.create(chat)).choices[0].message.content),
  stream: async () => {
    let text = "";
    for await (const c of await client.chat.completions.create({ ...chat, stream: true })) text += c.choices[0]?.delta?.content ?? "";
    f.right(text);
    const stream = client.responses.stream({ model: f.MODEL, input: f.ASK });
    f.right((await stream.finalResponse()).output_text);
  },
  structured: async () => {
    const parsed = await client.chat.completions.parse({ ...chat, response_format: zodResponseFormat(Fee, "fee") });
    f.fee(parsed.choices[0].message.parsed);
    const reply = await client.responses.parse({ model: f.MODEL, input: f.ASK, text: { format: zodTextFormat(Fee, "fee") } });
    f.fee(reply.output_parsed);
  },
  tools: async () => {
    const messages = [{ role: "user", content: f.TOOL_ASK }], tools = [{ type: "function", function: tool }];
    const asked = { model: f.MODEL, tools };
    const { message } = (await client.chat.completions.create({ ...asked, messages, tool_choice: "required" })).choices[0];
    f.called(message.tool_calls[0].function.name, message.tool_calls[0].function.arguments);
    messages.push(message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: "812.40 USD" });
    const last = (await client.chat.completions.create({ ...asked, messages })).choices[0].message;
    if (!last.content) throw new Error("no answer after the result");
  },
  embeddings: async () => {
    const { data } = await client.embeddings.create({ model: "embedder", input: ["a wire", "a loan"] });
    f.vectors(...data.map((d) => d.embedding));
  },
  helpers: async () => {
    const { data, response } = await client.chat.completions.create(chat).withResponse();
    f.right(data.choices[0].message.content);
    if (!response.headers.get("x-request-id")) throw new Error("no request ID");
    const stream = client.chat.completions.stream({ ...chat, response_format: zodResponseFormat(Fee, "fee") });
    f.fee((await stream.finalChatCompletion()).choices[0].message.parsed);
    const counted = await client.chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } });
    let usage;
    for await (const chunk of counted) usage = chunk.usage;
    if (!(usage.total_tokens > 0)) throw new Error("no usage at the end of the stream");
  },
  errors: async () => {
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };
    const messages = [{ role: "user", content: [{ type: "text", text: f.ASK }, image] }];
    await f.refused(() => client.chat.completions.create({ ...chat, messages }), "image_url");
    await f.refused(() => client.chat.completions.create({ ...chat, n: 2 }), "'n'");
    await f.refused(() => client.models.retrieve("gpt-5"), "gpt-5");
    await f.refused(() => client.chat.completions.create(chat, { timeout: 1, maxRetries: 0 }), "timed out");
  },
});
