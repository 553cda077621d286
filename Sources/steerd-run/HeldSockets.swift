import Glibc
import Steering

extension [HeldSocket] {
    /// The sockets in words, four at most.
    var words: String {
        prefix(4).map { "\($0.transport) \($0.boundAddress)" }.joined(separator: ", ")
            + (count > 4 ? " and \(count - 4) more" : "")
    }

    /// Those that no process is seen to hold besides steerd and the service manager, which keep them only.
    var unserved: [HeldSocket] {
        guard !isEmpty, let open = try? SocketDiagnostics().sockets() else { return self }
        let inodes = Dictionary(map { ($0.cookie, open[$0.cookie]?.inode ?? 0) }) { first, _ in first }
        guard let owners = try? SocketOwners(of: inodes.values.filter { $0 != 0 }) else { return self }
        return filter { socket in
            owners[inodes[socket.cookie]!].allSatisfy { $0.pid == 1 || $0.command.hasPrefix("steerd") }
        }
    }

    /// Waits up to 2 s until the sockets are closed everywhere: a service manager closes its own duplicates later.
    func waitUntilClosed() throws(SteeringError) {
        for _ in 0..<100 {
            let open = try SocketDiagnostics().sockets()
            if !contains(where: { open[$0.cookie] != nil }) { return }
            usleep(20_000)
        }
    }
}
