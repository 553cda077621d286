import CLibBPF
import Glibc

/// An sk_lookup program attached to a network namespace, by this or any other software.
public struct AttachedProgram: Sendable, Hashable {
    /// The program's ID, as `bpftool prog` shows it.
    public let programID: UInt32
    /// The program's name; nil without CAP_SYS_ADMIN.
    public let name: String?
    /// The ID of the link that attaches the program, as `bpftool link` shows it; nil without CAP_SYS_ADMIN.
    public let linkID: UInt32?
}

extension NetworkNamespace {
    /// Returns the sk_lookup programs of the namespace in the order in which they run.
    ///
    /// If several select a socket, the last selection that replaces earlier ones (`BPF_SK_LOOKUP_F_REPLACE`) counts; if
    /// none replaces, the first.
    ///
    /// ## Kernel
    /// `BPF_PROG_QUERY` needs CAP_NET_ADMIN. Names and links need CAP_SYS_ADMIN, and are nil without it.
    ///
    /// - Throws: `missingCapability`, `systemCall`.
    public func attachedPrograms() throws(SteeringError) -> [AttachedProgram] {
        var programs = [UInt32](repeating: 0, count: 64)  // The kernel's limit, see netns_bpf_max_progs
        var count = UInt32(programs.count)
        let error = bpf_prog_query(descriptor.rawValue, BPF_SK_LOOKUP, 0, nil, &programs, &count)
        if error == -EPERM {
            throw SteeringError(
                .missingCapability,
                "listing the programs of a network namespace needs CAP_NET_ADMIN: run as root or grant it",
                cause: .systemCall("bpf(BPF_PROG_QUERY)", errno: EPERM))
        }
        try call("bpf(BPF_PROG_QUERY)", error)

        var links = lookupLinks()
        return programs.prefix(Int(count)).map { program in
            // Link IDs increase in the order of attachment, so the first remaining link of the program is the right
            // one.
            let link = links.firstIndex { $0.program == program }.map { links.remove(at: $0).id }
            return AttachedProgram(programID: program, name: Self.name(ofProgram: program), linkID: link)
        }
    }

    /// Returns the sk_lookup links of the namespace; none without CAP_SYS_ADMIN.
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
