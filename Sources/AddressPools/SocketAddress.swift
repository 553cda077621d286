/// An address and a port, such as `192.0.2.1:80` or `[2001:db8::1]:80`.
///
/// Socket addresses sort by address, then by port.
public struct SocketAddress: Sendable, Hashable, Comparable {
    /// The address.
    public let address: IPAddress
    /// The port, 0 to 65535; 0 is an ordinary port here.
    public let port: UInt16

    /// Creates a socket address.
    ///
    /// - Parameters:
    ///   - address: The address, of either family.
    ///   - port: The port, 0 to 65535.
    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// Orders socket addresses by address, then by port.
    public static func < (left: SocketAddress, right: SocketAddress) -> Bool {
        left.address == right.address ? left.port < right.port : left.address < right.address
    }
}

extension SocketAddress: CustomStringConvertible {
    /// Parses an address and a port.
    ///
    /// - Parameter text: `192.0.2.1:80`, or `[2001:db8::1]:80`; brackets are required for IPv6 and not allowed for
    ///   IPv4.
    /// - Throws: ``AddressError/Code/invalidSocketAddress`` if the port is missing, the brackets are wrong, or the
    ///   address is invalid; ``AddressError/Code/invalidPort`` if the port is not a plain decimal number up to 65535.
    ///   Port 0 is valid.
    public init(_ text: some StringProtocol) throws(AddressError) {
        func refusal(_ reason: String) -> AddressError {
            AddressError(
                .invalidSocketAddress,
                "\(quoted(text)) is not an address with a port, such as 192.0.2.1:80 or [2001:db8::1]:80; \(reason)")
        }
        guard let bytes = boundedBytes(text, limit: longestAddressText) else {
            throw refusal("it is too long")
        }
        let isBracketed = bytes.first == ASCII.openBracket
        let addressBytes: ArraySlice<UInt8>
        let rest: ArraySlice<UInt8>
        if isBracketed {
            guard let close = bytes.firstIndex(of: ASCII.closeBracket) else {
                throw refusal("the bracket is never closed")
            }
            addressBytes = bytes[1..<close]
            rest = bytes[(close + 1)...]
        } else {
            let colon = bytes.firstIndex(of: ASCII.colon) ?? bytes.endIndex
            guard !bytes[colon...].dropFirst().contains(ASCII.colon) else {
                throw refusal("an IPv6 address is written in brackets before its port")
            }
            addressBytes = bytes[..<colon]
            rest = bytes[colon...]
        }

        let address: IPAddress
        do throws(Refusal) {
            address = try IPAddress(parsing: addressBytes)
        } catch {
            throw refusal("in the address, \(error.reason)")
        }
        guard isBracketed == (address.family == .ipv6) else {
            throw refusal("brackets are for IPv6 only")
        }
        guard rest.first == ASCII.colon else {
            throw refusal("the port is missing; add it after a colon")
        }
        guard let port = strictDecimal(rest.dropFirst(), maximum: 65_535) else {
            throw AddressError(
                .invalidPort,
                "\(quoted(text)) has the port \(quoted(rest.dropFirst())): "
                    + "write a number from 0 to 65535 without sign, spaces or leading zeros")
        }
        self.init(address, port: UInt16(port))
    }

    /// `192.0.2.1:80`, or `[2001:db8::1]:80`.
    public var description: String {
        switch address.family {
        case .ipv4: "\(address):\(port)"
        case .ipv6: "[\(address)]:\(port)"
        }
    }
}
