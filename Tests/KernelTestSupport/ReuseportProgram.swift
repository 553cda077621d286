import CLibBPF
import Glibc

/// Programs that a SO_REUSEPORT group may have of its own. They run after steering chose the group.
public enum ReuseportProgram {
    /// Always the same member, counted in the order in which they were bound: classic BPF, `ret #member`.
    public static func choose(member: UInt32, for descriptor: CInt) throws {
        var instruction = (code: UInt16(0x06), whenTrue: UInt8(0), whenFalse: UInt8(0), value: member)
        let attached = withUnsafeMutablePointer(to: &instruction) { pointer in
            var program = (count: UInt16(1), instructions: UnsafeMutableRawPointer(pointer))
            return setsockopt(
                descriptor, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                socklen_t(MemoryLayout.size(ofValue: program)))
        }
        try verify(attached, is: 0, "SO_ATTACH_REUSEPORT_CBPF, errno \(errno)")
    }

    /// Nobody: `return SK_DROP`.
    public static func drop(for descriptor: CInt) throws {
        var move = bpf_insn()
        move.code = 0xb7  // r0 = 0
        var exit = bpf_insn()
        exit.code = 0x95
        let program = bpf_prog_load(BPF_PROG_TYPE_SK_REUSEPORT, "drop", "GPL", [move, exit], 2, nil)
        try verify(program >= 0, "loading a SK_REUSEPORT program: \(-program)")
        defer { close(program) }
        var value = program
        let attached = setsockopt(
            descriptor, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &value, socklen_t(MemoryLayout<CInt>.size))
        try verify(attached, is: 0, "SO_ATTACH_REUSEPORT_EBPF, errno \(errno)")
    }
}
