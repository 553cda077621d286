import ArgumentParser
import CommandSupport
import Documents
import Draining
import Steering

struct Pool: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool",
        abstract: "Move the addresses that DNS answers with, and see which packets still come to the old ones.",
        discussion: """
            For policy files with names, which `steer-dns` answers, and with pools whose prefixes are in files of \
            their own:

              pools:
                web: { prefixes-from: web.txt, drained-from: web-drained.txt }

              steer pool move web --from 192.0.2.0/24 --to 192.0.2.0/28 --policy policy.yaml
              steer pool status web --policy policy.yaml
            """,
        subcommands: [PoolStatus.self, PoolMove.self])
}

/// The options that select a pool, the servers that answer from it, and the conditions for unbinding.
struct PoolOptions: ParsableArguments {
    @Argument(help: "The pool.")
    var name: String

    @Option(
        help: ArgumentHelp("The policy file, with bindings and names.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var policy: String

    @Option(
        help: ArgumentHelp(
            "The metrics address of a steer-dns, which shows since when it has used a change; may be repeated.",
            valueName: "address:port"))
    var server: [String] = []

    @Option(help: ArgumentHelp("How long servers take to notice a change, without --server.", valueName: "seconds"))
    var reload = 5

    @Option(help: ArgumentHelp("How many packets a quiet prefix may still get.", valueName: "packets"))
    var threshold: UInt64 = 0

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp("How long a drained prefix must be quiet.", valueName: "seconds"))
    var duration = 5.0

    func validate() throws {
        if !(0.1...86_400).contains(duration) { throw misuse("--for is 0.1 to 86,400 seconds") }
        if !(0...86_400).contains(reload) { throw misuse("--reload is 0 to 86,400 seconds") }
    }

    func watch() throws -> ServerWatch {
        ServerWatch(
            servers: try server.map { text in try parsed { try SocketAddress(text) } },
            reload: reload)
    }
}

/// Runs `body`, and converts its errors to `SteeringError`.
func policyFiles<Value>(_ body: () throws(DocumentError) -> Value) throws(SteeringError) -> Value {
    do { return try body() } catch { throw SteeringError(.invalidPolicyFile, error.message) }
}

/// Counts the packets to parts of drained prefixes.
struct Arrivals {
    let parts: [IPPrefix]
    private let counter: BindingCounter?

    /// Starts counting.
    ///
    /// With at most 64 prefixes, each is counted in 16 parts, or by address if it has fewer.
    init(at prefixes: [IPPrefix], _ steering: SocketSteering, _ target: Target) throws(SteeringError) {
        let bits = prefixes.count > 64 ? 0 : 4
        parts = prefixes.flatMap { Self.parts(of: $0, bits) }
        counter = parts.isEmpty ? nil : try steering.countArrivals(at: parts, in: try target.namespace())
    }

    private static func parts(of prefix: IPPrefix, _ bits: Int) -> [IPPrefix] {
        var parts = [prefix]
        for _ in 0..<bits {
            guard parts[0].halves != nil else { return parts }
            parts = parts.flatMap { [$0.halves!.0, $0.halves!.1] }
        }
        return parts
    }

    /// Returns the packets to each part since counting began.
    func packets() throws(SteeringError) -> [UInt64] {
        var packets = [UInt64](repeating: 0, count: parts.count)
        for count in try counter?.counts() ?? [] where count.packets > 0 {
            if let part = parts.firstIndex(where: { $0.contains(count.binding.prefix) }) {
                packets[part] &+= count.packets
            }
        }
        return packets
    }
}
