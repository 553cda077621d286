/// The name that connects bindings with sockets: bindings lead to a label, and sockets are registered for it.
///
/// 1 to 63 of the characters `A-Z a-z 0-9 . _ -`, beginning with a letter or digit. So a label can serve as a file
/// name, as a label value of a metric, and unquoted on a command line.
public struct Label: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The text of the label.
    public let name: String

    /// Creates a label from external text.
    ///
    /// - Throws: `invalidLabel`, with the rule that the text violates.
    public init(_ text: some StringProtocol) throws(SteeringError) {
        guard let problem = Label.problem(with: text) else {
            name = String(text)
            return
        }
        throw .invalidLabel(text, problem)
    }

    static let maximumLength = 63

    private static func problem(with text: some StringProtocol) -> String? {
        if text.isEmpty { return "is empty" }
        if text.utf8.count > maximumLength { return "has \(text.utf8.count) bytes" }
        if let first = text.utf8.first, !isLetterOrDigit(first) { return "does not begin with a letter or digit" }
        for byte in text.utf8
        where !isLetterOrDigit(byte) && byte != UInt8(ascii: ".") && byte != UInt8(ascii: "_")
            && byte != UInt8(ascii: "-")
        {
            return "contains a character that is not allowed"
        }
        return nil
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }

    /// Orders labels by their text.
    public static func < (left: Label, right: Label) -> Bool { left.name < right.name }

    /// The text of the label.
    public var description: String { name }
}

extension Label: ExpressibleByStringLiteral {
    /// Creates a label from a literal; an invalid literal is a programmer error and traps.
    ///
    /// `try Label("...")` uses this initializer, too. Pass external text to ``init(_:)`` as a `String`.
    public init(stringLiteral text: String) {
        precondition(Label.problem(with: text) == nil, "\"\(text)\" is not a label")
        name = text
    }
}
