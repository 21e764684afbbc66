"""llama.cpp's own completion API."""

from typing import Any

from perfkit.apis.bodies import BodyApi, messages_text, sampling_fields, with_extras
from perfkit.apis.pieces import add_finish, add_text
from perfkit.apis.usage import read_usage
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Kind, Message
from perfkit.registry import register_api

_FIELDS = {"max_tokens": "n_predict", "repetition_penalty": "repeat_penalty", "logprobs": "n_probs"}
_STOPS = {"stopped_eos": "eos", "stopped_word": "word", "stopped_limit": "limit"}


@register_api(["llama_cpp", "llama.cpp"])
class LlamaCpp(BodyApi):
    """Completion: a prompt in, its continuation out.

    Examples
    --------
    >>> LlamaCpp(Arguments(max_tokens=8, stop="x")).build_request("hi")
    {'prompt': 'hi', 'stream': True, 'n_predict': 8, 'stop': ['x']}
    """

    path = "/completion"
    needs_model = False

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the prompt: text, or token ids as they are."""
        chat = isinstance(asked, list) and all(isinstance(item, dict) for item in asked)
        return {"prompt": messages_text(asked) if chat else asked}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with the run's fields under the names that this API uses."""
        fields = {_FIELDS.get(name, name): value for name, value in sampling_fields(param).items()}
        if isinstance(fields.get("stop"), str):
            fields["stop"] = [fields["stop"]]
        return with_extras({**body, "stream": body.get("stream", param.stream), **fields}, param)

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message is a piece of a completion, or its end."""
        return (
            isinstance(message, dict)
            and isinstance(message.get("content"), str)
            and isinstance(message.get("stop"), bool)
        )

    @staticmethod
    def read_answer(message: Message, answer: Answer) -> None:
        """Read one event of a completion, or the whole answer."""
        add_text(answer, Kind.CONTENT, message["content"])
        if not message["stop"]:
            return
        answer.done = True
        timings = message.get("timings") or {}
        # tokens_evaluated counts the whole prompt, prompt_n only what the cache did not hold.
        counts = {
            "prompt_tokens": message.get("tokens_evaluated"),
            "completion_tokens": message.get("tokens_predicted", timings.get("predicted_n")),
            "cached_tokens": timings.get("cache_n"),
        }
        read_usage({name: count for name, count in counts.items() if count is not None}, answer)
        older = next((reason for name, reason in _STOPS.items() if message.get(name)), None)
        add_finish(answer, message.get("stop_type") or older or "stop")
