"""A Llama in a GGUF file, written as transformers and vLLM read it: bfloat16 safetensors.

transformers opens such a file itself, but parses it three times and makes a model to guess the
names of its tensors. This is done in each Pod that trains, judges or serves, so here it is read
once. What transformers makes of the file is the measure: tests/integration/training compares both.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import LlamaConfig

# GGUF's number for tokens that no text is made of.
_CONTROL_TOKEN = 3
# Names of tensors: GGUF's standardized ones, and those of LlamaForCausalLM.
_OF_MODEL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_OF_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class GgufLlama:
    """What the file holds.

    Args:
        file: a GGUF file of the architecture `llama` with a byte-level BPE tokenizer.

    Raises:
        ValueError: it is of another architecture, or no GGUF file.
    """

    def __init__(self, file: Path) -> None:
        # Not on top: it takes seconds, also where the model has long been converted.
        from gguf import GGUFReader

        self._reader = GGUFReader(file)
        self._values = {name: field.contents() for name, field in self._reader.fields.items()}
        architecture = self._values["general.architecture"]
        if architecture != "llama":
            raise ValueError(f"{file.name} holds a model of the architecture {architecture!r}")

    def write(self, folder: Path) -> None:
        """Write weights, configuration and tokenizer into a folder that is there."""
        from safetensors.torch import save_file
        from transformers import GenerationConfig, PreTrainedTokenizerFast

        config = self._config()
        config.save_pretrained(folder)
        GenerationConfig.from_model_config(config).save_pretrained(folder)
        save_file(self._weights(), folder / "model.safetensors", metadata={"format": "pt"})
        tokens = self._values["tokenizer.ggml.tokens"]
        tokenizer: Any = PreTrainedTokenizerFast
        tokenizer(
            tokenizer_object=self.tokenizer(),
            chat_template=self._values["tokenizer.chat_template"],
            bos_token=tokens[self._token("bos")],
            eos_token=tokens[self._token("eos")],
            pad_token=tokens[self._token("padding")],
            unk_token=tokens[self._token("unknown")],
        ).save_pretrained(folder)

    def tokenizer(self) -> "Tokenizer":
        """Return the tokenizer; neither torch nor transformers is needed for it."""
        from tokenizers import AddedToken, Tokenizer
        from tokenizers.decoders import ByteLevel as Bytes
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel
        from tokenizers.processors import TemplateProcessing

        tokens: list[str] = self._values["tokenizer.ggml.tokens"]
        kinds: list[int] = self._values["tokenizer.ggml.token_type"]
        merges: list[str] = self._values["tokenizer.ggml.merges"]
        made = Tokenizer(
            BPE(
                vocab={token: number for number, token in enumerate(tokens)},
                merges=[(left, right) for left, right in (merge.split(" ") for merge in merges)],
                continuing_subword_prefix="",
                end_of_word_suffix="",
            )
        )
        made.pre_tokenizer = ByteLevel(add_prefix_space=False)
        made.decoder = Bytes()
        # No text begins or ends with a token of its own.
        made.post_processor = TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
        made.add_special_tokens(
            [
                AddedToken(token, normalized=False)
                for token, kind in zip(tokens, kinds, strict=True)
                if kind == _CONTROL_TOKEN
            ]
        )
        return made

    def _token(self, name: str) -> int:
        return int(self._values[f"tokenizer.ggml.{name}_token_id"])

    def _config(self) -> "LlamaConfig":
        from transformers import LlamaConfig

        def value(name: str) -> Any:
            return self._values[f"llama.{name}"]

        config: Any = LlamaConfig
        made: LlamaConfig = config(
            architectures=["LlamaForCausalLM"],
            dtype="bfloat16",
            vocab_size=value("vocab_size"),
            hidden_size=value("embedding_length"),
            intermediate_size=value("feed_forward_length"),
            num_hidden_layers=value("block_count"),
            num_attention_heads=value("attention.head_count"),
            num_key_value_heads=value("attention.head_count_kv"),
            head_dim=value("rope.dimension_count"),
            max_position_embeddings=value("context_length"),
            rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
            rope_parameters={"rope_type": "default", "rope_theta": value("rope.freq_base")},
            tie_word_embeddings=all(one.name != "output.weight" for one in self._reader.tensors),
            bos_token_id=self._token("bos"),
            eos_token_id=self._token("eos"),
            pad_token_id=self._token("padding"),
            unk_token_id=self._token("unknown"),
        )
        return made

    def _weights(self) -> "dict[str, Tensor]":
        """Return all tensors in bfloat16, by their names in LlamaForCausalLM."""
        import torch
        from gguf import dequantize

        # GGUF keeps both halves of a rotary pair side by side, transformers one half after the
        # other: https://github.com/ggml-org/llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute.
        rotated = {
            "attn_q": self._values["llama.attention.head_count"],
            "attn_k": self._values["llama.attention.head_count_kv"],
        }
        weights = {}
        for tensor in self._reader.tensors:
            *layer, part, _ = tensor.name.split(".")
            name = f"model.layers.{layer[1]}.{_OF_LAYER[part]}" if layer else _OF_MODEL[part]
            values = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
            if part in rotated:
                pairs = values.view(rotated[part], -1, 2, values.shape[1])
                values = pairs.transpose(1, 2).flatten(0, 2)
            weights[f"{name}.weight"] = values.to(torch.bfloat16).contiguous()
        return weights
