import Glibc

/// What a steering sees of its network namespace from outside: its sockets, and who belongs to it.
final class NamespaceView: Sendable {
    private let diagnostics: SocketDiagnostics
    private let cookie: UInt64?
    private let inode: UInt64

    /// Takes a look from inside.
    ///
    /// - Throws: `missingCapability` when the calling thread may not enter.
    static func open(_ namespace: borrowing NetworkNamespace) throws(SteeringError) -> NamespaceView {
        let inode = namespace.inode
        return try namespace.run { () throws(SteeringError) in try NamespaceView(inode: inode) }
    }

    private init(inode: UInt64) throws(SteeringError) {
        self.inode = inode
        diagnostics = try SocketDiagnostics()
        let probe = OwnedDescriptor(
            owning: try systemCall("socket") {
                socket(AF_INET, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            })
        cookie = SteerableSocket.namespaceCookie(probe.rawValue)
    }

    /// Throws `foreignNetworkNamespace` for a socket that belongs elsewhere: the kernel itself would take it.
    func check(_ descriptor: CInt) throws(SteeringError) {
        if let cookie, let other = SteerableSocket.namespaceCookie(descriptor) {
            guard cookie == other else { throw .foreignNamespace }
            return
        }
        // Before Linux 5.14. Needs CAP_NET_ADMIN.
        let namespace = OwnedDescriptor(
            owning: try systemCall("ioctl(SIOCGSKNS)") { ioctl(descriptor, UInt(0x894C), 0) })
        var status = stat()
        try systemCall("fstat") { fstat(namespace.rawValue, &status) }
        guard UInt64(status.st_ino) == inode else { throw .foreignNamespace }
    }

    func sockets() throws(SteeringError) -> [SocketCookie: DiagnosedSocket] { try diagnostics.sockets() }
}
