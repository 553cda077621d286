import CLibBPF
import Glibc

/// An sk_lookup program that is attached to a network namespace, whosever it is.
public struct AttachedProgram: Sendable, Hashable {
    /// The program's number, as `bpftool prog` shows it.
    public let programID: UInt32
    /// The program's name; nil where it may not be read (CAP_SYS_ADMIN).
    public let name: String?
    /// The number of the link that attaches it, as `bpftool link` shows it; nil where it may not be read.
    public let linkID: UInt32?
}

extension NetworkNamespace {
    /// The sk_lookup programs of the namespace in the order in which they run: of several that select a
    /// socket the last one counts that replaces selections (`BPF_SK_LOOKUP_F_REPLACE`), else the first.
    ///
    /// ## Kernel
    /// `BPF_PROG_QUERY` needs CAP_NET_ADMIN; names and links need CAP_SYS_ADMIN, and are nil without it.
    ///
    /// - Throws: `missingCapability`, `systemCall`.
    public func attachedPrograms() throws(SteeringError) -> [AttachedProgram] {
        var programs = [UInt32](repeating: 0, count: 64)  // MAX_BPF_LINKS of the kernel
        var count = UInt32(programs.count)
        let error = bpf_prog_query(descriptor.rawValue, BPF_SK_LOOKUP, 0, nil, &programs, &count)
        if error == -EPERM {
            throw SteeringError(
                .missingCapability,
                "the programs of a network namespace are listed with CAP_NET_ADMIN only: run as root or grant it",
                cause: .systemCall("bpf(BPF_PROG_QUERY)", errno: EPERM))
        }
        try call("bpf(BPF_PROG_QUERY)", error)

        var links = lookupLinks()
        return programs.prefix(Int(count)).map { program in
            // Links are numbered in the order of attaching: the first that is left is this one.
            let link = links.firstIndex { $0.program == program }.map { links.remove(at: $0).id }
            return AttachedProgram(programID: program, name: Self.name(ofProgram: program), linkID: link)
        }
    }

    /// The links of the namespace, as far as they may be seen.
    private func lookupLinks() -> [(id: UInt32, program: UInt32)] {
        var links: [(id: UInt32, program: UInt32)] = []
        var id: UInt32 = 0
        while bpf_link_get_next_id(id, &id) == 0 {
            let opened = bpf_link_get_fd_by_id(id)
            guard opened >= 0 else { continue }
            let link = OwnedDescriptor(owning: opened)
            var info = bpf_link_info()
            var size = UInt32(MemoryLayout<bpf_link_info>.size)
            guard bpf_obj_get_info_by_fd(link.rawValue, &info, &size) == 0, info.type == BPF_LINK_TYPE_NETNS.rawValue,
                info.netns.attach_type == BPF_SK_LOOKUP.rawValue, UInt64(info.netns.netns_ino) == inode
            else { continue }
            links.append((id, info.prog_id))
        }
        return links
    }

    private static func name(ofProgram id: UInt32) -> String? {
        let opened = bpf_prog_get_fd_by_id(id)
        guard opened >= 0 else { return nil }
        let program = OwnedDescriptor(owning: opened)
        var info = bpf_prog_info()
        var size = UInt32(MemoryLayout<bpf_prog_info>.size)
        guard bpf_obj_get_info_by_fd(program.rawValue, &info, &size) == 0 else { return nil }
        return withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
