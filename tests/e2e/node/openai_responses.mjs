// Official OpenAI SDK: `responses.stream`; the gateway keeps the conversation, as `previous_response_id` asks.

import OpenAI from "openai";

import { baseURL, description, model, questions, Report, schema, token, toolName } from "./conversation.mjs";

const client = new OpenAI({ baseURL, apiKey: token, maxRetries: 0 });
const report = new Report();
let previous = null;

for (const question of questions) {
  let items = [{ role: "user", content: question }];
  let response;
  while (items.length > 0) {
    const stream = client.responses.stream({
      model,
      instructions: "Be brief.",
      input: items,
      previous_response_id: previous,
      reasoning: { summary: "auto" },
      tools: [{ type: "function", name: toolName, description, parameters: schema, strict: true }],
    });
    stream.on("response.output_text.delta", () => (report.pieces += 1));
    response = await stream.finalResponse();
    report.answered(response.status, response.usage.input_tokens, response.usage.output_tokens);
    previous = response.id;
    items = response.output
      .filter((item) => item.type === "function_call")
      .map((call) => ({
        type: "function_call_output",
        call_id: call.call_id,
        output: report.call(JSON.parse(call.arguments).city),
      }));
  }
  report.texts.push(response.output_text);
}
report.print();
