import Foundation
import Steering

/// Finds prefixes that are not routed to this host.
///
/// Reports them, or adds routes until the program ends.
struct Routes {
    private let adding: Bool
    private var added: [IPPrefix] = []

    init(adding: Bool) { self.adding = adding }

    mutating func check(_ pool: PrefixPool) throws {
        for prefix in try LocalRoutes().undelivered(in: pool) {
            let command = Self.command("add", prefix)
            if adding {
                guard Self.run(command) else {
                    throw ValidationFailure(description: "\(prefix) cannot be routed here: '\(command)' failed")
                }
                added.append(prefix)
            } else {
                say("\(prefix) is not routed to this host; route it with: \(command)   (or give --add-routes)")
            }
        }
    }

    mutating func removeAdded() {
        for prefix in added { _ = Self.run(Self.command("del", prefix)) }
        added = []
    }

    private static func command(_ verb: String, _ prefix: IPPrefix) -> String {
        "ip \(prefix.family == .ipv6 ? "-6 " : "")route \(verb) local \(prefix) dev lo"
    }

    private static func run(_ command: String) -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command.split(separator: " ").map(String.init)
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
