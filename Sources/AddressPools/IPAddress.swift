/// One of the two versions of the Internet Protocol.
public enum IPFamily: Sendable, Hashable, Comparable, CaseIterable, CustomStringConvertible {
    /// Version 4, with addresses of 32 bits.
    case ipv4
    /// Version 6, with addresses of 128 bits.
    case ipv6

    /// The number of bits in an address: 32 or 128.
    @inlinable
    public var bitWidth: Int {
        switch self {
        case .ipv4: 32
        case .ipv6: 128
        }
    }

    /// `IPv4` or `IPv6`.
    public var description: String {
        switch self {
        case .ipv4: "IPv4"
        case .ipv6: "IPv6"
        }
    }
}

/// An IPv4 or IPv6 address.
///
/// An IPv4 address and its IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) are different values; ``unmapped`` converts
/// the second to the first. Addresses sort by family, IPv4 first, then by value.
public struct IPAddress: Sendable, Hashable, Comparable {
    /// The address as a number; less than 2^32 for IPv4.
    public let bits: UInt128
    /// The address family.
    public let family: IPFamily

    /// The caller guarantees that `bits` fits the family.
    @inlinable
    init(family: IPFamily, bits: UInt128) {
        assert(family == .ipv6 || bits >> 32 == 0)
        self.bits = bits
        self.family = family
    }

    /// Creates an IPv4 address from a number in host byte order: `0xC0000201` is 192.0.2.1.
    @inlinable
    public init(ipv4: UInt32) {
        self.init(family: .ipv4, bits: UInt128(ipv4))
    }

    /// Creates an IPv6 address from a number in host byte order: `1` is ::1.
    @inlinable
    public init(ipv6: UInt128) {
        self.init(family: .ipv6, bits: ipv6)
    }

    /// Returns the wildcard address of a family: 0.0.0.0 or ::.
    package static func unspecified(_ family: IPFamily) -> IPAddress { IPAddress(family: family, bits: 0) }

    /// The address, left-aligned in 128 bits for either family.
    package var leadingBits: UInt128 { bits << UInt128(128 - family.bitWidth) }

    /// Creates an address from its bytes in network order, or returns `nil` if there are neither 4 nor 16.
    ///
    /// - Parameter bytes: 4 bytes for IPv4 or 16 for IPv6, most significant first.
    public init?(bytes: some Collection<UInt8>) {
        let family: IPFamily
        switch bytes.count {
        case 4: family = .ipv4
        case 16: family = .ipv6
        default: return nil
        }
        self.init(family: family, bits: bytes.reduce(0) { $0 << 8 | UInt128($1) })
    }

    /// The 4 or 16 bytes of the address in network order, most significant first.
    public var bytes: [UInt8] {
        stride(from: family.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: bits >> $0) }
    }

    /// Whether this is an IPv4-mapped IPv6 address, one of `::ffff:0.0.0.0/96` (RFC 4291, section 2.5.5.2).
    ///
    /// A dual-stack socket reports its IPv4 peers and its own IPv4 addresses in this form.
    @inlinable
    public var isIPv4Mapped: Bool {
        family == .ipv6 && bits >> 32 == 0xFFFF
    }

    /// The IPv4 address of an IPv4-mapped one; any other address unchanged.
    @inlinable
    public var unmapped: IPAddress {
        isIPv4Mapped ? IPAddress(ipv4: UInt32(truncatingIfNeeded: bits)) : self
    }

    /// Orders addresses by family, IPv4 first, then by value.
    @inlinable
    public static func < (left: IPAddress, right: IPAddress) -> Bool {
        left.family == right.family ? left.bits < right.bits : left.family < right.family
    }
}
