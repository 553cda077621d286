import CSteering
import Glibc
import KernelTestSupport
import ServiceSupport
import Testing

@testable import Steering

/// Messages with descriptors, and the client against servers that behave and that do not.
@Suite
struct SteeringClientTests {
    /// A directory of a test's own, and in it the socket of a server.
    private static func withPath<Result>(_ body: (String) throws -> Result) throws -> Result {
        let folder = "/tmp/steering-client-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try #require(mkdir(folder, 0o700) == 0)
        defer {
            unlink("\(folder)/socket")
            rmdir(folder)
        }
        return try body("\(folder)/socket")
    }

    private static func pair() throws -> (MessageSocket, MessageSocket) {
        var ends: [CInt] = [-1, -1]
        let made = socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue), 0, &ends)
        try #require(made == 0)
        return (MessageSocket(OwnedDescriptor(owning: ends[0])), MessageSocket(OwnedDescriptor(owning: ends[1])))
    }

    /// Answers clients on a thread, each message as the closure says; nil closes the connection.
    private static func serve(
        at path: String, connections: Int = 1,
        _ answer: @escaping @Sendable (MessageSocket.Message) -> (ActivationReply, [CInt])?
    ) throws {
        let listener = try MessageListener(at: path)
        let descriptor = try listener.socket.duplicate().release()
        runOnThread {
            let listener = OwnedDescriptor(owning: descriptor)
            for _ in 0..<connections {
                var waiting = pollfd(fd: listener.rawValue, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 20_000) == 1, case let made = accept(listener.rawValue, nil, nil), made >= 0
                else { return }
                let client = MessageSocket(OwnedDescriptor(owning: made))
                while let message = try? client.receive(limit: 256), let (reply, descriptors) = answer(message) {
                    try? client.send(reply.bytes, descriptors)
                }
            }
        }
    }

    @Test(
        "Descriptors arrive in their order, as others of the same sockets, close-on-exec; as many as the kernel takes")
    func descriptors() throws {
        let (here, there) = try Self.pair()
        let sockets = [
            try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0")).release(),
            try OwnedDescriptor.receiver(on: SocketAddress("127.0.0.1:0")).release(),
        ]
        defer { for socket in sockets { close(socket) } }
        for count in [0, 1, 2, 253] {
            let sent = (0..<count).map { sockets[$0 % 2] }
            try here.send([1, 2, 3], sent)
            #expect(there.hasUnread == false && here.hasUnread)
            let message = try #require(try there.receive(limit: 3))
            #expect(!here.hasUnread)
            #expect(message.bytes == [1, 2, 3] && !message.isCut && !message.lacksDescriptors)
            #expect(
                try message.descriptors.map { try SteerableSocket.cookie($0.rawValue) }
                    == sent.map(SteerableSocket.cookie))
            #expect(message.descriptors.allSatisfy { fcntl($0.rawValue, F_GETFD) == FD_CLOEXEC })
        }
        #expect(throws: SteeringError.self) { try here.send([1], (0..<254).map { _ in sockets[0] }) }
    }

    @Test("What is too long, and descriptors that are not wanted, are known to be missing, and nothing stays open")
    func cut() throws {
        let (here, there) = try Self.pair()
        var other: (reading: MessageSocket, writing: MessageSocket?) = try Self.pair()
        try here.send([1, 2, 3, 4], [other.writing!.socket.rawValue])
        other.writing = nil
        let message = try #require(try there.receive(limit: 3, takingDescriptors: false))
        #expect(message.isCut && message.lacksDescriptors && message.bytes == [1, 2, 3] && message.descriptors.isEmpty)
        #expect(try other.reading.receive(limit: 1) == nil, "the last descriptor of the other end is closed")
        try here.send([], [here.socket.rawValue])
        #expect(try there.receive(limit: 3) == nil, "an empty message ends it")
    }

    @Test("A client hands descriptors over, and gets some back")
    func exchange() throws {
        try Self.withPath { path in
            let listener = try OwnedDescriptor.listener(on: SocketAddress("127.0.0.1:0"))
            let cookie = try SteerableSocket.cookie(listener.rawValue)
            let line = "tcp \(try listener.localAddress()) \(cookie) registered"
            let held = try listener.duplicate().release()
            try Self.serve(at: path) { message in
                switch try? ActivationRequest(message.bytes, descriptors: message.descriptors.count) {
                case .register, .list: (.done([line]), [])
                case .claim("web"): (.done([line]), [held])
                case .claim("changed"): (.done([line]), [0])
                case .claim: (.done([line]), [])
                case .status: (.done(["web 1 2 3 4"]), [])
                case .unregister: (.refused(.notAllowed, "you may not"), [])
                default: nil
                }
            }
            let client = SteeringClient(path)
            #expect(try client.register([listener.rawValue], as: "web").map(\.line) == [line])
            let claimed = try client.claim("web")
            #expect(try claimed.map { try SteerableSocket.cookie($0.rawValue) } == [cookie])
            let kept = try claimed[0].duplicate()
            #expect(try kept.localAddress() == listener.localAddress())
            #expect(try client.sockets(of: "web").map(\.cookie) == [cookie])
            #expect(try client.status().map(\.line) == ["web 1 2 3 4"])
            let refusal = try #require(throws: SteeringError.self) { try client.unregister("web") }
            #expect(refusal.code == .notAllowed && refusal.message == "you may not")
            let lacking = try #require(throws: SteeringError.self) { try client.claim("other") }
            #expect(lacking.code == .invalidMessage, "a line without its descriptor")
            let changed = try #require(throws: SteeringError.self) { try client.claim("changed") }
            #expect(changed.code == .invalidMessage, "a descriptor that is not what the line says")
            let closed = try #require(throws: SteeringError.self) { try client.register([-1], as: "web") }
            #expect(closed.code == .invalidDescriptor)
            let many = [CInt](repeating: listener.rawValue, count: 254)
            #expect(throws: SteeringError.self) { try client.register(many, as: "web") }
            close(held)
        }
    }

    @Test("A connection that breaks is made anew, and the call is made again")
    func reconnects() throws {
        try Self.withPath { path in
            // Each connection is closed at its second message.
            final class Count: @unchecked Sendable { var value = 0 }
            let count = Count()
            try Self.serve(at: path, connections: 3) { _ in
                count.value += 1
                return count.value.isMultiple(of: 2) ? nil : (.done(["web \(count.value) 0 0 0"]), [])
            }
            let client = SteeringClient(path)
            #expect(try client.status().map(\.sockets) == [1])
            #expect(try client.status().map(\.sockets) == [3])
            #expect(try client.status().map(\.sockets) == [5])
        }
    }

    @Test("A steerd that comes late is waited for; one that does not come, or does not answer, is said to be missing")
    func patience() throws {
        try Self.withPath { path in
            let error = try #require(throws: SteeringError.self) {
                try SteeringClient(path, patience: .milliseconds(50)).status()
            }
            #expect(
                error.code == .serviceUnavailable && error.message.contains(path) && error.message.contains("running"))
            runOnThread {
                usleep(100_000)
                try? Self.serve(at: path) { _ in (.done([]), []) }
            }
            #expect(try SteeringClient(path, patience: .seconds(20)).status().isEmpty)
        }
        try Self.withPath { path in
            let silent = try MessageListener(at: path)
            let error = try #require(throws: SteeringError.self) {
                try SteeringClient(path, patience: .milliseconds(50)).status()
            }
            #expect(error.code == .serviceUnavailable && error.message.contains("in time"))
            withExtendedLifetime(silent) {}
        }
        let path = "/" + String(repeating: "a", count: 107)
        let error = try #require(throws: SteeringError.self) { try SteeringClient(path).status() }
        #expect(error.code == .invalidAddress)
    }

    @Test("A path is taken over from whoever left it, not from whoever listens")
    func takingOver() throws {
        try Self.withPath { path in
            var first: MessageListener? = try MessageListener(at: path)
            let error = try #require(throws: SteeringError.self) { try MessageListener(at: path) }
            #expect(error.code == .addressUnavailable && error.message.contains("already"))
            withExtendedLifetime(first) {}
            first = nil
            let second = try MessageListener(at: path)
            #expect(try second.accept() == nil)
            let client = try MessageSocket(connectedTo: path, timeout: .seconds(1))
            let accepted = try #require(try second.accept())
            let peer = try accepted.peer(among: [])
            #expect(peer.user == getuid() && peer.pid == getpid() && peer.groups.contains(getgid()))
            withExtendedLifetime(client) {}
        }
    }
}
