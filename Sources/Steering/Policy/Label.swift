/// The name in the middle: bindings lead to it, sockets are registered as it.
///
/// 1 to 63 of the characters `A-Z a-z 0-9 . _ -`, the first a letter or a digit: a label can be a
/// file name, a metric's label value and a word on a command line without quoting.
public struct Label: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The label's text.
    public let name: String

    /// Creates a label from text that comes from outside.
    ///
    /// - Throws: `invalidLabel`, with the rule that the text breaks.
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

    /// The label's text.
    public var description: String { name }
}

extension Label: ExpressibleByStringLiteral {
    /// Creates a label from a literal. A literal that is not a label is a programmer's error and traps, also
    /// in `try Label("...")`; use ``init(_:)`` with a string for text that comes from outside.
    public init(stringLiteral text: String) {
        precondition(Label.problem(with: text) == nil, "\"\(text)\" is not a label")
        name = text
    }
}
