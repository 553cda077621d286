/// The sockets of the calling thread's network namespace that wait for whoever comes, by the inodes that /proc shows.
struct ListeningSockets {
    private let byInode: [UInt32: DiagnosedSocket]
    private let counts: [DiagnosedSocket.Place: Int]
    /// Where the Multipath TCP listeners are bound.
    let multipath: [UInt32: SocketAddress]
    /// The identities of all.
    let cookies: Set<SocketCookie>

    /// - Throws: `systemCall`; ENOENT for a kernel without inet_diag.
    init() throws(SteeringError) {
        let diagnostics = try SocketDiagnostics()
        // sock_diag also lists the plain socket beneath a Multipath TCP listener, on newer kernels with its inode.
        let multipath = (try? diagnostics.multipathListeners()) ?? [:]
        let sockets = try diagnostics.sockets().filter { $0.value.inode != 0 && multipath[$0.value.inode] == nil }
        cookies = Set(sockets.keys)
        byInode = Dictionary(sockets.values.lazy.map { ($0.inode, $0) }) { first, _ in first }
        counts = Dictionary(sockets.values.lazy.map { ($0.place, 1) }, uniquingKeysWith: +)
        self.multipath = multipath
    }

    subscript(inode: UInt32) -> DiagnosedSocket? { byInode[inode] }

    /// How many sockets are bound there.
    func count(at place: DiagnosedSocket.Place) -> Int { counts[place] ?? 0 }
}
