/// The ports from ``lower`` to ``upper``, both included.
///
/// Port 0 is a port like any other and never means "any"; every port is ``all``. A literal is one port, and
/// `8000...8999` is a range wherever a `PortRange` is expected.
public struct PortRange: Sendable, Hashable, Comparable, ExpressibleByIntegerLiteral {
    /// The lowest port of the range.
    public let lower: UInt16
    /// The highest port of the range, not below ``lower``.
    public let upper: UInt16

    /// All 65,536 ports, 0 included.
    public static let all = PortRange(0...UInt16.max)

    /// Makes a range from its bounds.
    @inlinable
    public init(_ range: ClosedRange<UInt16>) {
        lower = range.lowerBound
        upper = range.upperBound
    }

    /// Makes a range of one port.
    @inlinable
    public init(_ port: UInt16) {
        lower = port
        upper = port
    }

    /// Makes a range of one port; a literal above 65535 does not compile.
    @inlinable
    public init(integerLiteral port: UInt16) {
        self.init(port)
    }

    /// The number of ports in the range, 1 to 65,536.
    @inlinable
    public var count: Int { Int(upper) - Int(lower) + 1 }

    /// Whether the range holds `port`.
    @inlinable
    public func contains(_ port: UInt16) -> Bool {
        lower <= port && port <= upper
    }

    /// Whether every port of `other` is in this range. A range contains itself.
    @inlinable
    public func contains(_ other: PortRange) -> Bool {
        lower <= other.lower && other.upper <= upper
    }

    /// Whether the two ranges share a port.
    @inlinable
    public func overlaps(_ other: PortRange) -> Bool {
        lower <= other.upper && other.lower <= upper
    }

    /// Orders ranges by their lower end, then by their upper end.
    @inlinable
    public static func < (left: PortRange, right: PortRange) -> Bool {
        left.lower == right.lower ? left.upper < right.upper : left.lower < right.lower
    }
}

extension UInt16 {
    /// Makes a port range where one is expected, as in `let ports: PortSet = [7, 7000...7999]`.
    ///
    /// Everywhere else `1...5` stays the standard library's range, which is why this operator is disfavored. As with
    /// that one, bounds in the wrong order are a programming error and trap.
    @inlinable
    @_disfavoredOverload
    public static func ... (lower: UInt16, upper: UInt16) -> PortRange {
        let range: ClosedRange<UInt16> = lower...upper
        return PortRange(range)
    }
}

extension PortRange: CustomStringConvertible {
    /// Reads a port or a range of ports.
    ///
    /// - Parameter text: `80`, `8000-8999` or `all`, with numbers from 0 to 65535 in plain decimal.
    /// - Throws: ``AddressError/Code/invalidPort`` when a port is not such a number,
    ///   ``AddressError/Code/invalidPortRange`` for `8999-8000` and for text that is too long. `80-80` is not an error.
    public init(_ text: some StringProtocol) throws(AddressError) {
        guard let bytes = boundedBytes(text, limit: 32) else {
            throw AddressError(
                .invalidPortRange,
                "\(quoted(text)) is not a port range: it is longer than any; write it like 8000-8999")
        }
        try self.init(parsing: bytes[...])
    }

    /// Reads a range that takes up all of `bytes`.
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

/// Reads a port that takes up all of `bytes`, a piece of `whole`.
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
