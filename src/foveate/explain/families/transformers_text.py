"""Text models of transformers: queries and keys are pieces of words, in their order."""

from __future__ import annotations

from foveate.explain.families.layout import Call, Layout, family
from foveate.explain.geometry.places import sequence

_HF = "transformers.models"


@family(
    f"{_HF}.bert.modeling_bert.BertSelfAttention",
    f"{_HF}.bert.modeling_bert.BertCrossAttention",
    f"{_HF}.roberta.modeling_roberta.RobertaSelfAttention",
    f"{_HF}.distilbert.modeling_distilbert.DistilBertSelfAttention",
    f"{_HF}.gpt2.modeling_gpt2.GPT2Attention",
    f"{_HF}.llama.modeling_llama.LlamaAttention",
    f"{_HF}.t5.modeling_t5.T5Attention",
    f"{_HF}.marian.modeling_marian.MarianAttention",
    f"{_HF}.bart.modeling_bart.BartAttention",
    f"{_HF}.blip.modeling_blip_text.BlipTextSelfAttention",
)
def words(call: Call) -> Layout:
    """Describe attention among words, or from words to those of another text."""
    return Layout(queries=sequence(call.shape[-2]), keys=sequence(call.shape[-1]))
