"""The README's first call: a streamed conversation with the official OpenAI SDK, as tenant `acme`."""

import json
import subprocess

from openai import OpenAI

stack = json.load(open(".local/stack.json"))
token = subprocess.check_output(["cargo", "xtask", "token", "--tenant", "acme"], text=True).strip()

client = OpenAI(base_url=stack["base_url"], api_key=token)
answer = client.chat.completions.create(
    model="claude-sonnet-4-5",
    messages=[{"role": "user", "content": "Say hello to the platform team."}],
    stream=True,
)
for chunk in answer:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
