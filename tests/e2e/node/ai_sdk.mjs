// Vercel AI SDK: `streamText` with tools, several steps per turn. The first argument chooses the provider.

import { createAmazonBedrock } from "@ai-sdk/amazon-bedrock";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { baseURL, description, maxTokens, model, questions, region, Report, token } from "./conversation.mjs";

const providers = {
  openai: () => createOpenAI({ baseURL, apiKey: token }).responses(model),
  "openai-chat": () => createOpenAI({ baseURL, apiKey: token }).chat(model),
  anthropic: () => createAnthropic({ baseURL, authToken: token })(model),
  bedrock: () => createAmazonBedrock({ baseURL, apiKey: token, region })(model),
};
const languageModel = providers[process.argv[2]]();
const report = new Report();
const messages = [];

for (const question of questions) {
  messages.push({ role: "user", content: question });
  const result = streamText({
    model: languageModel,
    instructions: "Be brief.",
    messages,
    maxOutputTokens: maxTokens,
    maxRetries: 0,
    tools: {
      get_weather: tool({
        description,
        inputSchema: z.object({ city: z.string().describe("Name of the city") }),
        execute: ({ city }) => report.call(city),
      }),
    },
    stopWhen: stepCountIs(4),
  });
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") report.pieces += 1;
  }
  for (const step of await result.steps) {
    report.answered(step.finishReason, step.usage.inputTokens, step.usage.outputTokens);
  }
  messages.push(...(await result.responseMessages));
  report.texts.push(await result.text);
}
report.print();
