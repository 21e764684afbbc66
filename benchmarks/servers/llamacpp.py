"""llama.cpp's own HTTP server with a tiny random model: ``llamacpp.py TOKENIZER MODEL.gguf PORT`` makes both.

Runs in an environment with xllamacpp, gguf and numpy; perfkit is not needed there.
"""

import json
import sys
import threading
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

WIDTH, LAYERS, HEADS, HIDDEN = 64, 2, 4, 128
CONTEXT = 2048


def write_model(tokenizer: Path, path: Path) -> None:
    """Write a Llama of random weights with a byte-level BPE tokenizer; the same weights every time."""
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text())
    settings = json.loads((tokenizer / "tokenizer_config.json").read_text())
    ids = {**vocabulary["model"]["vocab"], **{each["content"]: each["id"] for each in vocabulary["added_tokens"]}}
    control = {each["content"] for each in vocabulary["added_tokens"]}
    tokens = sorted(ids, key=ids.__getitem__)
    merges = [each if isinstance(each, str) else " ".join(each) for each in vocabulary["model"]["merges"]]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if each in control else gguf.TokenType.NORMAL for each in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids[settings["bos_token"]])
    writer.add_eos_token_id(ids[settings["eos_token"]])
    writer.add_pad_token_id(ids[settings["pad_token"]])
    writer.add_add_bos_token(False)
    writer.add_chat_template(settings["chat_template"])
    chance = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        drawn = np.ones(shape) if len(shape) == 1 else chance.normal(0, 0.2, shape)
        writer.add_tensor(f"{name}.weight", drawn.astype(np.float32))

    add("token_embd", len(tokens), WIDTH)
    for layer in range(LAYERS):
        add(f"blk.{layer}.attn_norm", WIDTH)
        add(f"blk.{layer}.ffn_norm", WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}", WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_gate", HIDDEN, WIDTH)
        add(f"blk.{layer}.ffn_up", HIDDEN, WIDTH)
        add(f"blk.{layer}.ffn_down", WIDTH, HIDDEN)
    add("output_norm", WIDTH)
    add("output", len(tokens), WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Make the model if it is not there, and serve it until the process is ended."""
    tokenizer, model, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if not model.exists():
        write_model(tokenizer, model)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(model)
    settings.model_alias = ["tiny"]
    settings.port = port
    settings.n_ctx = CONTEXT
    settings.n_parallel = 1
    settings.endpoint_metrics = True
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
