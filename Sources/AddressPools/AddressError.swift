/// The reason why a text, a number or a pool operation is invalid.
///
/// Programs branch on ``code``. ``message`` is one sentence for users: the rejected value, the reason, and the remedy.
/// Input quoted in it is truncated to 64 characters, with everything but printable ASCII escaped, so a message is safe
/// to print to a terminal or a log.
public struct AddressError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of error.
    ///
    /// More codes may be added; handle unknown ones by printing the message.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case invalidAddress, invalidSocketAddress
            case invalidPrefix, missingPrefixLength, invalidPrefixLength, hostBitsSet
            case invalidPort, invalidPortRange, invalidPortSet
            case emptyPool, indexOutOfRange, invalidPartCount
        }

        private let value: Value

        /// The text is neither an IPv4 nor an IPv6 address.
        public static var invalidAddress: Code { Code(value: .invalidAddress) }
        /// The text is not an address followed by a port.
        public static var invalidSocketAddress: Code { Code(value: .invalidSocketAddress) }
        /// The part of a prefix before the slash is not an address.
        public static var invalidPrefix: Code { Code(value: .invalidPrefix) }
        /// The text is an address without the `/length` of a prefix.
        public static var missingPrefixLength: Code { Code(value: .missingPrefixLength) }
        /// The prefix length is not a plain decimal number, or is out of range for the family.
        public static var invalidPrefixLength: Code { Code(value: .invalidPrefixLength) }
        /// The address of a prefix has bits set to the right of its length.
        public static var hostBitsSet: Code { Code(value: .hostBitsSet) }
        /// A port is not a plain decimal number from 0 to 65535.
        public static var invalidPort: Code { Code(value: .invalidPort) }
        /// The text is too long for a port range, or its bounds are in the wrong order.
        public static var invalidPortRange: Code { Code(value: .invalidPortRange) }
        /// The text is not a list of ports and port ranges.
        public static var invalidPortSet: Code { Code(value: .invalidPortSet) }
        /// The operation needs at least one address and the pool has none.
        public static var emptyPool: Code { Code(value: .emptyPool) }
        /// The index is not less than the number of addresses in the pool.
        public static var indexOutOfRange: Code { Code(value: .indexOutOfRange) }
        /// A pool cannot be split into that many parts.
        public static var invalidPartCount: Code { Code(value: .invalidPartCount) }

        /// The name of the code, such as `hostBitsSet`.
        public var description: String { value.rawValue }
    }

    /// The kind of error.
    public let code: Code
    /// One sentence for users: the rejected value, the reason, and the remedy.
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The same text as ``message``.
    public var description: String { message }
}
