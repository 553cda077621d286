/// What a destination does while it has no socket.
public enum WithoutSocket: Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// Refuse, so that traffic never leaks to another listener. The default.
    case refuse
    /// Leave the packet to the kernel's ordinary lookup.
    case pass

    /// "refuse" or "pass".
    public var description: String { self == .refuse ? "refuse" : "pass" }
}

/// How a label behaves.
public struct LabelOptions: Sendable, Hashable {
    /// What happens to its packets while no socket is registered.
    public var withoutSocket: WithoutSocket

    /// Creates options; the defaults are those of a label that has none.
    public init(withoutSocket: WithoutSocket = .refuse) { self.withoutSocket = withoutSocket }
}

/// All bindings and label options of one network namespace: a value that can be compared, changed
/// freely and applied as a whole.
public struct Policy: Sendable, Hashable {
    /// The bindings, in few bytes each.
    var records: PolicyRecords

    /// Options of the labels that do not have the default ones.
    public private(set) var options: [Label: LabelOptions]

    /// Creates a policy; bindings may come in any order, and duplicates count once.
    ///
    /// Nothing is checked here: see ``validate()``.
    public init(_ bindings: some Sequence<Binding> = [], options: [Label: LabelOptions] = [:]) {
        var records = PolicyRecords()
        records.insert(contentsOf: Array(bindings))
        self.init(records, options: options)
    }

    init(_ records: PolicyRecords, options: [Label: LabelOptions]) {
        self.records = records
        self.options = options.filter { $0.value != LabelOptions() }
    }

    /// The bindings, each once, in their natural order. The array is made anew each time: a policy keeps
    /// them in a more compact form.
    public var bindings: [Binding] { records.bindings }

    /// The number of bindings.
    public var count: Int { records.records.count }

    /// Adds a binding; does nothing when it is there already.
    public mutating func bind(_ binding: Binding) { records.insert(binding) }

    /// Adds a binding for each prefix of a pool.
    ///
    /// - Throws: `invalidBinding` when the pool or the port set is empty, or the source is of another family than
    ///   a prefix of the pool.
    public mutating func bind(
        _ label: Label, _ protocols: ProtocolMatch, to pool: PrefixPool, ports: PortSet,
        from source: IPPrefix? = nil, on interface: InterfaceName? = nil
    ) throws(SteeringError) {
        let bindings = try Binding.each(of: pool, protocols, ports, from: source, on: interface, .label(label))
        if bindings.count == 1 { records.insert(bindings[0]) } else { records.insert(contentsOf: bindings) }
    }

    /// Removes a binding.
    ///
    /// - Returns: Whether it was there.
    @discardableResult
    public mutating func unbind(_ binding: Binding) -> Bool { records.remove(binding) }

    /// The options of a label: its own, or the default ones. Setting the default ones removes them.
    public subscript(label: Label) -> LabelOptions {
        get { options[label] ?? LabelOptions() }
        set { options[label] = newValue == LabelOptions() ? nil : newValue }
    }

    /// The labels that bindings or options name.
    public var labels: Set<Label> { Set(options.keys).union(records.labels.values) }

    /// The interfaces that bindings name, in order.
    var interfaces: [InterfaceName] { Set(records.conditions.values.compactMap(\.interface)).sorted() }

    /// Whether there is no binding.
    public var isEmpty: Bool { records.records.isEmpty }

    /// Looks for bindings that overlap, have equal precedence and differ in outcome.
    ///
    /// - Throws: `conflictingBindings`, naming both and the overlap.
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
    /// The first index from which on all elements satisfy a condition, when none before does.
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
    /// Where an element is, or would be, in a sorted array.
    func firstIndex(sorted element: Element) -> Int { partitioningIndex { $0 >= element } }

    /// Keeps one of each run of equal elements.
    mutating func removeRepeats() {
        var last: Element?
        removeAll { element in
            defer { last = element }
            return element == last
        }
    }
}
