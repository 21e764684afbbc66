"""The opcodes of the pickle format: those that plain data needs by name, all others only to refuse them by name."""

from typing import Final

PROTO: Final = 0x80
FRAME: Final = 0x95
STOP: Final = 0x2E
MARK: Final = 0x28
MEMOIZE: Final = 0x94

PUT: Final = 0x71
LONG_PUT: Final = 0x72
GET: Final = 0x68
LONG_GET: Final = 0x6A

NONE: Final = 0x4E
TRUE: Final = 0x88
FALSE: Final = 0x89
INT1: Final = 0x4B
INT2: Final = 0x4D
INT4: Final = 0x4A
LONG1: Final = 0x8A
FLOAT: Final = 0x47

TEXT1: Final = 0x8C
TEXT4: Final = 0x58
TEXT8: Final = 0x8D
BYTES1: Final = 0x43
BYTES4: Final = 0x42
BYTES8: Final = 0x8E

LIST: Final = 0x5D
APPEND: Final = 0x61
APPENDS: Final = 0x65
DICT: Final = 0x7D
SETITEM: Final = 0x73
SETITEMS: Final = 0x75
NO_TUPLE: Final = 0x29
TUPLE: Final = 0x74
TUPLE1: Final = 0x85
TUPLE2: Final = 0x86
TUPLE3: Final = 0x87

REFUSED: Final = {
    0x30: "POP",
    0x31: "POP_MARK",
    0x32: "DUP",
    0x46: "FLOAT",
    0x49: "INT",
    0x4C: "LONG",
    0x50: "PERSID",
    0x51: "BINPERSID",
    0x52: "REDUCE",
    0x53: "STRING",
    0x54: "BINSTRING",
    0x55: "SHORT_BINSTRING",
    0x56: "UNICODE",
    0x62: "BUILD",
    0x63: "GLOBAL",
    0x64: "DICT",
    0x67: "GET",
    0x69: "INST",
    0x6C: "LIST",
    0x6F: "OBJ",
    0x70: "PUT",
    0x81: "NEWOBJ",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x8B: "LONG4",
    0x8F: "EMPTY_SET",
    0x90: "ADDITEMS",
    0x91: "FROZENSET",
    0x92: "NEWOBJ_EX",
    0x93: "STACK_GLOBAL",
    0x96: "BYTEARRAY8",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}
