/// An inclusive range of ports.
///
/// Port 0 is an ordinary port, not a wildcard; the range of all ports is ``all``. A literal is one port, and
/// `8000...8999` is a range wherever a `PortRange` is expected.
public struct PortRange: Sendable, Hashable, Comparable, ExpressibleByIntegerLiteral {
    /// The lowest port of the range.
    public let lower: UInt16
    /// The highest port of the range, not below ``lower``.
    public let upper: UInt16

    /// All 65,536 ports, including 0.
    public static let all = PortRange(0...UInt16.max)

    /// Creates a range from its bounds.
    @inlinable
    public init(_ range: ClosedRange<UInt16>) {
        lower = range.lowerBound
        upper = range.upperBound
    }

    /// Creates a range of one port.
    @inlinable
    public init(_ port: UInt16) {
        lower = port
        upper = port
    }

    /// Creates a range of one port; a literal above 65535 does not compile.
    @inlinable
    public init(integerLiteral port: UInt16) {
        self.init(port)
    }

    /// The number of ports in the range, 1 to 65,536.
    @inlinable
    public var count: Int { Int(upper) - Int(lower) + 1 }

    /// Returns whether the range contains `port`.
    @inlinable
    public func contains(_ port: UInt16) -> Bool {
        lower <= port && port <= upper
    }

    /// Returns whether the range contains every port of `other`.
    ///
    /// A range contains itself.
    @inlinable
    public func contains(_ other: PortRange) -> Bool {
        lower <= other.lower && other.upper <= upper
    }

    /// Returns whether the two ranges share a port.
    @inlinable
    public func overlaps(_ other: PortRange) -> Bool {
        lower <= other.upper && other.lower <= upper
    }

    /// Orders ranges by their lower bound, then by their upper bound.
    @inlinable
    public static func < (left: PortRange, right: PortRange) -> Bool {
        left.lower == right.lower ? left.upper < right.upper : left.lower < right.lower
    }
}

extension UInt16 {
    /// Returns a port range where the context expects one, as in `let ports: PortSet = [7, 7000...7999]`.
    ///
    /// Disfavored, so that `1...5` remains the standard library's `ClosedRange` everywhere else. As with that one,
    /// bounds in the wrong order trap.
    @inlinable
    @_disfavoredOverload
    public static func ... (lower: UInt16, upper: UInt16) -> PortRange {
        let range: ClosedRange<UInt16> = lower...upper
        return PortRange(range)
    }
}

extension PortRange: CustomStringConvertible {
    /// Parses a port or a range of ports.
    ///
    /// - Parameter text: `80`, `8000-8999` or `all`, with numbers from 0 to 65535 in plain decimal. `80-80` is valid.
    /// - Throws: ``AddressError/Code/invalidPort`` if a port is not such a number,
    ///   ``AddressError/Code/invalidPortRange`` for `8999-8000` and for text that is too long.
    public init(_ text: some StringProtocol) throws(AddressError) {
        guard let bytes = boundedBytes(text, limit: 32) else {
            throw AddressError(
                .invalidPortRange,
                "\(quoted(text)) is not a port range: it is too long; write it like 8000-8999")
        }
        try self.init(parsing: bytes[...])
    }

    /// Parses a range that takes up all of `bytes`.
    init(parsing bytes: ArraySlice<UInt8>) throws(AddressError) {
        if bytes.elementsEqual("all".utf8) {
            self = .all
            return
        }
        guard let hyphen = bytes.firstIndex(of: ASCII.hyphen) else {
            self.init(try parsePort(bytes, in: bytes))
            return
        }
        let lower = try parsePort(bytes[..<hyphen], in: bytes)
        let upper = try parsePort(bytes[(hyphen + 1)...], in: bytes)
        guard lower <= upper else {
            throw AddressError(
                .invalidPortRange,
                "\(quoted(bytes)) ends below its start: write the lower port first, \(upper)-\(lower)")
        }
        self.init(lower...upper)
    }

    /// `80`, `8000-8999`, or `all`.
    public var description: String {
        if self == .all { return "all" }
        return lower == upper ? "\(lower)" : "\(lower)-\(upper)"
    }
}

/// Parses a port that takes up all of `bytes`; errors quote `whole` as its context.
func parsePort(_ bytes: ArraySlice<UInt8>, in whole: ArraySlice<UInt8>) throws(AddressError) -> UInt16 {
    guard let port = strictDecimal(bytes, maximum: 65_535) else {
        let place = bytes.count == whole.count ? "" : " in \(quoted(whole))"
        throw AddressError(
            .invalidPort,
            "\(quoted(bytes))\(place) is not a port: write a number from 0 to 65535 without sign, spaces or leading "
                + "zeros, or all for every port")
    }
    return UInt16(port)
}
