"""The text that answers are made of, and how prompts are counted."""

from functools import lru_cache

import orjson

from perfkit.records import Json
from perfkit.simulator.model import mix
from perfkit.simulator.options import TextKind

_WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what its "
    "about than into them can only other time new some could these two may first then do any like my now over such "
    "our man me even most made after also did many off before must well back through years much where your way down "
    "should because long each just state those people too mr how little good world make very year still see own work "
    "men day get here between both life being under three never know same last another while us might great old go "
    "come since against right take used himself few house use place"
)
_CHINESE = (
    "的 一 是 在 不 了 有 和 人 这 中 大 为 上 个 国 我 以 要 他 时 来 用 们 生 到 作 地 于 "
    "出 就 分 对 成 会 可 主 发 年 动 同 工 也 能 下 过 子 说 产 种 面 而 方 后 多 定 行 学 "
    "法 所 民 得 经 十 三 之 进 着 等 部 度 家 电 力 里 如 水 化 高 自 "
    "模型 推理 延迟 吞吐 测试 请求 响应 服务"
)
_EMOJI = "🙂 🚀 👍 🎉 🌍 🔥 é ß ñ 日本 한국 👩‍💻 🇫🇷 ½ → ∑"
_SIZE = 256  # a power of two, so that an odd stride visits every entry
_TOKENS_PER_MEDIA_PART = 256  # an image or a recording


@lru_cache(maxsize=3)
def _vocabulary(kind: TextKind) -> tuple[bytes, ...]:
    """Return the tokens of a kind of text, escaped for JSON, without quotes."""
    source = {"words": _WORDS, "chinese": _CHINESE, "emoji": _EMOJI}[kind].split()
    space = " " if kind == "words" else ""
    return tuple(orjson.dumps(space + source[index % len(source)])[1:-1] for index in range(_SIZE))


class Text:
    """The text of one answer: a walk through the vocabulary that depends on seed and request number alone."""

    __slots__ = ("_start", "_stride", "_vocabulary")

    def __init__(self, kind: TextKind, seed: int, number: int) -> None:
        self._vocabulary = _vocabulary(kind)
        start = mix(seed, number)
        self._start = start % _SIZE
        self._stride = (start >> 16) | 1

    def escaped(self, first: int, end: int) -> bytes:
        """Return the tokens from ``first`` to before ``end``, escaped for JSON."""
        vocabulary, start, stride = self._vocabulary, self._start, self._stride
        if end - first == 1:  # nearly always, and on the path between a due time and its write
            return vocabulary[(start + first * stride) % _SIZE]
        return b"".join([vocabulary[(start + index * stride) % _SIZE] for index in range(first, end)])

    def plain(self, first: int, end: int) -> str:
        """Return the tokens from ``first`` to before ``end``."""
        text: str = orjson.loads(b'"%b"' % self.escaped(first, end))
        return text


def count_tokens(prompt: Json) -> int:
    """Count a prompt: text, token ids, content parts, messages, or lists of them.

    Text counts one token for each word between white space and one for each Chinese, Japanese or Korean character,
    at least 1. Parts that are not text count 256.

    Examples
    --------
    >>> count_tokens("What is the capital of France?"), count_tokens("法国的首都"), count_tokens([5, 7])
    (6, 6, 2)
    >>> count_tokens([{"role": "user", "content": "two words"}, {"role": "user", "content": [{"type": "image_url"}]}])
    258
    """
    match prompt:
        case str():
            # Bytes beyond the first of a character, by twos: 1 for a CJK character, half of 1 for an accented letter.
            beyond_ascii = 0 if prompt.isascii() else len(prompt.encode("utf-8", "surrogatepass")) - len(prompt)
            return max(len(prompt.split()) + beyond_ascii // 2, 1)
        case int():
            return 1
        case list():
            return sum(map(count_tokens, prompt))
        case {"content": inner} | {"text": inner} | {"input_text": inner}:
            return count_tokens(inner)
        case dict():
            return _TOKENS_PER_MEDIA_PART
        case _:
            return 0
