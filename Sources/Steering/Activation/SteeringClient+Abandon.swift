import Glibc

extension SteeringClient {
    /// Gives up what steerd holds for a label and nobody else has open: what a killed service left, which would keep the next
    /// one from binding to the same address. What a process has that this one may look at, one of the same user, stays.
    /// Waits until they are closed.
    ///
    /// - Throws: As ``claim(_:)``, ``unregister(_:_:)``.
    package func abandon(_ label: Label) throws(SteeringError) {
        var cookies: [SocketCookie] = []
        do {
            let left = try abandoned(label)
            guard !left.isEmpty else { return }
            try unregister(label, left.map(\.rawValue))
            cookies = left.map(\.held.cookie)
        }
        // A service manager closes its own copies when it gets to it.
        for _ in 0..<100 {
            let open = try SocketDiagnostics().sockets()
            if !cookies.contains(where: { open[$0] != nil }) { return }
            usleep(20_000)
        }
    }

    private func abandoned(_ label: Label) throws(SteeringError) -> [ClaimedSocket] {
        guard try !sockets(of: label).isEmpty else { return [] }
        let known = try SocketDiagnostics().sockets()
        let claimed = try claim(label)
        let owners = try SocketOwners(of: claimed.compactMap { known[$0.held.cookie]?.inode })
        return claimed.filter { socket in
            guard let inode = known[socket.held.cookie]?.inode else { return false }
            return owners[inode].allSatisfy { $0.pid == getpid() || $0.isHolder }
        }
    }
}

extension SocketOwner {
    /// Whether it has sockets for others: the service manager, or steerd.
    fileprivate var isHolder: Bool { pid == 1 || command == "steerd" }
}
