// Official SDKs, and which errors they raise. The first argument chooses the SDK; `WEIR_CALLS` holds what to ask for.

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const baseURL = process.env.WEIR_BASE_URL;
const object = { type: "object", properties: {} };

const sdks = {
  async openai({ token, model, schema, text }) {
    const client = new OpenAI({ baseURL, apiKey: token, maxRetries: 0 });
    const tools = [{ type: "function", function: { name: "look", parameters: schema ?? object } }];
    const messages = [{ role: "user", content: text }];
    await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
  },
  async anthropic({ token, model, schema, text }) {
    const client = new Anthropic({ baseURL, authToken: token, apiKey: null, maxRetries: 0 });
    const tools = [{ name: "look", input_schema: schema ?? object }];
    const messages = [{ role: "user", content: text }];
    await client.messages.stream({ model, messages, tools, max_tokens: 100 }).finalMessage();
  },
};

const raised = {};
for (const call of JSON.parse(process.env.WEIR_CALLS)) {
  try {
    await sdks[process.argv[2]](call);
    raised[call.case] = null;
  } catch (error) {
    raised[call.case] = {
      class: error.constructor.name,
      status: error.status,
      headers: Object.fromEntries(error.headers ?? []),
    };
  }
}
console.log(JSON.stringify(raised));
