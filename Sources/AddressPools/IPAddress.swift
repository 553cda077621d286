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

/// An IPv4 or IPv6 address, as a value.
///
/// An IPv4 address and the IPv6 address it maps to (`::ffff:192.0.2.1`) are different values;
/// ``unmapped`` turns the second into the first. Addresses sort by family, IPv4 first, then by value.
public struct IPAddress: Sendable, Hashable, Comparable {
    /// The address as a number; an IPv4 address is below 2^32.
    public let bits: UInt128
    /// The version of the protocol the address belongs to.
    public let family: IPFamily

    /// Callers guarantee that `bits` fits the family.
    @inlinable
    init(family: IPFamily, bits: UInt128) {
        assert(family == .ipv6 || bits >> 32 == 0)
        self.bits = bits
        self.family = family
    }

    /// Makes an IPv4 address from its number, most significant byte first: `0xC0000201` is 192.0.2.1.
    @inlinable
    public init(ipv4: UInt32) {
        self.init(family: .ipv4, bits: UInt128(ipv4))
    }

    /// Makes an IPv6 address from its number, most significant byte first: `1` is ::1.
    @inlinable
    public init(ipv6: UInt128) {
        self.init(family: .ipv6, bits: ipv6)
    }

    /// The address that stands for any: 0.0.0.0 or ::.
    package static func unspecified(_ family: IPFamily) -> IPAddress { IPAddress(family: family, bits: 0) }

    /// The address's bits, the first one on top, whatever the family.
    package var leadingBits: UInt128 { bits << UInt128(128 - family.bitWidth) }

    /// Makes an address from its bytes in network order.
    ///
    /// - Parameter bytes: 4 bytes for IPv4 or 16 for IPv6, most significant first; any other number gives nil.
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

    /// Whether this is an IPv6 address that stands for an IPv4 one, `::ffff:0.0.0.0/96` (RFC 4291, section 2.5.5.2).
    ///
    /// A dual-stack socket sees its IPv4 peers and its own IPv4 addresses in this form.
    @inlinable
    public var isIPv4Mapped: Bool {
        family == .ipv6 && bits >> 32 == 0xFFFF
    }

    /// The IPv4 address that an IPv4-mapped one stands for; any other address as it is.
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
