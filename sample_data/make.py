"""Makes the small samples in this folder from the prompts inside perfkit: one of each format, and a tokenizer.

Run it from the repository: ``python sample_data/make.py``. It needs no network and gives the same files every time.
"""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
PROMPTS = [
    json.loads(line)["question"]
    for line in (HERE.parent / "perfkit/loadgen/datasets/sample.jsonl").read_text(encoding="utf-8").splitlines()
]
SHORT = [prompt for prompt in PROMPTS if len(prompt) < 150]
LONG = [prompt for prompt in PROMPTS if len(prompt) > 1500]
SPECIAL = ("<|pad|>", "<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def main(folder: Path) -> None:
    """Write every sample."""
    asked = iter(SHORT)
    write_lines(folder / "openqa.jsonl", ({"question": text, "human_answers": []} for text in SHORT[:20]))
    write_json(folder / "longalpaca.json", [{"instruction": text, "output": ""} for text in LONG])
    write_json(folder / "share_gpt.json", [conversation(number, asked) for number in range(5)])
    (folder / "prompts.txt").write_text("".join(f"{text}\n" for text in SHORT[:20]), encoding="utf-8")
    write_lines(folder / "messages.jsonl", ([{"role": "user", "content": text}] for text in SHORT[:10]))
    write_lines(folder / "bodies.jsonl", (body(text, 8 + number) for number, text in enumerate(SHORT[:10])))
    write_lines(folder / "rerank.jsonl", ({"query": SHORT[n], "documents": SHORT[n : n + 5]} for n in range(8)))
    write_table(folder / "prompts.csv", ("prompt", "topic"), ((text, "sample") for text in SHORT[:10]))
    write_traces(folder)
    write_tokenizer(folder / "tokenizer")


def conversation(number: int, asked: Iterable[str]) -> dict[str, Any]:
    """Return a conversation of three turns in ShareGPT's form."""
    turns = [{"from": "human", "value": next(iter(asked))}, {"from": "gpt", "value": "That depends. Tell me more."}]
    turns += [{"from": "human", "value": "In one word?"}, {"from": "gpt", "value": "Perhaps."}]
    return {"id": f"sample_{number}", "conversations": [*turns, {"from": "human", "value": "Thank you. And why?"}]}


def body(text: str, max_tokens: int) -> dict[str, Any]:
    """Return a whole request body."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens}


def write_traces(folder: Path) -> None:
    """Write a trace in each of the forms that are in use; requests come every quarter of a second."""
    lengths = [(40 + 30 * n % 200, 5 + n % 20) for n in range(20)]
    write_lines(
        folder / "trace.jsonl",
        ({"timestamp": n / 4, "prompt": SHORT[n], "request_id": f"r{n}"} for n in range(20)),
    )
    write_lines(
        folder / "trace_mooncake.jsonl",
        (
            {"timestamp": 250 * n, "input_length": 512 + length, "output_length": answer, "hash_ids": [n % 3, 100 + n]}
            for n, (length, answer) in enumerate(lengths)
        ),
    )
    write_table(
        folder / "trace_azure.csv",
        ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
        ((f"2024-05-10 00:00:{n / 4:09.6f}", *pair) for n, pair in enumerate(lengths)),
    )
    write_table(
        folder / "trace_burstgpt.csv",
        ("Timestamp", "Model", "Request tokens", "Response tokens", "Total tokens", "Log Type"),
        ((n / 4, "ChatGPT", *pair, sum(pair), "Conversation log") for n, pair in enumerate(lengths)),
    )


def write_tokenizer(folder: Path) -> None:
    """Train a small byte-level tokenizer on the prompts, and write it as a model's folder has it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=list(SPECIAL), initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(PROMPTS, trainer)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|im_end|>"}
    write_json(folder / "tokenizer_config.json", {**settings, "pad_token": "<|pad|>", "chat_template": CHAT_TEMPLATE})


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write a JSONL file."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
