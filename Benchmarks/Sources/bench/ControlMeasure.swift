import ArgumentParser
import CBench
import Steering

/// What it takes to change a policy, by its size.
struct ControlMeasure: Measure {
    static let name = "control"
    static let title = "What changing a policy takes, by the number of bindings"

    @OptionGroup var options: MeasureOptions

    @Option(help: "How often small policies are measured; large ones less often.")
    var rounds = 24

    @Option(help: "Measure this build of the command, too.")
    var steer: String?

    static let grace = "grace period", unit = "ms"

    func measure() throws -> (figures: [Figure], notes: [String]) {
        let sizes = options.quick ? [20, 1000] : [20, 1000, 100_000, 1_000_000]
        let kinds = options.quick ? 1000 : 100_000
        var memory: [Figure] = [], notes = Self.notes
        // First, while the process has little else.
        for size in sizes {
            do {
                memory += try ControlMemory.figures(RuleSets.scattered, size, smallest: memory)
            } catch let error as SteeringError where error.code == .tablesTooLarge {
                notes.append("\(size.text) bindings are refused: \(error)")
            }
        }
        var subjects: [ControlSubject] = []
        for (kind, size) in sizes.map({ (RuleSets.scattered, $0) }) + RuleSets.allCases.dropFirst().map({ ($0, kinds) })
        {
            do {
                subjects.append(try ControlSubject(kind, size))
            } catch let error as SteeringError where error.code == .tablesTooLarge {
                notes.append("\(kind), \(size.text) bindings are refused: \(error)")
            }
        }
        var inner: CInt = -1
        let grace = try BenchError.check("a map of maps", bench_make_grace(&inner))
        var waits = Samples()
        for round in 0..<(options.quick ? 2 : rounds) {
            waits.add(
                try milliseconds { _ = try BenchError.check("grace period", bench_wait_grace(grace, inner)) })
            for index in subjects.indices where round % subjects[index].stride == 0 {
                try subjects[index].measure()
            }
        }
        var figures = [Figure(Self.name, Self.grace, unit: Self.unit, waits)]
        for subject in subjects { figures += subject.figures(smallest: subjects[0], grace: waits) }
        if let steer {
            figures += try ControlCommand.figures(
                steer, sizes: sizes.filter { $0 <= 100_000 }, rounds: options.quick ? 1 : max(3, rounds / 4))
        }
        return (figures + memory, notes)
    }

    private static let notes = [
        "Bindings: prefixes of random lengths anywhere, of both families, up to 300 labels, 7 sets of ports.",
        "apply: into a steering that had no policy. swap: every binding gets another label. Both with the "
            + "compilation, and with the wait until the former policy judges nothing.",
        "grace period: one write to a map of maps, for which the kernel waits until no program runs that ran before.",
        "kernel memory: of all maps and programs, as the kernel accounts for it. process memory: what the resident "
            + "set grew by, at last and at its peak during apply.",
    ]
}

/// Policies of one size, and what was measured of them.
struct ControlSubject {
    private let kind: RuleSets
    private let size: Int
    private let bindings: [Binding]
    private let policy: Policy
    /// The same with other outcomes.
    private let other: Policy
    private let oneMore: Binding
    private let withOneMore: Policy
    private var samples: [Operation: Samples] = [:]

    private enum Operation: String, CaseIterable {
        case make = "make a policy"
        case apply
        case dryRun = "dry run, every binding changes"
        case dryRunOfOne = "dry run, one binding more"
        case bind = "bind one more"
        case swap

        /// What cannot be had for less than a wait of the kernel.
        var waits: Bool { self == .bind || self == .swap }
    }

    /// How many rounds it takes part in: one of so many.
    var stride: Int { size >= 1_000_000 ? 8 : size >= 100_000 ? 4 : 1 }

    init(_ kind: RuleSets, _ size: Int) throws {
        self.kind = kind
        self.size = size
        let labels = max(2, min(size, 300))
        let all = kind.bindings(size + 1, labels: labels)
        bindings = Array(all.dropLast())
        oneMore = all.last!
        policy = Policy(bindings)
        var next: [Label: Label] = [:]
        for number in 0..<labels { next[RuleSets.label(number)] = RuleSets.label((number + 1) % labels) }
        other = Policy(
            try bindings.map { binding in
                guard case .label(let label) = binding.outcome else { return binding }
                return try Binding(binding.protocols, to: binding.prefix, ports: binding.ports, .label(next[label]!))
            })
        withOneMore = Policy(all)
        // Once, untimed: whether it fits, and a process that has its memory.
        try SocketSteering.attach().apply(policy)
    }

    mutating func measure() throws {
        func time(_ operation: Operation, _ body: () throws -> Void) throws {
            samples[operation, default: Samples()].add(try milliseconds(body))
        }
        func check(_ condition: Bool, _ what: String) throws {
            guard condition else { throw BenchError("\(kind), \(size.text) bindings: \(what)") }
        }
        var made = Policy()
        try time(.make) { made = Policy(bindings) }
        try check(made == policy, "another policy was made")

        let steering = try SocketSteering.attach()
        try time(.apply) { try steering.apply(policy) }
        try time(.swap) { try steering.apply(other) }
        try time(.swap) { try steering.apply(policy) }
        try time(.bind) { try steering.bind(oneMore) }
        try check(try steering.policy == withOneMore, "another policy is in force")

        var difference: PolicyDifference?
        try time(.dryRun) { difference = try other.difference(from: policy) }
        try check(difference?.added.isEmpty == false, "nothing changed")
        try time(.dryRunOfOne) { difference = try withOneMore.difference(from: policy) }
        try check(difference?.added == [oneMore], "something else was added")
    }

    func figures(smallest: ControlSubject, grace: Samples) -> [Figure] {
        Operation.allCases.map { operation in
            let name = kind == .scattered ? operation.rawValue : "\(operation.rawValue): \(kind)"
            return Figure(
                ControlMeasure.name, name, "\(size.text) bindings", unit: ControlMeasure.unit, samples[operation]!,
                to: operation.waits
                    ? (ControlMeasure.grace, grace)
                    : ("\(operation.rawValue), \(smallest.size.text) bindings", smallest.samples[operation]!))
        }
    }
}

/// What a policy in force occupies.
enum ControlMemory {
    static func figures(_ kind: RuleSets, _ size: Int, smallest: [Figure]) throws -> [Figure] {
        let before = try Memory.ofBPF()
        let policy = Policy(kind.bindings(size, labels: min(size, 300)))
        Memory.forgetPeak()
        let resident = Memory.resident()
        let steering = try SocketSteering.attach()
        try steering.apply(policy)
        guard try steering.policy.count == size else { throw BenchError("another policy is in force") }
        let values = try withExtendedLifetime(steering) {
            let kernel = try Memory.ofBPF() - before, peak = Memory.peak - resident
            Memory.forgetPeak()
            return [
                ("kernel memory", kernel), ("process memory", Memory.resident() - resident),
                ("process memory, peak", peak),
            ]
        }
        return values.map { name, value in
            let traffic = "\(size.text) bindings"
            let first = smallest.first { $0.name == name }
            return Figure(
                ControlMeasure.name, name, traffic, unit: "MiB", Samples([value]),
                to: ("\(name), \(first?.traffic ?? traffic)", Samples([first?.best ?? value])))
        }
    }
}
