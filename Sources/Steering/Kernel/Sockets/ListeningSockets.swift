/// The listening TCP and unconnected UDP sockets of the calling thread's network namespace, by inode number.
struct ListeningSockets {
    private let byInode: [UInt32: DiagnosedSocket]
    private let counts: [DiagnosedSocket.Place: Int]
    /// The addresses of the Multipath TCP listeners.
    let multipath: [UInt32: SocketAddress]
    /// The cookies of all sockets but the Multipath TCP listeners.
    let cookies: Set<SocketCookie>

    /// Lists the sockets.
    ///
    /// - Throws: `systemCall`; with ENOENT if the kernel lacks inet_diag.
    init() throws(SteeringError) {
        let diagnostics = try SocketDiagnostics()
        // sock_diag also lists the plain TCP socket beneath a Multipath TCP listener, on newer kernels with the same
        // inode.
        let multipath = (try? diagnostics.multipathListeners()) ?? [:]
        let sockets = try diagnostics.sockets().filter { $0.value.inode != 0 && multipath[$0.value.inode] == nil }
        cookies = Set(sockets.keys)
        byInode = Dictionary(sockets.values.lazy.map { ($0.inode, $0) }) { first, _ in first }
        counts = Dictionary(sockets.values.lazy.map { ($0.place, 1) }, uniquingKeysWith: +)
        self.multipath = multipath
    }

    subscript(inode: UInt32) -> DiagnosedSocket? { byInode[inode] }

    /// Returns the number of sockets bound there.
    func count(at place: DiagnosedSocket.Place) -> Int { counts[place] ?? 0 }
}
