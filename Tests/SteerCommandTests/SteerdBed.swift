import Foundation
import KernelTestSupport
import Steering

/// steerd in a bed, and clients of other users.
final class SteerdBed: Sendable {
    let bed: Bed
    let policy: String
    let socket: String

    /// User 65534 may use `web`, members of group 65533 may use `dns`; nobody else anything.
    static let policy = """
        labels:
          web: { allow: { users: 65534 } }
          dns: { allow: { groups: 65533 } }
        bindings:
          - { label: web, protocols: tcp, prefixes: [192.0.2.0/24, "2001:db8::/64"], ports: 80 }
          - { label: dns, protocols: udp, prefixes: 192.0.2.0/24, ports: 53 }

        """

    init(_ bed: Bed) throws {
        self.bed = bed
        policy = try bed.write(Self.policy, to: "policy.yaml")
        socket = "\(bed.folder)/steerd.sock"
    }

    /// Starts it, and waits until it serves.
    func start(_ options: String = "", under wrapper: String = "", environment: String = "") throws -> Background {
        let steerd = try Background(line(options, under: wrapper), in: bed, environment: environment)
        try eventually("steerd serves") {
            let log = try steerd.error
            if log.hasPrefix("steerd: ") { throw Unmet(description: log) }
            return log.contains("serving")
        }
        return steerd
    }

    func line(_ options: String = "", under wrapper: String = "") throws -> String {
        "\(wrapper) \(try Programs.path(of: "steerd")) --policy \(policy) --socket \(socket) --bpffs \(bed.bpffs.path) \(options)"
    }

    var client: SteeringClient { SteeringClient(socket) }

    static let webUser = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    static let dnsUser = "setpriv --reuid 65531 --regid 65531 --groups 65532,65533"
    static let stranger = "setpriv --reuid 65532 --regid 65532 --clear-groups"

    /// What steerd answers another user: to messages in turn, each with the sockets that Python expressions make.
    func ask(
        _ messages: [(text: String, sockets: String)], as user: String, at path: String? = nil
    ) throws -> [String] {
        let lines = messages.map { "ask(\(python($0.text)), [\($0.sockets)])" }
        let program = try bed.write(
            Self.helpers.replacing("PATH", with: path ?? socket) + lines.joined(separator: "\n"),
            to: "ask-\(UInt64.random(in: 0...UInt64.max)).py")
        let run = try bed.sh("\(user) timeout $PATIENCE \(Bed.python) \(program)")
        try verify(run.exitCode == 0 && run.error.isEmpty, "\(messages) as \(user): \(run)")
        return run.output.components(separatedBy: "\u{1}\n").dropLast().map { String($0) }
    }

    private func python(_ text: String) -> String { "'\(text)'" }

    static let helpers = """
        import os, time
        from socket import *
        def tcp(*options):
            s = socket()
            for option in options: s.setsockopt(SOL_SOCKET, option, 1)
            s.bind(('127.0.0.1', 0)); s.listen(); return s
        def udp(): s = socket(type=SOCK_DGRAM); s.bind(('127.0.0.1', 0)); return s
        def connected():
            d = socket(AF_UNIX, SOCK_SEQPACKET); d.connect('PATH'); return d
        d = None
        def ask(text, sockets):
            global d
            d = d or connected()
            send_fds(d, [text.encode()], [s if type(s) is int else s.fileno() for s in sockets])
            answer, descriptors, *_ = recv_fds(d, 1 << 18, 253)
            print(answer.decode() + (' +%d' % len(descriptors) if descriptors else ''), end='\\1\\n', flush=True)
            if not answer or answer.startswith(b'error notAllowed') and b'any label' in answer: d = None

        """

    /// How many descriptors steerd has open.
    func descriptors(of steerd: Background) throws -> Int {
        Int(try shell("ls /proc/\(steerd.pid)/fd | wc -l").trimmingCharacters(in: .whitespacesAndNewlines))!
    }
}

/// Runs a closure with a bed for steerd, in a fresh network namespace; nothing is loaded yet.
func withSteerdBed(_ body: @escaping @Sendable (SteerdBed) throws -> Void) async throws {
    try await withBed(loaded: false) { bed in try body(try SteerdBed(bed)) }
}
