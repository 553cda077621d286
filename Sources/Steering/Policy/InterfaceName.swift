/// The name of a network interface, as `ip link` shows it.
///
/// 1 to 15 visible ASCII characters except `/` and `:`; `.` and `..` are not allowed. The kernel accepts some other
/// bytes, but interfaces with such names cannot be matched. A name refers to the interface that has it when a policy is
/// applied.
public struct InterfaceName: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The text of the name.
    public let name: String

    /// Creates a name from external text.
    ///
    /// - Throws: `invalidInterfaceName`, with the rule that the text violates. The interface need not exist.
    public init(_ text: some StringProtocol) throws(SteeringError) {
        guard let problem = Self.problem(with: text) else {
            name = String(text)
            return
        }
        throw .invalidInterfaceName(text, problem)
    }

    /// The name given to interfaces without bindings.
    static let unbound = InterfaceName(unchecked: "")

    private init(unchecked name: String) { self.name = name }

    /// IFNAMSIZ without the terminating NUL.
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

    /// The text of the name.
    public var description: String { name }
}

extension InterfaceName: ExpressibleByStringLiteral {
    /// Creates a name from a literal; an invalid literal is a programmer error and traps.
    ///
    /// `try InterfaceName("...")` uses this initializer, too. Pass external text to ``init(_:)`` as a `String`.
    public init(stringLiteral text: String) {
        precondition(Self.problem(with: text) == nil, "\"\(text)\" is not the name of an interface")
        name = text
    }
}
