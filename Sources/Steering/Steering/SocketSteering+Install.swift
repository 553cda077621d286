/// Putting a policy in force.
extension SocketSteering {
    /// Puts a policy in force, unless it is in force already, with the same interfaces.
    ///
    /// - Parameters:
    ///   - policy: The policy.
    ///   - state: The state.
    ///   - names: The interface names to look up again. Others mean the same interface as before.
    ///   - former: The indices that names keep.
    func put(
        _ policy: Policy, _ state: inout State, lookingUp names: Set<InterfaceName>,
        keeping former: [InterfaceName: UInt32]
    ) throws(SteeringError) {
        let indices = try interfaces(of: policy.interfaces, keeping: former, lookingUp: names)
        if policy == state.policy, indices == state.interfaceIndices { return }
        try install(policy, &state, indices)
    }

    /// Compiles a policy and puts it in force.
    ///
    /// On failure nothing has changed, unless the message says that the new bindings are in force.
    func install(
        _ policy: Policy, _ state: inout State, _ indices: [InterfaceName: UInt32],
        forms: [Tables.Form] = Tables.Form.allCases
    ) throws(SteeringError) {
        let labels = policy.labels
        var numbers = state.numbers
        let used = try SocketSlots(state.plane).labelsInUse()
        for label in Array(numbers.labels) where !labels.contains(label) && !used.contains(numbers[label]!) {
            numbers.release(label)
        }
        let fresh = labels.filter { numbers[$0] == nil }
        for label in fresh { _ = try numbers.assign(label) }
        try install(policy, numbers, &state, indices, forms: forms)
    }

    /// As above, with the numbers that labels are to have, and the interfaces of the policy in force.
    func install(_ policy: Policy, _ numbers: LabelNumbers, _ state: inout State) throws(SteeringError) {
        try install(policy, numbers, &state, state.interfaceIndices, forms: Tables.Form.allCases)
    }

    private func install(
        _ policy: Policy, _ numbers: LabelNumbers, _ state: inout State, _ indices: [InterfaceName: UInt32],
        forms: [Tables.Form]
    ) throws(SteeringError) {
        let memory = try state.writableMemory
        if memory.ignoresInterfaces, let first = policy.interfaces.first {
            throw .interfacesUnsupported(first)
        }
        let tables = try compile(policy, numbers, indices, &state, forms, roomFor: memory.size)
        let next = StoredPolicy(
            generation: state.generation, namespaceCookie: state.namespace.cookie ?? 0, policy: policy,
            numbers: numbers, interfaceIndices: indices)
        for label in numbers.labels where state.numbers[label] == nil {
            try Counters(state.plane).reset(label: numbers[label]!)
        }
        if tables.size > memory.size {
            try grow(next, tables, &state)
        } else {
            try publish(next, tables, memory, &state)
        }
    }

    /// Compiles a policy, starting from the last one if they differ little.
    private func compile(
        _ policy: Policy, _ numbers: LabelNumbers, _ indices: [InterfaceName: UInt32], _ state: inout State,
        _ forms: [Tables.Form], roomFor size: TableSize
    ) throws(SteeringError) -> Tables {
        if forms == Tables.Form.allCases, var compilation = state.compilation.take(),
            try compilation.change(to: policy, number: { numbers[$0]! }),
            compilation.tables.size <= size
        {
            state.compilation = compilation
            return compilation.tables
        }
        let compilation = try Compilation(policy, forms: forms, interfaceIndices: indices) { numbers[$0]! }
        state.compilation = compilation
        return compilation.tables
    }

    private func publish(
        _ stored: StoredPolicy, _ tables: Tables, _ memory: PolicyMemory, _ state: inout State
    ) throws(SteeringError) {
        let former = state.generation
        var next = stored
        do throws(SteeringError) {
            try memory.publish(tables, state.plane) { generation throws(SteeringError) in
                next.generation = generation
                try state.pinned?.save(next)
            }
        } catch {
            // If this fails too, the next writer does it.
            if let pinned = state.pinned, (try? state.plane.waitForRuns()) != nil {
                try? pinned.dropBindings(except: former)
            }
            throw error
        }
        state.adopt(next)
        // The policy is in force. If this fails, the next writer removes the former bindings.
        if let pinned = state.pinned {
            try? settled { () throws(SteeringError) in try pinned.dropBindings(except: next.generation) }
        }
    }

    /// Replaces the program by one with larger tables, in one step.
    private func grow(
        _ stored: StoredPolicy, _ tables: Tables, _ state: inout State
    ) throws(SteeringError) {
        let lasting = state.plane.sharing(MapName.lasting)
        do throws(SteeringError) {
            switch state.holding {
            case .detached: throw .steeringDetached
            case .read: throw .openedForReading
            case .loaded(let pins, _, let link, _):
                let made = try Self.replaceProgram(of: pins, link, reusing: lasting, stored, tables)
                state.plane = made.plane
                state.holding = .loaded(pins, made.pinned, link, made.memory)
                state.adopt(made.stored)
            case .attached(let link, _):
                let plane = try DataPlane(size: tables.size, reusing: lasting)
                let memory = try PolicyMemory(plane)
                memory.resume(after: state.generation)
                try memory.publish(tables, plane) { _ in }
                try plane.replaceProgram(of: link)
                state.plane = plane
                state.holding = .attached(link, memory)
                state.adopt(stored)
                state.generation = memory.generation
            }
        } catch {
            throw error.code == .missingCapability ? .cannotGrow(error) : error
        }
        if case .loaded(let pins, _, _, _) = state.holding { try Self.finishReplacement(pins) }
        try waitForFormer(state.plane)
    }

    /// Waits until the last run of the former program has ended.
    private func waitForFormer(_ plane: DataPlane) throws(SteeringError) {
        do throws(SteeringError) {
            try settled { () throws(SteeringError) in try plane.waitForRuns() }
        } catch {
            throw .unfinished("the new bindings are in force", error)
        }
    }
}

extension SocketSteering.State {
    mutating func adopt(_ stored: StoredPolicy) {
        policy = stored.policy
        numbers = stored.numbers
        interfaceIndices = stored.interfaceIndices
        generation = stored.generation
    }
}

extension SteeringError {
    static func cannotGrow(_ error: SteeringError) -> SteeringError {
        SteeringError(
            .missingCapability,
            "tables of this size need a larger program, and loading it needs CAP_BPF, which this process no longer has: keep CAP_BPF, or apply fewer bindings",
            cause: error.cause)
    }
}
