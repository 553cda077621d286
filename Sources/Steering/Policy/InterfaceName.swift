/// The name of a network interface, as `ip link` shows it.
///
/// 1 to 15 visible characters of ASCII, none of them `/` or `:`, and not `.` or `..`. Linux would take some
/// more bytes; names with such cannot be matched. A name means the interface that has it when a policy is applied.
public struct InterfaceName: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The name's text.
    public let name: String

    /// Creates a name from text that comes from outside.
    ///
    /// - Throws: `invalidInterfaceName`, with the rule that the text breaks. A name that no interface has is no
    ///   error here.
    public init(_ text: some StringProtocol) throws(SteeringError) {
        guard let problem = Self.problem(with: text) else {
            name = String(text)
            return
        }
        throw .invalidInterfaceName(text, problem)
    }

    /// That of an interface which no binding names.
    static let unbound = InterfaceName(unchecked: "")

    private init(unchecked name: String) { self.name = name }

    /// IFNAMSIZ without the NUL.
    static let maximumLength = 15

    private static func problem(with text: some StringProtocol) -> String? {
        if text.isEmpty { return "is empty" }
        if text.utf8.count > maximumLength { return "has \(text.utf8.count) bytes" }
        if text == "." || text == ".." { return "would be a directory" }
        for byte in text.utf8 {
            if byte == UInt8(ascii: "/") || byte == UInt8(ascii: ":") || !(0x21...0x7e).contains(byte) {
                return "contains a character that is not allowed"
            }
        }
        return nil
    }

    /// Orders names by their text.
    public static func < (left: InterfaceName, right: InterfaceName) -> Bool { left.name < right.name }

    /// The name's text.
    public var description: String { name }
}

extension InterfaceName: ExpressibleByStringLiteral {
    /// Creates a name from a literal. A literal that is not a name is a programmer's error and traps, also
    /// in `try InterfaceName("...")`; use ``init(_:)`` with a string for text that comes from outside.
    public init(stringLiteral text: String) {
        precondition(Self.problem(with: text) == nil, "\"\(text)\" is not the name of an interface")
        name = text
    }
}
