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
    /// The bindings, each once, in their natural order.
    public private(set) var bindings: [Binding]

    /// Options of the labels that do not have the default ones.
    public private(set) var options: [Label: LabelOptions]

    /// Creates a policy; bindings may come in any order, and duplicates count once.
    ///
    /// Nothing is checked here: see ``validate()``.
    public init(_ bindings: some Sequence<Binding> = [], options: [Label: LabelOptions] = [:]) {
        self.bindings = Array(bindings).inNaturalOrder()
        self.options = options.filter { $0.value != LabelOptions() }
    }

    /// Adds a binding; does nothing when it is there already.
    public mutating func bind(_ binding: Binding) {
        let place = bindings.firstIndex(sorted: binding)
        if place == bindings.endIndex || bindings[place] != binding { bindings.insert(binding, at: place) }
    }

    /// Adds a binding for each prefix of a pool.
    ///
    /// - Throws: `invalidBinding` when the pool or the port set is empty.
    public mutating func bind(
        _ label: Label, _ protocols: ProtocolMatch, to pool: PrefixPool, ports: PortSet
    ) throws(SteeringError) {
        for binding in try Binding.each(of: pool, protocols, ports, .label(label)) { bind(binding) }
    }

    /// Removes a binding.
    ///
    /// - Returns: Whether it was there.
    @discardableResult
    public mutating func unbind(_ binding: Binding) -> Bool {
        let place = bindings.firstIndex(sorted: binding)
        guard place < bindings.endIndex, bindings[place] == binding else { return false }
        bindings.remove(at: place)
        return true
    }

    /// The options of a label: its own, or the default ones. Setting the default ones removes them.
    public subscript(label: Label) -> LabelOptions {
        get { options[label] ?? LabelOptions() }
        set { options[label] = newValue == LabelOptions() ? nil : newValue }
    }

    /// The labels that bindings or options name.
    public var labels: Set<Label> {
        var labels = Set(options.keys)
        for case .label(let label) in bindings.lazy.map(\.outcome) { labels.insert(label) }
        return labels
    }

    /// Whether there is no binding.
    public var isEmpty: Bool { bindings.isEmpty }

    /// Looks for bindings that overlap, have equal precedence and differ in outcome.
    ///
    /// - Throws: `conflictingBindings`, naming both and the overlap.
    public func validate() throws(SteeringError) {
        for group in bindings.runs(by: \.prefix) { try refuseConflict(in: group) }
    }
}

extension Binding {
    static func each(
        of pool: PrefixPool, _ protocols: ProtocolMatch, _ ports: PortSet, _ outcome: Outcome
    ) throws(SteeringError) -> [Binding] {
        guard !pool.isEmpty else { throw .bindingWithoutAddresses }
        var bindings: [Binding] = []
        for prefix in pool.prefixes { bindings.append(try Binding(protocols, to: prefix, ports: ports, outcome)) }
        return bindings
    }
}

private struct PrefixKey {
    var prefix: IPPrefix
    var index: Int
}

extension [Binding] {
    /// What `sorted()` gives, without repeats, some times faster: plain keys are sorted by prefix, and
    /// whole bindings compared only where prefixes are equal.
    fileprivate func inNaturalOrder() -> [Binding] {
        var keys = indices.map { PrefixKey(prefix: self[$0].prefix, index: $0) }
        keys.sort { $0.prefix < $1.prefix }
        var ordered: [Binding] = []
        ordered.reserveCapacity(count)
        for run in keys.runs(by: \PrefixKey.prefix) {
            var group = run.map { self[$0.index] }
            if group.count > 1 {
                group.sort()
                group.removeRepeats()
            }
            ordered += group
        }
        return ordered
    }
}

extension Array where Element: Comparable {
    /// Where an element is, or would be, in a sorted array.
    func firstIndex(sorted element: Element) -> Int {
        var low = startIndex, high = endIndex
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < element { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Keeps one of each run of equal elements.
    mutating func removeRepeats() {
        var last: Element?
        removeAll { element in
            defer { last = element }
            return element == last
        }
    }
}

extension RandomAccessCollection where Index == Int {
    /// The maximal runs of neighbours that share a key.
    func runs<Key: Equatable>(by key: (Element) -> Key) -> [SubSequence] {
        var runs: [SubSequence] = []
        var start = startIndex
        while start < endIndex {
            let first = key(self[start])
            var end = start + 1
            while end < endIndex, key(self[end]) == first { end += 1 }
            runs.append(self[start..<end])
            start = end
        }
        return runs
    }
}
