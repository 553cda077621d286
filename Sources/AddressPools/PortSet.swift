/// A set of ports, stored as the fewest ranges that cover it.
///
/// Equal sets compare equal, however they were written: `[1, 2, 3]`, `[1...2, 2...3]` and `[1...3]` are the same.
public struct PortSet: Sendable, Hashable, ExpressibleByArrayLiteral {
    /// The ranges of the set, in ascending order, neither overlapping nor adjacent.
    public let ranges: [PortRange]

    /// All 65,536 ports, including 0.
    public static let all = PortSet(.all)

    /// Creates the union of `ranges`, which may overlap and come in any order.
    ///
    /// No ranges make an empty set.
    public init(_ ranges: some Sequence<PortRange>) {
        var merged: [PortRange] = []
        for range in ranges.sorted() {
            // In Int, since UInt16 would overflow for a range that ends at 65535.
            if let last = merged.last, Int(range.lower) <= Int(last.upper) + 1 {
                merged[merged.count - 1] = PortRange(last.lower...max(last.upper, range.upper))
            } else {
                merged.append(range)
            }
        }
        self.ranges = merged
    }

    /// Creates a set from one range.
    public init(_ range: PortRange) {
        ranges = [range]
    }

    /// Creates the union of the elements, as in `[80, 443, 8000...8999]`.
    public init(arrayLiteral elements: PortRange...) {
        self.init(elements)
    }

    /// Whether the set is empty.
    ///
    /// Code can create such a set; parsing never does.
    public var isEmpty: Bool { ranges.isEmpty }

    /// The number of ports in the set, 0 to 65,536.
    public var count: Int {
        ranges.reduce(0) { $0 + $1.count }
    }

    /// Returns whether the set contains `port`, in time logarithmic in the number of ranges.
    public func contains(_ port: UInt16) -> Bool {
        contains(PortRange(port))
    }

    /// Returns whether the set contains every port of `range`, in time logarithmic in the number of ranges.
    public func contains(_ range: PortRange) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upper < range.lower { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(range)
    }

    /// Returns whether the two sets share a port.
    public func overlaps(_ other: PortSet) -> Bool {
        !intersection(other).isEmpty
    }

    /// Returns the ports that both sets contain.
    public func intersection(_ other: PortSet) -> PortSet {
        var common: [PortRange] = []
        var (left, right) = (ranges[...], other.ranges[...])
        while let a = left.first, let b = right.first {
            if a.overlaps(b) {
                common.append(PortRange(max(a.lower, b.lower)...min(a.upper, b.upper)))
            }
            if a.upper < b.upper { left.removeFirst() } else { right.removeFirst() }
        }
        return PortSet(common)
    }
}

extension PortSet: CustomStringConvertible {
    /// The length of the longest canonical text: every second port, 32,768 of them, with commas.
    private static let longestText = 32_768 * 6

    /// Parses a set of ports.
    ///
    /// - Parameter text: Ports and ranges separated by commas, in any order, such as `80,443,8000-8999`, or `all` for
    ///   every port. They may repeat and overlap. `0` is port 0 only.
    /// - Throws: ``AddressError/Code/invalidPort`` if a port is not a plain decimal number up to 65535,
    ///   ``AddressError/Code/invalidPortRange`` for a range written backwards, ``AddressError/Code/invalidPortSet``
    ///   for empty or overlong text, `*`, spaces, an empty list element, or `all` combined with other ports.
    public init(_ text: some StringProtocol) throws(AddressError) {
        func refusal(_ reason: String) -> AddressError {
            AddressError(.invalidPortSet, "\(quoted(text)) is not a set of ports: \(reason)")
        }
        let hint = "write ports and ranges such as 80,443,8000-8999, or all for every port (0 is only port 0)"
        guard let bytes = boundedBytes(text, limit: PortSet.longestText) else {
            throw refusal("it is too long; merge its ranges")
        }
        if bytes.isEmpty { throw refusal("it is empty; \(hint)") }
        let items = bytes.split(separator: ASCII.comma, omittingEmptySubsequences: false)
        var ranges: [PortRange] = []
        for item in items {
            if item.isEmpty { throw refusal("a comma has no port on one side; \(hint)") }
            if item.elementsEqual("*".utf8) { throw refusal("* has no meaning here; \(hint)") }
            if item.contains(UInt8(ascii: " ")) { throw refusal("it has a space in it; \(hint)") }
            if items.count > 1, item.elementsEqual("all".utf8) {
                throw refusal("all is every port already; write it alone, or leave it out")
            }
            ranges.append(try PortRange(parsing: item))
        }
        self.init(ranges)
    }

    /// The ranges separated by commas, such as `80,443,8000-8999`; `all` for every port.
    ///
    /// The empty set prints as `none`, which does not parse: in input, an empty set is usually a mistake.
    public var description: String {
        isEmpty ? "none" : ranges.map(\.description).joined(separator: ",")
    }
}
