// One process with four ordinary sockets serves every address of the prefixes:
//
//   swift run echo-server --prefix 192.0.2.0/24 --prefix 2001:db8:7::/48 --ports 7,7000-7999 --add-routes
//   socat - TCP:192.0.2.99:7777
import ArgumentParser
import Foundation
import Steering

@main
struct EchoServer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo-server",
        abstract: "Echoes TCP and UDP on every address of some prefixes.",
        discussion: """
            Needs root, or CAP_BPF and CAP_NET_ADMIN. On SIGHUP it reads the pool file again and moves to the new \
            pool in one step; open connections continue. It ends on SIGINT and SIGTERM.
            """)

    @Option(name: .long, help: ArgumentHelp("A prefix to answer on; may be repeated.", valueName: "prefix"))
    var prefix: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp("A file with more prefixes, one per line; # begins a comment.", valueName: "path")
    )
    var poolFile: String?

    @Option(name: .long, help: ArgumentHelp("The ports: 7, 7000-7999, a list of those, or all.", valueName: "ports"))
    var ports = "7"

    @Flag(
        name: .long,
        help: "While running, route prefixes to this host that are not yet routed to it (ip route add local).")
    var addRoutes = false

    func run() throws {
        let signals = SignalPipe([SIGHUP, SIGINT, SIGTERM])
        do {
            try serve(until: signals)
        } catch let error as SteeringError {
            throw ValidationFailure(description: error.message)
        } catch let error as AddressError {
            throw ValidationFailure(description: error.message)
        }
    }

    private func serve(until signals: SignalPipe) throws {
        let pool = try readPool()
        let policy = try policy(for: pool)

        let steering = try SocketSteering.attach()
        var loop = try EchoLoop(signals)
        // Register before binding: by default, a label with bindings but no socket refuses packets.
        for socket in loop.sockets { try steering.sockets.register(socket, as: "echo") }
        try steering.apply(policy)

        var routes = Routes(adding: addRoutes)
        defer { routes.removeAdded() }
        try routes.check(pool)
        say("answering on \(pool) port \(ports), TCP and UDP")

        while true {
            switch loop.run() {
            case SIGHUP:
                do {
                    let pool = try readPool()
                    try steering.apply(try self.policy(for: pool))
                    try routes.check(pool)
                    say("moved to \(pool) port \(ports)")
                } catch {
                    say("still on the previous pool: \(error)")
                }
            default:
                say("\(loop.summary); exiting")
                return
            }
        }
    }

    private func policy(for pool: PrefixPool) throws -> Policy {
        var policy = Policy()
        try policy.bind("echo", .both, to: pool, ports: PortSet(ports))
        return policy
    }

    private func readPool() throws -> PrefixPool {
        var texts = prefix
        if let poolFile {
            guard let content = FileManager.default.contents(atPath: poolFile) else {
                throw ValidationFailure(description: "pool file \(poolFile) cannot be read: does it exist?")
            }
            for line in String(decoding: content.prefix(1 << 20), as: UTF8.self).split(separator: "\n") {
                let text = line.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
                if !text.isEmpty { texts.append(text) }
            }
        }
        let pool = try PrefixPool(parsing: texts)
        guard !pool.isEmpty else {
            throw ValidationFailure(
                description: "no prefix to answer on: give --prefix 192.0.2.0/24 or --pool-file PATH")
        }
        return pool
    }
}

/// An error with a message for users.
struct ValidationFailure: Error, CustomStringConvertible {
    let description: String
}

/// Prints a line without buffering, which `print` would do when writing to a pipe.
func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }
