"""Reads information about BPF objects, by system calls."""
import contextlib
import ctypes
import os
import platform
import struct

libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {"x86_64": {"statfs": 137, "bpf": 321}, "aarch64": {"statfs": 43, "bpf": 280}}[platform.machine()]
kept = {}


def address_of(data):
    kept["bytes"] = ctypes.create_string_buffer(data)
    return ctypes.addressof(kept["bytes"])


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(NUMBERS["bpf"], command, ctypes.byref(buffer), 128)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result, buffer.raw


OBJ_GET, PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 7, 11, 13, 15


@contextlib.contextmanager
def opened(command, *attributes):
    descriptor, _ = bpf(command, struct.pack("=QIII" if command == OBJ_GET else "=IIII", *attributes))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def information(descriptor, size, asked=b""):
    """Returns the kernel's information about an object."""
    buffer = ctypes.create_string_buffer(bytes(asked), size)
    bpf(OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", descriptor, size, ctypes.addressof(buffer)))
    return buffer.raw


def next_program(number):
    try:
        return struct.unpack_from("=4xI", bpf(PROG_GET_NEXT_ID, struct.pack("=III", number, 0, 0))[1])[0]
    except FileNotFoundError:
        return None


def programs_using(path):
    """Returns the loaded programs that use the map pinned there."""
    with opened(OBJ_GET, address_of(path.encode() + b"\0"), 0, 0, 0) as pinned:
        [wanted] = struct.unpack_from("=4xI", information(pinned, 80))
    found, number = [], 0
    while (number := next_program(number)) is not None:
        try:
            with opened(PROG_GET_FD_BY_ID, number, 0, 0, 0) as program:
                maps = (ctypes.c_uint32 * 64)()
                info = bytearray(232)
                # bpf_prog_info: how many maps at 52, where their numbers go at 56.
                struct.pack_into("=IQ", info, 52, len(maps), ctypes.addressof(maps))
                [count] = struct.unpack_from("=I", information(program, len(info), info), 52)
        except FileNotFoundError:
            continue  # It has just ended.
        if wanted in maps[:count]:
            found.append(number)
    return found
