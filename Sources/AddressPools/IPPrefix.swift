/// An IP network such as `192.0.2.0/24`: every address that begins with the same ``length`` bits.
///
/// The host bits of ``address`` are zero, so equal networks compare equal. Prefixes sort by address, then by length:
/// IPv4 before IPv6, and a prefix before those inside it.
public struct IPPrefix: Sendable, Hashable, Comparable {
    /// The lowest address of the prefix.
    public let address: IPAddress
    private let storedLength: UInt8

    /// The number of leading bits that all addresses of the prefix share: 0 to 32 for IPv4, 0 to 128 for IPv6.
    public var length: Int { Int(storedLength) }

    /// The caller guarantees that the host bits are zero and the length is in range.
    init(canonical address: IPAddress, length: Int) {
        self.address = address
        self.storedLength = UInt8(length)
    }

    /// Creates a prefix from its lowest address.
    ///
    /// - Parameters:
    ///   - address: The lowest address; its host bits, to the right of `length`, must be zero.
    ///   - length: 0 to 32 for IPv4, 0 to 128 for IPv6. 0 is the whole family, the full length a single address.
    /// - Throws: ``AddressError/Code/invalidPrefixLength`` if the length is out of range,
    ///   ``AddressError/Code/hostBitsSet`` if the address is not the lowest of its prefix.
    public init(_ address: IPAddress, length: Int) throws(AddressError) {
        let width = address.family.bitWidth
        guard (0...width).contains(length) else {
            throw AddressError(
                .invalidPrefixLength,
                "\(length) is not a prefix length for \(address): use 0 to \(width) for \(address.family)")
        }
        let masked = IPPrefix(masking: address, length: length)
        guard masked.address == address else {
            throw AddressError(
                .hostBitsSet,
                "\(address)/\(length) has bits set to the right of its length: "
                    + "write \(masked) for the network, or \(address)/\(width) for the one address")
        }
        self = masked
    }

    /// Creates the prefix of the given length that contains `address`.
    ///
    /// - Parameters:
    ///   - address: Any address of the prefix; its host bits are cleared.
    ///   - length: 0 to 32 for IPv4, 0 to 128 for IPv6; any other length traps.
    public init(masking address: IPAddress, length: Int) {
        let width = address.family.bitWidth
        precondition((0...width).contains(length), "a prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6")
        let bits = address.bits & ~UInt128.lowBits(width - length)
        self.init(canonical: IPAddress(family: address.family, bits: bits), length: length)
    }

    /// The family of the addresses in the prefix.
    public var family: IPFamily { address.family }

    /// The lowest address of the prefix; the same as ``address``.
    public var first: IPAddress { address }

    /// The highest address of the prefix.
    public var last: IPAddress {
        IPAddress(family: family, bits: address.bits | hostMask)
    }

    /// The network mask: ``length`` ones, then zeros; 255.255.255.0 for an IPv4 `/24`.
    public var mask: IPAddress {
        IPAddress(family: family, bits: UInt128.lowBits(family.bitWidth) & ~hostMask)
    }

    /// Whether all of its addresses are IPv4-mapped: it is `::ffff:0:0/96` or in that.
    public var isIPv4Mapped: Bool { length >= 96 && address.isIPv4Mapped }

    /// The IPv4 prefix of an IPv4-mapped one; any other prefix unchanged.
    public var unmapped: IPPrefix {
        isIPv4Mapped ? IPPrefix(masking: address.unmapped, length: length - 96) : self
    }

    /// The number of addresses in the prefix.
    ///
    /// `::/0` has 2^128 addresses, one more than `UInt128` can hold, and reports `UInt128.max`.
    public var count: UInt128 {
        hostMask == .max ? .max : hostMask + 1
    }

    /// Returns whether the prefix contains `address`; never true for an address of the other family.
    public func contains(_ address: IPAddress) -> Bool {
        address.family == family && (address.bits ^ self.address.bits) & ~hostMask == 0
    }

    /// Returns whether the prefix contains every address of `other`.
    ///
    /// A prefix contains itself.
    public func contains(_ other: IPPrefix) -> Bool {
        length <= other.length && contains(other.address)
    }

    /// Returns whether the two prefixes share an address; then one of them contains the other.
    public func overlaps(_ other: IPPrefix) -> Bool {
        contains(other) || other.contains(self)
    }

    /// The lower and the upper half, or `nil` for a prefix of one address.
    public var halves: (IPPrefix, IPPrefix)? {
        guard length < family.bitWidth else { return nil }
        let upperBits = address.bits | ((hostMask >> 1) + 1)
        return (
            IPPrefix(canonical: address, length: length + 1),
            IPPrefix(canonical: IPAddress(family: family, bits: upperBits), length: length + 1)
        )
    }

    /// The prefix that contains this one and is one bit shorter, or `nil` for a whole family.
    public var parent: IPPrefix? {
        length > 0 ? IPPrefix(masking: address, length: length - 1) : nil
    }

    /// Orders prefixes by address, then the shorter first: a preorder walk of the prefix tree.
    public static func < (left: IPPrefix, right: IPPrefix) -> Bool {
        left.address == right.address ? left.length < right.length : left.address < right.address
    }

    /// A mask of the host bits; also the number of addresses minus one.
    var hostMask: UInt128 {
        .lowBits(family.bitWidth - length)
    }
}

extension IPPrefix: CustomStringConvertible {
    /// Parses a prefix.
    ///
    /// - Parameter text: An address as ``IPAddress/init(_:)`` parses it, a slash, and the length in plain decimal,
    ///   such as `192.0.2.0/24`.
    /// - Throws: ``AddressError/Code/missingPrefixLength`` for a bare address (write a single address as
    ///   `192.0.2.1/32`), ``AddressError/Code/invalidPrefix`` if the text is too long or the part before the slash is
    ///   not an address, ``AddressError/Code/invalidPrefixLength`` for a length out of range or with a sign, a space or
    ///   a leading zero, ``AddressError/Code/hostBitsSet`` for `192.0.2.1/24`; the message suggests the network.
    public init(_ text: some StringProtocol) throws(AddressError) {
        guard let bytes = boundedBytes(text, limit: longestAddressText) else {
            throw AddressError(
                .invalidPrefix,
                "\(quoted(text)) is not a prefix: it is too long; write one prefix, such as 192.0.2.0/24")
        }
        let slash = bytes.firstIndex(of: ASCII.slash)
        let address: IPAddress
        do throws(Refusal) {
            address = try IPAddress(parsing: bytes[..<(slash ?? bytes.endIndex)])
        } catch {
            throw AddressError(
                .invalidPrefix,
                "\(quoted(text)) is not a prefix such as 192.0.2.0/24; in the address, \(error.reason)")
        }
        let width = address.family.bitWidth
        guard let slash else {
            throw AddressError(
                .missingPrefixLength,
                "\(address) is an address, not a prefix: write \(address)/\(width) for the one address")
        }
        let lengthText = bytes[(slash + 1)...]
        guard let length = strictDecimal(lengthText, maximum: width) else {
            throw AddressError(
                .invalidPrefixLength,
                "\(quoted(text)) has the prefix length \(quoted(lengthText)): "
                    + "write a number from 0 to \(width) without sign, spaces or leading zeros")
        }
        try self.init(address, length: length)
    }

    /// The canonical text of the address, a slash and the length, such as `2001:db8::/32`.
    public var description: String { "\(address)/\(length)" }
}
