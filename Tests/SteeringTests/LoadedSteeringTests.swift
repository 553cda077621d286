import Glibc
import KernelTestSupport
import Testing

@testable import Steering

/// Steering that is pinned: it outlives the value that loaded it, and several processes share it.
@Suite(.kernel)
struct LoadedSteeringTests {
    /// Runs a closure in a namespace with a file system of its own.
    private func withLoaded(
        _ body: @escaping @Sendable (borrowing NetworkNamespace, String) throws -> Void
    ) async throws {
        try await withNetworkNamespace(routing: Flow.prefixes) {
            let bpffs = try TestFileSystem()
            try body(try NetworkNamespace.current(), bpffs.path)
        }
    }

    @Test("What one loads another opens, changes and unloads", arguments: Flow.all)
    func outlivesItsValue(_ flow: Flow) async throws {
        try await withLoaded { namespace, bpffs in
            var server = try flow.server()
            do {
                let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
                try steering.sockets.register(server.descriptor, as: "web")
                try steering.bind(Binding(.both, to: flow.prefix, ports: [7000], .label("web")))
            }
            try server.verifyAnswers(flow.host(1, port: 7000))

            let steering = try SocketSteering.open(namespace, bpffs: bpffs)
            try verify(steering.policy.bindings.map(\.description), is: ["tcp+udp \(flow.prefix) 7000 -> label web"])
            try verify(steering.sockets.list().map(\.boundAddress), is: [server.address])
            let destination = Destination("web", flow.family, flow.transport)
            try verify(steering.metrics().destinations[destination]?.lookups, is: 1)
            try steering.unbindAll()
            try server.verifyRefused(flow.host(1, port: 7000))

            try SocketSteering.unload(from: namespace, bpffs: bpffs)
            try verifyThrows(.notLoaded) { _ = try steering.policy }
            try verifyThrows(.notLoaded) { _ = try SocketSteering.open(namespace, bpffs: bpffs) }
            try verifyThrows(.notLoaded) { try SocketSteering.unload(from: namespace, bpffs: bpffs) }
        }
    }

    @Test("Two who have it open see each other's changes, and lose none")
    func severalOpen() async throws {
        try await withLoaded { namespace, bpffs in
            let one = try SocketSteering.load(into: namespace, bpffs: bpffs)
            let other = try SocketSteering.open(namespace, bpffs: bpffs)
            let reader = try SocketSteering.open(namespace, bpffs: bpffs, for: .reading)
            for port in UInt16(1)...20 {
                let binding = try Binding(.tcp, to: IPPrefix("192.0.2.0/24"), ports: PortSet([PortRange(port)]), .label("web"))
                try (port % 2 == 0 ? one : other).bind(binding)
                try verify(reader.policy.bindings.count, is: Int(port))
            }
            try verify(one.policy, is: try other.policy)
            try verifyThrows(.storageUnavailable) { try reader.unbindAll() }
            try verifyThrows(.alreadyLoaded) { _ = try SocketSteering.load(into: namespace, bpffs: bpffs) }
        }
    }

    @Test("An upgrade keeps policy, sockets and counters", arguments: Flow.all)
    func upgrade(_ flow: Flow) async throws {
        try await withLoaded { namespace, bpffs in
            var server = try flow.server()
            let steering = try SocketSteering.load(into: namespace, bpffs: bpffs)
            try steering.sockets.register(server.descriptor, as: "web")
            try steering.bind(Binding(.both, to: flow.prefix, ports: [7000], .label("web")))
            try server.verifyAnswers(flow.host(1, port: 7000))
            let policy = try steering.policy
            for turn in UInt64(1)...5 {
                try SocketSteering.upgrade(in: namespace, bpffs: bpffs)
                try verify(steering.policy, is: policy)
                try server.verifyAnswers(flow.host(2, port: 7000))
                let destination = Destination("web", flow.family, flow.transport)
                try verify(steering.metrics().destinations[destination]?.lookups, is: 1 + turn)
            }
            try steering.unbindAll()
            try verify(try SocketSteering.open(namespace, bpffs: bpffs).policy.isEmpty, "the change came through")
            try server.verifyRefused(flow.host(1, port: 7000))
        }
    }
}
