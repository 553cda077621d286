import Steering

/// The same by the command: whole processes, against one that does nothing.
enum ControlCommand {
    static func figures(_ steer: String, sizes: [Int], rounds: Int) throws -> [Figure] {
        let directory = try WorkDirectory()
        let folder = directory.path
        var samples: [String: [Int: Samples]] = [:]
        var nothing = Samples()
        defer { withExtendedLifetime(directory) {} }
        for size in sizes {
            // Loaded by the library, read and changed by the command.
            try shell("\(steer) load")
            let labels = max(2, min(size, 300))
            let bindings = RuleSets.scattered.bindings(size + 1, labels: labels)
            try SocketSteering.open(try .current()).apply(Policy(bindings.dropLast()))
            try shell("\(steer) bindings --file json >\(folder)/policy.json")
            try SocketSteering.open(try .current()).unbindAll()
            let more = bindings.last!
            guard case .label(let label) = more.outcome else { throw BenchError("\(more) has no label") }
            for _ in 0..<rounds {
                func time(_ name: String, _ line: String) throws {
                    samples[name, default: [:]][size, default: Samples()].add(try milliseconds { try shell(line) })
                }
                nothing.add(try milliseconds { try shell("/bin/true") })
                try SocketSteering.open(try .current()).unbindAll()
                try time("steer apply, JSON", "\(steer) apply \(folder)/policy.json >/dev/null")
                try time("steer apply, nothing changes", "\(steer) apply \(folder)/policy.json >/dev/null")
                try time("steer apply --dry-run", "\(steer) apply --dry-run \(folder)/policy.json >/dev/null")
                try time("steer bind", "\(steer) bind \(label) \(more.protocols) \(more.prefix) \(more.ports)")
                try time("steer unbind", "\(steer) unbind \(label) \(more.protocols) \(more.prefix) \(more.ports)")
                try time("steer bindings", "\(steer) bindings >/dev/null")
            }
            try shell("\(steer) unload")
        }
        return [Figure(ControlMeasure.name, "/bin/true", unit: ControlMeasure.unit, nothing)]
            + samples.keys.sorted().flatMap { name in
                sizes.map { size in
                    Figure(
                        ControlMeasure.name, name, "\(size.text) bindings", unit: ControlMeasure.unit,
                        samples[name]![size]!, to: ("/bin/true", nothing))
                }
            }
    }
}
