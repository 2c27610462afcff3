// Official OpenAI SDK: `chat.completions.stream` with tools.

import OpenAI from "openai";

import { baseURL, description, model, questions, Report, schema, token, toolName } from "./conversation.mjs";

const client = new OpenAI({ baseURL, apiKey: token, maxRetries: 0 });
const report = new Report();
const messages = [{ role: "developer", content: "Be brief." }];

/** Streams one answer and adds it to the conversation. */
async function answer() {
  const stream = client.chat.completions.stream({
    model,
    messages,
    tools: [{ type: "function", function: { name: toolName, description, parameters: schema, strict: true } }],
    stream_options: { include_usage: true },
  });
  stream.on("content", () => (report.pieces += 1));
  const completion = await stream.finalChatCompletion();
  const [choice] = completion.choices;
  report.answered(choice.finish_reason, completion.usage.prompt_tokens, completion.usage.completion_tokens);
  messages.push(choice.message);
  return choice.message;
}

for (const question of questions) {
  messages.push({ role: "user", content: question });
  let message = await answer();
  while (message.tool_calls?.length) {
    for (const call of message.tool_calls) {
      const { city } = JSON.parse(call.function.arguments);
      messages.push({ role: "tool", tool_call_id: call.id, content: report.call(city) });
    }
    message = await answer();
  }
  report.texts.push(message.content);
}
report.print();
