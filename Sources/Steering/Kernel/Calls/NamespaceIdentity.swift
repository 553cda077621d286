import Glibc

/// The identity of a network namespace, to check which sockets belong to it; the kernel does not. Holds nothing open:
/// the namespace may end while it has a steering.
struct NamespaceIdentity: Sendable {
    let inode: UInt64
    /// Nil before Linux 5.14.
    let cookie: UInt64?

    init(inode: UInt64, cookie: UInt64?) {
        self.inode = inode
        self.cookie = cookie
    }

    /// Reads the identity of an open namespace.
    ///
    /// - Throws: `missingCapability` (CAP_SYS_ADMIN) if the calling thread may not enter the namespace; `systemCall`.
    init(_ namespace: borrowing NetworkNamespace) throws(SteeringError) {
        inode = namespace.inode
        cookie = try namespace.run { () throws(SteeringError) in
            let probe = try OwnedDescriptor.receiver(on: SocketAddress(IPAddress(ipv4: 0), port: 0))
            return SteerableSocket.namespaceCookie(probe.rawValue)
        }
    }

    /// Checks that a socket belongs to the namespace.
    ///
    /// - Throws: `foreignNetworkNamespace` if it belongs to another one; `systemCall`.
    func check(_ descriptor: CInt) throws(SteeringError) {
        if let cookie, let other = SteerableSocket.namespaceCookie(descriptor) {
            guard cookie == other else { throw .foreignNamespace }
            return
        }
        // Before Linux 5.14; needs CAP_NET_ADMIN.
        let namespace = OwnedDescriptor(
            owning: try systemCall("ioctl(SIOCGSKNS)") { ioctl(descriptor, UInt(0x894C), 0) })
        var status = stat()
        try systemCall("fstat") { fstat(namespace.rawValue, &status) }
        guard UInt64(status.st_ino) == inode else { throw .foreignNamespace }
    }
}
