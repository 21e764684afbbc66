"""What answers are made of, and how prompts are counted."""

from functools import lru_cache

import orjson

from perfkit.simulator.model import mix
from perfkit.simulator.options import Text

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


@lru_cache(maxsize=3)
def pool(text: Text) -> tuple[bytes, ...]:
    """Return the tokens of a kind of text, escaped for JSON, without quotes.

    Examples
    --------
    >>> len(pool("words")), pool("words")[0], pool("chinese")[0].decode()
    (256, b' the', '的')
    """
    source = {"words": _WORDS, "chinese": _CHINESE, "emoji": _EMOJI}[text].split()
    space = " " if text == "words" else ""
    return tuple(orjson.dumps(space + source[index % len(source)])[1:-1] for index in range(_SIZE))


class Passage:
    """The text of one answer: a walk through the pool that depends on seed and request.

    Parameters
    ----------
    text : {"words", "chinese", "emoji"}
        Which pool.
    seed, number : int
        The server's seed and the request's number; the same pair gives the same text.

    Examples
    --------
    >>> Passage("words", seed=1, number=1).tokens(0, 3) == Passage("words", seed=1, number=1).tokens(0, 3)
    True
    >>> Passage("words", seed=1, number=1).tokens(0, 3) == Passage("words", seed=1, number=2).tokens(0, 3)
    False
    """

    __slots__ = ("_pool", "_start", "_stride")

    def __init__(self, text: Text, seed: int, number: int) -> None:
        self._pool = pool(text)
        start = mix(seed, number)
        self._start = start % _SIZE
        self._stride = (start >> 16) | 1

    def token(self, index: int) -> bytes:
        """Return one token, escaped for JSON."""
        return self._pool[(self._start + index * self._stride) % _SIZE]

    def tokens(self, first: int, count: int) -> bytes:
        """Return ``count`` tokens from ``first`` on, joined."""
        if count == 1:
            return self.token(first)
        return b"".join(map(self.token, range(first, first + count)))

    def text(self, first: int, end: int) -> str:
        """Return the tokens from ``first`` to before ``end`` as text."""
        text: str = orjson.loads(b'"%b"' % self.tokens(first, end - first))
        return text


def count_tokens(text: str) -> int:
    """Count a prompt the way the simulator does: words between white space, and one per CJK character.

    The bytes that characters outside ASCII take beyond their first are counted by twos, which is one for each
    Chinese, Japanese or Korean character and half of one for an accented letter. At least 1.

    Parameters
    ----------
    text : str
        Any prompt.

    Returns
    -------
    int
        Tokens.

    Examples
    --------
    >>> count_tokens("What is the capital of France?"), count_tokens("法国的首都"), count_tokens("")
    (6, 6, 1)
    """
    beyond_ascii = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text)
    return max(len(text.split()) + beyond_ascii // 2, 1)
