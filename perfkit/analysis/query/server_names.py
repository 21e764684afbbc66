"""What servers call what they publish, mapped to a few common names.

Facts only, from the servers' documentation and pages: vLLM (docs.vllm.ai, "Production Metrics", 0.5 to 0.32), SGLang
(docs.sglang.io, "Production Metrics"), Text Generation Inference (huggingface.co, "Metrics"), llama.cpp (its server's
README), TensorRT-LLM (its Triton backend's README; trtllm-serve), Triton (its metrics page), Dynamo (docs.nvidia.com,
"Metrics"), LiteLLM (docs.litellm.ai, "Prometheus metrics"), DCGM exporter (its default counters), NVML (NVIDIA's
"NVML API Reference Guide", device queries).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Published(NamedTuple):
    """One server's name of a quantity."""

    server: str
    name: str
    where: tuple[str, str] | None = None
    """The label, and its value, that a series must have."""
    scale: float = 1.0
    """What a published value is multiplied by."""
    of: tuple[str, ...] = ()
    """Counters: then the growth of ``name`` is taken as a share of the growth of these together."""


@dataclass(frozen=True)
class Quantity:
    """A column of ``runs.server``. The first name that any page has counts: engines stand before front ends."""

    unit: str
    meaning: str
    together: Literal["sum", "mean"]
    """What becomes of several series and pages: of engines, replicas, GPUs."""
    names: tuple[Published, ...]
    is_rate: bool = False
    """Its names are counters, and their growth a second is told."""


_MIB = 2.0**20
_VLLM, _SGLANG, _TGI, _LLAMA = "vLLM", "SGLang", "TGI", "llama.cpp"
_TRITON, _TRTLLM = "TensorRT-LLM (Triton)", "TensorRT-LLM (trtllm-serve)"
_DYNAMO, _LITELLM, _DCGM = "Dynamo", "LiteLLM", "DCGM exporter"
_NVML = "NVML, this machine"
_CACHED = "llamacpp:prompt_tokens_cached_total"
_REQUESTS, _BLOCKS = "nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"

QUANTITIES = {
    "running": Quantity(
        "requests",
        "requests that it works on",
        "sum",
        (
            Published(_VLLM, "vllm:num_requests_running"),
            Published(_SGLANG, "sglang:num_running_reqs"),
            Published(_TGI, "tgi_batch_current_size"),
            Published(_LLAMA, "llamacpp:requests_processing"),
            Published(_TRITON, _REQUESTS, ("request_type", "scheduled")),
            Published(_TRTLLM, "trtllm_num_requests_running"),
            Published(_DYNAMO, "dynamo_frontend_inflight_requests"),
            Published(f"{_DYNAMO}, early", "nv_llm_http_service_inflight_requests"),
            Published(_LITELLM, "litellm_in_flight_requests"),
        ),
    ),
    "waiting": Quantity(
        "requests",
        "requests in its queue",
        "sum",
        (
            Published(_VLLM, "vllm:num_requests_waiting"),
            Published(_SGLANG, "sglang:num_queue_reqs"),
            Published(_TGI, "tgi_queue_size"),
            Published(_LLAMA, "llamacpp:requests_deferred"),
            Published(_TRITON, _REQUESTS, ("request_type", "waiting")),
            Published(_TRTLLM, "trtllm_num_requests_waiting"),
            Published("Triton", "nv_inference_pending_request_count"),
            Published(f"{_DYNAMO} (until the first token)", "dynamo_frontend_queued_requests"),
        ),
    ),
    "kv_cache_use": Quantity(
        "share",
        "of its KV cache that is taken",
        "mean",
        (
            Published(_VLLM, "vllm:kv_cache_usage_perc"),
            Published(f"{_VLLM}, to 0.10", "vllm:gpu_cache_usage_perc"),
            Published(_SGLANG, "sglang:token_usage"),
            Published(f"{_LLAMA}, to 2025", "llamacpp:kv_cache_usage_ratio"),
            Published(_TRITON, _BLOCKS, ("kv_cache_block_type", "fraction")),
            Published(_TRTLLM, "trtllm_kv_cache_utilization"),
            Published(_DYNAMO, "dynamo_component_kvstats_gpu_cache_usage_percent"),
        ),
    ),
    "prefix_cache_hits": Quantity(
        "share",
        "of the prompts' tokens that its prefix cache held; of counters: since the look before",
        "mean",
        (
            Published(_VLLM, "vllm:prefix_cache_hits_total", of=("vllm:prefix_cache_queries_total",)),
            Published(
                f"{_VLLM}, to 0.9", "vllm:gpu_prefix_cache_hits_total", of=("vllm:gpu_prefix_cache_queries_total",)
            ),
            Published(f"{_VLLM} V0", "vllm:gpu_prefix_cache_hit_rate"),
            Published(_SGLANG, "sglang:cache_hit_rate"),
            Published(_LLAMA, _CACHED, of=(_CACHED, "llamacpp:prompt_tokens_total")),
            Published(_TRTLLM, "trtllm_kv_cache_hit_rate"),
            Published(_DYNAMO, "dynamo_component_kvstats_gpu_prefix_cache_hit_rate"),
        ),
    ),
    "preemptions": Quantity(
        "1/s",
        "requests put back for want of memory, since the look before",
        "sum",
        (
            Published(_VLLM, "vllm:num_preemptions_total"),
            Published(_SGLANG, "sglang:num_retracted_requests_total"),
        ),
        is_rate=True,
    ),
    "power": Quantity(
        "W",
        "drawn by the GPUs",
        "sum",
        (
            Published(_DCGM, "DCGM_FI_DEV_POWER_USAGE"),
            Published(f"{_DCGM}, to 1", "dcgm_power_usage"),
            Published("Triton", "nv_gpu_power_usage"),
            Published(_NVML, "nvmlDeviceGetPowerUsage", scale=0.001),
        ),
    ),
    "utilisation": Quantity(
        "share",
        "of the time in which the GPUs were busy",
        "mean",
        (
            Published(_DCGM, "DCGM_FI_DEV_GPU_UTIL", scale=0.01),
            Published(f"{_DCGM}, to 1", "dcgm_gpu_utilization", scale=0.01),
            Published("Triton", "nv_gpu_utilization"),
            Published(_NVML, "nvmlDeviceGetUtilizationRates_gpu", scale=0.01),
        ),
    ),
    "memory": Quantity(
        "bytes",
        "of the GPUs that are taken",
        "sum",
        (
            Published(_DCGM, "DCGM_FI_DEV_FB_USED", scale=_MIB),
            Published(f"{_DCGM}, to 1", "dcgm_fb_used", scale=_MIB),
            Published("Triton", "nv_gpu_memory_used_bytes"),
            Published(_NVML, "nvmlDeviceGetMemoryInfo_used"),
        ),
    ),
}
"""What is common to servers, by its column of ``runs.server``."""

TTFT = (
    Published(_VLLM, "vllm:time_to_first_token_seconds"),
    Published(_SGLANG, "sglang:time_to_first_token_seconds"),
    Published(_TRTLLM, "trtllm_time_to_first_token_seconds"),
    Published(_DYNAMO, "dynamo_frontend_time_to_first_token_seconds"),
    Published(_LITELLM, "litellm_llm_api_time_to_first_token_metric"),
)
"""Histograms of the time to the first token, seconds."""
