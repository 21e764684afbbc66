"""A tiny random model as a folder: ``transformers_model.py TOKENIZER FOLDER [--embedding]``.

Runs in an environment with torch and transformers; perfkit is not needed there.
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

SIZES = {"vocab_size": 1500, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 4, "max_position_embeddings": 2048}


def main() -> None:
    """Write the model unless it is there."""
    tokenizer, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if (folder / "config.json").exists():
        return
    shutil.copytree(tokenizer, folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    if "--embedding" in sys.argv:
        BertModel(BertConfig(**SIZES)).save_pretrained(folder)
    else:
        LlamaForCausalLM(LlamaConfig(eos_token_id=None, **SIZES)).save_pretrained(folder)


if __name__ == "__main__":
    main()
