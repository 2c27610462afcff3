// Official Anthropic SDK: `messages.stream` with thinking, prompt caching and tools.

import Anthropic from "@anthropic-ai/sdk";

import { baseURL, description, maxTokens, model, questions, Report, schema, token, toolName } from "./conversation.mjs";

const client = new Anthropic({ baseURL, authToken: token, apiKey: null, maxRetries: 0 });
const report = new Report();
const messages = [];

/** Streams one answer and adds it to the conversation. */
async function answer() {
  const stream = client.messages.stream({
    model,
    max_tokens: maxTokens,
    thinking: { type: "enabled", budget_tokens: 1024 },
    system: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }],
    tools: [{ name: toolName, description, input_schema: schema, cache_control: { type: "ephemeral", ttl: "1h" } }],
    messages,
  });
  stream.on("text", () => (report.pieces += 1));
  const message = await stream.finalMessage();
  report.answered(message.stop_reason, message.usage.input_tokens, message.usage.output_tokens);
  messages.push({ role: "assistant", content: message.content });
  return message;
}

for (const question of questions) {
  messages.push({ role: "user", content: question });
  let message = await answer();
  while (message.stop_reason === "tool_use") {
    const calls = message.content.filter((block) => block.type === "tool_use");
    messages.push({
      role: "user",
      content: calls.map((call) => ({
        type: "tool_result",
        tool_use_id: call.id,
        content: report.call(call.input.city),
      })),
    });
    message = await answer();
  }
  report.texts.push(message.content.map((block) => (block.type === "text" ? block.text : "")).join(""));
}
report.print();
