"""What the official client reads of some answers: JSON ``{"url", "bodies"}`` on stdin, a list on stdout.

Runs in an environment with openai; perfkit is not needed there.
"""

import json
import sys
from typing import Any

import openai


def answer(client: "openai.OpenAI", body: dict[str, Any]) -> dict[str, Any]:
    """Send one body and return its text, finish reason and counts."""
    if "input" in body:
        found = client.embeddings.create(**body, encoding_format="float")
        return {"prompt_tokens": found.usage.prompt_tokens, "size": len(found.data[0].embedding)}
    text, reason, usage = "", None, None
    create = client.completions.create if "prompt" in body else client.chat.completions.create
    if body.get("stream"):
        for chunk in create(**body):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += (choice.text if "prompt" in body else choice.delta.content) or ""
                reason = choice.finish_reason or reason
    else:
        whole = create(**body)
        text, reason, usage = whole.choices[0].message.content or "", whole.choices[0].finish_reason, whole.usage
    details = usage.prompt_tokens_details if usage else None
    return {
        "text": text,
        "finish_reason": reason,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cached_tokens": details.cached_tokens if details else None,
    }


def main() -> None:
    """Answer what stands on stdin."""
    asked = json.load(sys.stdin)
    client = openai.OpenAI(base_url=asked["url"], api_key="none", max_retries=0, timeout=120)
    json.dump([answer(client, body) for body in asked["bodies"]], sys.stdout)


if __name__ == "__main__":
    main()
