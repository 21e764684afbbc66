"""Reads pickles of plain data, opcode by opcode."""

from collections.abc import Callable
from struct import Struct
from typing import Final

from perfkit.errors import CorruptPickle, LimitExceeded
from perfkit.runfile.safe_pickle import opcodes as op
from perfkit.runfile.safe_pickle.limits import LIMITS, Limits, Plain, weigh


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_DOUBLE: Final = Struct(">d")

_TEXTS: Final = frozenset({op.TEXT1, op.TEXT4})
_CONTAINERS: Final = frozenset({op.LIST, op.DICT})
_CONSTANTS: Final[dict[int, Plain]] = {op.NONE: None, op.TRUE: True, op.FALSE: False}

# opcode: (bytes of argument, how to read them)
_SCALARS: Final[dict[int, tuple[int, Callable[[bytes], Plain]]]] = {
    op.INT2: (2, _little),
    op.INT4: (4, _signed),
    op.FLOAT: (8, lambda data: _DOUBLE.unpack(data)[0]),
    op.NO_TUPLE: (0, lambda _: ()),
}

# opcode: (bytes of length in front, how to read what follows)
_SIZED: Final[dict[int, tuple[int, Callable[[bytes], Plain]]]] = {
    op.TEXT8: (8, _text),
    op.BYTES1: (1, bytes),
    op.BYTES4: (4, bytes),
    op.BYTES8: (8, bytes),
    op.LONG1: (1, _signed),
}


def loads(data: bytes, limits: Limits = LIMITS) -> Plain:
    """Read a pickle of plain data.

    Examples
    --------
    >>> loads(bytes.fromhex("80045d288c026f6b652e"))
    ['ok']
    """
    if len(data) > limits.pickle:
        raise LimitExceeded(f"a pickle of {len(data)} bytes, more than {limits.pickle}")
    if len(data) < 2 or data[0] != op.PROTO or not 2 <= data[1] <= 5:
        raise CorruptPickle(f"no pickle of protocol 2 to 5 (starts with {data[:2].hex() or 'nothing'})")
    reader = _Reader(data, limits)
    try:
        value = reader.run()
    except IndexError:
        raise CorruptPickle("the pickle is cut short, or its stack underflows") from None
    except UnicodeDecodeError as error:
        raise CorruptPickle(f"a text that is no UTF-8: {error.reason}") from None
    weigh(value, limits, reader.shared)
    return value


class _Reader:
    """The stack, the marks and the memo of one pickle being read."""

    __slots__ = ("at", "containers", "data", "end", "framed", "limits", "longest", "memo", "outer", "shared", "stack")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = data
        self.limits = limits
        self.at = 2
        self.end = len(data)
        self.framed = False
        self.stack: list[Plain] = []
        self.outer: list[list[Plain]] = []
        """Stacks below each open mark: what lies under a mark is out of reach."""
        self.memo: list[Plain] = []
        self.containers = 0
        # What is fetched often is small in the file and huge when written out. Short texts cannot add up to much.
        self.longest = limits.expanded // limits.opcodes
        self.shared = False

    def run(self) -> Plain:
        """Read up to STOP. What answers are made of is handled inline, since a call costs more than the work."""
        data, at, end, stack, memo = self.data, self.at, self.end, self.stack, self.memo
        texts, text1, memoize, get, longest = _TEXTS, op.TEXT1, op.MEMOIZE, op.GET, self.longest
        containers, int1, mark, stop = _CONTAINERS, op.INT1, op.MARK, op.STOP
        for _ in range(self.limits.opcodes):
            if at >= end:
                if at > end:
                    raise CorruptPickle(f"an argument before byte {at} crosses the end of its frame or of the data")
                end, self.framed = len(data), False
            code = data[at]
            at += 1
            if code in texts:
                start = at + (1 if code == text1 else 4)
                at = start + (data[at] if code == text1 else _little(data[at:start]))
                text = str(data[start:at], "utf-8", "surrogatepass")
                stack.append(text)
                if at < end and data[at] == memoize:
                    memo.append(text)
                    at += 1
            elif code == memoize:
                memo.append(stack[-1])
            elif code == get:
                value = memo[data[at]]
                at += 1
                if type(value) is not str or len(value) > longest:
                    self.shared = True
                stack.append(value)
            elif code in containers:
                self.count()
                stack.append({} if code == op.DICT else [])
            elif code == int1:
                stack.append(data[at])
                at += 1
            elif code in _CONSTANTS:
                stack.append(_CONSTANTS[code])
            elif code == mark:
                self.outer.append(stack)
                stack = []
                if len(self.outer) > self.limits.marks:
                    raise LimitExceeded(f"more than {self.limits.marks} open marks")
            elif code == stop:
                return self.only_value(stack, at)
            else:
                self.at, self.end, self.stack = at, end, stack
                (_STEPS.get(code) or _Reader.refuse)(self, code)
                at, end, stack = self.at, self.end, self.stack
        raise LimitExceeded(f"more than {self.limits.opcodes} opcodes")

    def only_value(self, stack: list[Plain], at: int) -> Plain:
        """Return what STOP leaves, when that is one value and nothing follows."""
        if self.outer or len(stack) != 1:
            raise CorruptPickle(f"{len(stack)} values and {len(self.outer)} open marks at the end, expected one value")
        if at != len(self.data):
            raise CorruptPickle(f"{len(self.data) - at} bytes after the end of the pickle")
        return stack[0]

    def refuse(self, code: int) -> None:
        """Raise for an opcode that plain data does not need."""
        name = op.REFUSED.get(code, f"0x{code:02x}")
        raise CorruptPickle(f"opcode {name} at byte {self.at - 1} is not data; it was not executed")

    def take(self, size: int) -> bytes:
        """Take the next bytes, all of them inside the frame."""
        start, self.at = self.at, self.at + size
        if self.at > self.end:
            raise CorruptPickle(f"{size} bytes at byte {start} cross the end of their frame or of the data")
        return self.data[start : self.at]

    def frame(self, _: int) -> None:
        size = _little(self.take(8))
        if self.framed or self.at + size > len(self.data):
            raise CorruptPickle(f"a frame of {size} bytes at byte {self.at} lies in another or ends beyond the data")
        self.framed = size > 0
        self.end = self.at + size if size else len(self.data)

    def scalar(self, code: int) -> None:
        size, read = _SCALARS[code]
        self.stack.append(read(self.take(size)))

    def sized(self, code: int) -> None:
        width, read = _SIZED[code]
        size = _little(self.take(width))
        if code == op.LONG1 and size > self.limits.integer:
            raise LimitExceeded(f"an integer of {size} bytes, more than {self.limits.integer}")
        self.stack.append(read(self.take(size)))

    def get(self, _: int) -> None:
        index = _little(self.take(4))
        value = self.memo[index]
        self.shared = self.shared or type(value) is not str or len(value) > self.longest
        self.stack.append(value)

    def put(self, code: int) -> None:
        index = _little(self.take(1 if code == op.PUT else 4))
        if index != len(self.memo):
            raise CorruptPickle(f"memo entry {index} is out of sequence, expected {len(self.memo)}")
        self.memo.append(self.stack[-1])

    def count(self) -> None:
        self.containers += 1
        if self.containers > self.limits.containers:
            raise LimitExceeded(f"more than {self.limits.containers} containers")

    def close(self) -> list[Plain]:
        """Return what was put down since the last mark."""
        items, self.stack = self.stack, self.outer.pop()
        return items

    def append(self, code: int) -> None:
        items = self.close() if code == op.APPENDS else [self.stack.pop()]
        target = self.stack[-1]
        if type(target) is not list:
            raise CorruptPickle(f"APPEND at byte {self.at} on a {type(target).__name__}")
        target.extend(items)

    def set_items(self, code: int) -> None:
        items = self.close() if code == op.SETITEMS else [self.stack.pop(-2), self.stack.pop()]
        target = self.stack[-1]
        keys = items[::2]
        if type(target) is not dict or len(items) % 2:
            raise CorruptPickle(f"SETITEM of {len(items)} values at byte {self.at} on a {type(target).__name__}")
        # Other keys would have to be hashed, and hashing a crafted tuple or float can take for ever.
        if not _ONLY_STR.issuperset(map(type, keys)):
            raise CorruptPickle(f"a dict key that is not a string, before byte {self.at}")
        target.update(zip(keys, items[1::2], strict=True))

    def tuple(self, code: int) -> None:
        self.count()
        if code == op.TUPLE:
            items = self.close()
        else:
            size = code - op.TUPLE1 + 1
            items = [self.stack.pop() for _ in range(size)][::-1]
        self.stack.append(tuple(items))


_ONLY_STR: Final = frozenset({str})
_STEPS: Final[dict[int, Callable[[_Reader, int], None]]] = {
    **dict.fromkeys(_SCALARS, _Reader.scalar),
    **dict.fromkeys(_SIZED, _Reader.sized),
    op.LONG_GET: _Reader.get,
    **dict.fromkeys((op.PUT, op.LONG_PUT), _Reader.put),
    **dict.fromkeys((op.APPEND, op.APPENDS), _Reader.append),
    **dict.fromkeys((op.SETITEM, op.SETITEMS), _Reader.set_items),
    **dict.fromkeys((op.TUPLE, *range(op.TUPLE1, op.TUPLE3 + 1)), _Reader.tuple),
    op.FRAME: _Reader.frame,
}
