"""Frames, commands and codes of the Aldis client protocol, as PROTOCOL.md gives them."""

import enum
import importlib.util
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
from typing import NamedTuple

MAGIC = 0x494D
VERSION = 1
HEADER = struct.Struct(">HBBHHII")
BODY_MAX = 1 << 20
BODY_MAX_BEFORE_LOGIN = 4096
TEXT_MAX = 64 * 1024
CONTENT_MAX = 1_031_168
EXTRA_MAX = 16 * 1024
PAGE_BYTES_MAX = 256 * 1024


class Code(enum.IntEnum):
    OK = 0
    BAD_FRAME = 1
    BAD_REQUEST = 2
    UNSUPPORTED = 3
    NOT_LOGGED_IN = 4
    BAD_CREDENTIALS = 5
    TOKEN_EXPIRED = 6
    NOT_FOUND = 7
    FORBIDDEN = 8
    CONFLICT = 9
    TOO_LARGE = 10
    RATE_LIMITED = 11
    BUSY = 12
    RESYNC = 13
    UNAVAILABLE = 14
    INTERNAL = 15


# After these the request may or may not have had its effect: it is repeated with the same id.
INDEFINITE = (Code.UNAVAILABLE, Code.INTERNAL)
# After these the same request may be sent again once `retry_after_ms` has passed.
WAIT_AND_RETRY = (Code.RATE_LIMITED, Code.BUSY)


class Command(NamedTuple):
    name: str
    request_id: int
    request_message: str
    response_message: str

    @property
    def response_id(self):
        return self.request_id + 1


def _command(name, request_id):
    camel = "".join(word.capitalize() for word in name.split("_"))
    return Command(name, request_id, camel + "Req", camel + "Resp")


COMMANDS = {
    name: _command(name, request_id)
    for name, request_id in {
        "LOGIN": 0x1001,
        "HEARTBEAT": 0x1003,
        "REGISTER": 0x1006,
        "LOGOUT": 0x1008,
        "REFRESH_TOKEN": 0x100A,
        "CHANGE_PASSWORD": 0x100E,
        "DEVICE_LIST": 0x1010,
        "DEVICE_REVOKE": 0x1012,
        "USER_GET": 0x1014,
        "USER_UPDATE": 0x1016,
        "USER_FIND": 0x1018,
        "MSG_SEND": 0x2001,
        "MSG_SYNC": 0x2004,
        "HISTORY": 0x2006,
        "MARK_READ": 0x2008,
        "MARK_DELIVERED": 0x200A,
        "RECALL": 0x200C,
        "EDIT": 0x200E,
        "TYPING": 0x2012,
        "CONVERSATION_LIST": 0x2010,
        "RECEIPTS": 0x2016,
        "REACT": 0x201A,
        "REACTIONS": 0x201C,
        "CONVERSATION_UPDATE": 0x201E,
        "SEARCH": 0x2018,
        "FRIEND_APPLY": 0x4001,
        "FRIEND_HANDLE": 0x4003,
        "FRIEND_LIST": 0x4005,
        "FRIEND_DELETE": 0x4007,
        "GROUP_CREATE": 0x4009,
        "GROUP_JOIN": 0x400B,
        "GROUP_LIST": 0x400D,
        "GROUP_MEMBERS": 0x400F,
        "GROUP_INVITE": 0x4011,
        "GROUP_LEAVE": 0x4013,
        "GROUP_REMOVE": 0x4015,
        "GROUP_HANDLE_JOIN": 0x4017,
        "GROUP_SET_ROLE": 0x4019,
        "GROUP_TRANSFER": 0x401B,
        "GROUP_UPDATE": 0x401D,
        "GROUP_MUTE": 0x401F,
        "GROUP_DISSOLVE": 0x4021,
        "FRIEND_UPDATE": 0x4023,
        "BLOCK": 0x4025,
        "UNBLOCK": 0x4027,
        "GROUP_REQUESTS": 0x4029,
        "PRESENCE_QUERY": 0x5001,
        "PRESENCE_SUBSCRIBE": 0x5003,
    }.items()
}
RESPONSES = {command.response_id: command for command in COMMANDS.values()}
NOTIFICATIONS = {0x1005: "KickNotify", 0x100C: "GoawayNotify", 0x2003: "MsgPushNotify", 0x2014: "TypingNotify",
                 0x2020: "ReceiptNotify", 0x5005: "PresenceNotify"}


class Frame(NamedTuple):
    cmd: int
    code: int
    seq: int
    body: bytes


class ProtocolError(Exception):
    """The server sent something that PROTOCOL.md does not allow."""


def pack_header(cmd, seq, length, *, magic=MAGIC, version=VERSION, flags=0, code=0):
    return HEADER.pack(magic, version, flags, cmd, code, seq, length)


def pack_frame(cmd, seq, body=b"", **header):
    return pack_header(cmd, seq, len(body), **header) + body


async def read_frame(reader):
    """The next frame, or None at a clean end of the stream."""
    start = await reader.read(1)
    if not start:
        return None
    header = start + await reader.readexactly(HEADER.size - 1)
    magic, version, flags, cmd, code, seq, length = HEADER.unpack(header)
    if magic != MAGIC or version != VERSION or flags != 0 or length > BODY_MAX:
        raise ProtocolError(f"the server sent a header that is none: {header.hex()}")
    return Frame(cmd, code, seq, await reader.readexactly(length))


# ---------------------------------------------------------------- messages

PROTO_FILE = pathlib.Path(__file__).resolve().parents[3] / "protocol" / "client.proto"


class Messages:
    """The message classes and enum values of client.proto: `messages.LoginReq(...)`, `messages.TEXT`."""

    def __init__(self, proto_file=PROTO_FILE):
        try:
            from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
        except ImportError:
            sys.exit("The Python package `protobuf` is missing: pip install protobuf")
        file_set = descriptor_pb2.FileDescriptorSet.FromString(_compile(proto_file))
        pool = descriptor_pool.DescriptorPool()
        for file in file_set.file:
            pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
        class_of = getattr(message_factory, "GetMessageClass", None)
        class_of = class_of or message_factory.MessageFactory(pool).GetPrototype
        for file in file_set.file:
            for message in file.message_type:
                setattr(self, message.name, class_of(pool.FindMessageTypeByName(f"{file.package}.{message.name}")))
            for enum_type in file.enum_type:
                for value in enum_type.value:
                    setattr(self, value.name, value.number)


def _compile(proto_file):
    """A descriptor set, not generated code: it fits every version of the `protobuf` package."""
    if not proto_file.is_file():
        sys.exit(f"{proto_file} does not exist")
    if importlib.util.find_spec("grpc_tools"):
        protoc = [sys.executable, "-m", "grpc_tools.protoc"]
    elif shutil.which("protoc"):
        protoc = ["protoc"]
    else:
        sys.exit("Nothing to compile client.proto with: pip install grpcio-tools, or install protoc")
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "client.bin"
        command = [*protoc, f"-I{proto_file.parent}", f"--descriptor_set_out={output}", proto_file.name]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"client.proto does not compile:\n{result.stderr}")
        return output.read_bytes()


messages = Messages()
