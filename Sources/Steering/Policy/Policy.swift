/// The treatment of packets to a destination without a socket.
public enum WithoutSocket: Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// Refuse them, so that traffic never leaks to another listener. The default.
    case refuse
    /// Leave them to the kernel's ordinary lookup.
    case pass

    /// `refuse` or `pass`.
    public var description: String { self == .refuse ? "refuse" : "pass" }
}

/// The options of a label.
public struct LabelOptions: Sendable, Hashable {
    /// The treatment of the label's packets while no socket is registered.
    public var withoutSocket: WithoutSocket

    /// Creates options; the default values apply to labels without options.
    public init(withoutSocket: WithoutSocket = .refuse) { self.withoutSocket = withoutSocket }
}

/// All bindings and label options of one network namespace: a value to compare, change and apply as a whole.
public struct Policy: Sendable, Hashable {
    /// The bindings in compact form.
    var records: PolicyRecords

    /// The options of labels whose options are not the default.
    public private(set) var options: [Label: LabelOptions]

    /// Creates a policy from bindings in any order; duplicates count once.
    ///
    /// The policy is not checked for conflicts: see ``validate()``.
    ///
    /// - Parameters:
    ///   - bindings: The bindings.
    ///   - options: The options of labels, which need not have bindings.
    public init(_ bindings: some Sequence<Binding> = [], options: [Label: LabelOptions] = [:]) {
        var records = PolicyRecords()
        records.insert(contentsOf: Array(bindings))
        self.init(records, options: options)
    }

    init(_ records: PolicyRecords, options: [Label: LabelOptions]) {
        self.records = records
        self.options = options.filter { $0.value != LabelOptions() }
    }

    /// The bindings, each once, in ascending order.
    ///
    /// Each access creates a new array, since a policy stores bindings in a more compact form.
    public var bindings: [Binding] { records.bindings }

    /// The number of bindings.
    public var count: Int { records.records.count }

    /// Adds a binding; no effect if the policy has it.
    public mutating func bind(_ binding: Binding) { records.insert(binding) }

    /// Adds a binding for each prefix of a pool.
    ///
    /// - Parameters:
    ///   - label: The label that the packets go to.
    ///   - protocols: TCP, UDP or both.
    ///   - pool: The destination addresses.
    ///   - ports: The destination ports, at least one; `.all` for every port.
    ///   - source: The source addresses, of the pool's family; nil for any.
    ///   - interface: The interface on which packets arrive; nil for any.
    /// - Throws: `invalidBinding` if the pool or the port set is empty, or the source differs in family from a prefix
    ///   of the pool.
    public mutating func bind(
        _ label: Label, _ protocols: ProtocolMatch, to pool: PrefixPool, ports: PortSet,
        from source: IPPrefix? = nil, on interface: InterfaceName? = nil
    ) throws(SteeringError) {
        let bindings = try Binding.each(of: pool, protocols, ports, from: source, on: interface, .label(label))
        if bindings.count == 1 { records.insert(bindings[0]) } else { records.insert(contentsOf: bindings) }
    }

    /// Removes a binding.
    ///
    /// - Returns: Whether the policy had it.
    @discardableResult
    public mutating func unbind(_ binding: Binding) -> Bool { records.remove(binding) }

    /// The options of a label, or the default options; assigning the default options removes the entry.
    public subscript(label: Label) -> LabelOptions {
        get { options[label] ?? LabelOptions() }
        set { options[label] = newValue == LabelOptions() ? nil : newValue }
    }

    /// The labels in bindings or options.
    public var labels: Set<Label> { Set(options.keys).union(records.labels.values) }

    /// The interfaces in bindings, in ascending order.
    var interfaces: [InterfaceName] { Set(records.conditions.values.compactMap(\.interface)).sorted() }

    /// The interfaces in bindings that another policy does not have.
    func interfaces(inAdditionTo other: Policy) -> Set<InterfaceName> {
        if records == other.records || interfaces.isEmpty { return [] }
        let known = Set(other.records.bindingsOnInterfaces)
        return Set(records.bindingsOnInterfaces.lazy.filter { !known.contains($0) }.compactMap(\.interface))
    }

    /// Whether there are no bindings.
    public var isEmpty: Bool { records.records.isEmpty }

    /// Checks for bindings that overlap, have equal precedence and differ in outcome.
    ///
    /// - Throws: `conflictingBindings`, with both bindings and their overlap.
    public func validate() throws(SteeringError) {
        try records.forEachPrefix { group throws(SteeringError) in try records.refuseConflict(in: group) }
    }
}

extension Binding {
    static func each(
        of pool: PrefixPool, _ protocols: ProtocolMatch, _ ports: PortSet, from source: IPPrefix?,
        on interface: InterfaceName?, _ outcome: Outcome
    ) throws(SteeringError) -> [Binding] {
        guard !pool.isEmpty else { throw .bindingWithoutAddresses }
        var bindings: [Binding] = []
        for prefix in pool.prefixes {
            bindings.append(
                try Binding(protocols, to: prefix, ports: ports, from: source, on: interface, outcome))
        }
        return bindings
    }
}

extension Array {
    /// Returns the first index whose element satisfies a condition, in an array where all later elements satisfy it.
    func partitioningIndex(where condition: (Element) -> Bool) -> Int {
        var low = startIndex, high = endIndex
        while low < high {
            let middle = (low + high) / 2
            if condition(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Array where Element: Comparable {
    /// Returns the index of an element in a sorted array, or the index at which it would be inserted.
    func firstIndex(sorted element: Element) -> Int { partitioningIndex { $0 >= element } }

    /// Replaces each run of equal elements by one of them.
    mutating func removeRepeats() {
        var last: Element?
        removeAll { element in
            defer { last = element }
            return element == last
        }
    }
}
